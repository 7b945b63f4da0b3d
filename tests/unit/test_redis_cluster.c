/* The site of a Redis Cluster against real servers: what waits in a half-moved slot and what does not, how
 * often the map is asked for, and the end of an inbox. */
#include "tests/unit/redis_server.h"

#include "server/io/redis_cluster.h"
#include "server/io/redis_inbox.h"

enum { LOOPS = 200000, SLOT = 15891 /* of {t} */, LETTERS = 2000, LOOK_MS = 200 };

struct world {
    struct redis_server servers[2]; /* the first has all slots */
    int bus_port;                   /* of the last that was started */
    char url_text[64];
    struct tg_loop *loop;
    struct tg_resolver *resolver;
    struct tg_arena arena;
    struct tg_redis_url url;
    struct tg_redis_counters counters;
    struct tg_redis_site *site;
    struct tg_redis_inbox *inbox;
    int opened, closed, refused, denied;
    const char *login;
    size_t letters;
    char order[64]; /* one character a reply */
    size_t replies;
};

#define UNTIL(world, condition)                                                                              \
    for (int loops_ = 0; !(condition); loops_++) {                                                           \
        assert_true(loops_ < LOOPS);                                                                         \
        tg_loop_run_once((world)->loop);                                                                     \
    }

/* ---- the servers ---- */

static void say(const struct redis_server *server, const char *text, size_t replies, char *out, size_t cap)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = 0, lines = 0;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    for (size_t put = 0, size = strlen(text); put < size;) {
        ssize_t got = write(fd, text + put, size - put);
        assert_true(got > 0);
        put += (size_t)got;
    }
    while (lines < replies) {
        char byte;
        assert_int_equal(read(fd, &byte, 1), 1);
        lines += byte == '\n';
        if (len + 1 < cap) {
            out[len++] = byte;
        }
    }
    out[len] = '\0';
    close(fd);
}

/* A command with a reply of one line. */
static void order(const struct redis_server *server, const char *line)
{
    char text[256], reply[256];
    snprintf(text, sizeof text, "%s\r\n", line);
    say(server, text, 1, reply, sizeof reply);
    if (reply[0] == '-') {
        fail_msg("%s: %s", line, reply);
    }
}

/* Whether the lines of a text, a reply of so many, hold this. */
static bool says(const struct redis_server *server, const char *command, size_t lines, const char *what)
{
    char text[128], reply[4096];
    snprintf(text, sizeof text, "%s\r\n", command);
    say(server, text, lines, reply, sizeof reply);
    return strstr(reply, what) != NULL;
}

static void start_server(struct world *world, struct redis_server *server)
{
    char bus[16]; /* by default 10000 above the port, which may be no port */
    world->bus_port = redis_free_port();
    snprintf(bus, sizeof bus, "%d", world->bus_port);
    const char *const more[] = {"--cluster-enabled",
                                "yes",
                                "--cluster-config-file",
                                "nodes.conf",
                                "--cluster-port",
                                bus,
                                "--cluster-node-timeout",
                                "60000",
                                NULL};
    redis_server_make(server);
    redis_server_start(server, more);
}

static void await(const struct redis_server *server, const char *command, size_t lines, const char *what)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    for (int i = 0; !says(server, command, lines, what); i++) {
        assert_true(i < 4000);
        nanosleep(&pause, NULL);
    }
}

/* ---- the site ---- */

static void on_change(void *arg)
{
    (void)arg;
}

static void on_server(void *arg, struct tg_redis *redis)
{
    (void)arg;
    (void)redis;
}

static void on_denied(void *arg, struct tg_slice reason)
{
    assert_true(tg_slice_starts(reason, TG_LIT("NOPERM ")));
    ((struct world *)arg)->denied++;
}

static const struct tg_redis_site_events site_events = {
    .on_up = on_change, .on_down = on_change, .on_server = on_server, .on_denied = on_denied};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    const struct tg_resolver_options options = {.ttl_ms = 1000, .max_entries = 8};
    assert_non_null(world);
    assert_int_equal(tg_loop_new(&world->loop), TG_OK);
    assert_int_equal(tg_resolver_new(world->loop, &options, &world->resolver), TG_OK);
    tg_arena_init(&world->arena, NULL);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->site != NULL) {
        tg_redis_site_close(world->site);
        tg_redis_inbox_free(world->inbox);
        tg_redis_site_free(world->site);
    }
    tg_resolver_free(world->resolver);
    tg_loop_free(world->loop);
    tg_arena_reset(&world->arena);
    for (size_t i = 0; i < 2; i++) {
        if (world->servers[i].port != 0) {
            redis_server_free(&world->servers[i]);
        }
    }
    free(world);
    return 0;
}

