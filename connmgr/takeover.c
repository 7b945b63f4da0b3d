#include "connmgr/takeover.h"

#include <stdlib.h>

enum {
    PAGE = 64,       /* rows read at a time, about */
    WAIT_MS = 5,     /* before looking for room, or at the link, again */
    KEEP_SHARE = 12, /* of a lease: how often a claim is kept */
    SURE = 10        /* a tenth of the claim's time is left: by then nothing goes out any more */
};

/* A row that was read and not issued. */
struct page_row {
    struct tg_list node;
    size_t id_len, len;
    char bytes[]; /* the id, then the row */
};

/* An event that was issued, from then until it is over and Redis knows of it. */
struct telling {
    struct tg_list node;          /* takeover->waiting or takeover->unsure */
    struct tg_takeover *takeover; /* NULL: freed meanwhile */
    enum {
        WAITING, /* its call has not gone out */
        UNSURE,  /* it has, and Redis has yet to say that the row has gone */
        DONE
    } state;
    bool issued;     /* not over */
    bool asking;     /* Redis */
    uint32_t worker; /* whose row */
    char id[TG_CONNID_LEN + 1];
};

struct tg_takeover {
    struct tg_takeover_options options;
    struct tg_timer timer;
    uint32_t at; /* whose rows, of the dead node's workers */
    char cursor[24];
    bool read_all; /* of these */
    struct tg_list page, waiting, unsure;
    uint64_t sent_ms;       /* when the command under way was */
    uint64_t sure_until_ms; /* the claim is held for certain */
    uint64_t kept_ms;       /* when it was last asked to be kept */
    uint64_t issued;
    bool busy;    /* a command under way */
    bool reading; /* it reads rows, and does not only keep the claim */
    bool broken;  /* the claim is not held for certain any more: nothing more is issued */
    bool stopped;
};

static void step(struct tg_takeover *takeover);

static void end(struct tg_takeover *takeover, bool done)
{
    const struct tg_takeover_options options = takeover->options;
    tg_log(options.log, done ? TG_LOG_INFO : TG_LOG_WARN,
           done ? "took over from a dead node" : "takeover given up", TG_KV_INT("node", options.node),
           TG_KV_INT("disconnects", takeover->issued));
    options.ended(options.arg, takeover, done);
    tg_takeover_free(takeover);
}

static struct tg_cluster_key key_of(const struct tg_takeover *takeover, const char *kind)
{
    return tg_cluster_key(takeover->options.cluster, takeover->options.node, kind);
}

/* ---- the last steps ---- */

static void on_unindexed(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    (void)reply;
    (void)err; /* who looks next finds it dealt with, and removes it */
    end(arg, true);
}

static void on_finished(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_takeover *takeover = arg;
    char number[24];
    if (err != TG_OK || tg_redis_reply_integer(reply) != 1) {
        end(takeover, false);
        return;
    }
    struct tg_cluster_key index = tg_cluster_index_key(takeover->options.cluster);
    const struct tg_slice words[] = {TG_LIT("HDEL"), tg_cluster_key_slice(&index),
                                     tg_slice_make(number, tg_number_text(takeover->options.node, number))};
    if (tg_uplink_command(takeover->options.link, words, 3, on_unindexed, takeover) != TG_OK) {
        end(takeover, true);
    }
}

static enum tg_err finish(struct tg_takeover *takeover)
{
    struct tg_cluster_key claim = key_of(takeover, "claim"), dead = key_of(takeover, "dead");
    char dead_ms[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&claim), tg_cluster_key_slice(&dead)};
    const struct tg_slice args[] = {
        tg_slice_make(takeover->options.token, TG_TOKEN_LEN),
        tg_slice_make(dead_ms, tg_number_text(takeover->options.cluster->settings.dead_ms, dead_ms))};
    return tg_uplink_script(takeover->options.link, TG_SCRIPT_FINISH, keys, 2, args, 2, on_finished,
                            takeover);
}

/* ---- an event on its way ---- */

static void settle(struct telling *telling)
{
    telling->state = DONE;
    tg_list_remove(&telling->node);
}

static void release(struct telling *telling)
{
    if (telling->state == DONE && !telling->issued && !telling->asking) {
        free(telling);
    }
}

