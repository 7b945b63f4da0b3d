#include "server/app/linkstats.h"

#include <stdlib.h>

#include "routes/jsonout.h"
#include "routes/metrics.h"
#include "server/base/codec.h"

enum cell { HEALTHY, OUTSTANDING, CALLS, FAILURES, MOVED, CHECKS_OK, CHECKS_FAILED, EJECTIONS, CELLS };

struct tg_linkstats_row {
    struct tg_slice link, target;
    uint32_t worker;
    enum tg_target_state state;
    enum tg_err reason;
    int status;
    int64_t changed_ms;
    uint64_t cells[CELLS];
};

void tg_linkstats_init(struct tg_linkstats *stats)
{
    *stats = (struct tg_linkstats){.count = 0};
    tg_arena_init(&stats->arena, NULL);
}

void tg_linkstats_free(struct tg_linkstats *stats)
{
    tg_arena_reset(&stats->arena);
    free(stats->rows);
    stats->rows = NULL;
    stats->count = stats->room = 0;
}

/* Room for one more row. */
static enum tg_err grow(struct tg_linkstats *stats)
{
    if (stats->count < stats->room) {
        return TG_OK;
    }
    size_t room = stats->room > 0 ? stats->room * 2 : 16;
    struct tg_linkstats_row *rows = realloc(stats->rows, room * sizeof *rows);
    if (rows == NULL) {
        return TG_ENOMEM;
    }
    stats->rows = rows;
    stats->room = room;
    return TG_OK;
}

static enum tg_err append(struct tg_linkstats *stats, const struct tg_linkstats_row *row)
{
    struct tg_linkstats_row copy = *row;
    enum tg_err err = grow(stats);
    if (err == TG_OK) {
        err = tg_arena_copy(&stats->arena, row->link, &copy.link);
    }
    if (err == TG_OK) {
        err = tg_arena_copy(&stats->arena, row->target, &copy.target);
    }
    if (err == TG_OK) {
        stats->rows[stats->count++] = copy;
    }
    return err;
}

enum tg_err tg_linkstats_add(struct tg_linkstats *stats, uint32_t worker, struct tg_slice link,
                             const struct tg_upstream_target_stats *target)
{
    const struct tg_linkstats_row row = {
        .link = link,
        .target = target->name,
        .worker = worker,
        .state = target->state,
        .reason = target->reason,
        .status = target->status,
        .changed_ms = target->changed_ms,
        .cells = {[HEALTHY] = target->state == TG_TARGET_HEALTHY,
                  [OUTSTANDING] = target->outstanding,
                  [CALLS] = target->calls,
                  [FAILURES] = target->failures,
                  [MOVED] = target->moved,
                  [CHECKS_OK] = target->checks_ok,
                  [CHECKS_FAILED] = target->checks_failed,
                  [EJECTIONS] = target->ejections},
    };
    return append(stats, &row);
}

struct collector {
    struct tg_linkstats *stats;
    uint32_t worker;
    enum tg_err err;
};

static void collect(void *arg, struct tg_upstream_group *group)
{
    struct collector *collector = arg;
    for (size_t i = 0; i < tg_upstream_group_count(group); i++) {
        struct tg_upstream_target_stats target;
        tg_upstream_group_target(group, i, &target);
        enum tg_err err =
            tg_linkstats_add(collector->stats, collector->worker, tg_upstream_group_name(group), &target);
        collector->err = collector->err == TG_OK ? err : collector->err;
    }
}

enum tg_err tg_linkstats_collect(struct tg_linkstats *stats, uint32_t worker, const struct tg_links *links)
{
    struct collector collector = {stats, worker, TG_OK};
    tg_links_each(links, collect, &collector);
    return collector.err;
}

enum tg_err tg_linkstats_merge(struct tg_linkstats *stats, const struct tg_linkstats *other)
{
    enum tg_err err = TG_OK;
    for (size_t i = 0; i < other->count && err == TG_OK; i++) {
        err = append(stats, &other->rows[i]);
    }
    return err;
}

/* ---- rendering ---- */

static bool same_target(const struct tg_linkstats_row *a, const struct tg_linkstats_row *b)
{
    return tg_slice_eq(a->link, b->link) && tg_slice_eq(a->target, b->target);
}

static int compare_rows(const void *left, const void *right)
{
    const struct tg_linkstats_row *a = left, *b = right;
    int order = tg_slice_cmp(a->link, b->link);
    order = order != 0 ? order : tg_slice_cmp(a->target, b->target);
    return order != 0 ? order : (a->worker > b->worker) - (a->worker < b->worker);
}

static void sort(struct tg_linkstats *stats)
{
    if (stats->count > 1) {
        qsort(stats->rows, stats->count, sizeof stats->rows[0], compare_rows);
    }
}

/* Rows of one target, which different workers sent, become one. */
static void fold(struct tg_linkstats *stats)
{
    size_t count = 0;
    sort(stats);
    for (size_t i = 0; i < stats->count; i++) {
        struct tg_linkstats_row *last = count > 0 ? &stats->rows[count - 1] : NULL;
        if (last == NULL || !same_target(last, &stats->rows[i])) {
            stats->rows[count++] = stats->rows[i];
            continue;
        }
        for (size_t cell = 0; cell < CELLS; cell++) {
            last->cells[cell] += stats->rows[i].cells[cell];
        }
    }
    stats->count = count;
}

