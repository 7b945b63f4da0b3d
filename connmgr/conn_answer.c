#include "connmgr/conn_private.h"

enum { JOINED_MAX = 4096 }; /* the longest payload that is copied to lie behind its header */

void tg_conn_write_answers(struct tg_connmgr *mgr)
{
    struct tg_conn_answers *answers = &mgr->answers;
    struct tg_conn *conn = answers->conn;
    answers->conn = NULL;
    enum tg_err err = tg_conn_write_later(conn, tg_slice_make(answers->bytes, answers->len));
    if (err != TG_OK && err != TG_EAGAIN) { /* the end is seen; on_closed follows */
        tg_conn_begin_closing(conn);
        tg_conn_drop_sends(conn);
        return;
    }
    tg_conn_count_sent(conn, answers->count, answers->payload);
    if (err == TG_EAGAIN) {
        tg_conn_keep_in_socket(conn, answers->len);
    }
}

static TG_APART enum tg_err send_frame(struct tg_conn *conn, struct tg_slice text)
{
    struct tg_frame *frame;
    enum tg_err err = tg_frame_new(TG_OPCODE_TEXT, text, &frame);
    if (err == TG_OK) {
        err = tg_conn_send(conn, frame, NULL, NULL, NULL);
        tg_frame_unref(frame);
    }
    return err;
}

/* What came of a frame that was handed to the socket: TG_OK, or TG_ECLOSED. */
static enum tg_err note_written(struct tg_conn *conn, enum tg_err err, size_t len, size_t payload)
{
    if (err != TG_OK && err != TG_EAGAIN) {
        tg_conn_begin_closing(conn);
        return TG_ECLOSED;
    }
    tg_conn_count_sent(conn, 1, payload);
    if (err == TG_EAGAIN) {
        tg_conn_keep_in_socket(conn, len);
    }
    return TG_OK;
}

/* One frame, on an open connection without a queue: a short one in one piece, which costs the socket less
 * than two. TG_OK: the socket has taken it, or will. TG_ECLOSED: the end is seen; on_closed follows. */
static enum tg_err write_frame(struct tg_conn *conn, enum tg_opcode opcode, struct tg_slice payload)
{
    char header[TG_FRAME_HEADER_MAX];
    size_t header_len = tg_frame_write_header(opcode, payload.len, header);
    struct tg_slice pieces[] = {{header, header_len}, payload};
    bool joined = payload.len <= JOINED_MAX;
    if (joined) {
        char *at = memcpy(conn->mgr->batch, header, header_len);
        if (payload.len > 0) {
            memcpy(at + header_len, payload.ptr, payload.len);
        }
        pieces[0] = tg_slice_make(at, header_len + payload.len);
    }
    enum tg_err err = joined ? tg_conn_write_later(conn, pieces[0]) : tg_conn_write_pieces(conn, pieces, 2);
    return note_written(conn, err, header_len + payload.len, payload.len);
}

/* TG_OK: so it may, and counts as that of this pass. */
static enum tg_err may_write_now(struct tg_conn *conn)
{
    struct tg_connmgr *mgr = conn->mgr;
    const uint16_t pass = (uint16_t)tg_loop_pass(mgr->loop);
    if (conn->state != TG_CONN_OPEN) {
        return TG_ECLOSED;
    }
    if (conn->blocked || !tg_list_empty(&conn->queue) || conn->now_pass == pass) {
        return TG_EAGAIN;
    }
    if (mgr->answers.conn == conn) {
        return TG_EAGAIN; /* they go first, and it with them */
    }
    conn->now_pass = pass;
    return TG_OK;
}

enum tg_err tg_conn_send_now(struct tg_conn *conn, enum tg_opcode opcode, struct tg_slice payload)
{
    if (conn->state == TG_CONN_OPEN && payload.len > JOINED_MAX && conn->ops->write_pieces == NULL) {
        return TG_EAGAIN;
    }
    enum tg_err err = may_write_now(conn);
    return err == TG_OK ? write_frame(conn, opcode, payload) : err;
}

enum tg_err tg_conn_send_frame_now(struct tg_conn *conn, const struct tg_frame *frame)
{
    enum tg_err err = may_write_now(conn);
    if (err != TG_OK) {
        return err;
    }
    err = tg_conn_write_later(conn, tg_slice_make(frame->bytes, frame->len));
    return note_written(conn, err, frame->len, frame->len - tg_frame_header_len(frame));
}

/* From where it lies, when it can be written at once: not while other answers to the same read follow, which
 * then go out with it. */
static TG_APART enum tg_err send_long(struct tg_conn *conn, struct tg_slice text)
{
    struct tg_conn_answers *answers = &conn->mgr->answers;
    if (answers->conn == conn) {
        tg_conn_write_answers(conn->mgr);
    }
    if (conn->state != TG_CONN_OPEN || conn->blocked || !tg_list_empty(&conn->queue) ||
        conn->ops->write_pieces == NULL || tg_conn_more_follows(conn)) {
        return send_frame(conn, text);
    }
    (void)write_frame(conn, TG_OPCODE_TEXT, text); /* of its end on_closed tells */
    return TG_OK;
}

/* Whether there is room for one more answer of so many bytes: with those that are there it stays within what
 * may be queued. */
static bool has_room(const struct tg_conn_answers *answers, const struct tg_conn *conn, size_t len)
{
    size_t all = answers->len + len;
    return answers->conn == conn && all <= sizeof answers->bytes && all <= conn->settings.max_queued_bytes;
}

/* For the first answer to a read, or when those that there are fill it. False: it has to wait in the queue,
 * or is refused. */
static TG_APART bool make_room(struct tg_conn *conn)
{
    struct tg_connmgr *mgr = conn->mgr;
    struct tg_conn_answers *answers = &mgr->answers;
    if (answers->conn != NULL) {
        tg_conn_write_answers(mgr);
    }
    if (conn->state != TG_CONN_OPEN || conn->blocked || !tg_list_empty(&conn->queue)) {
        return false;
    }
    answers->conn = conn;
    answers->count = answers->len = answers->payload = 0;
    tg_task_defer(mgr->loop, &mgr->flush);
    return true;
}

enum tg_err tg_conn_send_text(struct tg_conn *conn, struct tg_slice text)
{
    struct tg_connmgr *mgr = conn->mgr;
    struct tg_conn_answers *answers = &mgr->answers;
    size_t most = text.len + TG_FRAME_HEADER_MAX;
    if (most >= TG_CONN_WRITE_AT_ONCE) {
        return send_long(conn, text);
    }
    if (mgr->speaking != conn || (!has_room(answers, conn, most) && !make_room(conn))) {
        return send_frame(conn, text); /* waits, or is refused */
    }
    char *at = answers->bytes + answers->len;
    size_t header = tg_frame_write_header(TG_OPCODE_TEXT, text.len, at);
    if (text.len > 0) {
        memcpy(at + header, text.ptr, text.len);
    }
    answers->count++;
    answers->len += header + text.len;
    answers->payload += text.len;
    return TG_OK;
}
