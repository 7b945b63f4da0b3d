#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/io/resolver.h"

/* The system's resolver is replaced, by the linker, with one that answers from here, counts, and can be held
 * up. It runs on libuv's threads as the real one does. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    bool held;
    char last[256];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct addrinfo *fake_info(const char *ip, struct addrinfo *next)
{
    struct addrinfo *info = calloc(1, sizeof(*info));
    struct tg_address address;
    if (info == NULL || tg_address_parse_ip(tg_slice_cstr(ip), &address) != TG_OK) {
        abort();
    }
    info->ai_family = address.storage.ss_family;
    info->ai_addrlen = address.len;
    struct sockaddr_storage *storage = malloc(sizeof(*storage));
    if (storage == NULL) {
        abort();
    }
    *storage = address.storage;
    info->ai_addr = (struct sockaddr *)storage;
    info->ai_next = next;
    return info;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    (void)service;
    if (hints == NULL || hints->ai_socktype != SOCK_STREAM) {
        abort();
    }
    pthread_mutex_lock(&fake.lock);
    fake.calls++;
    snprintf(fake.last, sizeof(fake.last), "%s", name);
    pthread_cond_broadcast(&fake.changed);
    while (fake.held) {
        pthread_cond_wait(&fake.changed, &fake.lock);
    }
    pthread_mutex_unlock(&fake.lock);
    if (strcmp(name, "missing.test") == 0) {
        return EAI_NONAME;
    }
    if (strcmp(name, "crowd.test") == 0) {
        *out = NULL;
        for (int i = 0; i < 40; i++) {
            *out = fake_info("192.0.2.9", *out);
        }
        return 0;
    }
    *out = fake_info("2001:db8::1", fake_info("192.0.2.1", NULL));
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    while (info != NULL) {
        struct addrinfo *next = info->ai_next;
        free(info->ai_addr);
        free(info);
        info = next;
    }
}

static void hold(bool held)
{
    pthread_mutex_lock(&fake.lock);
    fake.held = held;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

static int calls(void)
{
    pthread_mutex_lock(&fake.lock);
    int count = fake.calls;
    pthread_mutex_unlock(&fake.lock);
    return count;
}

static void wait_calls(int count)
{
    pthread_mutex_lock(&fake.lock);
    while (fake.calls < count) {
        pthread_cond_wait(&fake.changed, &fake.lock);
    }
    pthread_mutex_unlock(&fake.lock);
}

enum { MAX_ENTRIES = 3 };

struct scene {
    struct tg_loop *loop;
    struct tg_resolver *resolver;
    struct tg_timer timer;
    bool timed_out;
};

struct asked {
    struct scene *scene;
    struct tg_resolve *question;
    struct asked *cancels; /* what its answer cancels */
    bool frees;            /* its answer frees the resolver */
    int answers;
    enum tg_err err;
    size_t count;
    char text[4][TG_ADDRESS_TEXT_MAX];
};

static void on_timer(struct tg_timer *timer)
{
    TG_CONTAINER(timer, struct scene, timer)->timed_out = true;
}

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct tg_resolver_options options = {.ttl_ms = 30, .negative_ttl_ms = 5, .max_entries = MAX_ENTRIES};
    if (scene == NULL || tg_loop_new(&scene->loop) != TG_OK ||
        tg_resolver_new(scene->loop, &options, &scene->resolver) != TG_OK) {
        return -1;
    }
    tg_timer_init(&scene->timer, on_timer);
    fake.calls = 0;
    fake.held = false;
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    tg_resolver_free(scene->resolver);
    hold(false);
    tg_loop_free(scene->loop);
    free(scene);
    return 0;
}

