/* A worker's part of the drain: closes its connections at its share of the rate, refuses handshakes, and ends
 * the loop when it is told that all workers are done, or when the time is over. Belongs to the worker, runs
 * on its thread; what the app says comes by the worker's mail. */
#ifndef TG_APP_CLOSING_H
#define TG_APP_CLOSING_H

#include "connmgr/pace.h"
#include "routes/engine.h"
#include "server/app/seat.h"
#include "server/front/httpd.h"

/* Times are monotonic milliseconds, the same clock on every thread. */
struct tg_closing_order {
    double per_second; /* of this worker; 0: all at once */
    double jitter;
    uint64_t last_ms; /* whoever is left is closed, in the middle of a message or not */
    uint64_t cut_ms;  /* whoever has not answered is cut, and so is every stream and call but $disconnects */
    uint64_t end_ms;  /* the loop ends, whatever is left */
    int code;
    struct tg_slice reason; /* borrowed */
};

struct tg_closing {
    struct tg_loop *loop;
    struct tg_log *log;
    uint32_t worker;
    struct tg_engine *engine;
    struct tg_httpd *httpd;
    struct tg_seat *seat; /* NULL: not in a cluster */
    struct tg_timer tick;
    struct tg_pace pace;
    struct tg_closing_order order;
    bool begun, retired, stopping, cut;
    uint64_t quit_ms; /* until when the bus is waited for; 0: not yet */
    _Atomic(bool) quiet, silent;
};

/* The fields above `tick` are the worker's to fill in. */
void tg_closing_init(struct tg_closing *closing);
/* From now on handshakes get 503 and answers say Connection: close; everything else is served on. A second
 * order only shortens the times, and takes the new rate. */
void tg_closing_begin(struct tg_closing *closing, const struct tg_closing_order *order);
/* Stops listening; requests under way go on to their end. After tg_closing_begin. */
void tg_closing_retire(struct tg_closing *closing);
/* The loop ends as soon as nothing is under way. After tg_closing_retire. */
void tg_closing_stop(struct tg_closing *closing);
/* No connection is left, and every $disconnect is out, also of those that ended with an earlier number of the
 * node: stays so. Any thread. */
bool tg_closing_quiet(const struct tg_closing *closing);
/* Nor is any request, and none comes: nobody is asked anything for this worker's callers any more. Any
 * thread.
 */
bool tg_closing_silent(const struct tg_closing *closing);
void tg_closing_free(struct tg_closing *closing);

#endif
