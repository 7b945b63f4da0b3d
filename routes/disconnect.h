/* $disconnect events (spec 1.9): one for every connection that a back end has accepted, at least once while
 * the back end can be reached, with one retry. Many connections may end at the same moment (a network that
 * breaks, a drain): a bounded number of events is in work, the others wait here, small, so that none is lost
 * to a full queue of back-end calls. Where the registry keeps rows, an event waits until its row is known to
 * have gone: not before is it this node's to issue. */
#ifndef TG_ROUTES_DISCONNECT_H
#define TG_ROUTES_DISCONNECT_H

#include "routes/request.h"

/* Issues the event. counted: info is that of a connection which was open; it is kept by reference, and its
 * row goes first. Else info is copied, and there is no row. */
void tg_disconnect_issue(struct tg_engine *engine, const char *connection_id, const struct tg_conn_info *info,
                         bool counted, int code, struct tg_slice reason);
/* Of a handshake whose row was written, and that came to nothing: the row goes, and where tell is set the
 * event with 1006 follows. info is copied. */
void tg_disconnect_revoke(struct tg_engine *engine, const char *connection_id,
                          const struct tg_conn_info *info, bool tell);
/* Of a connection that a dead node left; info is copied. gate: asked once, right before the back end is
 * called, or when that will not be, perhaps from inside; refused: nobody is told. An answer that comes later
 * is given by `answer`, unless `over` was called meanwhile; NULL: nobody waits for it. It is not asked when
 * the worker gives up at the end of its time. over: last, perhaps from inside. */
void tg_disconnect_inherit(struct tg_engine *engine, const char *connection_id,
                           const struct tg_conn_info *info,
                           enum tg_leave (*gate)(void *arg, tg_leave_fn *answer, void *answer_arg),
                           void (*over)(void *arg), void *arg);
/* How many more of these could be in work. Events whose rows are being removed do not count: while Redis does
 * not answer, they take no turn from what can go on. */
size_t tg_disconnect_room(const struct tg_engine *engine);
/* As many wait as may: no more connections are accepted. */
bool tg_disconnect_full(const struct tg_engine *engine);
/* Gives up those that wait: the shutdown can wait no longer. They count as failed; their rows stay. */
void tg_disconnect_abort(struct tg_engine *engine);

#endif
