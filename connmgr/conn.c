#include "connmgr/conn.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

#include "connmgr/conn_private.h"
#include "connmgr/lease.h"
#include "server/base/alloc.h"
#include "server/base/cache.h"

enum {
    REASON_MAX = 123, /* RFC 6455 section 5.5.1 */
    FIRST_CODE = 1000,
    OTHER_CODE = 1004,
    TRIM_AFTER = 1000, /* connections gone since the last time */
    TRIM_DELAY_MS = 2000
};

#define NO_SLOT     UINT32_MAX
#define MAX_SLOTS   ((size_t)1 << 24)
#define GENERATIONS UINT32_C(0xffffff)

static const struct tg_slice no_status = TG_LIT_INIT("Client-side close frame status not set");
static const struct tg_slice lost = TG_LIT_INIT("Connection closed abnormally");

/* ---- the manager ---- */

static void run_flush(struct tg_task *task)
{
    tg_connmgr_flush(TG_CONTAINER(task, struct tg_connmgr, flush));
}

static void on_trim(struct tg_timer *timer)
{
    (void)timer;
    (void)malloc_trim(0);
}

enum tg_err tg_connmgr_new(const struct tg_connmgr_options *options, struct tg_connmgr **out)
{
    if (options->max_connections == 0 || options->max_connections > MAX_SLOTS) {
        return TG_EINVAL;
    }
    struct tg_connmgr *mgr = calloc(1, sizeof *mgr);
    if (mgr == NULL) {
        return TG_ENOMEM;
    }
    mgr->loop = options->loop;
    mgr->log = options->log;
    mgr->events = options->events;
    mgr->events_arg = options->events_arg;
    mgr->node = options->node;
    mgr->lease = options->lease;
    mgr->worker = options->worker;
    memcpy(mgr->id_key, options->id_key, sizeof mgr->id_key);
    mgr->max_slots = options->max_connections;
    mgr->free_first = NO_SLOT;
    tg_list_init(&mgr->dirty);
    tg_list_init(&mgr->settled);
    tg_task_init(&mgr->flush, run_flush);
    tg_timer_init(&mgr->trim, on_trim);
    mgr->chunks = calloc((mgr->max_slots + TG_CONN_CHUNK - 1) / TG_CONN_CHUNK, sizeof(struct tg_slot *));
    /* The payload makes the pong one that every WebSocket library reports. */
    enum tg_err err =
        mgr->chunks != NULL ? tg_frame_new(TG_OPCODE_PING, TG_LIT("tidegate"), &mgr->ping) : TG_ENOMEM;
    if (err != TG_OK) {
        free(mgr->chunks);
        free(mgr);
        return err;
    }
    *out = mgr;
    return TG_OK;
}

void tg_connmgr_free(struct tg_connmgr *mgr)
{
    if (mgr == NULL) {
        return;
    }
    assert(mgr->live == 0);
    tg_timer_stop(&mgr->trim);
    tg_task_cancel(&mgr->flush);
    tg_connmgr_flush(mgr); /* whoever still waits for a send is told */
    tg_task_cancel(&mgr->flush);
    for (size_t at = 0; at < mgr->slot_count; at += TG_CONN_CHUNK) {
        free(mgr->chunks[at / TG_CONN_CHUNK]);
    }
    free(mgr->chunks);
    tg_frame_unref(mgr->ping);
    free(mgr);
}

const struct tg_conn_counters *tg_connmgr_counters(const struct tg_connmgr *mgr)
{
    return &mgr->counters;
}

size_t tg_connmgr_count(const struct tg_connmgr *mgr)
{
    return mgr->live;
}

void tg_connmgr_renumber(struct tg_connmgr *mgr, uint32_t node)
{
    mgr->node = node;
    mgr->unnumbered = node == 0;
}

/* ---- slots ---- */

static void put_free(struct tg_connmgr *mgr, uint32_t index)
{
    tg_conn_slot(mgr, index)->next_free = NO_SLOT;
    if (mgr->free_first == NO_SLOT) {
        mgr->free_first = index;
    } else {
        tg_conn_slot(mgr, mgr->free_last)->next_free = index;
    }
    mgr->free_last = index;
}

static enum tg_err add_slots(struct tg_connmgr *mgr)
{
    size_t count = mgr->max_slots - mgr->slot_count;
    if (count == 0) {
        return TG_ELIMIT;
    }
    count = count < TG_CONN_CHUNK ? count : TG_CONN_CHUNK;
    struct tg_slot *chunk = calloc(count, sizeof *chunk);
    if (chunk == NULL) {
        return TG_ENOMEM;
    }
    mgr->chunks[mgr->slot_count / TG_CONN_CHUNK] = chunk;
    for (size_t i = 0; i < count; i++) {
        put_free(mgr, (uint32_t)mgr->slot_count++);
    }
    return TG_OK;
}

