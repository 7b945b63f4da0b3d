#include "server/app/roster.h"

#include <stdlib.h>

#include "routes/jsonout.h"
#include "routes/session.h"
#include "server/base/codec.h"

enum {
    TEXT_MAX = 64 << 20,
    ROW_COST = 32 /* slots that are looked at in the time that a row is written in */
};

/* An API's stage, as connections name them: the configuration may have dropped it. */
struct stage {
    struct tg_slice api_id, name;
    struct tg_roster_count count;
};

enum tg_err tg_roster_new(enum tg_roster_wish wish, struct tg_roster **out)
{
    struct tg_roster *roster = calloc(1, sizeof *roster);
    if (roster == NULL) {
        return TG_ENOMEM;
    }
    roster->report.kind = TG_REPORT_ROSTER;
    roster->wish = wish;
    roster->slots_left = TG_ROSTER_PAGE_SLOTS;
    tg_arena_init(&roster->arena, NULL);
    tg_buf_init(&roster->text, TEXT_MAX);
    tg_buf_init(&roster->key, TEXT_MAX);
    tg_map_init(&roster->stages, 0); /* names of the configuration: nobody else's */
    *out = roster;
    return TG_OK;
}

void tg_roster_free(struct tg_roster *roster)
{
    tg_map_free(&roster->stages, NULL);
    tg_buf_free(&roster->text);
    tg_buf_free(&roster->key);
    tg_arena_reset(&roster->arena);
    free(roster);
}

enum tg_err tg_roster_set_filter(struct tg_roster *roster, const struct tg_roster_filter *filter)
{
    roster->filter.queued_bytes = filter->queued_bytes;
    enum tg_err err = tg_arena_copy(&roster->arena, filter->api_id, &roster->filter.api_id);
    if (err == TG_OK) {
        err = tg_arena_copy(&roster->arena, filter->stage, &roster->filter.stage);
    }
    return err == TG_OK ? tg_arena_copy(&roster->arena, filter->source_ip, &roster->filter.source_ip) : err;
}

enum tg_err tg_roster_set_cursor(struct tg_roster *roster, struct tg_slice cursor)
{
    uint64_t worker, slot;
    struct tg_slice rest;
    struct tg_slice first = tg_slice_cut(cursor, '.', &rest);
    if (tg_slice_to_u64(first, &worker) != TG_OK || tg_slice_to_u64(rest, &slot) != TG_OK ||
        worker > UINT32_MAX || slot > UINT32_MAX) {
        return TG_ESYNTAX;
    }
    roster->worker = (size_t)worker;
    roster->slot = (size_t)slot;
    return TG_OK;
}

/* ---- on the worker ---- */

static void add(struct tg_roster_count *count, const struct tg_conn *conn)
{
    size_t frames;
    count->connections++;
    count->closing += tg_conn_state(conn) == TG_CONN_CLOSING;
    count->messages += tg_session_messages(conn);
    count->queued_bytes += tg_conn_queued(conn, &frames);
}

static enum tg_err stage_new(struct tg_roster *roster, const struct tg_conn_info *info, struct tg_slice key,
                             struct stage **out)
{
    struct stage *stage = tg_arena_zalloc(&roster->arena, sizeof *stage);
    enum tg_err err = stage != NULL ? tg_arena_copy(&roster->arena, info->api_id, &stage->api_id) : TG_ENOMEM;
    if (err == TG_OK) {
        err = tg_arena_copy(&roster->arena, info->stage, &stage->name);
    }
    if (err == TG_OK) {
        err = tg_map_add(&roster->stages, key, stage);
    }
    *out = stage;
    return err;
}

