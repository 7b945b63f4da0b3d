/* The Redis registry over a real redis-server: each connection's $disconnect is issued once, whatever happens
 * to the removal of its row. */
#include "tests/unit/cluster_world.h"

static struct node *settled_node(const struct redis_server *server, uint64_t lease_ms)
{
    struct node *nodes[] = {node_new(server->url, lease_ms, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]));
    return nodes[0];
}

static void copy_id(char id[TG_CONNID_LEN + 1], const struct tg_socket *socket)
{
    memcpy(id, tg_conn_id(socket->conn), TG_CONNID_LEN + 1);
}

/* What was sent is with the server, which does not read it. */
static void turns(struct node *const nodes[1], int count)
{
    for (int i = 0; i < count; i++) {
        nodes_turn(nodes, 1);
    }
}

/* Redis is away when the connection ends, and back before the lease is over. */
static void test_back_within_the_lease(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LONG_LEASE_MS)};
    struct tg_socket *sockets[3] = {node_open(nodes[0]), node_open(nodes[0]), node_open(nodes[0])};
    uint32_t number = nodes[0]->number;
    char ids[3][TG_CONNID_LEN + 1];
    for (size_t i = 0; i < 3; i++) {
        copy_id(ids[i], sockets[i]);
    }
    NODES_UNTIL(nodes, rows_of(server, number) == 3);
    redis_server_kill(server);
    end_all(nodes[0], sockets, 1); /* before that is known */
    NODES_UNTIL(nodes, !tg_uplink_up(nodes[0]->link));
    end_all(nodes[0], sockets, 2);
    turns(nodes, 20);
    assert_int_equal(nodes[0]->issued_count, 0); /* they wait */
    redis_server_start(server, NULL);
    NODES_UNTIL(nodes, nodes[0]->issued_count == 2 && node_settled(nodes[0]));
    assert_int_equal(nodes[0]->number, number);
    assert_int_equal(node_times_issued(nodes[0], ids[0]), 1);
    assert_int_equal(node_times_issued(nodes[0], ids[1]), 1);
    NODES_UNTIL(nodes, rows_of(server, number) == 1);
    end_all(nodes[0], sockets, 3);
    NODES_UNTIL(nodes, nodes[0]->issued_count == 3);
    node_free(nodes[0]);
}

/* Redis has taken the row away, and the node hears of it when its lease is over. */
static void test_acknowledged_too_late(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct tg_socket *sockets[2] = {node_open(nodes[0]), node_open(nodes[0])};
    const struct tg_redis_counters *redis = &nodes[0]->cluster->workers[0].redis;
    uint32_t number = nodes[0]->number;
    char ids[2][TG_CONNID_LEN + 1];
    copy_id(ids[0], sockets[0]);
    copy_id(ids[1], sockets[1]);
    NODES_UNTIL(nodes, rows_of(server, number) == 2);
    NODES_UNTIL(nodes, redis->answered == redis->commands); /* of its writing, too */
    end_all(nodes[0], sockets, 1);
    tg_uplink_flush(nodes[0]->link);
    while (rows_of(server, number) != 1) {
    } /* the node's loop stands still */
    tg_lease_set(&nodes[0]->cluster->lease, 0, 0);
    NODES_UNTIL(nodes, nodes[0]->lost >= 1 && nodes[0]->left == 1);
    assert_int_equal(nodes[0]->issued_count, 0);
    end_all(nodes[0], sockets, 2);
    NODES_UNTIL(nodes, nodes[0]->issued_count == 2 && nodes[0]->takeover == NULL);
    assert_int_equal(node_times_issued(nodes[0], ids[0]), 1);
    assert_int_equal(node_times_issued(nodes[0], ids[1]), 1);
    node_free(nodes[0]);
}

/* Nobody knows whether Redis has taken it away, until the lease is over; another node deals with the number,
 * and has told of one of the two. */
static void test_unknown_until_the_lease_is_over(void **state)
{
    struct redis_server *server = *state;
    char line[128];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct tg_socket *sockets[2] = {node_open(nodes[0]), node_open(nodes[0])};
    uint32_t number = nodes[0]->number;
    char ids[2][TG_CONNID_LEN + 1];
    copy_id(ids[0], sockets[0]);
    copy_id(ids[1], sockets[1]);
    NODES_UNTIL(nodes, rows_of(server, number) == 2);
    redis_server_kill(server);
    end_all(nodes[0], sockets, 2);
    tg_lease_set(&nodes[0]->cluster->lease, 0, 0);
    NODES_UNTIL(nodes, nodes[0]->lost >= 1 && nodes[0]->left == 2);
    assert_int_equal(nodes[0]->issued_count, 0);
    redis_server_start(server, NULL);
    snprintf(line, sizeof line, "HSET tidegate:{unit:%u}:told %s 1", number, ids[0]);
    ask(server, line);
    snprintf(line, sizeof line, "SET tidegate:{unit:%u}:dead 1", number);
    ask(server, line);
    NODES_UNTIL(nodes, nodes[0]->settled >= 1 && nodes[0]->issued_count > 0);
    assert_int_equal(nodes[0]->issued_count, 1);
    assert_string_equal(nodes[0]->issued[0], ids[1]);
    node_free(nodes[0]);
}

