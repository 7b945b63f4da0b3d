/* Nodes of a cluster over a real redis-server: joining, pushes between them, rows, the death of one, loss of
 * the lease, a Redis that forgets, and one whose connections break at every possible place. */
#include "tests/unit/cluster_world.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "connmgr/member_private.h"

struct result {
    int calls;
    enum tg_push_outcome outcome;
    bool has_info;
    struct tg_push_op *op;
};

static void note_done(void *arg, enum tg_push_outcome outcome, const struct tg_push_info *info)
{
    struct result *result = arg;
    result->calls++;
    result->outcome = outcome;
    result->has_info = info != NULL && tg_slice_eq(info->source_ip, TG_LIT("203.0.113.9"));
}

static void start(struct node *node, enum tg_push_verb verb, const char *id, struct result *result)
{
    const struct tg_push_request request = {
        .verb = verb,
        .connection_id = tg_slice_cstr(id),
        .api_id = TG_LIT("chat"),
        .payload = TG_LIT("hello"),
        .timeout_ms = 1000,
    };
    *result = (struct result){0};
    assert_int_equal(tg_push_start(node->push, &request, note_done, result, &result->op), TG_OK);
    assert_int_equal(result->calls, 0);
}

/* ---- two nodes ---- */

static void test_pushes(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    /* No more rights than docs/cluster.md asks for. */
    static const char *const acl[] = {"--user",      "app",          "on",       ">p",     "~tidegate:*",
                                      "&tidegate:*", "+@connection", "+@pubsub", "+@hash", "+@string",
                                      "+@keyspace",  "+@scripting",  "+time",    NULL};
    char url[96];
    redis_server_start(server, acl);
    snprintf(url, sizeof url, "redis://app:p@127.0.0.1:%d", server->port);
    struct node *nodes[] = {node_new(url, LONG_LEASE_MS, false), node_new(url, LONG_LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]) && node_settled(nodes[1]));
    assert_int_not_equal(nodes[0]->number, nodes[1]->number);
    struct tg_socket *socket = node_open(nodes[0]);
    char id[TG_CONNID_LEN + 1];
    memcpy(id, tg_conn_id(socket->conn), sizeof id);
    struct result result;
    start(nodes[1], TG_PUSH_POST, id, &result);
    NODES_UNTIL(nodes, result.calls == 1);
    assert_int_equal(result.outcome, TG_PUSH_DONE);
    ASSERT_WRITTEN(socket, "\x81\x05hello");
    start(nodes[1], TG_PUSH_GET, id, &result);
    NODES_UNTIL(nodes, result.calls == 1);
    assert_int_equal(result.outcome, TG_PUSH_DONE);
    assert_true(result.has_info);
    assert_int_equal(rows_of(server, nodes[0]->number), 1);
    start(nodes[1], TG_PUSH_DELETE, id, &result);
    NODES_UNTIL(nodes, result.calls == 1);
    assert_int_equal(result.outcome, TG_PUSH_DONE);
    assert_int_equal(socket->close_code, 1000);
    end_conn(socket);
    assert_int_equal(nodes[0]->issued_count, 0);
    NODES_UNTIL(nodes, nodes[0]->issued_count == 1); /* when Redis has taken the row away */
    start(nodes[1], TG_PUSH_POST, id, &result);
    NODES_UNTIL(nodes, result.calls == 1);
    assert_int_equal(result.outcome, TG_PUSH_GONE);
    assert_int_equal(rows_of(server, nodes[0]->number), 0);
    assert_int_equal(nodes[1]->cluster->workers[0].asked, 4);
    assert_int_equal(nodes[0]->cluster->workers[0].served, 4);
    node_free(nodes[0]);
    node_free(nodes[1]);
}

