/* The HTTP server: how connections end, and what bounds them: clients that half-close, leave or never stop
 * sending. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/httpd_world.h"

#define GET(target)  "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(length) "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"

static void half_close(struct client *client)
{
    assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
}

static bool says_close(const struct client *client)
{
    return tg_headers_has_token(&client->answer.headers, TG_LIT("Connection"), TG_LIT("close"));
}

/* ---- half-close ---- */

static void answers_clients_that_have_said_all(void **state)
{
    struct world *world = *state;
    struct client client;
    for (int late = 0; late < 2; late++) {
        world->script = late ? HOLD : READ;
        size_t first = world->count;
        client_open(&client, world);
        client_send(&client, GET("/1") GET("/2") GET("/3"));
        half_close(&client);
        for (size_t i = 0; i < 3; i++) {
            static const char *const want[] = {"GET /1 ", "GET /2 ", "GET /3 "};
            if (late) {
                WAIT(world, world->count == first + i + 1);
                turn(world);
                turn(world);
                answer(&world->seen[first + i]);
            }
            assert_answer(&client, 200, want[i]);
            assert_true(!says_close(&client) || i == 2);
            assert_true(!late || says_close(&client) == (i == 2));
        }
        assert_closed(&client);
        WAIT(world, tg_httpd_count(world->httpd) == 0);
        client_close(&client);
    }
}

static void tells_of_bodies_cut_short(void **state)
{
    static const char *const requests[] = {
        POST("5") "1234",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" GET("/never"),
    };
    struct world *world = *state;
    world->script = READ;
    for (size_t i = 0; i < 3; i++) {
        struct client client;
        client_open(&client, world);
        client_send(&client, requests[i]);
        if (i < 2) {
            WAIT(world, world->count == i + 1);
            half_close(&client);
        }
        assert_answer(&client, 400, "POST / ");
        assert_int_equal(world->seen[i].body_err, i < 2 ? TG_ECLOSED : TG_EPROTO);
        assert_int_equal(world->seen[i].aborts, 0);
        assert_true(says_close(&client));
        assert_closed(&client);
        client_close(&client);
    }
    assert_int_equal(world->count, 3);
}

static void forgets_heads_cut_short(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(&client, world);
    half_close(&client);
    assert_closed(&client);
    client_close(&client);
    client_open(&client, world);
    client_send(&client, GET("/") "GET / HT");
    half_close(&client);
    assert_answer(&client, 200, "GET / ");
    assert_closed(&client);
    client_close(&client);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
}

/* ---- clients that leave ---- */