/* So long away that Redis may have forgotten what others did meanwhile: all that is left of the number. */
static void pass_memory(const struct node *node, struct node *running)
{
    struct node *nodes[] = {running};
    uint64_t until = node->cluster->settings.lease_ms + node->cluster->settings.dead_ms + tg_loop_boot_ms();
    NODES_UNTIL(nodes, tg_loop_boot_ms() > until);
}

/* Another node has told of all, and Redis has forgotten that. */
static void test_away_for_too_long(void **state)
{
    struct redis_server *server = *state;
    char line[128];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct node *others[] = {node_new(server->url, LEASE_MS, false)};
    nodes[0]->cluster->settings.dead_ms = others[0]->cluster->settings.dead_ms = 500;
    struct tg_socket *sockets[3] = {node_open(nodes[0]), node_open(nodes[0]), node_open(nodes[0])};
    uint32_t number = nodes[0]->number;
    NODES_UNTIL(nodes, rows_of(server, number) == 3);
    NODES_UNTIL(others, others[0]->issued_count == 3 && tg_member_takeovers(others[0]->member) == 1);
    snprintf(line, sizeof line, "EXISTS tidegate:{unit:%u}:dead tidegate:{unit:%u}:told", number, number);
    NODES_UNTIL(others, ask(server, line) == 0);
    pass_memory(nodes[0], others[0]);
    NODES_UNTIL(nodes, tg_member_takeovers(nodes[0]->member) == 1);
    end_all(nodes[0], sockets, 3);
    NODES_UNTIL(nodes, nodes[0]->left == 3 && tg_registry_redis_orphans(nodes[0]->registry) == 0);
    assert_int_equal(nodes[0]->issued_count, 0);
    node_free(others[0]);
    node_free(nodes[0]);
}

/* That it was dealt with is known, and not any more of whom others have told. */
static void test_settled_too_late(void **state)
{
    struct redis_server *server = *state;
    char line[128];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct tg_socket *sockets[2] = {node_open(nodes[0]), node_open(nodes[0])};
    uint32_t number = nodes[0]->number;
    nodes[0]->cluster->settings.dead_ms = 1;
    NODES_UNTIL(nodes, rows_of(server, number) == 2);
    redis_server_kill(server);
    NODES_UNTIL(nodes, nodes[0]->lost >= 1);
    end_all(nodes[0], sockets, 2);
    assert_int_equal(tg_registry_redis_orphans(nodes[0]->registry), 2);
    pass_memory(nodes[0], nodes[0]);
    redis_server_start(server, NULL);
    snprintf(line, sizeof line, "SET tidegate:{unit:%u}:dead 1", number);
    ask(server, line);
    NODES_UNTIL(nodes, nodes[0]->settled == 1 && tg_registry_redis_orphans(nodes[0]->registry) == 0);
    assert_int_equal(nodes[0]->issued_count, 0);
    node_free(nodes[0]);
}

/* Nobody else is there: what is in the rows has not been told. */
static void test_alone_and_away_for_too_long(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct node *nobody[] = {node_new("redis://127.0.0.1:1", LONG_LEASE_MS, false)};
    struct tg_socket *sockets[3] = {node_open(nodes[0]), node_open(nodes[0]), node_open(nodes[0])};
    uint32_t number = nodes[0]->number;
    char ids[3][TG_CONNID_LEN + 1], line[160];
    for (size_t i = 0; i < 3; i++) {
        copy_id(ids[i], sockets[i]);
    }
    nodes[0]->cluster->settings.dead_ms = 1;
    NODES_UNTIL(nodes, rows_of(server, number) == 3);
    snprintf(line, sizeof line, "HDEL tidegate:{unit:%u}:rows:0 %s", number, ids[2]);
    assert_int_equal(ask(server, line), 1); /* as if told of */
    pass_memory(nodes[0], nobody[0]);
    NODES_UNTIL(nodes, nodes[0]->issued_count >= 2 && tg_member_takeovers(nodes[0]->member) == 1);
    end_all(nodes[0], sockets, 3);
    assert_int_equal(nodes[0]->issued_count, 2);
    assert_int_equal(node_times_issued(nodes[0], ids[0]), 1);
    assert_int_equal(node_times_issued(nodes[0], ids[1]), 1);
    node_free(nobody[0]);
    node_free(nodes[0]);
}