static enum tg_err find_stage(struct tg_roster *roster, const struct tg_conn_info *info, struct stage **out)
{
    tg_buf_clear(&roster->key);
    enum tg_err err = tg_buf_append(&roster->key, info->api_id);
    if (err == TG_OK) {
        err = tg_buf_append_char(&roster->key, '\n');
    }
    if (err == TG_OK) {
        err = tg_buf_append(&roster->key, info->stage);
    }
    if (err != TG_OK) {
        return err;
    }
    struct tg_slice key = tg_buf_slice(&roster->key);
    *out = tg_map_get(&roster->stages, key);
    return *out != NULL ? TG_OK : stage_new(roster, info, key, out);
}

static bool count(void *arg, const struct tg_conn *conn)
{
    struct tg_roster *roster = arg;
    struct stage *stage;
    if (tg_conn_state(conn) == TG_CONN_RESERVED) {
        roster->handshakes_of_worker++;
        return true;
    }
    add(&roster->of_worker, conn);
    roster->err = find_stage(roster, tg_conn_info(conn), &stage);
    if (roster->err == TG_OK) {
        add(&stage->count, conn);
    }
    return roster->err == TG_OK;
}

static void put_time(struct tg_jsonout *json, const char *before, int64_t wall_ms)
{
    char text[TG_TIME_TEXT_MAX];
    size_t len = tg_time_iso(wall_ms, text);
    tg_jsonout_member(json, before, tg_slice_make(text, len));
}

static void put_number(struct tg_jsonout *json, const char *before, uint64_t value)
{
    tg_jsonout_raw(json, before);
    tg_jsonout_number(json, (int64_t)value);
}

static void put_row(struct tg_roster *roster, const struct tg_conn *conn)
{
    const struct tg_conn_info *info = tg_conn_info(conn);
    struct tg_jsonout json = {.out = &roster->text, .arena = &roster->arena};
    size_t frames, queued = tg_conn_queued(conn, &frames);
    tg_jsonout_raw(&json, roster->rows > 0 ? ",\n" : "");
    tg_jsonout_member(&json, "{\"connectionId\":", tg_slice_cstr(tg_conn_id(conn)));
    tg_jsonout_member(&json, ",\"apiId\":", info->api_id);
    tg_jsonout_member(&json, ",\"stage\":", info->stage);
    tg_jsonout_raw(&json,
                   tg_conn_state(conn) == TG_CONN_OPEN ? ",\"state\":\"open\"" : ",\"state\":\"closing\"");
    put_number(&json, ",\"worker\":", roster->worker);
    tg_jsonout_member(&json, ",\"sourceIp\":", info->source_ip);
    put_time(&json, ",\"connectedAt\":", info->connected_at_ms);
    put_time(&json, ",\"lastActiveAt\":", tg_conn_last_active_ms(conn));
    put_number(&json, ",\"messages\":", tg_session_messages(conn));
    put_number(&json, ",\"queuedFrames\":", frames);
    put_number(&json, ",\"queuedBytes\":", queued);
    if (roster->wish == TG_ROSTER_ONE) {
        tg_jsonout_member(&json, ",\"domainName\":", info->domain_name);
        tg_jsonout_member_or_null(&json, ",\"userAgent\":", info->user_agent);
    }
    tg_jsonout_raw(&json, "}");
    roster->rows++;
    roster->err = json.err;
}

static bool passes(const struct tg_roster_filter *filter, const struct tg_conn *conn)
{
    const struct tg_conn_info *info = tg_conn_info(conn);
    size_t frames;
    return tg_conn_state(conn) != TG_CONN_RESERVED &&
           (filter->api_id.len == 0 || tg_slice_eq(filter->api_id, info->api_id)) &&
           (filter->stage.len == 0 || tg_slice_eq(filter->stage, info->stage)) &&
           (filter->source_ip.len == 0 || tg_slice_eq(filter->source_ip, info->source_ip)) &&
           tg_conn_queued(conn, &frames) >= filter->queued_bytes;
}

static bool list(void *arg, const struct tg_conn *conn)
{
    struct tg_roster *roster = arg;
    if (!passes(&roster->filter, conn)) {
        return true;
    }
    if (roster->rows_left == 0 || roster->step_rows == 0) {
        roster->paused = roster->rows_left == 0;
        return false;
    }
    roster->rows_left--;
    roster->step_rows--;
    put_row(roster, conn);
    return roster->err == TG_OK;
}

