/* Which Sentinel is asked, and which one is believed: real Sentinels, each told by the test what it calls the
 * service, and real servers. */
#include "tests/unit/redis_server.h"

#include "server/io/redis_sentinel.h"
#include "server/io/redis_site.h"

enum { LOOK_MS = 20, LOOPS = 50000, SENTINELS = 3 };

struct world {
    struct redis_server primaries[2], replica, sentinels[SENTINELS];
    struct tg_loop *loop;
    struct tg_resolver *resolver;
    struct tg_redis_url url;
    char service[8];
    struct tg_redis_counters counters;
    struct tg_redis_site *site;
    uint64_t timeout_ms;
    int ups, downs, asked;
    uint64_t where; /* the port of the server that a command reached; 0: it failed */
};

static void on_up(void *arg)
{
    ((struct world *)arg)->ups++;
}

static void on_down(void *arg)
{
    ((struct world *)arg)->downs++;
}

static void on_server(void *arg, struct tg_redis *redis)
{
    (void)arg;
    (void)redis;
}

static const struct tg_redis_site_events site_events = {
    .on_up = on_up, .on_down = on_down, .on_server = on_server};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    const struct tg_resolver_options options = {.ttl_ms = 1000, .max_entries = 8};
    assert_non_null(world);
    for (size_t i = 0; i < 2; i++) {
        redis_server_make(&world->primaries[i]);
    }
    redis_server_make(&world->replica);
    for (size_t i = 0; i < SENTINELS; i++) {
        redis_server_make(&world->sentinels[i]);
    }
    assert_int_equal(tg_loop_new(&world->loop), TG_OK);
    assert_int_equal(tg_resolver_new(world->loop, &options, &world->resolver), TG_OK);
    snprintf(world->service, sizeof world->service, "main");
    world->timeout_ms = 5000;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->site != NULL) {
        tg_redis_site_close(world->site);
        tg_redis_site_free(world->site);
    }
    tg_resolver_free(world->resolver);
    tg_loop_free(world->loop);
    for (size_t i = 0; i < 2; i++) {
        redis_server_free(&world->primaries[i]);
    }
    redis_server_free(&world->replica);
    for (size_t i = 0; i < SENTINELS; i++) {
        redis_server_free(&world->sentinels[i]);
    }
    free(world);
    return 0;
}

/* count Sentinels, the first one first. */
static void open_site(struct world *world, size_t count)
{
    world->url = (struct tg_redis_url){
        .kind = TG_REDIS_SENTINEL, .place_count = count, .service = tg_slice_cstr(world->service)};
    for (size_t i = 0; i < count; i++) {
        world->url.places[i].host = TG_LIT("127.0.0.1");
        world->url.places[i].port = (uint16_t)world->sentinels[i].port;
    }
    const struct tg_redis_options options = {
        .loop = world->loop,
        .resolver = world->resolver,
        .url = &world->url,
        .look_ms = LOOK_MS,
        .connect_timeout_ms = world->timeout_ms,
        .command_timeout_ms = world->timeout_ms,
        .pause_min_ms = 1,
        .pause_max_ms = 2,
        .max_pending = 16,
        .max_unsent = 65536,
        .seed = 0,
        .counters = &world->counters,
    };
    assert_int_equal(tg_redis_site_new(&options, &site_events, world, &world->site), TG_OK);
}

#define UNTIL(world, condition)                                                                              \
    for (int loops_ = 0; !(condition); loops_++) {                                                           \
        assert_true(loops_ < LOOPS);                                                                         \
        tg_loop_run_once((world)->loop);                                                                     \
    }

static void on_where(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    struct world *world = arg;
    world->asked++;
    world->where = 0;
    if (err == TG_OK && tg_redis_reply_count(reply) == 2) {
        assert_int_equal(tg_slice_to_u64(tg_redis_reply_text(tg_redis_reply_at(reply, 1)), &world->where),
                         TG_OK);
    }
}

/* Whether commands go to this server now. */
static bool is_at(struct world *world, const struct redis_server *server)
{
    static const struct tg_slice words[] = {TG_LIT_INIT("CONFIG"), TG_LIT_INIT("GET"), TG_LIT_INIT("port")};
    int asked = world->asked;
    if (tg_redis_site_command(world->site, TG_LIT("k"), words, 3, on_where, world) != TG_OK) {
        tg_loop_run_once(world->loop);
        return false;
    }
    UNTIL(world, world->asked > asked);
    return world->where == (uint64_t)server->port;
}

/* From now on this Sentinel calls another server by the service's name. */
static void rename_service(const struct redis_server *sentinel, const struct redis_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[160], space[16];
    snprintf(address.sun_path, sizeof address.sun_path, "%s", sentinel->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int len = snprintf(text, sizeof text, "SENTINEL REMOVE main\r\nSENTINEL MONITOR main 127.0.0.1 %d 2\r\n",
                       server->port);
    assert_int_equal(send(fd, text, (size_t)len, 0), len);
    for (ssize_t got = 0; got < 10;) { /* +OK twice */
        ssize_t more = recv(fd, space, sizeof space, 0);
        assert_true(more > 0);
        assert_int_equal(got > 0 ? '+' : space[0], '+');
        got += more;
    }
    close(fd);
}

static void start_replica(struct world *world)
{
    char port[16];
    snprintf(port, sizeof port, "%d", world->primaries[1].port);
    const char *const more[] = {"--replicaof", "127.0.0.1", port, NULL};
    redis_server_start(&world->replica, more);
}

/* ---- one that is behind ---- */

static void test_who_names_what_is_gone_is_left(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->primaries[0], NULL);
    start_replica(world);
    redis_sentinel_start(&world->sentinels[0], world->primaries[1].port); /* nothing there */
    redis_sentinel_start(&world->sentinels[1], world->replica.port);
    redis_sentinel_start(&world->sentinels[2], world->primaries[0].port);
    open_site(world, 3);
    UNTIL(world, tg_redis_site_up(world->site));
    assert_true(is_at(world, &world->primaries[0]));
    assert_int_equal(world->ups, 1);
}

