/* One message to many connections of several nodes, over a real redis-server: each node is asked once, and
 * what it cannot say is said for it. */
#include "tests/unit/cluster_world.h"

#include "connmgr/batch.h"

enum { EACH = 3, TIMEOUT_MS = 10000, MANY = 300, LONG = 131072 };

struct scene {
    struct node *nodes[2];
    struct tg_socket *sockets[2][EACH];
    struct tg_connid ids[2 * EACH]; /* of the first node, then of the second */
    int calls;
    size_t count;
    unsigned char outcomes[MANY];
    struct tg_slice payload;
};

static void note_done(void *arg, const unsigned char *outcomes)
{
    struct scene *scene = arg;
    scene->calls++;
    memcpy(scene->outcomes, outcomes, scene->count);
}

/* From the second node, until it is told. */
static void send_to(struct scene *scene, const struct tg_connid *ids, size_t count, size_t alive)
{
    const struct tg_batch_request request = {.ids = ids,
                                             .count = count,
                                             .api_id = TG_LIT("chat"),
                                             .payload = scene->payload,
                                             .timeout_ms = TIMEOUT_MS};
    struct tg_batch *batch;
    struct node *both[] = {scene->nodes[1], scene->nodes[0]}, *one[] = {scene->nodes[1]};
    scene->calls = 0;
    scene->count = count;
    assert_int_equal(tg_batch_start(scene->nodes[1]->push, &request, note_done, scene, &batch), TG_OK);
    if (alive == 2) {
        NODES_UNTIL(both, scene->calls == 1);
    } else {
        NODES_UNTIL(one, scene->calls == 1);
    }
}

static void open_scene(struct redis_server *server, struct scene *scene)
{
    redis_server_start(server, NULL);
    for (size_t i = 0; i < 2; i++) {
        scene->nodes[i] = node_new(server->url, LONG_LEASE_MS, false);
    }
    NODES_UNTIL(scene->nodes, node_settled(scene->nodes[0]) && node_settled(scene->nodes[1]));
    for (size_t i = 0; i < 2 * EACH; i++) {
        struct tg_socket *socket = node_open(scene->nodes[i / EACH]);
        scene->sockets[i / EACH][i % EACH] = socket;
        assert_int_equal(
            tg_push_read_id(scene->nodes[1]->push, tg_slice_cstr(tg_conn_id(socket->conn)), &scene->ids[i]),
            TG_OK);
    }
    scene->payload = TG_LIT("hello");
}

static void close_node(struct scene *scene, size_t i)
{
    for (size_t j = 0; j < EACH; j++) {
        end_conn(scene->sockets[i][j]);
    }
    node_free(scene->nodes[i]);
}

static void assert_outcomes(const struct scene *scene, enum tg_push_outcome first,
                            enum tg_push_outcome second)
{
    for (size_t i = 0; i < 2 * EACH; i++) {
        assert_int_equal(scene->outcomes[i], i < EACH ? first : second);
    }
}

static void test_two_nodes(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    static struct scene scene;
    static struct tg_connid many[MANY];
    static char text[LONG];
    open_scene(server, &scene);
    send_to(&scene, scene.ids, 2 * EACH, 2);
    assert_outcomes(&scene, TG_PUSH_DONE, TG_PUSH_DONE);
    for (size_t i = 0; i < 2 * EACH; i++) {
        ASSERT_WRITTEN(scene.sockets[i / EACH][i % EACH], "\x81\x05hello");
    }
    /* The longest payload, and more connections than a pass serves: most of these were never there. */
    memset(text, 'x', sizeof text);
    scene.payload = tg_slice_make(text, sizeof text);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = scene.ids[0];
        many[i].generation += (uint32_t)i;
    }
    send_to(&scene, many, MANY, 2);
    assert_int_equal(scene.outcomes[0], TG_PUSH_DONE);
    for (size_t i = 1; i < MANY; i++) {
        assert_int_equal(scene.outcomes[i], TG_PUSH_GONE);
    }
    assert_int_equal(tg_buf_size(&scene.sockets[0][0]->written), 2 + 5 + 10 + LONG);
    close_node(&scene, 0);
    close_node(&scene, 1);
}

/* Its inbox is nobody's, and it is not dead: nobody knows. */
static void test_cut_off(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    static struct scene scene;
    open_scene(server, &scene);
    uint32_t number = scene.nodes[0]->number;
    struct node *other[] = {scene.nodes[1]};
    tg_uplink_close(scene.nodes[0]->link);
    NODES_UNTIL(other, !has_inbox(server, number));
    send_to(&scene, scene.ids, 2 * EACH, 1);
    assert_outcomes(&scene, TG_PUSH_UNREACHABLE, TG_PUSH_DONE);
    close_node(&scene, 0);
    close_node(&scene, 1);
}

static void test_has_left(void **state)
{
    struct redis_server *server = *state;
    REDIS_OR_SKIP();
    static struct scene scene;
    open_scene(server, &scene);
    for (size_t i = 0; i < EACH; i++) {
        end_conn(scene.sockets[0][i]);
    }
    NODES_UNTIL(scene.nodes, rows_of(server, scene.nodes[0]->number) == 0);
    tg_member_leave(scene.nodes[0]->member);
    NODES_UNTIL(scene.nodes, tg_member_left(scene.nodes[0]->member));
    uint32_t number = scene.nodes[0]->number;
    struct node *other[] = {scene.nodes[1]};
    node_free(scene.nodes[0]);
    NODES_UNTIL(other, !has_inbox(server, number));
    send_to(&scene, scene.ids, 2 * EACH, 1);
    assert_outcomes(&scene, TG_PUSH_GONE, TG_PUSH_DONE);
    close_node(&scene, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_has_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