static void look_at_one(struct tg_roster *roster, const struct tg_engine *engine)
{
    const struct tg_conn *conn = tg_conn_get(engine->connmgr, roster->handle);
    roster->looked = true;
    if (conn != NULL && tg_conn_state(conn) != TG_CONN_RESERVED &&
        strcmp(tg_conn_id(conn), roster->id) == 0) {
        put_row(roster, conn);
    }
}

static void put_count(struct tg_jsonout *json, const char *before, const struct tg_roster_count *count)
{
    put_number(json, before, count->connections);
    put_number(json, ",\"closing\":", count->closing);
    put_number(json, ",\"messages\":", count->messages);
    put_number(json, ",\"queuedBytes\":", count->queued_bytes);
}

static void worker_is_through(struct tg_roster *roster)
{
    struct tg_jsonout json = {.out = &roster->text, .arena = &roster->arena};
    if (roster->wish == TG_ROSTER_COUNT) {
        put_number(&json, roster->worker > 0 ? ",{\"worker\":" : "{\"worker\":", roster->worker);
        put_count(&json, ",\"connections\":", &roster->of_worker);
        put_number(&json, ",\"handshakes\":", roster->handshakes_of_worker);
        tg_jsonout_raw(&json, "}");
        roster->err = json.err;
        roster->all.connections += roster->of_worker.connections;
        roster->all.closing += roster->of_worker.closing;
        roster->all.messages += roster->of_worker.messages;
        roster->all.queued_bytes += roster->of_worker.queued_bytes;
        roster->handshakes += roster->handshakes_of_worker;
        roster->of_worker = (struct tg_roster_count){0};
        roster->handshakes_of_worker = 0;
    }
    roster->worker++;
    roster->slot = 0;
}

void tg_roster_look(struct tg_roster *roster, const struct tg_engine *engine)
{
    size_t before = roster->slot, rows = roster->rows, slots = TG_ROSTER_STEP_SLOTS;
    roster->cost = ROW_COST;
    if (roster->wish == TG_ROSTER_ONE) {
        look_at_one(roster, engine);
        return;
    }
    if (roster->wish == TG_ROSTER_PAGE && slots > roster->slots_left) {
        slots = roster->slots_left;
    }
    roster->step_rows = TG_ROSTER_STEP_ROWS;
    bool more = tg_connmgr_walk(engine->connmgr, &roster->slot, slots,
                                roster->wish == TG_ROSTER_COUNT ? count : list, roster);
    size_t looked_at = roster->slot > before ? roster->slot - before : 0;
    roster->cost += looked_at + (roster->rows - rows) * ROW_COST;
    if (roster->wish == TG_ROSTER_PAGE) {
        roster->slots_left -= looked_at;
    }
    if (!more && roster->err == TG_OK) {
        worker_is_through(roster);
    }
}

static void on_turn(struct tg_timer *timer)
{
    struct tg_roster_queue *queue = TG_CONTAINER(timer, struct tg_roster_queue, timer);
    struct tg_list *node = NULL;
    size_t cost = 0;
    while (cost < TG_ROSTER_STEP_SLOTS && (node = tg_list_pop(&queue->waiting)) != NULL) {
        struct tg_roster *roster = TG_CONTAINER(node, struct tg_roster, report.mail.node);
        tg_roster_look(roster, queue->engine);
        cost += roster->cost;
        queue->looked(queue->arg, roster);
    }
    if (!tg_list_empty(&queue->waiting)) {
        tg_timer_start(queue->loop, timer, 0);
    }
}

void tg_roster_queue_init(struct tg_roster_queue *queue)
{
    tg_list_init(&queue->waiting);
    tg_timer_init(&queue->timer, on_turn);
}