static void on_told(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct telling *telling = arg;
    (void)reply;
    telling->asking = false;
    /* Else once more, when Redis can be reached; what it denies when the claim is gone, it can deny for long.
     */
    bool denied = err == TG_EDENIED && telling->takeover != NULL && telling->takeover->broken;
    if (err == TG_OK || denied) {
        settle(telling);
    }
    release(telling);
}

static enum tg_err tell_redis(struct telling *telling)
{
    const struct tg_takeover_options *options = &telling->takeover->options;
    struct tg_cluster *cluster = options->cluster;
    struct tg_cluster_key told = key_of(telling->takeover, "told"),
                          rows = tg_cluster_worker_key(cluster, options->node, telling->worker, "rows");
    char dead_ms[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&rows), tg_cluster_key_slice(&told)};
    const struct tg_slice args[] = {
        tg_slice_make(telling->id, TG_CONNID_LEN),
        tg_slice_make(dead_ms, tg_number_text(cluster->settings.dead_ms, dead_ms))};
    enum tg_err err = tg_uplink_script(options->link, TG_SCRIPT_TOLD, keys, 2, args, 2, on_told, telling);
    telling->asking = err == TG_OK;
    return err;
}

/* The call to the back end is next: the row goes with it, or the event stays for another survivor. */
static bool gate(void *arg)
{
    struct telling *telling = arg;
    struct tg_takeover *takeover = telling->takeover;
    if (takeover == NULL) {
        return false;
    }
    /* By the clock itself: the process may have been stopped since this pass of the loop began. */
    bool sure = !takeover->broken && tg_loop_now_ns() / 1000000 < takeover->sure_until_ms;
    if (!sure || tell_redis(telling) != TG_OK) {
        takeover->broken = true;
        return false;
    }
    tg_uplink_flush(takeover->options.link);
    tg_list_remove(&telling->node);
    tg_list_append(&takeover->unsure, &telling->node);
    telling->state = UNSURE;
    takeover->issued++;
    tg_cluster_count(&takeover->options.cluster->workers[takeover->options.worker].taken_over, 1);
    return true;
}

static void over(void *arg)
{
    struct telling *telling = arg;
    telling->issued = false;
    if (telling->state == WAITING) { /* nobody was told: the row is there for another survivor */
        if (telling->takeover != NULL) {
            telling->takeover->broken = true;
        }
        settle(telling);
    }
    release(telling);
}

static void tell_again(struct tg_takeover *takeover)
{
    for (struct tg_list *node = takeover->unsure.next; node != &takeover->unsure; node = node->next) {
        struct telling *telling = TG_CONTAINER(node, struct telling, node);
        if (!telling->asking && tell_redis(telling) != TG_OK) {
            return;
        }
    }
}

static void abandon(struct tg_list *list)
{
    struct tg_list *node;
    while ((node = tg_list_pop(list)) != NULL) {
        struct telling *telling = TG_CONTAINER(node, struct telling, node);
        telling->takeover = NULL;
        telling->state = telling->state == UNSURE ? DONE : telling->state;
        release(telling);
    }
}

/* ---- rows ---- */

static bool among(const struct tg_list *list, struct tg_slice id)
{
    for (const struct tg_list *node = list->next; node != list; node = node->next) {
        const struct telling *telling = TG_CONTAINER(node, struct telling, node);
        if (tg_slice_eq(tg_slice_make(telling->id, TG_CONNID_LEN), id)) {
            return true;
        }
    }
    return false;
}

static bool in_page(const struct tg_list *page, struct tg_slice id)
{
    for (const struct tg_list *node = page->next; node != page; node = node->next) {
        const struct page_row *row = TG_CONTAINER(node, struct page_row, node);
        if (tg_slice_eq(tg_slice_make(row->bytes, row->id_len), id)) {
            return true;
        }
    }
    return false;
}

static void drop_row(const struct tg_takeover *takeover, struct tg_slice id)
{
    struct tg_cluster_key rows =
        tg_cluster_worker_key(takeover->options.cluster, takeover->options.node, takeover->at, "rows");
    const struct tg_slice words[] = {TG_LIT("HDEL"), tg_cluster_key_slice(&rows), id};
    (void)!tg_uplink_command(takeover->options.link, words, 3, NULL, NULL);
}

