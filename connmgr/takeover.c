#include "connmgr/takeover.h"

#include <stdlib.h>

enum {
    PAGE = 64,       /* rows read at a time, about */
    WAIT_MS = 5,     /* before looking for room, or at the link, again */
    KEEP_SHARE = 12, /* of a lease: how often a claim is kept */
    SURE = 10        /* a tenth of the claim's time is left: by then nothing goes out any more */
};

/* A row that was read. */
struct page_row {
    struct tg_list node; /* takeover->page, until it is issued */
    size_t id_len, len;
    char bytes[]; /* the id, then the row */
};

/* An event that was issued, until it is over and known whose it is. */
struct telling {
    struct tg_list node;          /* takeover->tellings */
    struct tg_takeover *takeover; /* NULL: freed meanwhile */
    struct page_row *row;
    enum {
        WAITING, /* Redis has not been asked: the row is there */
        UNSURE,  /* it has been, and nobody knows yet whether the row is gone */
        OURS,
        THEIRS
    } state;
    bool issued;         /* not over */
    bool asking;         /* an answer of Redis is due */
    bool quiet;          /* there is no back end to call: the row has to go, and that is all */
    bool refused;        /* for want of an answer: the event must be issued again where it is ours */
    tg_leave_fn *answer; /* who waits for it; NULL: nobody */
    void *answer_arg;
    uint32_t worker; /* whose row */
};

