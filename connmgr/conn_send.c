#include <assert.h>
#include <stdlib.h>

#include "connmgr/conn_private.h"

/* A queue of tiny frames costs far more than their bytes: their number is limited too, to one for so many
 * bytes of the limit, and a few. */
enum { FRAMES_MIN = 64, BYTES_PER_FRAME = 256 };

/* A frame from this length on is not copied to lie behind others in one write. */
enum { APART = 4096 };

/* Queued (a connection, a frame), or settled (no connection: only the callback is due). */
struct tg_send {
    struct tg_list node; /* conn->queue or mgr->settled */
    struct tg_conn *conn;
    struct tg_frame *frame;
    tg_sent_fn *sent; /* NULL: nobody wants to know */
    void *arg;
    enum tg_err outcome;
};

static struct tg_send *send_of(struct tg_list *node)
{
    return TG_CONTAINER(node, struct tg_send, node);
}

static bool is_data(const struct tg_frame *frame)
{
    return (frame->bytes[0] & 0x08) == 0;
}

/* Takes it off its connection. */
static void detach(struct tg_send *send)
{
    struct tg_conn *conn = send->conn;
    conn->queued_bytes -= send->frame->len;
    conn->queued_frames--;
    tg_counter_sub(&conn->mgr->counters.queued_bytes, send->frame->len);
    tg_list_remove(&send->node);
    tg_frame_unref(send->frame);
    send->frame = NULL;
    send->conn = NULL;
}

static void settle(struct tg_send *send, enum tg_err outcome)
{
    struct tg_conn *conn = send->conn;
    struct tg_connmgr *mgr = conn->mgr;
    const struct tg_frame *frame = send->frame;
    if (outcome == TG_OK && is_data(frame)) {
        tg_conn_count_sent(conn, 1, frame->len - tg_frame_header_len(frame));
    }
    detach(send);
    if (send->sent == NULL) {
        free(send);
        return;
    }
    send->outcome = outcome;
    tg_list_append(&mgr->settled, &send->node);
    tg_task_defer(mgr->loop, &mgr->flush);
}

/* ---- for callers ---- */

static void mark_dirty(struct tg_conn *conn)
{
    if (!conn->blocked && tg_list_empty(&conn->dirty)) {
        tg_list_append(&conn->mgr->dirty, &conn->dirty);
        tg_task_defer(conn->mgr->loop, &conn->mgr->flush);
    }
}

static bool has_room(const struct tg_conn *conn, size_t len)
{
    size_t most = conn->settings.max_queued_bytes;
    return conn->queued_bytes == 0 || (conn->queued_frames < FRAMES_MIN + most / BYTES_PER_FRAME &&
                                       conn->queued_bytes < most && len <= most - conn->queued_bytes);
}

enum tg_err tg_conn_send(struct tg_conn *conn, struct tg_frame *frame, tg_sent_fn *sent, void *arg,
                         struct tg_send **out)
{
    struct tg_connmgr *mgr = conn->mgr;
    assert(sent != NULL || out == NULL); /* without a callback nobody knows how long the handle lives */
    if (mgr->answers.conn == conn) {
        tg_conn_write_answers(mgr);
    }
    if (conn->state == TG_CONN_OPEN && conn->owes && !has_room(conn, frame->len)) {
        tg_conn_flush(conn);
    }
    if (conn->state != TG_CONN_OPEN) {
        return TG_ECLOSED;
    }
    if (!has_room(conn, frame->len)) {
        tg_counter_add(&mgr->counters.rejected, 1);
        return TG_EBUSY;
    }
    struct tg_send *send = malloc(sizeof *send); /* not calloc, which takes the C library's long way */
    if (send == NULL) {
        return TG_ENOMEM;
    }
    *send = (struct tg_send){.conn = conn, .frame = tg_frame_ref(frame), .sent = sent, .arg = arg};
    tg_list_init(&send->node);
    tg_list_append(&conn->queue, &send->node);
    conn->queued_bytes += frame->len;
    conn->queued_frames++;
    tg_counter_add(&mgr->counters.queued_bytes, frame->len);
    if (out != NULL) {
        *out = send;
    }
    if (conn->queued_bytes < TG_CONN_WRITE_AT_ONCE || conn->blocked) {
        mark_dirty(conn);
    } else if (conn->queued_bytes < TG_CONN_WRITE_MAX && tg_conn_more_follows(conn)) {
        conn->owes = true;
        mark_dirty(conn);
    } else {
        tg_conn_flush(conn);
    }
    return TG_OK;
}

enum tg_err tg_send_withdraw(struct tg_send *send)
{
    if (send->conn == NULL) {
        return TG_EAGAIN;
    }
    detach(send);
    free(send);
    return TG_OK;
}

void tg_send_forget(struct tg_send *send)
{
    if (send->conn == NULL) {
        tg_list_remove(&send->node);
        free(send);
        return;
    }
    send->sent = NULL;
}

/* ---- writing ---- */

/* What one write takes. */
struct batch {
    struct tg_slice pieces[TG_SOCKET_PIECES];
    size_t count;       /* of pieces */
    size_t frames, len; /* in all of them */
    size_t copied;      /* bytes of mgr->batch */
    bool last_can_grow; /* the last piece ends where these do */
};

