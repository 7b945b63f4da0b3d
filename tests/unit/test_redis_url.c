/* Redis URLs: what each part becomes, and what is refused and why. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/io/redis_url.h"

static void assert_text(struct tg_slice text, const char *expected)
{
    if (expected == NULL) {
        assert_null(text.ptr);
        return;
    }
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.len > 0 ? text.ptr : "", expected, text.len);
}

static void test_good(void **state)
{
    static const struct {
        const char *text;
        bool tls;
        const char *host, *path;
        int port, database;
        const char *user, *password;
    } rows[] = {
        {"redis://localhost", false, "localhost", "", 6379, 0, "", NULL},
        {"redis://10.0.0.1:7000/3", false, "10.0.0.1", "", 7000, 3, "", NULL},
        {"rediss://r.example.com/", true, "r.example.com", "", 6379, 0, "", NULL},
        {"redis://:secret@h", false, "h", "", 6379, 0, "", "secret"},
        {"redis://app:p%40s%2Fs@h:1/0", false, "h", "", 1, 0, "app", "p@s/s"},
        {"redis://app:p@ss@h:65535", false, "h", "", 65535, 0, "app", "p@ss"},
        {"redis://app:a/b@h", false, "h", "", 6379, 0, "app", "a/b"},
        {"redis://[::1]", false, "::1", "", 6379, 0, "", NULL},
        {"rediss://u:p@[fe80::1]:6380/65535", true, "fe80::1", "", 6380, 65535, "u", "p"},
        {"unix:///run/redis.sock", false, "", "/run/redis.sock", 0, 0, "", NULL},
        {"unix:///run/a@b.sock?db=2", false, "", "/run/a@b.sock", 0, 2, "", NULL},
        {"redis+unix://u:p@/run/r", false, "", "/run/r", 0, 0, "u", "p"},
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_redis_url url;
        const char *problem = NULL;
        assert_int_equal(tg_redis_url_parse(&arena, tg_slice_cstr(rows[i].text), &url, &problem), TG_OK);
        assert_null(problem);
        assert_int_equal(url.tls, rows[i].tls);
        assert_int_equal(url.place_count, rows[i].host[0] != '\0');
        assert_text(url.places[0].host, rows[i].host);
        assert_text(url.path, rows[i].path);
        assert_int_equal(url.places[0].port, rows[i].port);
        assert_int_equal(url.kind, TG_REDIS_ONE);
        assert_int_equal(url.database, rows[i].database);
        assert_text(url.user, rows[i].user);
        assert_text(url.password, rows[i].password);
    }
    tg_arena_reset(&arena);
}

static void test_sentinels(void **state)
{
    struct tg_arena arena;
    struct tg_redis_url url;
    const char *problem = NULL;
    (void)state;
    tg_arena_init(&arena, NULL);
    struct tg_slice text = TG_LIT("redis+sentinel://app:p%2Cw@s1,[::2]:5,s3.example.com:26380/main/4");
    assert_int_equal(tg_redis_url_parse(&arena, text, &url, &problem), TG_OK);
    assert_int_equal(url.kind, TG_REDIS_SENTINEL);
    assert_false(url.tls);
    assert_int_equal(url.place_count, 3);
    assert_text(url.places[0].host, "s1");
    assert_int_equal(url.places[0].port, 26379);
    assert_text(url.places[1].host, "::2");
    assert_int_equal(url.places[1].port, 5);
    assert_text(url.places[2].host, "s3.example.com");
    assert_int_equal(url.places[2].port, 26380);
    assert_text(url.service, "main");
    assert_int_equal(url.database, 4);
    assert_text(url.user, "app");
    assert_text(url.password, "p,w");
    assert_int_equal(tg_redis_url_parse(&arena, TG_LIT("redis+cluster://:p@a,b:7001/0"), &url, &problem),
                     TG_OK);
    assert_int_equal(url.kind, TG_REDIS_CLUSTER);
    assert_int_equal(url.place_count, 2);
    assert_int_equal(url.places[0].port, 6379);
    assert_int_equal(url.places[1].port, 7001);
    assert_text(url.password, "p");
    assert_int_equal(tg_redis_url_parse(&arena, TG_LIT("rediss-sentinel://s/main"), &url, &problem), TG_OK);
    assert_int_equal(url.kind, TG_REDIS_SENTINEL);
    assert_true(url.tls);
    assert_text(url.service, "main");
    assert_int_equal(url.database, 0);
    tg_arena_reset(&arena);
}

static void test_bad(void **state)
{
    static const struct {
        const char *text, *problem;
    } rows[] = {
        {"", "it begins with redis://, rediss:// (TLS), unix:///, redis+sentinel:// or redis+cluster://"},
        {"http://h",
         "it begins with redis://, rediss:// (TLS), unix:///, redis+sentinel:// or redis+cluster://"},
        {"redis:/h",
         "it begins with redis://, rediss:// (TLS), unix:///, redis+sentinel:// or redis+cluster://"},
        {"redis://", "the host is missing"},
        {"redis:///1", "the host is missing"},
        {"redis://h h", "a blank or a control character is in it: in a password it is written %20"},
        {"redis://h,i:6379", "several servers are written as redis+sentinel:// or redis+cluster://"},
        {"redis+sentinel://h", "the name of the service is missing: redis+sentinel://host,host/SERVICE"},
        {"redis+sentinel://h/", "the name of the service is missing: redis+sentinel://host,host/SERVICE"},
        {"redis+sentinel://h//1", "the name of the service is missing: redis+sentinel://host,host/SERVICE"},
        {"redis+cluster://h,i/1", "a Cluster has no database but 0: leave the number out"},
        {"redis+cluster://", "server 1 of the list: the host is missing"},
        {"redis+sentinel://h,/s", "server 2 of the list: the host is missing"},
        {"redis+sentinel://h,i:0/s",
         "server 2 of the list: the port behind the colon is a number from 1 to 65535"},
        {"redis+sentinel://h/s/x", "the database, which stands last, is a number of up to 65535"},
        {"redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/s",
         "more than 16 servers are named: some of them are enough"},
        {"redis://a?b", "no ?option can follow: the database is the number behind the last slash"},
        {"redis://a;b", "the host has characters that no name or address has"},
        {"redis://::1", "an IPv6 address stands in brackets, [::1]:6379, and a port is given once"},
        {"redis+cluster://a,fe80::1:6379",
         "server 2 of the list: an IPv6 address stands in brackets, [::1]:6379, and a port is given once"},
        {"redis://h/1?db=2", "no ?option can follow: the database is the number behind the last slash"},
        {"redis+sentinel://h/s?ssl=true",
         "no ?option can follow: the database is the number behind the last slash"},
        {"redis+sentinel://h/s%20t", "the name of the service has letters, digits, ., - and _ alone"},
        {"unix:/run/redis.sock",
         "it begins with redis://, rediss:// (TLS), unix:///, redis+sentinel:// or redis+cluster://"},
        {"redis://[::1", "an IPv6 address stands in brackets, [::1]:6379"},
        {"redis://[::1]6379", "an IPv6 address stands in brackets, [::1]:6379"},
        {"redis://[]", "the host is missing"},
        {"redis://h:", "the port behind the colon is a number from 1 to 65535"},
        {"redis://h:0", "the port behind the colon is a number from 1 to 65535"},
        {"redis://h:65536", "the port behind the colon is a number from 1 to 65535"},
        {"redis://h:6379:1", "an IPv6 address stands in brackets, [::1]:6379, and a port is given once"},
        {"redis://h/x", "the database, which stands last, is a number of up to 65535"},
        {"redis://h/65536", "the database, which stands last, is a number of up to 65535"},
        {"redis://h/1/2", "the database, which stands last, is a number of up to 65535"},
        {"redis://user@h", "before the @ stands user:password, or :password for the default user"},
        {"redis://user:@h", "the password before the @ is empty: give one, or leave out all up to the @"},
        {"unix://",
         "the path of the socket is absolute, unix:///run/redis.sock, and has up to 107 characters"},
        {"unix://run/x",
         "the path of the socket is absolute, unix:///run/redis.sock, and has up to 107 characters"},
        {"unix:///",
         "the path of the socket is absolute, unix:///run/redis.sock, and has up to 107 characters"},
        {"unix:///x?a=1", "behind the ? only db=NUMBER can stand"},
        {"unix:///x?db=", "the database, which stands last, is a number of up to 65535"},
    };
    struct tg_arena arena;
    (void)state;
    tg_arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_redis_url url = {.database = 7};
        const char *problem = NULL;
        assert_int_equal(tg_redis_url_parse(&arena, tg_slice_cstr(rows[i].text), &url, &problem), TG_ESYNTAX);
        assert_string_equal(problem, rows[i].problem);
        assert_int_equal(url.database, 7);
    }
    tg_arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_sentinels),
                                       cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