/* One write to Redis carries all that a pass sends. */
static void test_pipelining(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LONG_LEASE_MS, false),
                            node_new(server->url, LONG_LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]) && node_settled(nodes[1]));
    struct tg_socket *socket = node_open(nodes[0]);
    struct result results[50];
    const struct tg_redis_counters *redis = &nodes[1]->cluster->workers[0].redis;
    uint64_t trips = redis->round_trips, commands = redis->commands;
    for (size_t i = 0; i < 50; i++) {
        start(nodes[1], TG_PUSH_POST, tg_conn_id(socket->conn), &results[i]);
    }
    NODES_UNTIL(nodes, redis->commands >= commands + 50);
    assert_in_range(redis->round_trips - trips, 1, 2); /* perhaps with a probe */
    NODES_UNTIL(nodes, results[49].calls == 1);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(results[i].outcome, TG_PUSH_DONE);
    }
    end_conn(socket);
    node_free(nodes[0]);
    node_free(nodes[1]);
}

/* A node with so many connections, whose ids are given back, is killed. Returns the survivor. */
static struct node *kill_one_of_two(struct redis_server *server, char ids[][TG_CONNID_LEN + 1], size_t count)
{
    struct tg_socket *sockets[ISSUED_MAX];
    assert_true(count <= ISSUED_MAX);
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false), node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]) && node_settled(nodes[1]));
    for (size_t i = 0; i < count; i++) {
        sockets[i] = node_open(nodes[0]);
        memcpy(ids[i], tg_conn_id(sockets[i]->conn), TG_CONNID_LEN + 1);
    }
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == (long)count);
    /* Killed: its connection to Redis goes, and it never hears of what follows. */
    tg_uplink_close(nodes[0]->link);
    end_all(nodes[0], sockets, count);
    node_free(nodes[0]);
    return nodes[1];
}

static void test_death(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    char ids[40][TG_CONNID_LEN + 1];
    struct node *survivor[] = {kill_one_of_two(server, ids, 40)};
    uint64_t began = tg_loop_now_ns();
    survivor[0]->room = 7;
    NODES_UNTIL(survivor, survivor[0]->issued_count == 40 && survivor[0]->takeover == NULL);
    assert_true((tg_loop_now_ns() - began) / 1000000 < 2 * LEASE_MS + 2000); /* of a loaded machine */
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(node_times_issued(survivor[0], ids[i]), 1);
    }
    struct result result;
    start(survivor[0], TG_PUSH_POST, ids[0], &result);
    NODES_UNTIL(survivor, result.calls == 1);
    assert_int_equal(result.outcome, TG_PUSH_GONE);
    NODES_UNTIL(survivor, ask(server, "HLEN tidegate:{unit}:nodes") == 1);
    assert_int_equal(tg_member_takeovers(survivor[0]->member), 1);
    node_free(survivor[0]);
}

/* Redis stands still when it is asked whose the events are, and the connections to it break: nobody is told
 * before the answer, and what Redis did meanwhile is found out. */
static void test_death_and_no_answer(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    char ids[10][TG_CONNID_LEN + 1];
    struct node *survivor[] = {kill_one_of_two(server, ids, 10)};
    survivor[0]->room = 10;
    survivor[0]->stops = server->pid;
    NODES_UNTIL(survivor, survivor[0]->refused == 10);
    assert_int_equal(survivor[0]->issued_count, 0);
    assert_int_equal(kill(server->pid, SIGCONT), 0);
    NODES_UNTIL(survivor, tg_member_takeovers(survivor[0]->member) == 1 && survivor[0]->takeover == NULL);
    assert_int_equal(survivor[0]->issued_count, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(node_times_issued(survivor[0], ids[i]), 1);
    }
    node_free(survivor[0]);
}