/* False: it does not fit. */
static bool add_frame(struct batch *batch, const struct tg_conn *conn, const struct tg_frame *frame,
                      bool alone)
{
    bool apart = alone || (frame->len >= APART && conn->ops->write_pieces != NULL);
    bool grows = !apart && batch->last_can_grow;
    if (batch->frames > 0 && (batch->len + frame->len > TG_CONN_WRITE_MAX ||
                              (!apart && batch->copied + frame->len > TG_CONN_BATCH_MAX) ||
                              (!grows && batch->count == TG_SOCKET_PIECES))) {
        return false;
    }
    const char *bytes = frame->bytes;
    if (!apart) {
        bytes = memcpy(conn->mgr->batch + batch->copied, frame->bytes, frame->len);
        batch->copied += frame->len;
    }
    if (grows) {
        batch->pieces[batch->count - 1].len += frame->len;
    } else {
        batch->pieces[batch->count++] = tg_slice_make(bytes, frame->len);
    }
    batch->last_can_grow = !apart;
    batch->len += frame->len;
    batch->frames++;
    return true;
}

/* The first frames of the queue, as many as fit into one write. Short ones are copied to lie one behind
 * another; one alone is not. */
static void gather(const struct tg_conn *conn, struct batch *batch)
{
    batch->count = batch->frames = batch->len = batch->copied = 0;
    batch->last_can_grow = false;
    for (struct tg_list *node = conn->queue.next; node != &conn->queue; node = node->next) {
        const struct tg_frame *frame = send_of(node)->frame;
        bool alone = batch->frames == 0 && (node->next == &conn->queue ||
                                            frame->len + send_of(node->next)->frame->len > TG_CONN_BATCH_MAX);
        if (!add_frame(batch, conn, frame, alone) || (alone && conn->ops->write_pieces == NULL)) {
            break;
        }
    }
}

void tg_conn_count_sent(struct tg_conn *conn, size_t frames, size_t payload)
{
    struct tg_connmgr *mgr = conn->mgr;
    conn->active_ms = tg_loop_now_ms(mgr->loop);
    tg_counter_add(&mgr->counters.messages_out, frames);
    tg_counter_add(&mgr->counters.bytes_out, payload);
}

/* How much of it the kernel did take is not known: the whole write counts against the limit until the last
 * byte is gone. */
void tg_conn_keep_in_socket(struct tg_conn *conn, size_t len)
{
    conn->blocked = true;
    conn->socket_bytes += len;
    conn->queued_bytes += len;
    tg_counter_add(&conn->mgr->counters.queued_bytes, len);
}

void tg_conn_flush(struct tg_conn *conn)
{
    if (conn->mgr->answers.conn == conn) {
        tg_conn_write_answers(conn->mgr);
    }
    conn->owes = false;
    while (!conn->blocked && !tg_list_empty(&conn->queue)) {
        struct batch batch;
        gather(conn, &batch);
        enum tg_err err = tg_conn_write_pieces(conn, batch.pieces, batch.count);
        if (err != TG_OK && err != TG_EAGAIN) { /* the end is seen; on_closed follows */
            tg_conn_begin_closing(conn);
            tg_conn_drop_sends(conn);
            return;
        }
        while (batch.frames-- > 0) {
            settle(send_of(tg_list_pop(&conn->queue)), TG_OK);
        }
        if (err == TG_EAGAIN) {
            tg_conn_keep_in_socket(conn, batch.len);
        }
    }
}

void tg_conn_drop_sends(struct tg_conn *conn)
{
    struct tg_list *node;
    if (conn->mgr->answers.conn == conn) {
        conn->mgr->answers.conn = NULL;
    }
    while ((node = tg_list_pop(&conn->queue)) != NULL) {
        settle(send_of(node), TG_ECLOSED);
    }
}

void tg_conn_forget_socket_bytes(struct tg_conn *conn)
{
    conn->queued_bytes -= conn->socket_bytes;
    tg_counter_sub(&conn->mgr->counters.queued_bytes, conn->socket_bytes);
    conn->socket_bytes = 0;
}

void tg_conn_socket_drained(struct tg_conn *conn)
{
    conn->blocked = false;
    tg_conn_forget_socket_bytes(conn);
    if (!tg_list_empty(&conn->queue)) {
        mark_dirty(conn);
    }
}

/* A callback may send, close and settle more: nothing of ours is held across it. */
static void tell_settled(struct tg_connmgr *mgr)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&mgr->settled)) != NULL) {
        struct tg_send *send = send_of(node);
        tg_sent_fn *sent = send->sent;
        void *arg = send->arg;
        enum tg_err outcome = send->outcome;
        free(send);
        sent(arg, outcome);
    }
}

void tg_connmgr_flush(struct tg_connmgr *mgr)
{
    struct tg_list *node;
    if (mgr->answers.conn != NULL) {
        tg_conn_write_answers(mgr);
    }
    while ((node = tg_list_pop(&mgr->dirty)) != NULL) {
        tg_conn_flush(TG_CONTAINER(node, struct tg_conn, dirty));
        tell_settled(mgr);
    }
    tell_settled(mgr);
}
