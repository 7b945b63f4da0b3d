#include "server/app/linkstats.h"

#include <stdlib.h>

#include "routes/metrics.h"

enum cell { HEALTHY, OUTSTANDING, CALLS, FAILURES, MOVED, CHECKS_OK, CHECKS_FAILED, EJECTIONS, CELLS };

struct tg_linkstats_row {
    struct tg_slice link, target;
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

enum tg_err tg_linkstats_add(struct tg_linkstats *stats, struct tg_slice link,
                             const struct tg_upstream_target_stats *target)
{
    const struct tg_linkstats_row row = {
        .link = link,
        .target = target->name,
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
    enum tg_err err;
};

static void collect(void *arg, struct tg_upstream_group *group)
{
    struct collector *collector = arg;
    for (size_t i = 0; i < tg_upstream_group_count(group); i++) {
        struct tg_upstream_target_stats target;
        tg_upstream_group_target(group, i, &target);
        enum tg_err err = tg_linkstats_add(collector->stats, tg_upstream_group_name(group), &target);
        collector->err = collector->err == TG_OK ? err : collector->err;
    }
}

enum tg_err tg_linkstats_collect(struct tg_linkstats *stats, const struct tg_links *links)
{
    struct collector collector = {stats, TG_OK};
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

static int compare_text(struct tg_slice a, struct tg_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_rows(const void *left, const void *right)
{
    const struct tg_linkstats_row *a = left, *b = right;
    int order = compare_text(a->link, b->link);
    return order != 0 ? order : compare_text(a->target, b->target);
}

/* Rows of one target, which different workers sent, become one. */
static void fold(struct tg_linkstats *stats)
{
    size_t count = 0;
    if (stats->count > 1) {
        qsort(stats->rows, stats->count, sizeof stats->rows[0], compare_rows);
    }
    for (size_t i = 0; i < stats->count; i++) {
        struct tg_linkstats_row *last = count > 0 ? &stats->rows[count - 1] : NULL;
        if (last == NULL || compare_rows(last, &stats->rows[i]) != 0) {
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
