#include "connmgr/conn_private.h"

void tg_conn_write_answers(struct tg_connmgr *mgr)
{
    struct tg_conn_answers *answers = &mgr->answers;
    struct tg_conn *conn = answers->conn;
    answers->conn = NULL;
    enum tg_err err = conn->ops->write(conn->socket, tg_slice_make(answers->bytes, answers->len));
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

static enum tg_err send_frame(struct tg_conn *conn, struct tg_slice text)
{
    struct tg_frame *frame;
    enum tg_err err = tg_frame_new(TG_OPCODE_TEXT, text, &frame);
    if (err == TG_OK) {
        err = tg_conn_send(conn, frame, NULL, NULL, NULL);
        tg_frame_unref(frame);
    }
    return err;
}

/* From where it lies, when it can be written at once: not while other answers to the same read follow, which
 * then go out with it. */
static enum tg_err send_long(struct tg_conn *conn, struct tg_slice text)
{
    struct tg_conn_answers *answers = &conn->mgr->answers;
    if (answers->conn == conn) {
        tg_conn_write_answers(conn->mgr);
    }
    if (conn->state != TG_CONN_OPEN || conn->blocked || !tg_list_empty(&conn->queue) ||
        conn->ops->write_pieces == NULL || tg_conn_more_follows(conn)) {
        return send_frame(conn, text);
    }
    char header[TG_FRAME_HEADER_MAX];
    size_t header_len = tg_frame_write_header(TG_OPCODE_TEXT, text.len, header);
    const struct tg_slice pieces[] = {{header, header_len}, text};
    enum tg_err err = tg_conn_write_pieces(conn, pieces, 2);
    if (err != TG_OK && err != TG_EAGAIN) { /* the end is seen; on_closed follows */
        tg_conn_begin_closing(conn);
        return TG_OK;
    }
    tg_conn_count_sent(conn, 1, text.len);
    if (err == TG_EAGAIN) {
        tg_conn_keep_in_socket(conn, header_len + text.len);
    }
    return TG_OK;
}

/* Whether there is room for one more answer of so many bytes: with those that are there it stays within what
 * may be queued. */
static bool has_room(const struct tg_conn_answers *answers, const struct tg_conn *conn, size_t len)
{
    size_t all = answers->len + len;
    return answers->conn == conn && all <= sizeof answers->bytes && all <= conn->settings.max_queued_bytes;
}

enum tg_err tg_conn_send_text(struct tg_conn *conn, struct tg_slice text)
{
    struct tg_connmgr *mgr = conn->mgr;
    struct tg_conn_answers *answers = &mgr->answers;
    size_t most = text.len + TG_FRAME_HEADER_MAX;
    if (text.len >= sizeof answers->bytes - TG_FRAME_HEADER_MAX) {
        return send_long(conn, text);
    }
    if (mgr->speaking != conn) {
        return send_frame(conn, text);
    }
    if (!has_room(answers, conn, most)) {
        if (answers->conn != NULL) {
            tg_conn_write_answers(mgr);
        }
        if (conn->state != TG_CONN_OPEN || conn->blocked || !tg_list_empty(&conn->queue)) {
            return send_frame(conn, text); /* waits, or is refused */
        }
        answers->conn = conn;
        answers->count = answers->len = answers->payload = 0;
        tg_task_defer(mgr->loop, &mgr->flush);
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