static void test_what_is_wrong_is_said(void **state)
{
    struct world *world = *state;
    char expected[80];
    REDIS_OR_SKIP();
    start_replica(world);
    redis_sentinel_start(&world->sentinels[0], world->replica.port);
    open_site(world, 1);
    UNTIL(world, world->downs >= 3);
    snprintf(expected, sizeof expected, "127.0.0.1:%d: the server is no primary: slave", world->replica.port);
    assert_string_equal(tg_redis_site_problem(world->site), expected);
    assert_int_equal(world->ups, 0);
    redis_server_start(&world->primaries[0], NULL);
    rename_service(&world->sentinels[0], &world->primaries[0]);
    UNTIL(world, tg_redis_site_up(world->site));
}

/* It slept through the fail-over. */
static void test_a_lost_primary_is_looked_for_elsewhere(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->primaries[0], NULL);
    for (size_t i = 0; i < SENTINELS; i++) {
        redis_sentinel_start(&world->sentinels[i], world->primaries[0].port);
    }
    open_site(world, 3);
    UNTIL(world, tg_redis_site_up(world->site));
    redis_server_start(&world->primaries[1], NULL);
    rename_service(&world->sentinels[2], &world->primaries[1]);
    redis_server_kill(&world->primaries[0]);
    UNTIL(world, is_at(world, &world->primaries[1]));
}

/* The second of two answers nothing, but takes connections, while the first is away and comes back. */
static void test_a_hanging_one_does_not_hide_another(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    redis_server_start(&world->primaries[0], NULL);
    redis_sentinel_start(&world->sentinels[1], world->primaries[0].port);
    kill(world->sentinels[1].pid, SIGSTOP);
    world->timeout_ms = 200;
    open_site(world, 2);
    UNTIL(world, world->downs >= 2); /* both have been tried */
    redis_sentinel_start(&world->sentinels[0], world->primaries[0].port);
    UNTIL(world, tg_redis_site_up(world->site));
}

/* ---- what works is not left on one word ---- */

static void start_both(struct world *world)
{
    for (size_t i = 0; i < 2; i++) {
        redis_server_start(&world->primaries[i], NULL);
    }
    redis_sentinel_start(&world->sentinels[0], world->primaries[0].port);
}

static void test_one_that_is_behind_moves_nobody(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    start_both(world);
    redis_sentinel_start(&world->sentinels[1], world->primaries[1].port);
    redis_sentinel_start(&world->sentinels[2], world->primaries[0].port);
    open_site(world, 3);
    UNTIL(world, tg_redis_site_up(world->site));
    redis_server_kill(&world->sentinels[0]);
    uint64_t connects = world->counters.connects;
    UNTIL(world, world->counters.connects == connects + 2); /* both others */
    uint64_t answered = world->counters.answered;
    UNTIL(world, world->counters.answered >= answered + 3); /* the last one stays the one */
    assert_true(is_at(world, &world->primaries[0]));
    assert_int_equal(world->counters.connects, connects + 2);
    assert_int_equal(world->downs, 0);
}

static void test_who_named_it_may_name_another(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    start_both(world);
    redis_sentinel_start(&world->sentinels[1], world->primaries[0].port);
    open_site(world, 2);
    UNTIL(world, tg_redis_site_up(world->site));
    rename_service(&world->sentinels[0], &world->primaries[1]);
    UNTIL(world, is_at(world, &world->primaries[1]));
    assert_int_equal(world->downs, 1); /* the old one was left, and nothing else failed */
}

static void test_two_others_are_believed(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    start_both(world);
    redis_sentinel_start(&world->sentinels[1], world->primaries[1].port);
    redis_sentinel_start(&world->sentinels[2], world->primaries[1].port);
    open_site(world, 3);
    UNTIL(world, tg_redis_site_up(world->site));
    redis_server_kill(&world->sentinels[0]);
    UNTIL(world, is_at(world, &world->primaries[1]));
    assert_int_equal(world->downs, 1);
}

static void test_the_only_one_left_is_believed(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    start_both(world);
    redis_sentinel_start(&world->sentinels[1], world->primaries[1].port);
    open_site(world, 3);
    UNTIL(world, tg_redis_site_up(world->site));
    redis_server_kill(&world->sentinels[0]);
    UNTIL(world, is_at(world, &world->primaries[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_names_what_is_gone_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_wrong_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_primary_is_looked_for_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_hanging_one_does_not_hide_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_behind_moves_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_named_it_may_name_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_others_are_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_only_one_left_is_believed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