/* A row that cannot be read costs its own $disconnect. */
static void issue(struct tg_takeover *takeover, const struct page_row *row)
{
    struct tg_cluster_counters *counters = &takeover->options.cluster->workers[takeover->options.worker];
    const struct tg_slice id = tg_slice_make(row->bytes, row->id_len);
    struct tg_arena arena;
    struct tg_conn_info info;
    tg_arena_init(&arena, NULL);
    enum tg_err err = row->id_len == TG_CONNID_LEN
                          ? tg_wire_read_row(&arena, tg_slice_make(row->bytes + row->id_len, row->len), &info)
                          : TG_ESYNTAX;
    struct telling *telling = err == TG_OK ? calloc(1, sizeof *telling) : NULL;
    if (err == TG_OK && telling == NULL) {
        takeover->broken = true;
    } else if (err == TG_OK) {
        telling->takeover = takeover;
        telling->issued = true;
        telling->worker = takeover->at;
        memcpy(telling->id, row->bytes, TG_CONNID_LEN);
        tg_list_init(&telling->node);
        tg_list_append(&takeover->waiting, &telling->node);
        takeover->options.issue(takeover->options.arg, telling->id, &info, gate, over, telling);
    } else {
        tg_cluster_count(&counters->malformed, 1);
        tg_log(takeover->options.log, TG_LOG_ERROR, "row of a dead node not read, its $disconnect is lost",
               TG_KV_INT("node", takeover->options.node), TG_KV_ERR(err));
        drop_row(takeover, id);
    }
    tg_arena_reset(&arena);
}

static void issue_page(struct tg_takeover *takeover)
{
    while (!takeover->broken && !takeover->stopped && !tg_list_empty(&takeover->page) &&
           takeover->options.room(takeover->options.arg) > 0) {
        struct page_row *row = TG_CONTAINER(tg_list_pop(&takeover->page), struct page_row, node);
        issue(takeover, row);
        free(row);
    }
}

static void keep_row(struct tg_takeover *takeover, struct tg_slice id, struct tg_slice bytes)
{
    /* A hash that shrinks shows rows twice. What was told of before this was read has no row any more. */
    if (among(&takeover->waiting, id) || among(&takeover->unsure, id) || in_page(&takeover->page, id)) {
        return;
    }
    struct page_row *row = malloc(sizeof *row + id.len + bytes.len);
    if (row == NULL) {
        takeover->broken = true;
        return;
    }
    row->id_len = id.len;
    row->len = bytes.len;
    memcpy(row->bytes, id.ptr, id.len);
    memcpy(row->bytes + id.len, bytes.ptr, bytes.len);
    tg_list_init(&row->node);
    tg_list_append(&takeover->page, &row->node);
}

static void on_read(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct tg_takeover *takeover = arg;
    size_t count = err == TG_OK ? tg_redis_reply_count(reply) : 0;
    takeover->busy = false;
    if (err == TG_OK && count > 0) {
        struct tg_slice cursor = tg_redis_reply_text(tg_redis_reply_at(reply, 0));
        uint64_t claim_ms = tg_cluster_claim_ms(takeover->options.cluster);
        takeover->sure_until_ms = takeover->sent_ms + claim_ms - claim_ms / SURE;
        if (takeover->reading && cursor.len < sizeof takeover->cursor) {
            memcpy(takeover->cursor, cursor.ptr, cursor.len);
            takeover->cursor[cursor.len] = '\0';
            takeover->read_all = tg_slice_eq(cursor, TG_LIT("0"));
        }
        for (size_t i = 1; i + 1 < count; i += 2) {
            keep_row(takeover, tg_redis_reply_text(tg_redis_reply_at(reply, i)),
                     tg_redis_reply_text(tg_redis_reply_at(reply, i + 1)));
        }
    } else if (err == TG_OK || err == TG_EDENIED) {
        takeover->broken = true;
    } /* else the connection broke: another may be there in time */
    step(takeover);
}