static void make_id(struct tg_conn *conn)
{
    const struct tg_connmgr *mgr = conn->mgr;
    const struct tg_connid id = {
        .node = conn->node, .worker = mgr->worker, .slot = conn->slot, .generation = conn->generation};
    tg_connid_encode(mgr->id_key, &id, conn->id);
}

enum tg_err tg_conn_reserve(struct tg_connmgr *mgr, struct tg_conn_handle *handle, char id[TG_CONNID_LEN + 1])
{
    if (mgr->unnumbered) {
        return TG_EAGAIN;
    }
    enum tg_err err = mgr->free_first == NO_SLOT ? add_slots(mgr) : TG_OK;
    struct tg_conn *conn = err == TG_OK ? tg_zalloc(sizeof *conn) : NULL;
    if (conn == NULL) {
        return err != TG_OK ? err : TG_ENOMEM;
    }
    struct tg_slot *slot = tg_conn_slot(mgr, mgr->free_first);
    conn->mgr = mgr;
    conn->node = mgr->node;
    conn->slot = mgr->free_first;
    conn->generation = slot->generation % GENERATIONS + 1;
    conn->state = TG_CONN_RESERVED;
    tg_list_init(&conn->queue);
    tg_list_init(&conn->dirty);
    tg_timer_init(&conn->timer, tg_conn_timer_fired);
    make_id(conn);
    mgr->free_first = slot->next_free;
    slot->generation = conn->generation;
    slot->conn = conn;
    mgr->live++;
    *handle = tg_conn_handle(conn);
    memcpy(id, conn->id, sizeof conn->id);
    return TG_OK;
}

void tg_connmgr_note_freed(struct tg_connmgr *mgr)
{
    if (++mgr->freed >= TRIM_AFTER && mgr->freed > mgr->live) {
        mgr->freed = 0;
        tg_timer_start(mgr->loop, &mgr->trim, TRIM_DELAY_MS);
    }
}

static void conn_free(struct tg_conn *conn)
{
    struct tg_connmgr *mgr = conn->mgr;
    tg_conn_slot(mgr, conn->slot)->conn = NULL;
    put_free(mgr, conn->slot);
    mgr->live--;
    if (conn->info != NULL) {
        tg_conn_info_unref(conn->info);
    }
    if (conn->closed_by_us) {
        free(conn->close_reason);
    }
    free(conn);
    tg_connmgr_note_freed(mgr);
}

void tg_conn_release(struct tg_connmgr *mgr, struct tg_conn_handle handle)
{
    struct tg_conn *conn = tg_conn_get(mgr, handle);
    assert(conn != NULL && conn->state == TG_CONN_RESERVED);
    conn_free(conn);
}

/* ---- looking up ---- */

struct tg_conn *tg_conn_get(struct tg_connmgr *mgr, struct tg_conn_handle handle)
{
    if (handle.slot >= mgr->slot_count || handle.generation == 0) {
        return NULL;
    }
    struct tg_slot *slot = tg_conn_slot(mgr, handle.slot);
    return slot->generation == handle.generation ? slot->conn : NULL;
}

static bool is_held(const struct tg_connmgr *mgr)
{
    return mgr->lease == NULL || tg_lease_held(mgr->lease, mgr->node, tg_loop_now_ms(mgr->loop));
}

struct tg_conn *tg_conn_get_open(struct tg_connmgr *mgr, struct tg_conn_handle handle)
{
    struct tg_conn *conn = tg_conn_get(mgr, handle);
    return conn != NULL && conn->state == TG_CONN_OPEN && is_held(mgr) ? conn : NULL;
}

/* Whatever its generation. */
static const struct tg_conn *in_slot(const struct tg_connmgr *mgr, struct tg_conn_handle handle)
{
    return handle.slot < mgr->slot_count ? tg_conn_slot(mgr, handle.slot)->conn : NULL;
}

void tg_conn_fetch(const struct tg_connmgr *mgr, struct tg_conn_handle handle)
{
    const struct tg_conn *conn = in_slot(mgr, handle);
    if (conn != NULL) {
        tg_cache_fetch(conn, 1);
        tg_cache_fetch(&conn->last_active_ms, 1);
        tg_cache_fetch(conn->api + sizeof conn->api, 1);
    }
}

