#include "connmgr/conn_private.h"

static uint64_t add(uint64_t a, uint64_t b)
{
    return b <= UINT64_MAX - a ? a + b : UINT64_MAX;
}

static uint64_t earlier(uint64_t due, uint64_t since, uint64_t interval)
{
    uint64_t other = interval > 0 ? add(since, interval) : UINT64_MAX;
    return other < due ? other : due;
}

/* Activity moves only its timestamp: the timer may fire early and is then set again. */
void tg_conn_set_timer(struct tg_conn *conn)
{
    const struct tg_conn_settings *settings = &conn->settings;
    uint64_t now = tg_loop_now_ms(conn->mgr->loop);
    uint64_t due = earlier(UINT64_MAX, conn->active_ms, settings->idle_timeout_ms);
    due = earlier(due, conn->opened_ms, settings->max_duration_ms);
    due = earlier(due, conn->pinged_ms, settings->ping_interval_ms);
    if (due == UINT64_MAX) {
        tg_timer_stop(&conn->timer);
    } else {
        tg_timer_start(conn->mgr->loop, &conn->timer, due > now ? due - now : 0);
    }
}

static bool is_due(uint64_t now, uint64_t since, uint64_t interval)
{
    return interval > 0 && now >= add(since, interval);
}

static void ping(struct tg_conn *conn, uint64_t now)
{
    conn->pinged_ms = now;
    if (conn->blocked) {
        return; /* it would only wait behind what the client does not read */
    }
    enum tg_err err = tg_conn_send(conn, conn->mgr->ping, NULL, NULL, NULL);
    if (err != TG_OK && err != TG_EBUSY) {
        tg_log(conn->mgr->log, TG_LOG_WARN, "ping not sent", TG_KV_CSTR("connectionId", conn->id),
               TG_KV_ERR(err));
    }
}

void tg_conn_timer_fired(struct tg_timer *timer)
{
    struct tg_conn *conn = TG_CONTAINER(timer, struct tg_conn, timer);
    const struct tg_conn_settings *settings = &conn->settings;
    uint64_t now = tg_loop_now_ms(conn->mgr->loop);
    if (is_due(now, conn->active_ms, settings->idle_timeout_ms) ||
        is_due(now, conn->opened_ms, settings->max_duration_ms)) {
        tg_conn_close(conn, 1001, TG_LIT("Going away"));
        return;
    }
    if (is_due(now, conn->pinged_ms, settings->ping_interval_ms)) {
        ping(conn, now);
    }
    tg_conn_set_timer(conn);
}
