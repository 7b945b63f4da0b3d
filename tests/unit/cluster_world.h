/* For tests of many nodes: nodes without sockets and workers' threads, each with a loop of its own, that
 * share a real redis-server. A node is one worker: connections, push, registry, membership, takeovers. */
#ifndef TG_TESTS_CLUSTER_WORLD_H
#define TG_TESTS_CLUSTER_WORLD_H

#include "tests/unit/redis_server.h"

#include "connmgr/bus.h"
#include "connmgr/member.h"
#include "connmgr/push.h"
#include "connmgr/registry.h"
#include "connmgr/takeover.h"
#include "tests/unit/fake_socket.h"

/* A loaded machine may let a process stand still for a second: the long lease is for tests of something else.
 */
enum { LEASE_MS = 2000, LONG_LEASE_MS = 60000, PROBE_MS = 50, ISSUED_MAX = 64, ROUNDS = 20000 };

struct node {
    struct fixture fixture;
    struct tg_cluster *cluster;
    struct tg_uplink *link;
    struct tg_registry *registry;
    struct tg_bus *bus;
    struct tg_push *push;
    struct tg_member *member;
    struct tg_takeover *takeover;
    uint32_t dead; /* being taken over */
    int joined, lost, forgotten, settled;
    uint32_t number;
    char token[TG_TOKEN_LEN];
    bool restored, stands_back;
    char issued[ISSUED_MAX][TG_CONNID_LEN + 1]; /* $disconnects: own and of the dead */
    size_t issued_count, room;
    size_t refused;         /* of the dead, by whoever had to be asked */
    pid_t stops;            /* by its next event of the dead; 0: nothing */
    struct tg_list waiting; /* struct leaving, without a turn */
    bool no_turns;          /* who ends waits */
    size_t left;            /* to others */
};

/* An event of a connection that has ended. */
struct leaving {
    struct tg_leaver leaver;
    struct node *node;
};

static inline void node_issue(struct node *node, const char *id)
{
    assert_true(node->issued_count < ISSUED_MAX);
    memcpy(node->issued[node->issued_count++], id, TG_CONNID_LEN + 1);
}

static inline void node_settle(struct leaving *leaving, bool ours)
{
    struct node *node = leaving->node;
    const struct tg_leaver *leaver = &leaving->leaver;
    if (ours && node->registry->ops->may_tell(node->registry, leaver->connection_id, leaver->info)) {
        node_issue(node, leaver->connection_id);
    } else {
        node->left++;
    }
    tg_conn_info_unref(leaver->info);
    free(leaving);
}

static inline void node_removed(struct tg_leaver *leaver, bool ours)
{
    node_settle(TG_CONTAINER(leaver, struct leaving, leaver), ours);
}

/* The turn of all that wait. */
static inline void node_take_turns(struct node *node)
{
    struct tg_list *item;
    while ((item = tg_list_pop(&node->waiting)) != NULL) {
        struct leaving *leaving = TG_CONTAINER(item, struct leaving, leaver.node);
        enum tg_removal removal = node->registry->ops->remove(node->registry, &leaving->leaver);
        if (removal != TG_REMOVAL_ASKED) {
            node_settle(leaving, removal == TG_REMOVAL_OURS);
        }
    }
}

static inline void node_closed(struct fixture *fixture, struct tg_conn *conn)
{
    struct node *node = TG_CONTAINER(fixture, struct node, fixture);
    struct leaving *leaving = calloc(1, sizeof *leaving);
    assert_non_null(leaving);
    leaving->node = node;
    leaving->leaver.info = tg_conn_info_ref(tg_conn_info(conn));
    leaving->leaver.removed = node_removed;
    memcpy(leaving->leaver.connection_id, tg_conn_id(conn), TG_CONNID_LEN + 1);
    tg_list_append(&node->waiting, &leaving->leaver.node);
    if (!node->no_turns) {
        node_take_turns(node);
    }
}

static inline void node_on_joined(void *arg, uint32_t number, const char *token)
{
    struct node *node = arg;
    node->joined++;
    node->number = number;
    memcpy(node->token, token, sizeof node->token);
    tg_registry_redis_renumber(node->registry, number, token);
    tg_push_renumber(node->push, number);
    tg_connmgr_renumber(node->fixture.mgr, number);
}

static inline bool node_close_one(void *arg, struct tg_conn *conn)
{
    (void)arg;
    tg_conn_close(conn, 1012, TG_EMPTY);
    return true;
}

static inline void node_on_lost(void *arg, uint32_t number)
{
    static const char none[TG_TOKEN_LEN] = {0};
    struct node *node = arg;
    assert_int_equal(number, node->number);
    node->lost++;
    tg_connmgr_renumber(node->fixture.mgr, 0);
    tg_registry_redis_renumber(node->registry, 0, none);
    tg_connmgr_each(node->fixture.mgr, node_close_one, NULL);
}

static inline void node_on_forgotten(void *arg)
{
    struct node *node = arg;
    node->forgotten++;
    tg_registry_redis_rewrite(node->registry);
}

static inline size_t node_room(void *arg)
{
    return ((struct node *)arg)->room;
}

