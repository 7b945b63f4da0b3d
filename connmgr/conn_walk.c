#include "connmgr/conn_private.h"

void tg_connmgr_cut(struct tg_connmgr *mgr)
{
    for (size_t i = 0; i < mgr->slot_count; i++) {
        struct tg_conn *conn = tg_conn_slot(mgr, i)->conn;
        if (conn != NULL && conn->state == TG_CONN_OPEN) {
            tg_conn_close(conn, 0, TG_EMPTY);
        } else if (conn != NULL && conn->state == TG_CONN_CLOSING && conn->socket != NULL) {
            conn->ops->close(conn->socket, 0, TG_EMPTY);
        }
    }
}

static void visit_each(struct tg_connmgr *mgr, bool closing_too,
                       bool (*visit)(void *arg, struct tg_conn *conn), void *arg)
{
    for (size_t i = 0; i < mgr->slot_count; i++) {
        struct tg_conn *conn = tg_conn_slot(mgr, i)->conn;
        bool wanted =
            conn != NULL && (conn->state == TG_CONN_OPEN || (closing_too && conn->state == TG_CONN_CLOSING));
        if (wanted && !visit(arg, conn)) {
            return;
        }
    }
}

void tg_connmgr_each(struct tg_connmgr *mgr, bool (*visit)(void *arg, struct tg_conn *conn), void *arg)
{
    visit_each(mgr, false, visit, arg);
}

void tg_connmgr_each_untold(struct tg_connmgr *mgr, bool (*visit)(void *arg, struct tg_conn *conn), void *arg)
{
    visit_each(mgr, true, visit, arg);
}

bool tg_connmgr_walk(const struct tg_connmgr *mgr, size_t *at, size_t slots,
                     bool (*visit)(void *arg, const struct tg_conn *conn), void *arg)
{
    for (; slots > 0 && *at < mgr->slot_count; slots--, ++*at) {
        const struct tg_conn *conn = tg_conn_slot(mgr, *at)->conn;
        if (conn != NULL && !visit(arg, conn)) {
            return true;
        }
    }
    return *at < mgr->slot_count;
}