static void test_orderly_end(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LONG_LEASE_MS, false),
                            node_new(server->url, LONG_LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]) && node_settled(nodes[1]));
    struct tg_socket *socket = node_open(nodes[0]);
    char id[TG_CONNID_LEN + 1];
    memcpy(id, tg_conn_id(socket->conn), sizeof id);
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 1); /* and not none yet */
    end_conn(socket);
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 0);
    tg_member_leave(nodes[0]->member);
    NODES_UNTIL(nodes, tg_member_left(nodes[0]->member));
    uint32_t number = nodes[0]->number;
    struct node *other[] = {nodes[1]};
    node_free(nodes[0]);
    NODES_UNTIL(other, !has_inbox(server, number));
    struct result result;
    start(other[0], TG_PUSH_POST, id, &result);
    NODES_UNTIL(other, result.calls == 1);
    assert_int_equal(result.outcome, TG_PUSH_GONE); /* at once */
    assert_int_equal(other[0]->issued_count, 0);
    node_free(other[0]);
}

/* A refresh that is answered after the leave was sent takes nothing up again. */
static void test_leaving_while_refreshing(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false)};
    struct tg_member *member = nodes[0]->member;
    NODES_UNTIL(nodes, node_settled(nodes[0]) && member->busy);
    tg_member_leave(member);
    NODES_UNTIL(nodes, tg_member_left(member) && !member->busy);
    uint64_t now = tg_loop_now_ms(nodes[0]->fixture.loop);
    assert_false(tg_cluster_held(nodes[0]->cluster, nodes[0]->number, now));
    node_free(nodes[0]);
}

/* What was not held for a moment is not held again: workers may have seen it. */
static void test_kept_too_late(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false)};
    struct tg_member *member = nodes[0]->member;
    NODES_UNTIL(nodes, node_settled(nodes[0]) && member->busy);
    uint32_t number = nodes[0]->number;
    tg_lease_set(&nodes[0]->cluster->lease, number, tg_loop_now_ns() / 1000000);
    NODES_UNTIL(nodes, !member->busy || tg_member_node(member) != number);
    assert_int_not_equal(tg_member_node(member), number);
    NODES_UNTIL(nodes, node_settled(nodes[0]) && nodes[0]->number != number);
    node_free(nodes[0]);
}

/* A number that is got too late is given back. */
static void test_leaving_while_joining(void **state)
{
    struct redis_server *server = *state;
    char line[96];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LONG_LEASE_MS, false)};
    struct tg_member *member = nodes[0]->member;
    NODES_UNTIL(nodes, member->busy);
    assert_int_equal(tg_member_node(member), 0);
    tg_member_leave(member);
    NODES_UNTIL(nodes, !member->busy && tg_member_left(member));
    assert_int_equal(nodes[0]->joined, 0);
    assert_int_equal(tg_member_node(member), 0);
    snprintf(line, sizeof line, "EXISTS tidegate:{unit:%u}:lease", member->wanted);
    assert_int_equal(ask(server, line), 0);
    snprintf(line, sizeof line, "EXISTS tidegate:{unit:%u}:dead", member->wanted);
    assert_int_equal(ask(server, line), 1);
    node_free(nodes[0]);
}

/* ---- one node and its lease ---- */