/* A process that is about to end deals with nobody's death, and leaves what it had of an earlier number to
 * others, rows and all. */
static void test_standing_back(void **state)
{
    struct redis_server *server = *state;
    char line[128];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct node *dead[] = {settled_node(server, LEASE_MS)};
    struct tg_socket *of_dead[2] = {node_open(dead[0]), node_open(dead[0])};
    struct tg_socket *own[2] = {node_open(nodes[0]), node_open(nodes[0])};
    uint32_t number = dead[0]->number, former = nodes[0]->number;
    char ids[4][TG_CONNID_LEN + 1];
    for (size_t i = 0; i < 2; i++) {
        copy_id(ids[i], of_dead[i]);
        copy_id(ids[2 + i], own[i]);
    }
    NODES_UNTIL(dead, rows_of(server, number) == 2);
    NODES_UNTIL(nodes, rows_of(server, former) == 2);
    tg_uplink_close(dead[0]->link);
    end_all(dead[0], of_dead, 2);
    node_free(dead[0]);
    tg_member_stand_back(nodes[0]->member);
    nodes[0]->stands_back = true;
    snprintf(line, sizeof line, "DEL tidegate:{unit:%u}:rows:0", former);
    assert_int_equal(ask(server, line), 1); /* it alone knows of them */
    tg_lease_set(&nodes[0]->cluster->lease, 0, 0);
    NODES_UNTIL(nodes, nodes[0]->lost == 1);
    end_all(nodes[0], own, 2);
    NODES_UNTIL(nodes, nodes[0]->restored && tg_registry_redis_orphans(nodes[0]->registry) == 0);
    assert_int_equal(rows_of(server, former), 2);
    uint64_t until = tg_loop_boot_ms() + 3 * LEASE_MS / 2; /* when it would have claimed the dead */
    NODES_UNTIL(nodes, tg_loop_boot_ms() > until);
    snprintf(line, sizeof line, "EXISTS tidegate:{unit:%u}:claim tidegate:{unit:%u}:claim", number, former);
    assert_int_equal(ask(server, line), 0);
    assert_int_equal(nodes[0]->issued_count, 0);
    struct node *all[] = {nodes[0], node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(all, all[1]->issued_count == 4 && tg_member_takeovers(all[1]->member) == 2);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(node_times_issued(all[1], ids[i]), 1);
    }
    assert_int_equal(nodes[0]->issued_count, 0);
    node_free(all[1]);
    node_free(nodes[0]);
}

/* A survivor is cut off while its question whose the events are is on its way, for longer than its claim. It
 * tells nobody before it knows, and everybody once. */
static void test_cut_off_while_telling(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct node *dead[] = {settled_node(server, LEASE_MS)};
    struct tg_socket *sockets[3] = {node_open(dead[0]), node_open(dead[0]), node_open(dead[0])};
    uint32_t number = dead[0]->number;
    char ids[3][TG_CONNID_LEN + 1], line[128];
    for (size_t i = 0; i < 3; i++) {
        copy_id(ids[i], sockets[i]);
    }
    NODES_UNTIL(dead, rows_of(server, number) == 3);
    tg_uplink_close(dead[0]->link);
    end_all(dead[0], sockets, 3);
    node_free(dead[0]);
    nodes[0]->room = 0;
    const struct tg_redis_counters *redis = &nodes[0]->cluster->workers[0].redis;
    NODES_UNTIL(nodes, nodes[0]->takeover != NULL);
    uint64_t commands = redis->commands;
    NODES_UNTIL(nodes, redis->answered == redis->commands && redis->commands > commands); /* rows are read */
    ask(server, "CLIENT PAUSE 60000 WRITE");                                              /* no script runs */
    nodes[0]->room = ISSUED_MAX;
    NODES_UNTIL(nodes, nodes[0]->refused == 3);
    uint64_t until = tg_loop_boot_ms() + tg_cluster_claim_ms(nodes[0]->cluster);
    NODES_UNTIL(nodes, tg_loop_boot_ms() > until);
    ask(server, "CLIENT KILL TYPE normal SKIPME yes"); /* and those that waited never do */
    ask(server, "CLIENT UNPAUSE");
    assert_int_equal(rows_of(server, number), 3);
    assert_int_equal(nodes[0]->issued_count, 0);
    snprintf(line, sizeof line, "EXISTS tidegate:{unit:%u}:dead", number);
    NODES_UNTIL(nodes, ask(server, line) == 1);
    NODES_UNTIL(nodes, nodes[0]->takeover == NULL);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(node_times_issued(nodes[0], ids[i]), 1);
    }
    assert_int_equal(nodes[0]->issued_count, 3);
    node_free(nodes[0]);
}