/* count: how many, about; 0: the claim is kept. */
static void read_rows(struct tg_takeover *takeover, size_t count)
{
    const struct tg_takeover_options *options = &takeover->options;
    struct tg_cluster_key claim = key_of(takeover, "claim"),
                          rows = tg_cluster_worker_key(options->cluster, options->node, takeover->at, "rows");
    char claim_ms[24], how_many[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&claim), tg_cluster_key_slice(&rows)};
    const struct tg_slice args[] = {
        tg_slice_make(options->token, TG_TOKEN_LEN),
        tg_slice_make(claim_ms, tg_number_text(tg_cluster_claim_ms(options->cluster), claim_ms)),
        tg_slice_cstr(takeover->cursor),
        tg_slice_make(how_many, tg_number_text(count, how_many)),
    };
    takeover->sent_ms = takeover->kept_ms = tg_loop_now_ns() / 1000000;
    takeover->reading = count > 0;
    takeover->busy =
        tg_uplink_script(options->link, TG_SCRIPT_READ, keys, 2, args, 4, on_read, takeover) == TG_OK;
}

/* ---- the whole ---- */

/* Everything of one of the dead node's workers has been told. */
static bool is_through(const struct tg_takeover *takeover)
{
    return takeover->read_all && tg_list_empty(&takeover->page) && tg_list_empty(&takeover->waiting) &&
           tg_list_empty(&takeover->unsure);
}

static void step(struct tg_takeover *takeover)
{
    const struct tg_takeover_options *options = &takeover->options;
    uint64_t now = tg_loop_now_ns() / 1000000;
    if (takeover->busy) {
        return;
    }
    takeover->broken = takeover->broken || now >= takeover->sure_until_ms;
    issue_page(takeover);
    tell_again(takeover);
    bool ends = takeover->broken || takeover->stopped;
    if (ends && tg_list_empty(&takeover->waiting)) {
        /* Who has been told of still has a row, which this process itself may find when it claims the node
         * again: not before Redis knows. */
        if (takeover->stopped || tg_list_empty(&takeover->unsure)) {
            end(takeover, false);
        } else {
            tg_timer_start(options->loop, &takeover->timer, WAIT_MS);
        }
        return;
    }
    while (!ends && is_through(takeover) && takeover->at < options->rows) {
        takeover->at++;
        takeover->read_all = false;
    }
    if (!ends && takeover->at >= options->rows) {
        takeover->busy = true;
        if (finish(takeover) != TG_OK) {
            end(takeover, false);
        }
        return;
    }
    if (!ends && !takeover->read_all && tg_list_empty(&takeover->page)) {
        read_rows(takeover, PAGE);
    } else if (now - takeover->kept_ms >= options->cluster->settings.lease_ms / KEEP_SHARE) {
        read_rows(takeover, 0);
    }
    if (!takeover->busy) {
        tg_timer_start(options->loop, &takeover->timer, WAIT_MS);
    }
}

static void on_timer(struct tg_timer *timer)
{
    step(TG_CONTAINER(timer, struct tg_takeover, timer));
}

enum tg_err tg_takeover_new(const struct tg_takeover_options *options, struct tg_takeover **out)
{
    struct tg_takeover *takeover = calloc(1, sizeof *takeover);
    if (takeover == NULL) {
        return TG_ENOMEM;
    }
    takeover->options = *options;
    takeover->cursor[0] = '0';
    /* Until the first answer there is nothing to issue. */
    takeover->sure_until_ms = tg_loop_now_ns() / 1000000 + tg_cluster_claim_ms(options->cluster);
    tg_list_init(&takeover->page);
    tg_list_init(&takeover->waiting);
    tg_list_init(&takeover->unsure);
    tg_timer_init(&takeover->timer, on_timer);
    tg_timer_start(options->loop, &takeover->timer, 0);
    *out = takeover;
    return TG_OK;
}

void tg_takeover_free(struct tg_takeover *takeover)
{
    struct tg_list *node;
    tg_timer_stop(&takeover->timer);
    abandon(&takeover->waiting);
    abandon(&takeover->unsure);
    while ((node = tg_list_pop(&takeover->page)) != NULL) {
        free(TG_CONTAINER(node, struct page_row, node));
    }
    free(takeover);
}

void tg_takeover_stop(struct tg_takeover *takeover)
{
    takeover->stopped = true;
}