void tg_conn_fetch_socket(const struct tg_connmgr *mgr, struct tg_conn_handle handle)
{
    const struct tg_conn *conn = in_slot(mgr, handle);
    if (conn != NULL) {
        tg_cache_fetch(conn->socket, 2);
    }
}

struct tg_conn_handle tg_conn_handle(const struct tg_conn *conn)
{
    return (struct tg_conn_handle){.slot = conn->slot, .generation = conn->generation};
}

const char *tg_conn_id(const struct tg_conn *conn)
{
    return conn->id;
}

uint32_t tg_conn_node(const struct tg_conn *conn)
{
    return conn->node;
}

const struct tg_conn_info *tg_conn_info(const struct tg_conn *conn)
{
    return conn->info;
}

bool tg_conn_is_of(const struct tg_conn *conn, struct tg_slice api_id)
{
    return tg_slice_eq(api_id, conn->api_len != TG_CONN_API_LONG ? tg_slice_make(conn->api, conn->api_len)
                                                                 : conn->info->api_id);
}

int64_t tg_conn_last_active_ms(const struct tg_conn *conn)
{
    return conn->last_active_ms;
}

enum tg_conn_state tg_conn_state(const struct tg_conn *conn)
{
    return (enum tg_conn_state)conn->state;
}

size_t tg_conn_queued(const struct tg_conn *conn, size_t *frames)
{
    *frames = conn->queued_frames;
    return conn->queued_bytes;
}

void tg_conn_set_user(struct tg_conn *conn, void *user)
{
    conn->user = user;
    if (conn->socket != NULL && conn->ops->expect != NULL) {
        conn->ops->expect(conn->socket, user);
    }
}

void *tg_conn_user(const struct tg_conn *conn)
{
    return conn->user;
}

/* ---- life ---- */

bool tg_conn_can_open(struct tg_connmgr *mgr, struct tg_conn_handle handle)
{
    const struct tg_conn *conn = tg_conn_get(mgr, handle);
    return conn != NULL && conn->state == TG_CONN_RESERVED && conn->node == mgr->node && !mgr->unnumbered;
}

enum tg_err tg_conn_open(struct tg_connmgr *mgr, struct tg_conn_handle handle,
                         const struct tg_conn_info *info, const struct tg_conn_settings *settings,
                         struct tg_socket *socket, const struct tg_socket_ops *ops)
{
    struct tg_conn *conn = tg_conn_get(mgr, handle);
    if (conn == NULL || conn->state != TG_CONN_RESERVED) {
        return TG_EINVAL;
    }
    if (!tg_conn_can_open(mgr, handle)) {
        return TG_ECLOSED;
    }
    enum tg_err err = tg_conn_info_new(info, &conn->info);
    if (err != TG_OK) {
        return err;
    }
    conn->api_len = TG_CONN_API_LONG;
    if (info->api_id.len > 0 && info->api_id.len <= sizeof conn->api) {
        conn->api_len = (uint8_t)info->api_id.len;
        memcpy(conn->api, info->api_id.ptr, info->api_id.len);
    }
    conn->socket = socket;
    conn->ops = ops;
    conn->settings = *settings;
    conn->state = TG_CONN_OPEN;
    conn->opened_ms = conn->active_ms = conn->pinged_ms = tg_loop_now_ms(mgr->loop);
    conn->last_active_ms = info->connected_at_ms;
    tg_counter_add(&mgr->counters.open, 1);
    tg_counter_add(&mgr->counters.opened, 1);
    tg_conn_set_timer(conn);
    return TG_OK;
}

void tg_conn_configure(struct tg_conn *conn, const struct tg_conn_settings *settings)
{
    conn->settings = *settings;
    if (conn->state == TG_CONN_OPEN) {
        tg_conn_set_timer(conn);
    }
}

void tg_conn_touch(struct tg_conn *conn)
{
    conn->active_ms = tg_loop_now_ms(conn->mgr->loop);
    conn->last_active_ms = tg_loop_wall_ms(conn->mgr->loop);
}

void tg_conn_pause(struct tg_conn *conn, bool paused)
{
    if (conn->state == TG_CONN_OPEN) {
        conn->ops->pause(conn->socket, paused);
    }
}

void tg_conn_begin_closing(struct tg_conn *conn)
{
    conn->state = TG_CONN_CLOSING;
    tg_timer_stop(&conn->timer);
    tg_list_remove(&conn->dirty);
}