/* An event of a dead node's, whose back end answers at once. */
struct node_event {
    struct node *node;
    void (*over)(void *event);
    void *event;
    char id[TG_CONNID_LEN + 1];
};

static inline void node_leave(void *arg, bool given)
{
    struct node_event event = *(struct node_event *)arg;
    free(arg);
    event.node->refused += !given;
    if (given) {
        node_issue(event.node, event.id);
    }
    event.over(event.event);
}

static inline void node_take(void *arg, const char *id, const struct tg_conn_info *info,
                             enum tg_leave (*gate)(void *event, tg_leave_fn *answer, void *answer_arg),
                             void (*over)(void *event), void *event)
{
    struct node_event *taken = calloc(1, sizeof *taken);
    assert_non_null(taken);
    assert_true(tg_slice_eq(info->api_id, TG_LIT("chat")));
    assert_true(tg_slice_eq(info->user_agent, TG_LIT("Mozilla/5.0")));
    taken->node = arg;
    taken->over = over;
    taken->event = event;
    memcpy(taken->id, id, sizeof taken->id);
    if (taken->node->stops > 0) {
        assert_int_equal(kill(taken->node->stops, SIGSTOP), 0);
        taken->node->stops = 0;
    }
    enum tg_leave leave = gate(event, node_leave, taken);
    if (leave != TG_LEAVE_LATER) {
        node_leave(taken, leave == TG_LEAVE_GIVEN);
    }
}

static inline void node_taken(void *arg, struct tg_takeover *takeover, bool done)
{
    struct node *node = arg;
    assert_ptr_equal(takeover, node->takeover);
    node->takeover = NULL;
    tg_member_dealt_with(node->member, node->dead, done);
}

static inline void node_start_takeover(struct node *node, uint32_t dead, uint32_t rows, const char *token)
{
    struct tg_takeover_options options = {
        .cluster = node->cluster,
        .loop = node->fixture.loop,
        .link = node->link,
        .node = dead,
        .rows = rows,
        .room = node_room,
        .issue = node_take,
        .ended = node_taken,
        .arg = node,
    };
    memcpy(options.token, token, sizeof options.token);
    node->dead = dead;
    assert_null(node->takeover);
    assert_int_equal(tg_takeover_new(&options, &node->takeover), TG_OK);
}

static inline void node_on_restored(void *arg, uint32_t number, bool done)
{
    (void)number;
    ((struct node *)arg)->restored = done;
}

static inline void node_on_claimed(void *arg, uint32_t dead, uint32_t rows, const char *token, bool own,
                                   bool late)
{
    struct node *node = arg;
    if (node->takeover != NULL) { /* one at a time here */
        tg_member_dealt_with(node->member, dead, false);
        return;
    }
    if (own) {
        node->restored = false;
        tg_registry_redis_restore(node->registry, dead, token, late, node_on_restored, node);
        for (int i = 0; i < 100 && !node->restored && tg_uplink_up(node->link); i++) {
            tg_loop_run_once(node->fixture.loop); /* a worker of its own would do this elsewhere */
        }
        if (!node->restored) {
            tg_member_dealt_with(node->member, dead, false);
            return;
        }
        if (node->stands_back) {
            tg_member_leave_to_others(node->member, dead);
            return;
        }
    }
    node_start_takeover(node, dead, rows, token);
}

static inline void node_inherit(void *arg, const char *id, const struct tg_conn_info *info)
{
    assert_true(tg_slice_eq(info->user_agent, TG_LIT("Mozilla/5.0")));
    node_issue(arg, id);
}

static inline void node_on_settled(void *arg, uint32_t number, uint64_t known_until_ms)
{
    struct node *node = arg;
    const struct tg_registry_heir heir = {.room = node_room, .issue = node_inherit, .arg = node};
    node->settled++;
    tg_registry_redis_settle(node->registry, number, known_until_ms, &heir);
}

static const struct tg_member_events node_events = {
    .on_joined = node_on_joined,
    .on_lost = node_on_lost,
    .on_forgotten = node_on_forgotten,
    .on_claimed = node_on_claimed,
    .on_settled = node_on_settled,
};