static void done(void *arg, enum tg_err err, const struct tg_address *addresses, size_t count)
{
    struct asked *asked = arg;
    asked->answers++;
    asked->err = err;
    asked->count = count;
    for (size_t i = 0; i < count && i < 4; i++) {
        tg_address_text(&addresses[i], asked->text[i]);
    }
    if (asked->cancels != NULL) {
        tg_resolve_cancel(asked->cancels->question);
    }
    if (asked->frees) {
        tg_resolver_free(asked->scene->resolver);
        asked->scene->resolver = NULL;
    }
}

static void ask(struct scene *scene, struct asked *asked, const char *host, uint16_t port)
{
    asked->scene = scene;
    asked->answers = 0;
    assert_int_equal(
        tg_resolver_ask(scene->resolver, tg_slice_cstr(host), port, done, asked, &asked->question), TG_OK);
    assert_int_equal(asked->answers, 0);
}

static void wait_answer(struct asked *asked)
{
    while (asked->answers == 0) {
        tg_loop_run_once(asked->scene->loop);
    }
    assert_int_equal(asked->answers, 1);
}

static void wait_ms(struct scene *scene, uint64_t ms)
{
    scene->timed_out = false;
    tg_timer_start(scene->loop, &scene->timer, ms);
    while (!scene->timed_out) {
        tg_loop_run_once(scene->loop);
    }
}

static void test_literals(void **state)
{
    struct asked four = {0};
    struct asked six = {0};
    struct asked none = {0};
    ask(*state, &four, "127.0.0.1", 80);
    ask(*state, &six, "::1", 443);
    ask(*state, &none, "192.0.2.1", 1);
    tg_resolve_cancel(none.question);
    tg_resolve_cancel(NULL);
    wait_answer(&four);
    wait_answer(&six);
    assert_int_equal(four.count, 1);
    assert_string_equal(four.text[0], "127.0.0.1:80");
    assert_int_equal(six.count, 1);
    assert_string_equal(six.text[0], "[::1]:443");
    assert_int_equal(none.answers, 0);
    assert_int_equal(calls(), 0);
}

static void test_order_port_and_cache(void **state)
{
    struct asked asked = {0};
    ask(*state, &asked, "Example.Test", 80);
    wait_answer(&asked);
    assert_int_equal(asked.err, TG_OK);
    assert_int_equal(asked.count, 2);
    assert_string_equal(asked.text[0], "[2001:db8::1]:80");
    assert_string_equal(asked.text[1], "192.0.2.1:80");
    assert_string_equal(fake.last, "example.test");
    ask(*state, &asked, "example.test", 8080);
    wait_answer(&asked);
    assert_string_equal(asked.text[1], "192.0.2.1:8080");
    assert_int_equal(calls(), 1);
    wait_ms(*state, 40);
    ask(*state, &asked, "example.test", 80);
    wait_answer(&asked);
    assert_int_equal(calls(), 2);
}

static void test_failures_are_believed_for_a_while(void **state)
{
    struct asked asked = {0};
    ask(*state, &asked, "missing.test", 80);
    wait_answer(&asked);
    assert_int_equal(asked.err, TG_EDNS);
    assert_int_equal(asked.count, 0);
    ask(*state, &asked, "missing.test", 80);
    wait_answer(&asked);
    assert_int_equal(asked.err, TG_EDNS);
    assert_int_equal(calls(), 1);
    wait_ms(*state, 10);
    ask(*state, &asked, "missing.test", 80);
    wait_answer(&asked);
    assert_int_equal(calls(), 2);
}

static void test_too_many_addresses_are_cut(void **state)
{
    struct asked asked = {0};
    ask(*state, &asked, "crowd.test", 80);
    wait_answer(&asked);
    assert_int_equal(asked.count, 16);
}

static void test_equal_questions_are_joined(void **state)
{
    struct asked first = {0};
    struct asked second = {0};
    struct asked third = {0};
    hold(true);
    ask(*state, &first, "joined.test", 1);
    ask(*state, &second, "JOINED.test", 2);
    ask(*state, &third, "joined.test", 3);
    first.cancels = &third; /* while the answers are handed out */
    hold(false);
    wait_answer(&second);
    assert_int_equal(first.answers, 1);
    assert_string_equal(first.text[1], "192.0.2.1:1");
    assert_string_equal(second.text[1], "192.0.2.1:2");
    assert_int_equal(third.answers, 0);
    assert_int_equal(calls(), 1);
}