/* At most what a close frame holds, and no half of a character. */
static struct tg_slice cut_reason(struct tg_slice reason)
{
    if (reason.len > REASON_MAX) {
        reason.len = REASON_MAX;
        while (reason.len > 0 && ((unsigned char)reason.ptr[reason.len] & 0xc0) == 0x80) {
            reason.len--;
        }
    }
    return reason;
}

void tg_conn_close(struct tg_conn *conn, int code, struct tg_slice reason)
{
    if (conn->state != TG_CONN_OPEN) {
        return;
    }
    reason = cut_reason(reason);
    tg_conn_begin_closing(conn);
    conn->closed_by_us = true;
    conn->close_code = (uint16_t)code;
    conn->close_reason_len = 0;
    conn->close_reason = reason.len > 0 ? malloc(reason.len) : NULL;
    if (conn->close_reason != NULL) { /* else the event goes without it: the close frame has it */
        memcpy(conn->close_reason, reason.ptr, reason.len);
        conn->close_reason_len = (uint8_t)reason.len;
    }
    if (code != 0) {
        tg_conn_flush(conn);
    }
    tg_conn_drop_sends(conn);
    conn->ops->close(conn->socket, code, reason);
}

/* ---- what the socket tells ---- */

static void on_message(void *arg, struct tg_slice payload, bool binary)
{
    struct tg_conn *conn = arg;
    struct tg_connmgr *mgr = conn->mgr;
    if (conn->state != TG_CONN_OPEN || !is_held(mgr)) {
        return;
    }
    tg_conn_touch(conn);
    tg_counter_add(&mgr->counters.messages_in, 1);
    tg_counter_add(&mgr->counters.bytes_in, payload.len);
    mgr->speaking = conn;
    mgr->events->on_message(mgr->events_arg, conn, payload, binary);
    mgr->speaking = NULL;
}

static void on_control(void *arg, bool ping)
{
    struct tg_conn *conn = arg;
    (void)ping;
    if (conn->settings.control_is_activity) {
        conn->active_ms = tg_loop_now_ms(conn->mgr->loop);
    }
}

static void on_read(void *arg)
{
    struct tg_conn *conn = arg;
    /* What comes behind the read, or came at its end, may be a close: the answers to what was before go
     * first. */
    if (conn->state == TG_CONN_OPEN && (conn->owes || conn->mgr->answers.conn == conn)) {
        tg_conn_flush(conn);
    }
}

static void on_unsent(void *arg, enum tg_err err, size_t len)
{
    struct tg_conn *conn = arg;
    if (err == TG_EAGAIN) {
        tg_conn_keep_in_socket(conn, len);
    } else if (conn->state == TG_CONN_OPEN) {
        tg_conn_begin_closing(conn); /* on_closed follows, and with it the end of what is queued */
    }
}

static void on_writable(void *arg)
{
    tg_conn_socket_drained(arg);
}

/* Spec 1.9. What we asked for counts, also where the peer answered otherwise or went away. */
static struct tg_socket_end judge(const struct tg_conn *conn, const struct tg_socket_end *end)
{
    struct tg_socket_end verdict = *end;
    if (conn->closed_by_us) {
        verdict.code = conn->close_code != 0 ? conn->close_code : 1006;
        verdict.reason = tg_slice_make(conn->close_reason, conn->close_reason_len);
    }
    if (verdict.code == 1005) {
        verdict.reason = no_status;
    } else if (verdict.code == 1006) {
        verdict.reason = lost;
    }
    return verdict;
}

static void on_closed(void *arg, const struct tg_socket_end *end)
{
    struct tg_conn *conn = arg;
    struct tg_connmgr *mgr = conn->mgr;
    if (conn->state == TG_CONN_RESERVED) { /* opening failed, nobody knows it */
        conn_free(conn);
        return;
    }
    conn->socket = NULL;
    struct tg_socket_end verdict = judge(conn, end);
    size_t at = verdict.code >= FIRST_CODE && verdict.code < FIRST_CODE + 16 ? (size_t)verdict.code
                                                                             : (size_t)OTHER_CODE;
    tg_conn_begin_closing(conn);
    tg_conn_drop_sends(conn);
    tg_conn_forget_socket_bytes(conn);
    tg_counter_sub(&mgr->counters.open, 1);
    tg_counter_add(&mgr->counters.closed_by_code[at - FIRST_CODE], 1);
    mgr->events->on_closed(mgr->events_arg, conn, verdict.code, verdict.reason);
    conn_free(conn);
}

const struct tg_socket_events tg_conn_socket_events = {
    .on_message = on_message,
    .on_control = on_control,
    .on_read = on_read,
    .on_writable = on_writable,
    .on_unsent = on_unsent,
    .on_closed = on_closed,
};