static void test_claimed_by_another(void **state)
{
    struct redis_server *server = *state;
    char line[96];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]));
    uint32_t number = nodes[0]->number;
    struct tg_socket *socket = node_open(nodes[0]);
    struct tg_socket *unknown = open_conn(&nodes[0]->fixture); /* its row has never reached Redis */
    char id[TG_CONNID_LEN + 1], unknown_id[TG_CONNID_LEN + 1];
    memcpy(id, tg_conn_id(socket->conn), sizeof id);
    memcpy(unknown_id, tg_conn_id(unknown->conn), sizeof unknown_id);
    snprintf(line, sizeof line, "SET tidegate:{unit:%u}:claim another", number);
    ask(server, line);
    snprintf(line, sizeof line, "DEL tidegate:{unit:%u}:lease", number);
    ask(server, line);
    NODES_UNTIL(nodes, nodes[0]->lost >= 1);
    assert_int_equal(socket->close_code, 1012);
    assert_null(tg_conn_get_open(nodes[0]->fixture.mgr, tg_conn_handle(socket->conn)));
    struct tg_conn_handle handle;
    char unused[TG_CONNID_LEN + 1];
    assert_int_equal(tg_conn_reserve(nodes[0]->fixture.mgr, &handle, unused), TG_EAGAIN);
    end_conn(socket);
    end_conn(unknown);
    assert_int_equal(nodes[0]->issued_count, 0); /* another's to tell */
    NODES_UNTIL(nodes, nodes[0]->joined >= 2 && node_settled(nodes[0]));
    assert_int_not_equal(nodes[0]->number, number);
    assert_int_equal(nodes[0]->settled, 0); /* the other is at it */
    snprintf(line, sizeof line, "HSET tidegate:{unit:%u}:told %s 1", number, id);
    ask(server, line);
    snprintf(line, sizeof line, "SET tidegate:{unit:%u}:dead 1", number);
    ask(server, line);
    NODES_UNTIL(nodes, nodes[0]->settled >= 1 && nodes[0]->issued_count > 0);
    assert_int_equal(nodes[0]->issued_count, 1); /* nobody else could know of it */
    assert_string_equal(nodes[0]->issued[0], unknown_id);
    struct result result;
    start(nodes[0], TG_PUSH_POST, id, &result);
    NODES_UNTIL(nodes, result.calls == 1);
    assert_int_equal(result.outcome, TG_PUSH_GONE);
    node_free(nodes[0]);
}

/* A process that wakes up after its lease has another number before its worker is told. */
static void test_new_number_not_yet_told(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LONG_LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]));
    struct node *node = nodes[0];
    struct tg_socket *sockets[2] = {node_open(node), node_open(node)};
    struct tg_conn_handle handle = tg_conn_handle(sockets[0]->conn);
    assert_non_null(tg_conn_get_open(node->fixture.mgr, handle));
    tg_lease_set(&node->cluster->lease, node->number + 1, TG_LEASE_FOREVER);
    assert_null(tg_conn_get_open(node->fixture.mgr, handle));
    tg_conn_socket_events.on_message(sockets[0]->conn, TG_LIT("late"), false);
    assert_int_equal(node->fixture.messages, 0);
    end_conn(sockets[0]);
    assert_int_equal(node->issued_count, 0);
    tg_lease_set(&node->cluster->lease, node->number, TG_LEASE_FOREVER);
    end_conn(sockets[1]);
    NODES_UNTIL(nodes, node->issued_count == 1);
    node_free(node);
}

static void test_flushed(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]));
    struct tg_socket *sockets[3] = {node_open(nodes[0]), node_open(nodes[0]), node_open(nodes[0])};
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 3);
    ask(server, "FLUSHALL");
    ask(server, "SCRIPT FLUSH"); /* and they are sent again */
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 3);
    assert_true(nodes[0]->forgotten >= 1);
    assert_int_equal(nodes[0]->lost, 0);
    assert_int_equal(ask(server, "HLEN tidegate:{unit}:nodes"), 1);
    end_all(nodes[0], sockets, 3);
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 0);
    node_free(nodes[0]);
}

static void forget_alone(const struct redis_server *server, uint32_t number)
{
    char line[160];
    snprintf(line, sizeof line,
             "DEL tidegate:{unit:%u}:lease tidegate:{unit:%u}:known tidegate:{unit:%u}:rows:0", number,
             number, number);
    assert_int_equal(ask(server, line), 3);
}