void tg_roster_queue_add(struct tg_roster_queue *queue, struct tg_roster *roster)
{
    tg_list_init(&roster->report.mail.node);
    tg_list_append(&queue->waiting, &roster->report.mail.node);
    if (!tg_timer_armed(&queue->timer)) {
        tg_timer_start(queue->loop, &queue->timer, 0);
    }
}

void tg_roster_queue_free(struct tg_roster_queue *queue)
{
    struct tg_list *node;
    tg_timer_stop(&queue->timer);
    while ((node = tg_list_pop(&queue->waiting)) != NULL) {
        tg_roster_free(TG_CONTAINER(node, struct tg_roster, report.mail.node));
    }
}

/* ---- on the main thread ---- */

bool tg_roster_done(const struct tg_roster *roster, size_t workers)
{
    return roster->err != TG_OK || roster->looked || roster->worker >= workers ||
           (roster->wish == TG_ROSTER_PAGE && (roster->paused || roster->slots_left == 0));
}

static int compare_stages(const void *left, const void *right)
{
    const struct stage *const *a = left, *const *b = right;
    int order = tg_slice_cmp((*a)->api_id, (*b)->api_id);
    return order != 0 ? order : tg_slice_cmp((*a)->name, (*b)->name);
}

struct sorter {
    struct stage **stages;
    size_t count;
};

static bool gather(void *arg, struct tg_slice key, void *value)
{
    struct sorter *sorter = arg;
    (void)key;
    sorter->stages[sorter->count++] = value;
    return true;
}

static void put_stages(struct tg_jsonout *json, struct tg_roster *roster)
{
    struct sorter sorter = {.count = 0};
    sorter.stages = tg_arena_alloc(&roster->arena, (roster->stages.count + 1) * sizeof(struct stage *));
    if (sorter.stages == NULL) {
        json->err = TG_ENOMEM;
        return;
    }
    tg_map_each(&roster->stages, gather, &sorter);
    qsort(sorter.stages, sorter.count, sizeof(struct stage *), compare_stages);
    for (size_t i = 0; i < sorter.count; i++) {
        tg_jsonout_member(json, i > 0 ? ",\n{\"apiId\":" : "{\"apiId\":", sorter.stages[i]->api_id);
        tg_jsonout_member(json, ",\"stage\":", sorter.stages[i]->name);
        put_count(json, ",\"connections\":", &sorter.stages[i]->count);
        tg_jsonout_raw(json, "}");
    }
}

static void put_text(struct tg_jsonout *json, struct tg_slice text)
{
    if (json->err == TG_OK) {
        json->err = tg_buf_append(json->out, text);
    }
}

enum tg_err tg_roster_render(struct tg_roster *roster, size_t workers, struct tg_buf *out)
{
    struct tg_jsonout json = {.out = out, .arena = &roster->arena, .err = roster->err};
    if (roster->wish == TG_ROSTER_ONE) {
        put_text(&json, tg_buf_slice(&roster->text));
        return json.err == TG_OK && roster->rows == 0 ? TG_ENOTFOUND : json.err;
    }
    if (roster->wish == TG_ROSTER_COUNT) {
        put_count(&json, "{\"connections\":", &roster->all);
        put_number(&json, ",\"handshakes\":", roster->handshakes);
        tg_jsonout_raw(&json, ",\n\"workers\":[");
        put_text(&json, tg_buf_slice(&roster->text));
        tg_jsonout_raw(&json, "],\n\"stages\":[");
        put_stages(&json, roster);
        tg_jsonout_raw(&json, "]}\n");
        return json.err;
    }
    tg_jsonout_raw(&json, "{\"connections\":[");
    put_text(&json, tg_buf_slice(&roster->text));
    tg_jsonout_raw(&json, "],\n\"nextCursor\":");
    if (json.err == TG_OK && roster->worker < workers) {
        json.err = tg_buf_printf(out, "\"%zu.%zu\"}\n", roster->worker, roster->slot);
    } else {
        tg_jsonout_raw(&json, "null}\n");
    }
    return json.err;
}