static void test_cancel_during_the_lookup(void **state)
{
    struct asked asked = {0};
    hold(true);
    ask(*state, &asked, "slow.test", 80);
    wait_calls(1);
    tg_resolve_cancel(asked.question);
    hold(false);
    /* The lookup goes on: the next question is answered by it. */
    struct asked again = {0};
    ask(*state, &again, "slow.test", 80);
    wait_answer(&again);
    assert_int_equal(asked.answers, 0);
    assert_int_equal(calls(), 1);
}

static void test_cancel_of_a_cached_answer(void **state)
{
    struct asked asked = {0};
    ask(*state, &asked, "example.test", 80);
    wait_answer(&asked);
    ask(*state, &asked, "example.test", 80);
    tg_resolve_cancel(asked.question);
    wait_ms(*state, 2);
    assert_int_equal(asked.answers, 0);
}

static void test_freed_during_the_lookup(void **state)
{
    struct scene *scene = *state;
    struct asked asked[MAX_ENTRIES] = {0};
    hold(true);
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "slow%zu.test", i);
        ask(scene, &asked[i], name, 80);
    }
    wait_calls(1);
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        tg_resolve_cancel(asked[i].question);
    }
    tg_resolver_free(scene->resolver);
    scene->resolver = NULL;
}

static void test_freed_by_an_answer(void **state)
{
    struct asked asked = {.frees = true};
    ask(*state, &asked, "example.test", 80);
    wait_answer(&asked);
    assert_int_equal(asked.count, 2);
}

static void test_full_cache(void **state)
{
    struct scene *scene = *state;
    struct asked asked[MAX_ENTRIES] = {0};
    struct asked more = {0};
    static const char *const names[MAX_ENTRIES] = {"a.test", "b.test", "c.test"};
    hold(true);
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        ask(scene, &asked[i], names[i], 80);
    }
    assert_int_equal(tg_resolver_ask(scene->resolver, TG_LIT("d.test"), 80, done, &more, &more.question),
                     TG_EBUSY);
    hold(false);
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        wait_answer(&asked[i]);
    }
    /* The oldest answer goes; which of the three it is, the threads decided. */
    ask(scene, &more, "d.test", 80);
    wait_answer(&more);
    ask(scene, &more, "d.test", 80);
    wait_answer(&more);
    assert_int_equal(calls(), 4);
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        ask(scene, &asked[i], names[i], 80);
        wait_answer(&asked[i]);
    }
    assert_true(calls() > 4);
}

static void test_no_host_name(void **state)
{
    struct scene *scene = *state;
    char name[255];
    struct tg_resolve *question = NULL;
    memset(name, 'n', sizeof(name));
    assert_int_equal(tg_resolver_ask(scene->resolver, TG_EMPTY, 1, done, NULL, &question), TG_EINVAL);
    assert_int_equal(tg_resolver_ask(scene->resolver, TG_LIT("a\0b"), 1, done, NULL, &question), TG_EINVAL);
    assert_int_equal(tg_resolver_ask(scene->resolver, tg_slice_make(name, 254), 1, done, NULL, &question),
                     TG_EINVAL);
    assert_null(question);
    assert_int_equal(calls(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_literals),
        TEST(test_order_port_and_cache),
        TEST(test_failures_are_believed_for_a_while),
        TEST(test_too_many_addresses_are_cut),
        TEST(test_equal_questions_are_joined),
        TEST(test_cancel_during_the_lookup),
        TEST(test_cancel_of_a_cached_answer),
        TEST(test_freed_during_the_lookup),
        TEST(test_freed_by_an_answer),
        TEST(test_full_cache),
        TEST(test_no_host_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