static enum tg_err put_sample(struct tg_buf *out, const char *name, const struct tg_linkstats_row *row,
                              const char *label, uint64_t value)
{
    enum tg_err err = tg_buf_printf(out, "%s", name);
    if (err == TG_OK) {
        err = tg_metrics_put_label(out, "{link=\"", row->link);
    }
    if (err == TG_OK) {
        err = tg_metrics_put_label(out, "\",target=\"", row->target);
    }
    return err == TG_OK ? tg_buf_printf(out, "\"%s} %llu\n", label, (unsigned long long)value) : err;
}

enum tg_err tg_linkstats_render(struct tg_linkstats *stats, struct tg_buf *out)
{
    static const struct {
        const char *name, *type, *help; /* the second result has the name of the row before it */
        enum cell cell;
        const char *label;
    } metrics[] = {
        {"tidegate_target_healthy", "gauge", "Workers that take the target for healthy", HEALTHY, ""},
        {"tidegate_target_outstanding", "gauge", "Calls under way", OUTSTANDING, ""},
        {"tidegate_target_calls_total", "counter", "Attempts made at the target", CALLS, ""},
        {"tidegate_target_failures_total", "counter", "Attempts that failed before an answer", FAILURES, ""},
        {"tidegate_target_moved_total", "counter", "Failed attempts that went on to another target", MOVED,
         ""},
        {"tidegate_target_checks_total", "counter", "Health checks", CHECKS_OK, ",result=\"ok\""},
        {"tidegate_target_checks_total", NULL, NULL, CHECKS_FAILED, ",result=\"failed\""},
        {"tidegate_target_ejections_total", "counter", "Times that failures of calls took the target out",
         EJECTIONS, ""},
    };
    enum tg_err err = TG_OK;
    fold(stats);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0] && stats->count > 0 && err == TG_OK; i++) {
        if (metrics[i].type != NULL) {
            err = tg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].name, metrics[i].help,
                                metrics[i].name, metrics[i].type);
        }
        for (size_t j = 0; j < stats->count && err == TG_OK; j++) {
            const struct tg_linkstats_row *row = &stats->rows[j];
            err = put_sample(out, metrics[i].name, row, metrics[i].label, row->cells[metrics[i].cell]);
        }
    }
    return err;
}

/* ---- JSON ---- */

static void put_number(struct tg_jsonout *json, const char *before, uint64_t value)
{
    tg_jsonout_raw(json, before);
    tg_jsonout_number(json, (int64_t)value);
}

static const char *why(const struct tg_linkstats_row *row)
{
    return row->state == TG_TARGET_HEALTHY ? NULL
           : row->reason == TG_OK          ? "status of the check"
                                           : tg_err_text(row->reason);
}

/* What one worker takes the target for. */
static void put_view(struct tg_jsonout *json, const char *separator, const struct tg_linkstats_row *row)
{
    char since[TG_TIME_TEXT_MAX];
    size_t len = tg_time_iso(row->changed_ms, since);
    put_number(json, separator, row->worker);
    tg_jsonout_member(json, ",\"state\":", tg_slice_cstr(tg_target_state_text(row->state)));
    tg_jsonout_member(json, ",\"since\":", tg_slice_make(since, len));
    tg_jsonout_member_or_null(json, ",\"reason\":", tg_slice_cstr(why(row)));
    if (row->status > 0) {
        put_number(json, ",\"checkStatus\":", (uint64_t)row->status);
    } else {
        tg_jsonout_raw(json, ",\"checkStatus\":null");
    }
    put_number(json, ",\"inFlight\":", row->cells[OUTSTANDING]);
    tg_jsonout_raw(json, "}");
}

/* Of `count` rows, one a worker. */
static void put_target(struct tg_jsonout *json, const struct tg_linkstats_row *rows, size_t count)
{
    static const struct {
        const char *before;
        enum cell cell;
    } members[] = {
        {",\"healthyWorkers\":", HEALTHY},     {",\"inFlight\":", OUTSTANDING}, {",\"calls\":", CALLS},
        {",\"failures\":", FAILURES},          {",\"moved\":", MOVED},          {",\"checksOk\":", CHECKS_OK},
        {",\"checksFailed\":", CHECKS_FAILED}, {",\"ejections\":", EJECTIONS}};
    tg_jsonout_member(json, "{\"url\":", rows->target);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        uint64_t sum = 0;
        for (size_t j = 0; j < count; j++) {
            sum += rows[j].cells[members[i].cell];
        }
        put_number(json, members[i].before, sum);
    }
    for (size_t j = 0; j < count; j++) {
        put_view(json, j == 0 ? ",\n  \"workers\":[{\"worker\":" : ",\n  {\"worker\":", &rows[j]);
    }
    tg_jsonout_raw(json, "]}");
}

enum tg_err tg_linkstats_json(struct tg_linkstats *stats, struct tg_buf *out)
{
    struct tg_jsonout json = {.out = out, .arena = &stats->arena};
    size_t count;
    sort(stats);
    tg_jsonout_raw(&json, "[");
    for (size_t i = 0; i < stats->count; i += count) {
        const struct tg_linkstats_row *row = &stats->rows[i];
        bool is_first = i == 0 || !tg_slice_eq(row->link, stats->rows[i - 1].link);
        for (count = 1; i + count < stats->count && same_target(row, row + count); count++) {
        }
        if (is_first) {
            tg_jsonout_member(&json, i > 0 ? "]},\n{\"vpcLinkId\":" : "{\"vpcLinkId\":", row->link);
        }
        tg_jsonout_raw(&json, is_first ? ",\"targets\":[\n " : ",\n ");
        put_target(&json, row, count);
    }
    tg_jsonout_raw(&json, stats->count > 0 ? "]}]" : "]");
    return json.err;
}
