#include "server/app/drain.h"

#include "server/app/app_private.h"

enum {
    TICK_MS = 20,
    ANSWER_MS = 5000,     /* for close frames to be answered, and $disconnects */
    DISCONNECT_MS = 2500, /* for $disconnects of those who were cut */
    HURRY_MS = 5000,
    CUT_MS = 1000,
    LEAVE_MS = 1000, /* for the lease to be given back */
    LATE_MS = 500    /* after its time a worker that is not done has not heard of it */
};

static uint64_t milliseconds(double seconds)
{
    return (uint64_t)(seconds * 1000.0 + 0.5);
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static struct tg_drain_times plan(uint64_t close_ms, uint64_t end_ms)
{
    uint64_t window = end_ms > close_ms ? end_ms - close_ms : 0;
    return (struct tg_drain_times){
        .close_ms = close_ms,
        .last_ms = end_ms - at_most(window / 2, ANSWER_MS),
        .cut_ms = end_ms - at_most(window / 4, DISCONNECT_MS),
        .end_ms = end_ms,
    };
}

struct tg_drain_times tg_drain_plan(const struct tg_drain_settings *settings, uint64_t now_ms)
{
    uint64_t grace = milliseconds(settings->grace_seconds), all = milliseconds(settings->deadline_seconds);
    return plan(now_ms + at_most(grace, all), now_ms + all);
}

double tg_drain_share(double per_second, size_t open, size_t all, size_t workers)
{
    return per_second * (double)(open + 1) / (double)(all + workers);
}

static size_t open_of(const struct tg_app *app, size_t worker)
{
    return (size_t)atomic_load_explicit(&tg_worker_conn_counters(app->workers[worker])->open,
                                        memory_order_relaxed);
}

static size_t open_of_all(const struct tg_app *app)
{
    size_t all = 0;
    for (size_t i = 0; i < app->worker_count; i++) {
        all += open_of(app, i);
    }
    return all;
}

/* ---- to the workers ---- */

static void told(struct tg_app *app, size_t worker, enum tg_err err)
{
    if (err != TG_OK && err != TG_ECLOSED) {
        tg_log(&app->log, TG_LOG_ERROR, "worker not told of the drain", TG_KV_INT("worker", worker),
               TG_KV_ERR(err));
    }
}

static void tell_leaving(struct tg_app *app, bool leaving)
{
    for (size_t i = 0; i < app->worker_count; i++) {
        told(app, i, tg_worker_leaving(app->workers[i], leaving));
    }
}

static void tell_close(const struct tg_drain *drain, double per_second)
{
    struct tg_app *app = drain->app;
    const struct tg_drain_settings *settings = &app->config->drain;
    size_t all = open_of_all(app);
    if (app->cluster_node != NULL) {
        tg_node_stand_back(app->cluster_node);
    }
    for (size_t i = 0; i < app->worker_count; i++) {
        const struct tg_closing_order order = {
            .per_second = tg_drain_share(per_second, open_of(app, i), all, app->worker_count),
            .jitter = settings->jitter,
            .last_ms = drain->times.last_ms,
            .cut_ms = drain->times.cut_ms,
            .end_ms = drain->times.end_ms,
            .code = (int)settings->close_code,
            .reason = settings->close_reason,
        };
        told(app, i, tg_worker_close(app->workers[i], &order));
    }
}

/* ---- phases ---- */

static void start_closing(struct tg_drain *drain)
{
    struct tg_app *app = drain->app;
    double rate = app->config->drain.closes_per_second;
    size_t open = open_of_all(app);
    double window = (double)(drain->times.last_ms - drain->times.close_ms) / 1000.0;
    drain->state = TG_DRAIN_CLOSING;
    tg_log(&app->log, TG_LOG_INFO, "closing connections", TG_KV_INT("connections", open),
           TG_KV_INT("closesPerSecond", rate));
    if (rate > 0 && (double)open > rate * window) {
        tg_log(&app->log, TG_LOG_WARN, "drain.closesPerSecond is too low for the deadline, closing faster",
               TG_KV_INT("connections", open), TG_KV_INT("seconds", window));
    }
    tell_close(drain, rate);
}

static bool all_are(const struct tg_app *app, bool (*is)(const struct tg_worker *worker))
{
    for (size_t i = 0; i < app->worker_count; i++) {
        if (!is(app->workers[i])) {
            return false;
        }
    }
    return true;
}

static bool tell_all(struct tg_app *app, enum tg_err (*tell)(struct tg_worker *worker))
{
    bool all_told = true;
    for (size_t i = 0; i < app->worker_count; i++) {
        enum tg_err err = tell(app->workers[i]);
        told(app, i, err);
        all_told = all_told && (err == TG_OK || err == TG_ECLOSED);
    }
    return all_told;
}

/* The workers go on until the lease is back: until then other nodes ask them, and are told that the
 * connections are gone. */
static void start_leaving(struct tg_drain *drain, uint64_t now)
{
    struct tg_app *app = drain->app;
    drain->leave_ms = at_most(now + LEAVE_MS, drain->times.end_ms);
    if (app->cluster_node != NULL) {
        tg_node_begin_leave(app->cluster_node);
    }
}

/* Callers find other nodes first, then the lease goes back, then the workers end. Those who are still being
 * served may ask other nodes for something, and without its lease this one has none to ask. True: on the way
 * out, and nothing is left to do. */
static bool end(struct tg_drain *drain, uint64_t now)
{
    struct tg_app *app = drain->app;
    if (!drain->retired) {
        drain->retired = tell_all(app, tg_worker_retire);
    }
    if (drain->leave_ms == 0 && (all_are(app, tg_worker_silent) || now + LEAVE_MS >= drain->times.end_ms)) {
        start_leaving(drain, now);
    }
    return drain->leave_ms != 0 &&
           (app->cluster_node == NULL || tg_node_has_left(app->cluster_node) || now >= drain->leave_ms) &&
           tell_all(app, tg_worker_stop);
}

static void on_timer(struct tg_timer *timer)
{
    struct tg_drain *drain = TG_CONTAINER(timer, struct tg_drain, timer);
    struct tg_app *app = drain->app;
    uint64_t now = tg_loop_now_ms(app->loop);
    if (drain->state == TG_DRAIN_GRACE && now < drain->times.close_ms) {
        tg_timer_start(app->loop, timer, drain->times.close_ms - now);
        return;
    }
    if (drain->state == TG_DRAIN_GRACE) {
        start_closing(drain);
    }
    if (drain->state == TG_DRAIN_CLOSING &&
        (all_are(app, tg_worker_quiet) || now >= drain->times.end_ms + LATE_MS)) {
        drain->state = TG_DRAIN_ENDING;
    }
    if (drain->state == TG_DRAIN_ENDING && end(drain, now)) {
        return; /* the workers' ends end the loop */
    }
    tg_timer_start(app->loop, timer, TICK_MS);
}

void tg_drain_init(struct tg_drain *drain, struct tg_app *app)
{
    *drain = (struct tg_drain){.app = app};
    tg_timer_init(&drain->timer, on_timer);
}

void tg_drain_free(struct tg_drain *drain)
{
    tg_timer_stop(&drain->timer);
}

void tg_drain_begin(struct tg_drain *drain, bool signalled)
{
    struct tg_app *app = drain->app;
    drain->signalled = drain->signalled || signalled;
    if (drain->state != TG_DRAIN_SERVING) {
        return;
    }
    drain->state = TG_DRAIN_GRACE;
    drain->times = tg_drain_plan(&app->config->drain, tg_loop_now_ms(app->loop));
    tg_log(&app->log, TG_LOG_INFO, "draining", TG_KV_CSTR("by", signalled ? "signal" : "admin API"),
           TG_KV_INT("graceSeconds", app->config->drain.grace_seconds),
           TG_KV_INT("deadlineSeconds", app->config->drain.deadline_seconds));
    tell_leaving(app, true);
    on_timer(&drain->timer);
}

/* Brings the end nearer: `left_ms` from now at the latest. */
static void shorten(struct tg_drain *drain, uint64_t left_ms)
{
    uint64_t now = tg_loop_now_ms(drain->app->loop);
    uint64_t end =
        drain->state == TG_DRAIN_SERVING ? now + left_ms : at_most(drain->times.end_ms, now + left_ms);
    drain->times = plan(now, end);
    drain->times.last_ms = now;
    if (drain->state <= TG_DRAIN_GRACE) {
        drain->state = TG_DRAIN_CLOSING;
        tell_leaving(drain->app, true);
        tg_timer_start(drain->app->loop, &drain->timer, TICK_MS);
    }
}

void tg_drain_hurry(struct tg_drain *drain)
{
    drain->signalled = true;
    shorten(drain, HURRY_MS);
    tell_close(drain, 0);
}

void tg_drain_cut(struct tg_drain *drain)
{
    drain->signalled = true;
    shorten(drain, CUT_MS);
    drain->times.cut_ms = drain->times.last_ms;
    tell_close(drain, 0);
}

bool tg_drain_cancel(struct tg_drain *drain)
{
    if (drain->state == TG_DRAIN_SERVING) {
        return true;
    }
    if (drain->state != TG_DRAIN_GRACE || drain->signalled) {
        return false;
    }
    tg_timer_stop(&drain->timer);
    drain->state = TG_DRAIN_SERVING;
    tell_leaving(drain->app, false);
    tg_log(&drain->app->log, TG_LOG_INFO, "drain called off");
    return true;
}

/* ---- telling ---- */

const char *tg_drain_state_name(enum tg_drain_state state)
{
    static const char *const names[] = {"serving", "grace", "closing", "ending"};
    return names[state];
}

static double seconds_left(uint64_t due_ms, uint64_t now_ms)
{
    return due_ms > now_ms ? (double)(due_ms - now_ms) / 1000.0 : 0;
}

enum tg_err tg_drain_status(const struct tg_drain *drain, struct tg_buf *out)
{
    const struct tg_app *app = drain->app;
    const struct tg_drain_settings *settings = &app->config->drain;
    uint64_t now = tg_loop_now_ms(app->loop);
    enum tg_err err = tg_buf_printf(out, "{\"state\":\"%s\",\"connections\":%zu",
                                    tg_drain_state_name(drain->state), open_of_all(app));
    if (err == TG_OK && drain->state != TG_DRAIN_SERVING) {
        err = tg_buf_printf(
            out, ",\"graceSecondsLeft\":%.3f,\"closeSecondsLeft\":%.3f,\"deadlineSecondsLeft\":%.3f",
            drain->state == TG_DRAIN_GRACE ? seconds_left(drain->times.close_ms, now) : 0,
            seconds_left(drain->times.last_ms, now), seconds_left(drain->times.end_ms, now));
    }
    return err == TG_OK ? tg_buf_printf(out,
                                        ",\"graceSeconds\":%.15g,\"closesPerSecond\":%.15g,"
                                        "\"deadlineSeconds\":%.15g}",
                                        settings->grace_seconds, settings->closes_per_second,
                                        settings->deadline_seconds)
                        : err;
}