static void tells_when_the_client_goes(void **state)
{
    struct world *world = *state;
    struct client client;
    world->script = HOLD;
    client_open(&client, world);
    client_send(&client, GET("/"));
    WAIT(world, world->count == 1);
    client_reset(&client);
    WAIT(world, world->seen[0].aborts > 0);
    /* It stays for whoever still has to answer it. */
    assert_int_equal(tg_httpd_count(world->httpd), 1);
    assert_true(tg_slice_eq(world->seen[0].exchange->target, TG_LIT("/")));
    read_body(&world->seen[0]);
    WAIT(world, world->seen[0].bodies == 1);
    assert_int_equal(world->seen[0].body_err, TG_ECLOSED);
    answer(&world->seen[0]);
    assert_int_equal(world->seen[0].aborts, 1);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
    /* A client that wants a WebSocket is gone as soon as it will send no more. */
    client_open(&client, world);
    client_send(&client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    WAIT(world, world->count == 2);
    half_close(&client);
    WAIT(world, world->seen[1].aborts > 0);
    world->script = UPGRADE;
    upgrade(&world->seen[1]);
    assert_int_equal(world->upgrade_err, TG_ECLOSED);
    client_close(&client);
    assert_int_equal(tg_httpd_count(world->httpd), 0);
}

static void may_take_a_half_close_for_the_end(void **state)
{
    static const char *const requests[] = {GET("/"), POST("2") "ab", POST("2") "ab" GET("/next")};
    struct world *world = *state;
    world->script = HOLD;
    for (size_t i = 0; i < 3; i++) {
        struct seen *seen = &world->seen[i];
        struct client client;
        client_open(&client, world);
        client_send(&client, requests[i]);
        WAIT(world, world->count == i + 1);
        seen->exchange->half_close_is_gone = true;
        if (i > 0) {
            read_body(seen);
            WAIT(world, seen->bodies == 1);
            assert_int_equal(seen->body_err, TG_OK);
        }
        half_close(&client);
        if (i < 2) {
            WAIT(world, seen->aborts == 1);
            answer(seen);
            WAIT(world, tg_httpd_count(world->httpd) == 0);
        } else { /* there is more to be answered: it waits */
            turn(world);
            turn(world);
            assert_int_equal(seen->aborts, 0);
            answer(seen);
            assert_answer(&client, 200, "POST / ab");
        }
        client_close(&client);
    }
}

static void may_be_answered_from_the_abort(void **state)
{
    struct world *world = *state;
    struct client client;
    world->answers_aborts = true;
    world->script = HOLD;
    for (int row = 0; row < 3; row++) {
        struct seen *seen = &world->seen[row];
        client_open(&client, world);
        client_send(&client, POST("10") "12345");
        WAIT(world, world->count == (size_t)row + 1);
        if (row == 1) {
            read_body(seen); /* under way */
        } else if (row == 2) {
            client_send(&client, "67890"); /* there, and not yet told */
            WAIT(world, COUNTED(world, bytes_in) == 3 * (int)sizeof(POST("10") "12345") - 3 + 5);
            read_body(seen);
        }
        client_reset(&client);
        WAIT(world, seen->exchange == NULL);
        turn(world);
        assert_int_equal(seen->aborts, row < 2 ? 1 : seen->aborts);
        assert_int_equal(seen->bodies, row < 2 ? 0 : seen->bodies);
        WAIT(world, tg_httpd_count(world->httpd) == 0);
    }
}

static void tells_of_an_abort_while_the_body_comes(void **state)
{
    struct world *world = *state;
    struct client client;
    world->script = READ;
    client_open(&client, world);
    client_send(&client, POST("10") "12345");
    WAIT(world, world->count == 1);
    client_reset(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    assert_int_equal(world->seen[0].aborts, 1);
    assert_int_equal(world->seen[0].bodies, 1);
    assert_true(world->seen[0].body_err == TG_ECLOSED || world->seen[0].body_err == TG_EIO);
}

/* The client has gone, unnoticed by the loop, when the handler asks for the body: 100 Continue finds no
 * reader, and nothing may come back from inside the call. */
static void survives_a_reset_before_continue(void **state)
{
    struct world *world = *state;
    for (int answers = 0; answers < 2; answers++) {
        struct client client;
        struct seen *seen = &world->seen[answers];
        world->answers_aborts = answers;
        world->script = HOLD;
        client_open(&client, world);
        client_send(&client,
                    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        WAIT(world, world->count == (size_t)answers + 1);
        client_reset(&client);
        read_body(seen);
        WAIT(world, seen->aborts + seen->bodies > 0);
        turn(world);
        if (seen->exchange != NULL) {
            answer(seen);
        }
        WAIT(world, tg_httpd_count(world->httpd) == 0);
    }
}

/* An answer that nobody reads any more. */
static void survives_a_reset_before_the_answer(void **state)
{
    struct world *world = *state;
    struct client client;
    world->script = HOLD;
    client_open(&client, world);
    client_send(&client, GET("/1") GET("/2"));
    WAIT(world, world->count == 1);
    client_reset(&client);
    answer(&world->seen[0]);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    assert_int_equal(world->count, 1);
}

/* ---- lingering ---- */

/* A close with unread input would reset the connection, and the answer could be lost on its way. */
static void lets_the_client_see_the_refusal(void **state)
{
    enum { MUCH = 2 << 20 };
    struct world *world = *state;
    struct client client;
    char *bytes = calloc(1, MUCH);
    assert_non_null(bytes);
    world->script = READ;
    world->body_limit = 10;
    client_open(&client, world);
    client_send(&client, POST("2097152"));
    client_send_bytes(&client, tg_slice_make(bytes, MUCH));
    assert_answer(&client, 413, "POST / ");
    assert_true(says_close(&client));
    assert_closed(&client);
    client_close(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    free(bytes);
}

static void does_not_linger_for_ever(void **state)
{
    enum { PIECE = 65536 };
    static const char piece[PIECE];
    struct world *world = *state;
    struct client client;
    world->script = READ;
    world->body_limit = 10;
    client_open(&client, world);
    client_send(&client, POST("99999999999"));
    for (size_t sent = 0; tg_httpd_count(world->httpd) > 0 || world->count == 0; turn(world)) {
        sent += client_try_send(&client, tg_slice_make(piece, PIECE));
        assert_true(sent < 100 * (1 << 20));
    }
    client_close(&client);
    /* Nor for one who says nothing more, and stays. */
    client_open(&client, world);
    client_send(&client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_answer(&client, 200, "GET / ");
    assert_closed(&client);
    WAIT(world, tg_httpd_count(world->httpd) == 0);
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTPD_TEST(answers_clients_that_have_said_all),
        HTTPD_TEST(tells_of_bodies_cut_short),
        HTTPD_TEST(forgets_heads_cut_short),
        HTTPD_TEST(tells_when_the_client_goes),
        HTTPD_TEST(may_take_a_half_close_for_the_end),
        HTTPD_TEST(may_be_answered_from_the_abort),
        HTTPD_TEST(tells_of_an_abort_while_the_body_comes),
        HTTPD_TEST(survives_a_reset_before_continue),
        HTTPD_TEST(survives_a_reset_before_the_answer),
        HTTPD_TEST(lets_the_client_see_the_refusal),
        HTTPD_TEST(does_not_linger_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