/* Rows brought in line: those of events that wait stay, those of nobody go, and what is missing is written.
 */
static void test_waiting_rows_stay(void **state)
{
    struct redis_server *server = *state;
    char line[128];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LONG_LEASE_MS)};
    struct node *node = nodes[0];
    struct tg_socket *sockets[3] = {node_open(node), node_open(node), node_open(node)};
    uint32_t number = node->number;
    char waiting_id[TG_CONNID_LEN + 1];
    copy_id(waiting_id, sockets[0]);
    node->no_turns = true;
    end_all(node, sockets, 1);
    NODES_UNTIL(nodes, rows_of(server, number) == 3);
    snprintf(line, sizeof line, "HSET tidegate:{unit:%u}:rows:0 nobody 1", number);
    ask(server, line);
    tg_registry_redis_rewrite(node->registry);
    NODES_UNTIL(nodes, node_settled(node));
    NODES_UNTIL(nodes, rows_of(server, number) == 3); /* the removal is sent, not waited for */
    snprintf(line, sizeof line, "HEXISTS tidegate:{unit:%u}:rows:0 %s", number, waiting_id);
    assert_int_equal(ask(server, line), 1);
    snprintf(line, sizeof line, "DEL tidegate:{unit:%u}:rows:0", number);
    ask(server, line);
    tg_registry_redis_rewrite(node->registry);
    NODES_UNTIL(nodes, node_settled(node));
    assert_int_equal(rows_of(server, number), 3);
    node_take_turns(node);
    NODES_UNTIL(nodes, node->issued_count == 1);
    assert_int_equal(rows_of(server, number), 2);
    assert_string_equal(node->issued[0], waiting_id);
    end_all(node, sockets, 3);
    node_free(node);
}

/* Redis forgets, and then the node dies with events that wait. */
static void test_flush_and_death(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false), node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]) && node_settled(nodes[1]));
    struct tg_socket *sockets[8];
    char ids[8][TG_CONNID_LEN + 1];
    uint32_t number = nodes[0]->number;
    for (size_t i = 0; i < 8; i++) {
        sockets[i] = node_open(nodes[0]);
        copy_id(ids[i], sockets[i]);
    }
    NODES_UNTIL(nodes, rows_of(server, number) == 8);
    nodes[0]->no_turns = true;
    end_all(nodes[0], sockets, 5);
    ask(server, "FLUSHALL");
    NODES_UNTIL(nodes, rows_of(server, number) == 8);
    tg_uplink_close(nodes[0]->link);
    end_all(nodes[0], sockets, 8);
    node_free(nodes[0]);
    struct node *survivor[] = {nodes[1]};
    NODES_UNTIL(survivor, survivor[0]->issued_count == 8 && survivor[0]->takeover == NULL);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(node_times_issued(survivor[0], ids[i]), 1);
    }
    node_free(survivor[0]);
}

/* An event that waits when its node ends is left to a survivor: its row stays. */
static void test_waits_when_the_node_ends(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {node_new(server->url, LEASE_MS, false), node_new(server->url, LEASE_MS, false)};
    NODES_UNTIL(nodes, node_settled(nodes[0]) && node_settled(nodes[1]));
    struct tg_socket *sockets[2] = {node_open(nodes[0]), node_open(nodes[0])};
    char ids[2][TG_CONNID_LEN + 1];
    copy_id(ids[0], sockets[0]);
    copy_id(ids[1], sockets[1]);
    NODES_UNTIL(nodes, rows_of(server, nodes[0]->number) == 2);
    tg_uplink_close(nodes[0]->link); /* as one that is cut off */
    end_all(nodes[0], sockets, 1);
    nodes[0]->no_turns = true;
    end_all(nodes[0], sockets, 2);
    assert_int_equal(nodes[0]->issued_count, 0);
    node_free(nodes[0]);
    struct node *survivor[] = {nodes[1]};
    NODES_UNTIL(survivor, survivor[0]->issued_count == 2 && survivor[0]->takeover == NULL);
    assert_int_equal(node_times_issued(survivor[0], ids[0]), 1);
    assert_int_equal(node_times_issued(survivor[0], ids[1]), 1);
    node_free(survivor[0]);
}