static inline struct node *node_new(const char *url, uint64_t lease_ms, bool keep)
{
    struct node *node = calloc(1, sizeof *node);
    struct tg_arena arena;
    const char *problem = NULL;
    struct tg_cluster_settings settings = {
        .name = TG_LIT("unit"),
        .workers = 1,
        .lease_ms = lease_ms,
        .probe_ms = PROBE_MS,
        .connect_timeout_ms = 5000,
        .command_timeout_ms = 5000,
        .pause_min_ms = 2,
        .pause_max_ms = 20,
        .dead_ms = 60000,
        .max_pending = 1024,
        .max_unsent = 1 << 22,
        .keep_when_cut_off = keep,
    };
    assert_non_null(node);
    tg_list_init(&node->waiting);
    tg_arena_init(&arena, NULL);
    assert_int_equal(tg_redis_url_parse(&arena, tg_slice_cstr(url), &settings.url, &problem), TG_OK);
    assert_int_equal(tg_cluster_new(&settings, &node->cluster), TG_OK);
    tg_arena_reset(&arena);
    fixture_init(&node->fixture, 0, 64);
    node->fixture.during_closed = node_closed;
    node->room = ISSUED_MAX;
    struct fixture *fixture = &node->fixture;
    tg_connmgr_free(fixture->mgr); /* once more, with a lease */
    fixture->options.lease = &node->cluster->lease;
    assert_int_equal(tg_connmgr_new(&fixture->options, &fixture->mgr), TG_OK);
    assert_int_equal(tg_uplink_new(node->cluster, fixture->loop, NULL, 0, &node->link), TG_OK);
    assert_int_equal(tg_bus_redis_new(node->cluster, 64, &node->bus), TG_OK);
    tg_bus_redis_lend(node->bus, 0, node->link, NULL);
    assert_int_equal(tg_push_new(fixture->mgr, fixture->loop, node->bus, &fixture->options, &node->push),
                     TG_OK);
    tg_push_renumber(node->push, 0);
    tg_connmgr_renumber(fixture->mgr, 0);
    assert_int_equal(tg_registry_redis_new(node->cluster, node->link, &fixture->options, fixture->mgr,
                                           &node->waiting, &node->registry),
                     TG_OK);
    assert_int_equal(tg_member_new(node->cluster, fixture->loop, NULL, &node_events, node, &node->member),
                     TG_OK);
    return node;
}

/* As a process that is killed: nothing is given back. Its connections must be gone, or be abandoned with
 * node_abandon. */
static inline void node_free(struct node *node)
{
    tg_member_free(node->member);
    tg_uplink_close(node->link);
    if (node->takeover != NULL) {
        tg_takeover_free(node->takeover);
    }
    tg_push_free(node->push);
    tg_bus_free(node->bus);
    for (struct tg_list *item; (item = tg_list_pop(&node->waiting)) != NULL;) {
        node_settle(TG_CONTAINER(item, struct leaving, leaver.node), false);
    }
    node->registry->ops->free(node->registry);
    tg_uplink_free(node->link);
    fixture_free(&node->fixture);
    tg_cluster_free(node->cluster);
    free(node);
}

/* A client, with its row. */
static inline struct tg_socket *node_open(struct node *node)
{
    const struct tg_conn_info info = fixture_info();
    struct tg_socket *socket = open_conn(&node->fixture);
    node->registry->ops->put(node->registry, tg_conn_id(socket->conn), &info);
    return socket;
}

static inline void nodes_turn(struct node *const *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tg_loop_run_once(nodes[i]->fixture.loop);
    }
}

/* Runs the loops in turn until the condition holds; each turn takes at most a beat of the membership. */
#define NODES_UNTIL(nodes, condition)                                                                        \
    for (int rounds_ = 0; !(condition); rounds_++) {                                                         \
        assert_true(rounds_ < ROUNDS);                                                                       \
        nodes_turn((nodes), sizeof(nodes) / sizeof((nodes)[0]));                                             \
    }

static inline bool node_settled(const struct node *node)
{
    const struct tg_cluster_counters *worker = &node->cluster->workers[0];
    return node->joined > 0 && tg_member_node(node->member) != 0 && worker->commands_up && worker->inbox_up &&
           worker->rows_clean;
}

static inline size_t node_times_issued(const struct node *node, const char *id)
{
    size_t count = 0;
    for (size_t i = 0; i < node->issued_count; i++) {
        count += strcmp(node->issued[i], id) == 0;
    }
    return count;
}

static inline int setup(void **state)
{
    struct redis_server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    redis_server_make(server);
    *state = server;
    return 0;
}

static inline int teardown(void **state)
{
    redis_server_free(*state);
    free(*state);
    return 0;
}

/* The integer that a command answers with, asked on a connection of its own. */
static inline long ask(const struct redis_server *server, const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char reply[256] = "";
    size_t len = 0;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, line, strlen(line)), strlen(line));
    assert_int_equal(write(fd, "\r\n", 2), 2);
    while (len < sizeof reply - 1 && strchr(reply, '\n') == NULL) {
        ssize_t got = read(fd, reply + len, sizeof reply - 1 - len);
        assert_true(got > 0);
        len += (size_t)got;
    }
    close(fd);
    assert_true(reply[0] == ':' || reply[0] == '+');
    return strtol(reply + 1, NULL, 10);
}

static inline long rows_of(const struct redis_server *server, uint32_t number)
{
    char line[96];
    snprintf(line, sizeof line, "HLEN tidegate:{unit:%u}:rows:0", number);
    return ask(server, line);
}

/* Redis may learn later than the nodes that a connection was closed: what is published until then is lost,
 * and waited for. */
static inline bool has_inbox(const struct redis_server *server, uint32_t number)
{
    char line[96];
    snprintf(line, sizeof line, "PUBLISH tidegate:{unit:%u}:inbox:0 x", number);
    return ask(server, line) > 0;
}

static inline void end_all(struct node *node, struct tg_socket **sockets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sockets[i] != NULL) {
            end_conn(sockets[i]);
            sockets[i] = NULL;
        }
    }
    (void)node;
}

#endif