/* more: a command to the first server; may be NULL. */
static void open_site_with(struct world *world, const char *more)
{
    const char *problem = NULL;
    start_server(world, &world->servers[0]);
    order(&world->servers[0], "CLUSTER ADDSLOTSRANGE 0 16383");
    await(&world->servers[0], "CLUSTER INFO", 2, "cluster_state:ok");
    if (more != NULL) {
        order(&world->servers[0], more);
    }
    snprintf(world->url_text, sizeof world->url_text, "redis+cluster://%s127.0.0.1:%d",
             world->login != NULL ? world->login : "", world->servers[0].port);
    assert_int_equal(tg_redis_url_parse(&world->arena, tg_slice_cstr(world->url_text), &world->url, &problem),
                     TG_OK);
    const struct tg_redis_options options = {
        .loop = world->loop,
        .resolver = world->resolver,
        .url = &world->url,
        .look_ms = LOOK_MS,
        .connect_timeout_ms = 10000,
        .command_timeout_ms = 20000,
        .pause_min_ms = 5,
        .pause_max_ms = 1000,
        .max_pending = 100,
        .max_unsent = 1 << 20,
        .seed = 1,
        .counters = &world->counters,
    };
    assert_int_equal(tg_redis_site_new(&options, &site_events, world, &world->site), TG_OK);
    UNTIL(world, tg_redis_site_up(world->site));
}

static void open_site(struct world *world)
{
    open_site_with(world, NULL);
}

/* ---- a half-moved slot ---- */

struct mark {
    struct world *world;
    char sign;
};

static void note(void *arg, enum tg_err err, const struct tg_redis_reply *reply)
{
    const struct mark *mark = arg;
    struct world *world = mark->world;
    (void)reply;
    assert_int_equal(err, TG_OK);
    assert_true(world->replies < sizeof world->order - 1);
    world->order[world->replies++] = mark->sign;
}

static void publishes_do_not_wait_for_keys(void **state)
{
    struct world *world = *state;
    char line[160], id[64];
    REDIS_OR_SKIP();
    open_site(world);
    assert_int_equal(tg_redis_slot(TG_LIT("{t}a")), SLOT);
    start_server(world, &world->servers[1]);
    say(&world->servers[1], "CLUSTER MYID\r\n", 2, line, sizeof line);
    snprintf(id, sizeof id, "%.40s", strchr(line, '\n') + 1);
    snprintf(line, sizeof line, "CLUSTER MEET 127.0.0.1 %d %d", world->servers[1].port, world->bus_port);
    order(&world->servers[0], line);
    snprintf(line, sizeof line, "CLUSTER COUNT-FAILURE-REPORTS %s", id); /* it is known by that name */
    await(&world->servers[0], line, 1, ":0");
    order(&world->servers[0], "SET {t}a 1");
    snprintf(line, sizeof line, "CLUSTER SETSLOT %d MIGRATING %s", SLOT, id);
    order(&world->servers[0], line);

    struct mark keys = {world, 'k'}, later = {world, 'l'}, first = {world, '1'}, second = {world, '2'};
    const struct tg_slice both[] = {TG_LIT("MGET"), TG_LIT("{t}a"), TG_LIT("{t}b")};
    const struct tg_slice one[] = {TG_LIT("GET"), TG_LIT("{t}a")};
    assert_int_equal(tg_redis_site_command(world->site, both[1], both, 3, note, &keys), TG_OK);
    assert_int_equal(tg_redis_site_command(world->site, one[1], one, 2, note, &later), TG_OK);
    struct tg_redis_cluster *cluster = (struct tg_redis_cluster *)world->site;
    UNTIL(world, cluster->lanes[SLOT][TG_REDIS_COMMANDS].waiting > 0);
    assert_int_equal(tg_redis_site_publish(world->site, TG_LIT("{t}c"), TG_LIT("x"), note, &first), TG_OK);
    assert_int_equal(tg_redis_site_publish(world->site, TG_LIT("{t}c"), TG_LIT("x"), note, &second), TG_OK);
    UNTIL(world, strchr(world->order, '2') != NULL);
    assert_null(strchr(world->order, 'k'));
    snprintf(line, sizeof line, "CLUSTER SETSLOT %d STABLE", SLOT);
    order(&world->servers[0], line);
    UNTIL(world, strchr(world->order, 'k') != NULL && strchr(world->order, 'l') != NULL);
    /* The one sent at the same time may have come before; what is published keeps its order. */
    assert_true(strchr(world->order, '1') < strchr(world->order, '2'));
}