/* As when one primary of a Redis Cluster is flushed: who still has a lease there, and the index, looks on. */
static void test_one_forgotten(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false), node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]) && node_settled(nodes[1]));
    struct tg_socket *socket = node_open(nodes[0]);
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 1);
    for (int i = 1; i <= 3; i++) {
        NODES_UNTIL(nodes, tg_cluster_intact(nodes[1]->cluster, tg_loop_now_ns() / 1000000));
        forget_alone(server, nodes[0]->number);
        NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 1);
        assert_true(nodes[0]->forgotten >= i);
        assert_int_equal(nodes[0]->lost, 0);
        assert_int_equal(tg_member_takeovers(nodes[1]->member), 0);
    }
    /* Forgotten and dead: it has a lease's time, and then is claimed. */
    NODES_UNTIL(nodes, tg_cluster_intact(nodes[1]->cluster, tg_loop_now_ns() / 1000000));
    forget_alone(server, nodes[0]->number);
    tg_uplink_close(nodes[0]->link);
    end_all(nodes[0], &socket, 1);
    node_free(nodes[0]);
    struct node *survivor[] = {nodes[1]};
    uint64_t began = tg_loop_now_ns();
    NODES_UNTIL(survivor, tg_member_takeovers(survivor[0]->member) == 1);
    assert_true((tg_loop_now_ns() - began) / 1000000 >= LEASE_MS);
    node_free(survivor[0]);
}

/* ---- two workers of one node ---- */

struct pair {
    struct tg_bus_port *ports[2];
    int answers;
};

static void answer_or_count(void *arg, struct tg_envelope *envelope)
{
    struct pair *pair = arg;
    if (envelope->kind == TG_ENVELOPE_PUSH) {
        struct tg_envelope *answer;
        const struct tg_envelope model = {.kind = TG_ENVELOPE_ANSWER, .to = envelope->from};
        tg_bus_renumber(pair->ports[0], 8);
        assert_int_equal(tg_envelope_new(&model, &answer), TG_OK);
        assert_int_equal(tg_bus_send(pair->ports[0], answer), TG_OK);
    } else {
        pair->answers++;
    }
    tg_envelope_free(envelope);
}

/* The number changes on one worker before the other: what they say to each other arrives. Without Redis. */
static void test_workers_of_two_numbers(void **state)
{
    struct pair pair = {0};
    struct tg_loop *loop;
    struct tg_bus *bus;
    struct tg_cluster *cluster;
    struct tg_uplink *links[2];
    struct tg_envelope *question;
    const struct tg_cluster_settings settings = {.name = TG_LIT("unit"),
                                                 .url = {.path = TG_LIT("/nowhere/redis.sock")},
                                                 .workers = 2,
                                                 .lease_ms = LEASE_MS,
                                                 .probe_ms = PROBE_MS,
                                                 .pause_min_ms = 1000,
                                                 .pause_max_ms = 1000,
                                                 .max_pending = 64,
                                                 .max_unsent = 1 << 16};
    (void)state;
    assert_int_equal(tg_loop_new(&loop), TG_OK);
    assert_int_equal(tg_cluster_new(&settings, &cluster), TG_OK);
    assert_int_equal(tg_bus_redis_new(cluster, 8, &bus), TG_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(tg_uplink_new(cluster, loop, NULL, (int)i, &links[i]), TG_OK);
        tg_bus_redis_lend(bus, i, links[i], NULL);
        assert_int_equal(tg_bus_open(bus, loop, i, answer_or_count, &pair, &pair.ports[i]), TG_OK);
        tg_bus_renumber(pair.ports[i], 7);
    }
    const struct tg_envelope model = {
        .kind = TG_ENVELOPE_PUSH, .from = {.node = 7, .worker = 1}, .to = {.node = 7, .worker = 0}};
    assert_int_equal(tg_envelope_new(&model, &question), TG_OK);
    assert_int_equal(tg_bus_send(pair.ports[1], question), TG_OK);
    for (int i = 0; i < 100 && pair.answers == 0; i++) {
        tg_loop_run_once(loop);
    }
    assert_int_equal(pair.answers, 1);
    for (size_t i = 0; i < 2; i++) {
        tg_uplink_close(links[i]);
        tg_bus_close(pair.ports[i]);
        tg_uplink_free(links[i]);
    }
    tg_bus_free(bus);
    tg_cluster_free(cluster);
    tg_loop_free(loop);
}

