#include "server/app/node.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/app/node_private.h"

enum {
    AGAIN_MS = 100,
    MAX_UNSENT = 64 << 20, /* bytes that wait for a socket to Redis */
    LEAVE_MS = 1000
};

/* A worker's word that a takeover has ended, or that what was left of a number is written. */
struct word {
    struct tg_mail mail;
    uint32_t dead;
    bool is_restore, done;
};

static uint64_t milliseconds(double seconds)
{
    return (uint64_t)(seconds * 1000.0 + 0.5);
}

enum tg_err tg_node_cluster(const struct tg_config *config, size_t workers, struct tg_cluster **out)
{
    const struct tg_registry_settings *registry = &config->registry;
    char name[TG_CLUSTER_NAME_MAX];
    /* Channels know no databases: two clusters of one name in two databases stay apart by their names. */
    int len =
        registry->redis_url.database != 0
            ? snprintf(name, sizeof name, "%.*s/%u", TG_FMT(registry->cluster), registry->redis_url.database)
            : snprintf(name, sizeof name, "%.*s", TG_FMT(registry->cluster));
    struct tg_cluster_settings settings = {
        .name = tg_slice_make(name, (size_t)len),
        .url = registry->redis_url,
        .server_name = registry->tls.server_name_to_verify,
        .workers = workers,
        .lease_ms = milliseconds(registry->lease_seconds),
        .probe_ms = milliseconds(registry->probe_interval_seconds),
        .connect_timeout_ms = (uint64_t)registry->connect_timeout_millis,
        .command_timeout_ms = (uint64_t)registry->command_timeout_millis,
        .pause_min_ms = (uint64_t)registry->reconnect_min_millis,
        .pause_max_ms = (uint64_t)registry->reconnect_max_millis,
        .dead_ms = milliseconds(registry->dead_node_memory_seconds),
        .max_pending = (size_t)registry->max_pending_commands,
        .max_unsent = MAX_UNSENT,
        .keep_when_cut_off = registry->when_cut_off == TG_CUT_OFF_KEEP,
    };
    if (registry->redis_url.tls) {
        const struct tg_tls_client_options tls = {
            .ca_file = registry->tls.ca_file.len > 0 ? registry->tls.ca_file.ptr : NULL,
            .insecure = registry->tls.insecure_skip_verification,
        };
        enum tg_err err = tg_tls_client_new(&tls, &settings.tls);
        if (err != TG_OK) {
            return err;
        }
    }
    enum tg_err err = tg_cluster_new(&settings, out);
    if (err != TG_OK && settings.tls != NULL) {
        tg_tls_context_free(settings.tls);
    }
    return err;
}

/* ---- to the workers ---- */

static enum tg_err tell_join(void *worker, uint32_t number, const char *token)
{
    return tg_worker_join(worker, number, token);
}

static enum tg_err tell_fence(void *worker)
{
    return tg_worker_fence(worker);
}

static enum tg_err tell_rewrite(void *worker)
{
    return tg_worker_rewrite(worker);
}

static enum tg_err tell_settle(void *worker, uint32_t former, uint64_t known_until_ms)
{
    return tg_worker_settle(worker, former, known_until_ms);
}

static const struct tg_errand_ops errand_ops = {
    .join = tell_join, .fence = tell_fence, .rewrite = tell_rewrite, .settle = tell_settle};

/* Each worker, and who could not be told again after a while. */
static void run_errands(struct tg_node *node)
{
    bool all = true;
    for (size_t i = 0; i < node->worker_count; i++) {
        bool told = tg_errands_run(&node->errands[i], &errand_ops, node->workers[i]);
        if (!told && all && !node->refused) {
            tg_log(node->log, TG_LOG_WARN, "worker not told of the cluster, trying again",
                   TG_KV_INT("worker", i));
        }
        all = all && told;
    }
    node->refused = !all;
    if (!all) {
        tg_timer_start(node->loop, &node->again, AGAIN_MS);
    }
}

static void on_again(struct tg_timer *timer)
{
    run_errands(TG_CONTAINER(timer, struct tg_node, again));
}

static void on_joined(void *arg, uint32_t number, const char *token)
{
    struct tg_node *node = arg;
    node->reachable = false;
    for (size_t i = 0; i < node->worker_count; i++) {
        atomic_store(&node->cluster->workers[i].inbox_up, false); /* it was that of the number before */
        tg_errands_number(&node->errands[i], number, token);
    }
    run_errands(node);
}

