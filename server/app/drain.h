/* The drain: how the process ends. On the main thread; the workers do the closing (closing.h).
 *
 *   serving -> grace: /readyz and /ping say 503, everything is served on; may be called off
 *           -> closing: handshakes get 503, WebSockets are closed at the set rate, the rest is served on
 *           -> ending: all of them are gone and told of; listeners are closed, requests under way end, the
 *              lease is given back */
#ifndef TG_APP_DRAIN_H
#define TG_APP_DRAIN_H

#include "server/app/config.h"
#include "server/base/buf.h"
#include "server/io/loop.h"

struct tg_app;

enum tg_drain_state { TG_DRAIN_SERVING, TG_DRAIN_GRACE, TG_DRAIN_CLOSING, TG_DRAIN_ENDING };

/* Monotonic milliseconds. */
struct tg_drain_times {
    uint64_t close_ms; /* the grace is over */
    uint64_t last_ms;  /* every WebSocket has got its close frame */
    uint64_t cut_ms;   /* whoever has not answered it is cut, so that its $disconnect is out in time */
    uint64_t end_ms;   /* the deadline */
};

struct tg_drain {
    struct tg_app *app;
    enum tg_drain_state state;
    struct tg_drain_times times;
    struct tg_timer timer;
    bool signalled;    /* somebody waits for the process to end: not to be called off */
    bool retired;      /* ENDING: the workers take no requests any more */
    uint64_t leave_ms; /* until when the lease is given back; 0: not yet */
};

/* Of the time that the deadline leaves for closing, the last half, but no more than 5 s, is for clients that
 * answer late, and the last quarter, but no more than 2.5 s, for $disconnects. */
struct tg_drain_times tg_drain_plan(const struct tg_drain_settings *settings, uint64_t now_ms);
/* What of a rate one worker gets, that has `open` of all connections. One without any gets a little, for
 * handshakes under way. */
double tg_drain_share(double per_second, size_t open, size_t all, size_t workers);

void tg_drain_init(struct tg_drain *drain, struct tg_app *app);
void tg_drain_free(struct tg_drain *drain);
/* Idempotent. */
void tg_drain_begin(struct tg_drain *drain, bool signalled);
/* No grace and no pace any more, and 5 seconds to the end. */
void tg_drain_hurry(struct tg_drain *drain);
/* Cuts what is left; a second for $disconnects. */
void tg_drain_cut(struct tg_drain *drain);
/* Back to serving. False: too late, or a signal has come. */
bool tg_drain_cancel(struct tg_drain *drain);
const char *tg_drain_state_name(enum tg_drain_state state);
/* JSON: state, connections, the times that are left. */
enum tg_err tg_drain_status(const struct tg_drain *drain, struct tg_buf *out) TG_MUST_CHECK;

#endif
