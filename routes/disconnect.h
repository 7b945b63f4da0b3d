/* $disconnect events (spec 1.9): one for every connection that a back end has accepted, at least once while
 * the back end can be reached, with one retry. Many connections may end at the same moment (a network that
 * breaks, a drain): a bounded number of events is in work, the others wait here, small, so that none is lost
 * to a full queue of back-end calls. */
#ifndef TG_ROUTES_DISCONNECT_H
#define TG_ROUTES_DISCONNECT_H

#include "routes/request.h"

/* Issues the event. info is a connection's (counted: kept by reference) or copied. */
void tg_disconnect_issue(struct tg_engine *engine, const char *connection_id, const struct tg_conn_info *info,
                         bool counted, int code, struct tg_slice reason);
/* Gives up those that wait: the shutdown can wait no longer. They count as failed. */
void tg_disconnect_abort(struct tg_engine *engine);

#endif