static void on_lost(void *arg, uint32_t number)
{
    struct tg_node *node = arg;
    (void)number;
    for (size_t i = 0; i < node->worker_count; i++) {
        tg_errands_number(&node->errands[i], 0, NULL);
    }
    run_errands(node);
}

static void on_forgotten(void *arg)
{
    struct tg_node *node = arg;
    for (size_t i = 0; i < node->worker_count; i++) {
        tg_errands_rewrite(&node->errands[i]);
    }
    run_errands(node);
}

static void take_over(struct tg_node *node, uint32_t dead, uint32_t rows, const char *token)
{
    struct tg_worker *worker = node->workers[node->next_worker++ % node->worker_count];
    enum tg_err err = tg_worker_take_over(worker, dead, rows, token);
    if (err != TG_OK) {
        tg_log(node->log, TG_LOG_ERROR, "takeover not begun", TG_KV_INT("node", dead), TG_KV_ERR(err));
        tg_member_dealt_with(node->member, dead, false);
    }
}

static struct tg_node_restore *restore_of(struct tg_node *node, uint32_t number)
{
    for (size_t i = 0; i < TG_NODE_RESTORES; i++) {
        if (node->restores[i].node == number) {
            return &node->restores[i];
        }
    }
    return NULL;
}

static void restored(struct tg_node *node, uint32_t former, bool done)
{
    struct tg_node_restore *restore = restore_of(node, former);
    if (restore == NULL) {
        return;
    }
    restore->failed = restore->failed || !done;
    if (--restore->left > 0) {
        return;
    }
    restore->node = 0;
    if (restore->failed) {
        tg_member_dealt_with(node->member, former, false); /* to be claimed and tried once more */
    } else if (node->standing_back) {
        tg_member_leave_to_others(node->member, former);
    } else {
        take_over(node, former, restore->rows, restore->token);
    }
}

static void restore_own(struct tg_node *node, uint32_t former, uint32_t rows, const char *token, bool late)
{
    struct tg_node_restore *restore = restore_of(node, 0);
    if (restore == NULL || node->refused) { /* a worker may not know yet that the number is lost */
        tg_member_dealt_with(node->member, former, false);
        return;
    }
    *restore = (struct tg_node_restore){.node = former, .rows = rows, .left = node->worker_count};
    memcpy(restore->token, token, sizeof restore->token);
    for (size_t i = 0; i < node->worker_count; i++) {
        if (tg_worker_restore(node->workers[i], former, token, late) != TG_OK) {
            restored(node, former, false);
        }
    }
}

static void on_claimed(void *arg, uint32_t dead, uint32_t rows, const char *token, bool own, bool late)
{
    struct tg_node *node = arg;
    if (own) {
        restore_own(node, dead, rows, token, late);
    } else {
        take_over(node, dead, rows, token);
    }
}

static void on_settled(void *arg, uint32_t former, uint64_t known_until_ms)
{
    struct tg_node *node = arg;
    for (size_t i = 0; i < node->worker_count; i++) {
        if (!tg_errands_settled(&node->errands[i], former, known_until_ms)) {
            tg_log(node->log, TG_LOG_ERROR, "worker not told of the cluster", TG_KV_INT("worker", i));
        }
    }
    run_errands(node);
}

static const struct tg_member_events member_events = {.on_joined = on_joined,
                                                      .on_lost = on_lost,
                                                      .on_forgotten = on_forgotten,
                                                      .on_claimed = on_claimed,
                                                      .on_settled = on_settled};

/* ---- from the workers ---- */

static void send_word(struct tg_node *node, uint32_t dead, bool is_restore, bool done)
{
    struct word *word = malloc(sizeof *word);
    if (word == NULL) {
        return; /* the number stays marked as being dealt with here: another node's look finds it */
    }
    word->dead = dead;
    word->is_restore = is_restore;
    word->done = done;
    if (tg_mailbox_post(node->mailbox, &word->mail) != TG_OK) {
        free(word);
    }
}

void tg_node_on_taken_over(void *arg, uint32_t dead, bool done)
{
    send_word(*(struct tg_node **)arg, dead, false, done);
}

void tg_node_on_restored(void *arg, uint32_t former, bool done)
{
    send_word(*(struct tg_node **)arg, former, true, done);
}