struct tg_takeover {
    struct tg_takeover_options options;
    struct tg_timer timer;
    uint32_t at; /* whose rows, of the dead node's workers */
    char cursor[24];
    bool read_all; /* of these */
    struct tg_list page, tellings;
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

static struct tg_slice id_of(const struct page_row *row)
{
    return tg_slice_make(row->bytes, row->id_len);
}

static void release(struct telling *telling)
{
    bool known = telling->state != UNSURE || telling->takeover == NULL;
    if (known && !telling->issued && !telling->asking) {
        tg_list_remove(&telling->node);
        free(telling->row);
        free(telling);
    }
}

static void give_answer(struct telling *telling, bool given)
{
    tg_leave_fn *answer = telling->answer;
    telling->answer = NULL;
    if (answer != NULL) {
        answer(telling->answer_arg, given);
    }
}

static void issue(struct telling *telling);

/* Who waits for the answer is kept no longer when it does not come: the connection that is held for the call
 * is wanted. The question is asked again, and where the event is ours it is issued once more. Who gets the
 * answer may end the event from inside; until then the question keeps it. */
static void on_told(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct telling *telling = arg;
    struct tg_takeover *takeover = telling->takeover;
    bool known = err == TG_OK && takeover != NULL, ours = known && tg_redis_reply_integer(reply) == 1;
    bool again = ours && telling->answer == NULL && !telling->issued && !telling->quiet;
    if (known) {
        telling->state = ours ? OURS : THEIRS;
    }
    if (ours) {
        takeover->issued++;
        tg_cluster_count(&takeover->options.cluster->workers[takeover->options.worker].taken_over, 1);
    }
    telling->refused = telling->refused || (!known && telling->answer != NULL);
    give_answer(telling, ours);
    telling->asking = false;
    if (again) {
        issue(telling);
    } else {
        release(telling);
    }
}

static enum tg_err ask(struct telling *telling)
{
    const struct tg_takeover_options *options = &telling->takeover->options;
    struct tg_cluster *cluster = options->cluster;
    struct tg_cluster_key told = key_of(telling->takeover, "told"),
                          rows = tg_cluster_worker_key(cluster, options->node, telling->worker, "rows");
    char dead_ms[24];
    const struct tg_slice keys[] = {tg_cluster_key_slice(&rows), tg_cluster_key_slice(&told)};
    const struct tg_slice args[] = {
        id_of(telling->row), tg_slice_make(options->token, TG_TOKEN_LEN),
        tg_slice_make(dead_ms, tg_number_text(cluster->settings.dead_ms, dead_ms))};
    enum tg_err err = tg_uplink_script(options->link, TG_SCRIPT_TOLD, keys, 2, args, 3, on_told, telling);
    telling->asking = err == TG_OK;
    return err;
}

/* The call to the back end is next. */
static enum tg_leave gate(void *arg, tg_leave_fn *answer, void *answer_arg)
{
    struct telling *telling = arg;
    struct tg_takeover *takeover = telling->takeover;
    if (takeover == NULL || telling->state == OURS) {
        return takeover != NULL ? TG_LEAVE_GIVEN : TG_LEAVE_REFUSED;
    }
    /* By the clock itself: the process may have been stopped since this pass of the loop began. */
    bool sure = !takeover->broken && tg_loop_now_ns() / 1000000 < takeover->sure_until_ms;
    if (!sure || ask(telling) != TG_OK) {
        takeover->broken = true;
        return TG_LEAVE_REFUSED;
    }
    tg_uplink_flush(takeover->options.link);
    telling->state = UNSURE;
    telling->answer = answer;
    telling->answer_arg = answer_arg;
    telling->quiet = answer == NULL;
    return TG_LEAVE_LATER;
}

static void over(void *arg)
{
    struct telling *telling = arg;
    telling->issued = false;
    telling->answer = NULL;
    if (telling->state == WAITING && telling->takeover != NULL) { /* nobody was told: for another survivor */
        telling->takeover->broken = true;
    }
    if (telling->state == OURS && telling->refused && telling->takeover != NULL) {
        issue(telling); /* the answer came between its refusal and its end */
        return;
    }
    release(telling);
}

/* The row could be read once. */
static void issue(struct telling *telling)
{
    struct tg_takeover *takeover = telling->takeover;
    const struct page_row *row = telling->row;
    char id[TG_CONNID_LEN + 1] = "";
    struct tg_arena arena;
    struct tg_conn_info info;
    memcpy(id, row->bytes, TG_CONNID_LEN);
    tg_arena_init(&arena, NULL);
    if (tg_wire_read_row(&arena, tg_slice_make(row->bytes + row->id_len, row->len), &info) == TG_OK) {
        telling->issued = true;
        telling->refused = false;
        takeover->options.issue(takeover->options.arg, id, &info, gate, over, telling);
    } else { /* out of memory */
        if (telling->state == WAITING) {
            takeover->broken = true;
        } else {
            tg_log(takeover->options.log, TG_LOG_ERROR, "$disconnect lost", TG_KV_CSTR("connectionId", id),
                   TG_KV_ERR(TG_ENOMEM));
        }
        release(telling);
    }
    tg_arena_reset(&arena);
}

static void ask_again(struct tg_takeover *takeover)
{
    for (struct tg_list *node = takeover->tellings.next; node != &takeover->tellings; node = node->next) {
        struct telling *telling = TG_CONTAINER(node, struct telling, node);
        if (telling->state == UNSURE && !telling->asking && ask(telling) != TG_OK) {
            return;
        }
    }
}

static void abandon(struct tg_takeover *takeover)
{
    struct tg_list *node;
    while ((node = tg_list_pop(&takeover->tellings)) != NULL) {
        struct telling *telling = TG_CONTAINER(node, struct telling, node);
        telling->takeover = NULL;
        release(telling);
    }
}

/* ---- rows ---- */

static bool among(const struct tg_list *list, struct tg_slice id)
{
    for (const struct tg_list *node = list->next; node != list; node = node->next) {
        if (tg_slice_eq(id_of(TG_CONTAINER(node, struct telling, node)->row), id)) {
            return true;
        }
    }
    return false;
}

static bool in_page(const struct tg_list *page, struct tg_slice id)
{
    for (const struct tg_list *node = page->next; node != page; node = node->next) {
        const struct page_row *row = TG_CONTAINER(node, struct page_row, node);
        if (tg_slice_eq(id_of(row), id)) {
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

static bool can_be_read(const struct page_row *row)
{
    struct tg_arena arena;
    struct tg_conn_info info;
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_wire_read_row(&arena, tg_slice_make(row->bytes + row->id_len, row->len), &info);
    tg_arena_reset(&arena);
    return row->id_len == TG_CONNID_LEN && (err == TG_OK || err == TG_ENOMEM);
}

/* A row that cannot be read costs its own $disconnect. Takes the row. */
static void begin(struct tg_takeover *takeover, struct page_row *row)
{
    struct tg_cluster_counters *counters = &takeover->options.cluster->workers[takeover->options.worker];
    if (!can_be_read(row)) {
        tg_cluster_count(&counters->malformed, 1);
        tg_log(takeover->options.log, TG_LOG_ERROR, "row of a dead node not read, its $disconnect is lost",
               TG_KV_INT("node", takeover->options.node), TG_KV_ERR(TG_ESYNTAX));
        drop_row(takeover, id_of(row));
        free(row);
        return;
    }
    struct telling *telling = calloc(1, sizeof *telling);
    if (telling == NULL) {
        takeover->broken = true;
        free(row);
        return;
    }
    telling->takeover = takeover;
    telling->worker = takeover->at;
    telling->row = row;
    tg_list_init(&telling->node);
    tg_list_append(&takeover->tellings, &telling->node);
    issue(telling);
}

static void issue_page(struct tg_takeover *takeover)
{
    while (!takeover->broken && !takeover->stopped && !tg_list_empty(&takeover->page) &&
           takeover->options.room(takeover->options.arg) > 0) {
        struct page_row *row = TG_CONTAINER(tg_list_pop(&takeover->page), struct page_row, node);
        begin(takeover, row);
    }
}

static void keep_row(struct tg_takeover *takeover, struct tg_slice id, struct tg_slice bytes)
{
    /* A hash that shrinks shows rows twice. What was told of before this was read has no row any more. */
    if (among(&takeover->tellings, id) || in_page(&takeover->page, id)) {
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
    return takeover->read_all && tg_list_empty(&takeover->page) && tg_list_empty(&takeover->tellings);
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
    ask_again(takeover);
    bool ends = takeover->broken || takeover->stopped;
    if (ends && tg_list_empty(&takeover->tellings)) {
        end(takeover, false);
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
    tg_list_init(&takeover->tellings);
    tg_timer_init(&takeover->timer, on_timer);
    tg_timer_start(options->loop, &takeover->timer, 0);
    *out = takeover;
    return TG_OK;
}

void tg_takeover_free(struct tg_takeover *takeover)
{
    struct tg_list *node;
    tg_timer_stop(&takeover->timer);
    abandon(takeover);
    while ((node = tg_list_pop(&takeover->page)) != NULL) {
        free(TG_CONTAINER(node, struct page_row, node));
    }
    free(takeover);
}

size_t tg_takeover_unsure(const struct tg_takeover *takeover)
{
    size_t count = 0;
    for (const struct tg_list *node = takeover->tellings.next; node != &takeover->tellings;
         node = node->next) {
        const struct telling *telling = TG_CONTAINER(node, const struct telling, node);
        count += telling->state == UNSURE && !telling->quiet;
    }
    return count;
}

void tg_takeover_stop(struct tg_takeover *takeover)
{
    takeover->stopped = true;
}
