#include "server/app/closing.h"

#include "routes/session.h"

enum { TICK_MS = 20, QUIT_MS = 1000 };

/* $disconnects of connections that ended with a number that the node has lost. */
static size_t unsettled(const struct tg_closing *closing)
{
    return closing->seat != NULL ? tg_seat_unsettled(closing->seat) : 0;
}

static bool is_quiet(const struct tg_closing *closing)
{
    const struct tg_engine *engine = closing->engine;
    return tg_connmgr_count(engine->connmgr) == 0 && engine->disconnects_waiting == 0 &&
           engine->disconnects_running == 0;
}

static bool is_empty(const struct tg_closing *closing)
{
    return is_quiet(closing) && closing->engine->request_count == 0 && tg_httpd_count(closing->httpd) == 0;
}

/* No other node asks any more, or Redis does not say so in time. First of all that ends, so that what has
 * been asked gets its answer. */
static bool has_quit(struct tg_closing *closing, uint64_t now)
{
    if (closing->quit_ms == 0) {
        closing->quit_ms = now + QUIT_MS;
    }
    return tg_push_quit(closing->engine->push) || now >= closing->quit_ms;
}

static void cut(struct tg_closing *closing)
{
    struct tg_engine *engine = closing->engine;
    if (!closing->cut) {
        closing->cut = true;
        tg_log(closing->log, TG_LOG_WARN, "drain's deadline is near, cutting what is left",
               TG_KV_INT("worker", closing->worker),
               TG_KV_INT("connections", tg_connmgr_count(engine->connmgr)),
               TG_KV_INT("requests", engine->request_count));
    }
    tg_connmgr_cut(engine->connmgr);
    tg_engine_cut(engine);
    tg_httpd_cut(closing->httpd);
}

/* The node is about to give its number back, or has no time: nobody here will know whose they are. */
static void tell_given_up(const struct tg_closing *closing)
{
    size_t count = unsettled(closing);
    if (count > 0) {
        tg_log(closing->log, TG_LOG_ERROR, "$disconnects given up", TG_KV_INT("worker", closing->worker),
               TG_KV_INT("count", count));
    }
}

static void on_tick(struct tg_timer *timer)
{
    struct tg_closing *closing = TG_CONTAINER(timer, struct tg_closing, tick);
    const struct tg_closing_order *order = &closing->order;
    uint64_t now = tg_loop_now_ms(closing->loop), wait = TICK_MS;
    if (now >= order->end_ms || (closing->stopping && has_quit(closing, now) && is_empty(closing))) {
        tell_given_up(closing);
        tg_loop_stop(closing->loop);
        return;
    }
    if (now >= order->cut_ms) {
        cut(closing);
    } else if (now >= order->last_ms) {
        tg_session_close_all(closing->engine);
    } else {
        size_t left = tg_session_staying(closing->engine);
        tg_session_drain(closing->engine, tg_pace_due(&closing->pace, left, now));
        wait = left > 0 ? tg_pace_wait(&closing->pace, now, TICK_MS) : TICK_MS;
    }
    bool settled = unsettled(closing) == 0;
    atomic_store(&closing->quiet, settled && is_quiet(closing));
    atomic_store(&closing->silent, settled && closing->retired && is_empty(closing));
    tg_timer_start(closing->loop, timer, wait);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void tg_closing_init(struct tg_closing *closing)
{
    tg_timer_init(&closing->tick, on_tick);
    atomic_init(&closing->quiet, false);
    atomic_init(&closing->silent, false);
}

void tg_closing_begin(struct tg_closing *closing, const struct tg_closing_order *order)
{
    struct tg_engine *engine = closing->engine;
    struct tg_closing_order next = *order;
    if (closing->begun) {
        next.last_ms = sooner(next.last_ms, closing->order.last_ms);
        next.cut_ms = sooner(next.cut_ms, closing->order.cut_ms);
        next.end_ms = sooner(next.end_ms, closing->order.end_ms);
    } else {
        closing->begun = true;
        engine->leaving = true;
        engine->draining = true;
        engine->drain_code = order->code;
        engine->drain_reason = order->reason;
        tg_httpd_wind_down(closing->httpd);
        if (closing->seat != NULL) {
            tg_seat_drain(closing->seat);
        }
    }
    closing->order = next;
    tg_pace_start(&closing->pace, next.per_second, next.jitter, next.last_ms, tg_loop_now_ms(closing->loop),
                  tg_rng_next(&engine->rng));
    tg_timer_start(closing->loop, &closing->tick, 0);
}

void tg_closing_retire(struct tg_closing *closing)
{
    closing->retired = true;
    tg_httpd_drain(closing->httpd);
    tg_timer_start(closing->loop, &closing->tick, 0);
}

void tg_closing_stop(struct tg_closing *closing)
{
    closing->stopping = true;
    tg_timer_start(closing->loop, &closing->tick, 0);
}

bool tg_closing_quiet(const struct tg_closing *closing)
{
    return atomic_load(&closing->quiet);
}

bool tg_closing_silent(const struct tg_closing *closing)
{
    return atomic_load(&closing->silent);
}

void tg_closing_free(struct tg_closing *closing)
{
    tg_timer_stop(&closing->tick);
}