static void on_mail(void *arg, struct tg_mail *mail)
{
    struct tg_node *node = arg;
    struct word *word = TG_CONTAINER(mail, struct word, mail);
    if (word->is_restore) {
        restored(node, word->dead, word->done);
    } else if (node->standing_back && !word->done) {
        tg_member_leave_to_others(node->member, word->dead);
    } else {
        tg_member_dealt_with(node->member, word->dead, word->done);
    }
    free(word);
}

static void drop_mail(void *arg, struct tg_mail *mail)
{
    (void)arg;
    free(TG_CONTAINER(mail, struct word, mail));
}

/* ---- readiness ---- */

/* What a worker lacks, of those that should have it all. */
static const char *worker_trouble(const struct tg_node *node)
{
    for (size_t i = 0; i < node->worker_count; i++) {
        const struct tg_cluster_counters *worker = &node->cluster->workers[i];
        if (!atomic_load(&worker->commands_up)) {
            return "a worker has no connection to Redis";
        }
        if (!atomic_load(&worker->inbox_up)) {
            return "a worker's inbox is not open";
        }
    }
    return NULL;
}

const char *tg_node_trouble(const struct tg_node *node)
{
    const char *problem = tg_member_problem(node->member);
    return problem != NULL ? problem : worker_trouble(node);
}

const char *tg_node_unready(struct tg_node *node)
{
    const char *trouble = tg_node_trouble(node);
    bool numbered = tg_member_node(node->member) != 0;
    node->reachable = numbered && (node->reachable || trouble == NULL);
    if (node->reachable && (trouble == NULL || !node->trouble_makes_unready)) {
        return NULL;
    }
    (void)snprintf(node->unready, sizeof node->unready, "registry: %s%s",
                   numbered ? "" : "no number in the cluster: ", trouble != NULL ? trouble : "joining");
    for (char *at = node->unready; *at != '\0'; at++) { /* the server's words may have anything in them */
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ' || (unsigned char)*at > '~') {
            *at = '\'';
        }
    }
    return node->unready;
}

/* ---- start and end ---- */

enum tg_err tg_node_new(struct tg_cluster *cluster, struct tg_loop *loop, struct tg_log *log,
                        const struct tg_registry_settings *settings, struct tg_worker *const *workers,
                        size_t worker_count, struct tg_node **out)
{
    struct tg_node *node = calloc(1, sizeof *node);
    if (node == NULL) {
        return TG_ENOMEM;
    }
    node->cluster = cluster;
    node->loop = loop;
    node->log = log;
    node->trouble_makes_unready = settings->trouble_makes_unready;
    node->workers = workers;
    node->worker_count = worker_count;
    tg_timer_init(&node->again, on_again);
    node->errands = calloc(worker_count, sizeof *node->errands);
    /* A worker sends a word for each task that it got. */
    size_t words = TG_MEMBER_CLAIMS + TG_NODE_RESTORES * worker_count;
    enum tg_err err = node->errands != NULL ? TG_OK : TG_ENOMEM;
    if (err == TG_OK) {
        err = tg_mailbox_new(loop, words, on_mail, node, &node->mailbox);
    }
    if (err == TG_OK) {
        err = tg_member_new(cluster, loop, log, &member_events, node, &node->member);
    }
    if (err != TG_OK) {
        tg_node_free(node);
        return err;
    }
    *out = node;
    return TG_OK;
}

void tg_node_free(struct tg_node *node)
{
    if (node == NULL) {
        return;
    }
    tg_member_free(node->member);
    tg_timer_stop(&node->again);
    if (node->mailbox != NULL) {
        tg_mailbox_close(node->mailbox, drop_mail);
        tg_mailbox_free(node->mailbox);
    }
    free(node->errands);
    free(node);
}

void tg_node_stand_back(struct tg_node *node)
{
    node->standing_back = true;
    tg_member_stand_back(node->member);
}

void tg_node_begin_leave(struct tg_node *node)
{
    node->leaving = true;
    tg_member_leave(node->member);
}

bool tg_node_has_left(const struct tg_node *node)
{
    return tg_member_left(node->member);
}

void tg_node_leave(struct tg_node *node)
{
    uint64_t until = tg_loop_now_ms(node->loop) + LEAVE_MS;
    if (!node->leaving) {
        tg_node_begin_leave(node);
    }
    while (!tg_member_left(node->member) && tg_loop_now_ms(node->loop) < until) {
        tg_loop_run_once(node->loop); /* the membership's beat bounds the wait */
    }
    tg_loop_run_once(node->loop); /* what was sent last goes out */
}