/* ---- one node and its Redis ---- */

/* A Redis that is away for longer than the lease and comes back empty: the node itself remembers. */
static void test_orphans(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]));
    struct tg_socket *sockets[3] = {node_open(nodes[0]), node_open(nodes[0]), node_open(nodes[0])};
    char ids[3][TG_CONNID_LEN + 1];
    for (size_t i = 0; i < 3; i++) {
        memcpy(ids[i], tg_conn_id(sockets[i]->conn), sizeof ids[i]);
    }
    redis_server_kill(server);
    tg_lease_set(&nodes[0]->cluster->lease, 0, 0);
    end_all(nodes[0], sockets, 1); /* over, and the worker has not been told */
    assert_int_equal(nodes[0]->lost, 0);
    NODES_UNTIL(nodes, nodes[0]->lost >= 1);
    end_all(nodes[0], sockets, 2); /* the last one ends late */
    assert_int_equal(nodes[0]->issued_count, 0);
    redis_server_start(server, NULL);
    NODES_UNTIL(nodes, nodes[0]->joined >= 2);
    struct result result; /* what it was itself, it need not ask about */
    start(nodes[0], TG_PUSH_POST, ids[0], &result);
    NODES_UNTIL(nodes, result.calls > 0);
    assert_int_equal(result.outcome, TG_PUSH_GONE);
    NODES_UNTIL(nodes, nodes[0]->issued_count == 3 && nodes[0]->takeover == NULL);
    end_all(nodes[0], sockets, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(node_times_issued(nodes[0], ids[i]), 1);
    }
    assert_int_equal(nodes[0]->issued_count, 3);
    node_free(nodes[0]);
}

static void test_kept_when_cut_off(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, true)};
    NODES_UNTIL(nodes, node_settled(nodes[0]));
    struct tg_socket *socket = node_open(nodes[0]);
    uint32_t number = nodes[0]->number;
    redis_server_kill(server);
    uint64_t until = tg_loop_now_ms(nodes[0]->fixture.loop) + 3 * LEASE_MS / 2;
    NODES_UNTIL(nodes, tg_loop_now_ms(nodes[0]->fixture.loop) >= until);
    assert_int_equal(nodes[0]->lost, 0);
    redis_server_start(server, NULL);
    NODES_UNTIL(nodes, nodes[0]->forgotten >= 1 && node_settled(nodes[0]));
    assert_int_equal(nodes[0]->number, number);
    NODES_UNTIL(nodes, rows_of(server, number) == 1);
    end_conn(socket);
    node_free(nodes[0]);
}

/* ---- connections that break anywhere ---- */

/* Passes bytes to the server; the connections that are open when the allowance of bytes from clients is used
 * up are cut, in the middle of whatever they were saying, once. */
struct relay {
    int listener, port;
    const struct redis_server *server;
    _Atomic(long) allowance; /* < 0: no limit any more */
    _Atomic(bool) stop;
    pthread_t thread;
    int pairs[32][2];
    size_t count;
};

static void relay_cut(struct relay *relay)
{
    for (size_t i = 0; i < relay->count; i++) {
        close(relay->pairs[i][0]);
        close(relay->pairs[i][1]);
    }
    relay->count = 0;
}

static void relay_accept(struct relay *relay)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", relay->server->socket);
    int near = accept(relay->listener, NULL, NULL), far = socket(AF_UNIX, SOCK_STREAM, 0);
    if (near < 0 || relay->count == 32 || connect(far, (struct sockaddr *)&address, sizeof address) != 0) {
        close(near);
        close(far);
        return;
    }
    relay->pairs[relay->count][0] = near;
    relay->pairs[relay->count++][1] = far;
}