/* Redis comes back with an older state: rows of connections that this process has told of itself. */
static void test_older_state(void **state)
{
    struct redis_server *server = *state;
    char line[160];
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LEASE_MS)};
    struct tg_socket *sockets[2] = {node_open(nodes[0]), node_open(nodes[0])};
    uint32_t number = nodes[0]->number;
    char ids[2][TG_CONNID_LEN + 1];
    copy_id(ids[0], sockets[0]);
    copy_id(ids[1], sockets[1]);
    NODES_UNTIL(nodes, rows_of(server, number) == 2);
    snprintf(line, sizeof line, "COPY tidegate:{unit:%u}:rows:0 older", number);
    ask(server, line);
    end_all(nodes[0], sockets, 1);
    NODES_UNTIL(nodes, nodes[0]->issued_count == 1);
    snprintf(line, sizeof line, "COPY older tidegate:{unit:%u}:rows:0 REPLACE", number);
    ask(server, line);
    tg_lease_set(&nodes[0]->cluster->lease, 0, 0);
    NODES_UNTIL(nodes, nodes[0]->lost >= 1);
    end_all(nodes[0], sockets, 2);
    NODES_UNTIL(nodes, nodes[0]->issued_count >= 2 && tg_member_takeovers(nodes[0]->member) >= 1);
    assert_int_equal(nodes[0]->issued_count, 2);
    assert_int_equal(node_times_issued(nodes[0], ids[0]), 1);
    assert_int_equal(node_times_issued(nodes[0], ids[1]), 1);
    node_free(nodes[0]);
}

/* A row that is being written is not removed before that has been answered. */
static void test_one_operation_of_a_row(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LONG_LEASE_MS)};
    struct node *node = nodes[0];
    const struct tg_redis_counters *redis = &node->cluster->workers[0].redis;
    kill(server->pid, SIGSTOP);
    struct tg_socket *sockets[2] = {node_open(node), node_open(node)};
    tg_uplink_flush(node->link);
    uint64_t commands = redis->commands;
    end_all(node, sockets, 1);
    tg_uplink_flush(node->link);
    assert_int_equal(redis->commands, commands);
    assert_int_equal(node->issued_count, 0);
    kill(server->pid, SIGCONT);
    NODES_UNTIL(nodes, node->issued_count == 1);
    assert_int_equal(rows_of(server, node->number), 1);
    /* Likewise while all are written anew. */
    ask(server, "FLUSHDB");
    node->no_turns = true;
    tg_registry_redis_rewrite(node->registry);
    commands = redis->commands;
    NODES_UNTIL(nodes,
                redis->commands > commands && redis->answered > 0 && rows_of(server, node->number) == 0);
    end_all(node, sockets, 2);
    node_take_turns(node);
    NODES_UNTIL(nodes, node->issued_count == 2);
    NODES_UNTIL(nodes, node_settled(node));
    assert_int_equal(rows_of(server, node->number), 0);
    node_free(node);
}

/* What an earlier rewriting asked for is not taken for the answer to a later one's. */
static void test_answers_of_an_earlier_rewriting(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    redis_server_start(server, NULL);
    struct node *nodes[] = {settled_node(server, LONG_LEASE_MS)};
    struct node *node = nodes[0];
    struct tg_socket *sockets[3] = {node_open(node), node_open(node), node_open(node)};
    uint32_t number = node->number;
    struct tg_cluster_key rows = tg_cluster_worker_key(node->cluster, number, 0, "rows");
    const struct tg_slice forget[] = {TG_LIT("DEL"), tg_cluster_key_slice(&rows)};
    NODES_UNTIL(nodes, rows_of(server, number) == 3);
    uint64_t rewrites = node->cluster->workers[0].rewrites;
    kill(server->pid, SIGSTOP);
    tg_registry_redis_rewrite(node->registry); /* finds three rows */
    assert_int_equal(tg_uplink_command(node->link, forget, 2, NULL, NULL), TG_OK);
    tg_registry_redis_renumber(node->registry, number, node->token);
    tg_registry_redis_rewrite(node->registry); /* finds none */
    turns(nodes, 3);
    kill(server->pid, SIGCONT);
    NODES_UNTIL(nodes, node->cluster->workers[0].rewrites > rewrites && node_settled(node));
    assert_int_equal(node->cluster->workers[0].rewrites, rewrites + 1);
    assert_int_equal(rows_of(server, number), 3);
    end_all(node, sockets, 3);
    node_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_back_within_the_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_acknowledged_too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_until_the_lease_is_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_away_for_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settled_too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alone_and_away_for_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_standing_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_off_while_telling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_rows_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_and_death, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_when_the_node_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_older_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_operation_of_a_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_of_an_earlier_rewriting, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