/* ---- looks ---- */

static void on_beat(struct tg_timer *timer)
{
    (void)timer;
}

/* Whoever asks all the time neither puts the next look off nor makes one each time. */
static void looks_are_bounded(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    open_site(world);
    struct tg_redis_cluster *cluster = (struct tg_redis_cluster *)world->site;
    struct tg_timer beat; /* a pass takes a millisecond, not as long as nothing is due */
    tg_timer_init(&beat, on_beat);
    uint64_t before = world->counters.answered, start = tg_loop_now_ms(world->loop), now = start;
    while (now < start + 5 * LOOK_MS) {
        tg_redis_cluster_look(cluster);
        tg_timer_start(world->loop, &beat, 1);
        tg_loop_run_once(world->loop);
        now = tg_loop_now_ms(world->loop);
    }
    tg_timer_stop(&beat);
    uint64_t looks = (world->counters.answered - before) / 2;
    assert_in_range(looks, 4, 30); /* 10, 20, 40 ms, then every quarter of LOOK_MS */
}

static void a_denial_is_told(void **state)
{
    struct world *world = *state;
    const struct tg_slice words[] = {TG_LIT("SET"), TG_LIT("{t}a"), TG_LIT("1")};
    REDIS_OR_SKIP();
    world->login = "app:p@";
    open_site_with(world, "ACL SETUSER app on >p ~* &* +@all -set");
    assert_int_equal(tg_redis_site_command(world->site, words[1], words, 3, NULL, NULL), TG_OK);
    UNTIL(world, world->denied == 1);
    assert_true(tg_redis_site_up(world->site));
}

/* ---- inboxes ---- */

static void on_open(void *arg)
{
    ((struct world *)arg)->opened++;
}

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed++;
}

static void on_refused(void *arg, struct tg_slice reason)
{
    assert_true(tg_slice_starts(reason, TG_LIT("NOPERM")));
    ((struct world *)arg)->refused++;
}

static void on_message(void *arg, struct tg_slice payload)
{
    struct world *world = arg;
    assert_int_equal(payload.len, 1000);
    assert_int_equal(world->closed, 0);
    world->letters++;
}

static const struct tg_redis_inbox_events inbox_events = {
    .on_open = on_open, .on_closed = on_closed, .on_refused = on_refused, .on_message = on_message};

/* What was published before the end comes before it. */
static void a_stopped_inbox_gives_what_it_has(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    open_site(world);
    assert_int_equal(tg_redis_inbox_new(world->site, &inbox_events, world, &world->inbox), TG_OK);
    tg_redis_inbox_listen(world->inbox, TG_LIT("{t}inbox"));
    UNTIL(world, world->opened == 1);
    static char all[LETTERS * 1100], replies[LETTERS * 8];
    size_t len = 0;
    for (int i = 0; i < LETTERS; i++) {
        len += (size_t)snprintf(all + len, sizeof all - len, "SPUBLISH {t}inbox %01000d\r\n", i);
    }
    say(&world->servers[0], all, LETTERS, replies, sizeof replies);
    assert_null(strstr(replies, ":0"));
    tg_redis_inbox_stop(world->inbox);
    UNTIL(world, world->closed == 1);
    assert_int_equal(world->letters, LETTERS);
    say(&world->servers[0], "SPUBLISH {t}inbox x\r\n", 1, replies, sizeof replies);
    assert_string_equal(replies, ":0\r\n");
}

/* It is told once, and goes on trying, after pauses. */
static void a_refused_inbox_tries_again(void **state)
{
    struct world *world = *state;
    REDIS_OR_SKIP();
    world->login = "app:p@";
    open_site_with(world, "ACL SETUSER app on >p ~* &* +@all -ssubscribe");
    assert_int_equal(tg_redis_inbox_new(world->site, &inbox_events, world, &world->inbox), TG_OK);
    tg_redis_inbox_listen(world->inbox, TG_LIT("{t}inbox"));
    UNTIL(world, world->refused == 1);
    uint64_t connects = world->counters.connects, start = tg_loop_now_ns();
    UNTIL(world, world->counters.connects == connects + 6);
    assert_true((tg_loop_now_ns() - start) / 1000000 >= 5 + 10 + 20 + 40 + 80 - 10);
    assert_int_equal(world->opened, 0);
    order(&world->servers[0], "ACL SETUSER app +ssubscribe");
    UNTIL(world, world->opened == 1);
    assert_int_equal(world->refused, 1);
    assert_int_equal(world->closed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publishes_do_not_wait_for_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(looks_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_denial_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stopped_inbox_gives_what_it_has, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_inbox_tries_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