/* False when the pair has ended, or all were cut. */
static bool relay_pass(struct relay *relay, size_t at, int from)
{
    char bytes[4096];
    ssize_t got = recv(relay->pairs[at][from], bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0 && from == 0 && relay->allowance >= 0) {
        long left = relay->allowance;
        if (got > left) {
            (void)!send(relay->pairs[at][1], bytes, (size_t)left, MSG_NOSIGNAL);
            relay->allowance = -1;
            relay_cut(relay);
            return false;
        }
        relay->allowance = left - got;
    }
    if (got > 0) {
        return send(relay->pairs[at][1 - from], bytes, (size_t)got, MSG_NOSIGNAL) == got;
    }
    return got < 0;
}

static void *relay_run(void *arg)
{
    struct relay *relay = arg;
    while (!relay->stop) {
        struct pollfd fds[1 + 64] = {{.fd = relay->listener, .events = POLLIN}};
        size_t count = relay->count;
        for (size_t i = 0; i < 2 * count; i++) {
            fds[1 + i] = (struct pollfd){.fd = relay->pairs[i / 2][i % 2], .events = POLLIN};
        }
        if (poll(fds, 1 + 2 * count, 20) <= 0) {
            continue;
        }
        for (size_t i = 2 * count; i-- > 0 && relay->count == count;) {
            if (fds[1 + i].revents != 0 && !relay_pass(relay, i / 2, (int)(i % 2)) && relay->count > 0) {
                close(relay->pairs[i / 2][0]);
                close(relay->pairs[i / 2][1]);
                memmove(relay->pairs[i / 2], relay->pairs[relay->count - 1], sizeof relay->pairs[0]);
                relay->count--;
            }
        }
        if (fds[0].revents != 0) {
            relay_accept(relay);
        }
    }
    relay_cut(relay);
    return NULL;
}

static void relay_start(struct relay *relay, const struct redis_server *server, long allowance)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    *relay = (struct relay){.server = server, .allowance = allowance};
    relay->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(relay->listener, 32), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &len), 0);
    relay->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&relay->thread, NULL, relay_run, relay), 0);
}

static void relay_end(struct relay *relay)
{
    relay->stop = true;
    pthread_join(relay->thread, NULL);
    close(relay->listener);
}

/* Whatever breaks while a node joins, opens and closes connections and asks for others': it joins, what is in
 * Redis becomes what is open, and pushes work again. */
static void test_broken_anywhere(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    for (long allowance = 0; allowance < 14000; allowance += 379) {
        struct relay relay;
        char url[64];
        ask(server, "FLUSHALL");
        relay_start(&relay, server, allowance);
        snprintf(url, sizeof url, "redis://127.0.0.1:%d", relay.port);
        struct node *nodes[] = {node_new(url, LONG_LEASE_MS, false)};
        NODES_UNTIL(nodes, nodes[0]->joined > 0);
        struct tg_socket *sockets[6];
        for (size_t i = 0; i < 6; i++) {
            sockets[i] = node_open(nodes[0]);
            tg_loop_run_once(nodes[0]->fixture.loop);
        }
        end_all(nodes[0], sockets, 2);
        relay.allowance = -1; /* what was not used up breaks nothing */
        NODES_UNTIL(nodes, node_settled(nodes[0]));
        NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 4);
        assert_int_equal(nodes[0]->lost, 0);
        NODES_UNTIL(nodes, nodes[0]->issued_count == 2);
        end_all(nodes[0], sockets, 6);
        NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 0);
        node_free(nodes[0]);
        relay_end(&relay);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pushes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipelining, setup, teardown),
        cmocka_unit_test_setup_teardown(test_death, setup, teardown),
        cmocka_unit_test_setup_teardown(test_death_and_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orderly_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaving_while_refreshing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaving_while_joining, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claimed_by_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_number_not_yet_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_forgotten, setup, teardown),
        cmocka_unit_test(test_workers_of_two_numbers),
        cmocka_unit_test_setup_teardown(test_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_when_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_anywhere, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
