/* Identifiers of requests: their forms, and that those made at once are made alike. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "routes/ids.h"
#include "server/base/codec.h"

static void assert_form(const char *text, const char *form)
{
    for (size_t i = 0; i < strlen(form); i++) {
        bool hex = text[i] != '\0' && strchr("0123456789abcdef", text[i]) != NULL;
        if (form[i] == 'x' ? !hex : form[i] == 'v' ? strchr("89ab", text[i]) == NULL : text[i] != form[i]) {
            fail_msg("%s is not %s", text, form);
        }
    }
}

#define UUID  "xxxxxxxx-xxxx-4xxx-vxxx-xxxxxxxxxxxx"
#define TRACE "1-6956e385-xxxxxxxxxxxxxxxxxxxxxxxx"

static const int64_t at_ms = INT64_C(0x6956e385) * 1000 + 999;

static void assert_request_id(const char *text)
{
    unsigned char bytes[11];
    assert_int_equal(tg_base64url_decode(tg_slice_make(text, TG_REQUEST_ID_LEN), bytes, sizeof bytes), TG_OK);
}

static void each_has_its_form(void **state)
{
    (void)state;
    struct tg_rng rng;
    const struct tg_headers headers = {0};
    char id[TG_REQUEST_ID_LEN + 1], uuid[TG_UUID_LEN + 1], trace[TG_TRACE_ID_MAX];
    tg_rng_seed(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        tg_request_id_make(&rng, id);
        tg_uuid_make(&rng, uuid);
        tg_trace_id_make(&rng, &headers, at_ms, trace);
        assert_request_id(id);
        assert_int_equal(strlen(id), TG_REQUEST_ID_LEN);
        assert_form(uuid, UUID);
        assert_int_equal(strlen(uuid), TG_UUID_LEN);
        assert_form(trace, "Root=" TRACE);
        assert_int_equal(strlen(trace), strlen("Root=" TRACE));
    }
}

static void those_of_a_call_have_theirs(void **state)
{
    (void)state;
    struct tg_rng rng;
    const struct tg_headers headers = {0};
    char id[TG_REQUEST_ID_LEN + 1], uuid[TG_UUID_LEN + 1], trace[TG_TRACE_ID_MAX], before[sizeof uuid] = "";
    tg_rng_seed(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        id[TG_REQUEST_ID_LEN] = '#';
        uuid[TG_UUID_LEN] = '#';
        assert_int_equal(tg_call_ids_make(&rng, &headers, at_ms, uuid, id, trace), strlen("Root=" TRACE));
        assert_request_id(id);
        assert_form(uuid, UUID);
        assert_form(trace, "Root=" TRACE);
        assert_int_equal(id[TG_REQUEST_ID_LEN], '#');
        assert_int_equal(uuid[TG_UUID_LEN], '#');
        assert_memory_not_equal(uuid, before, TG_UUID_LEN);
        memcpy(before, uuid, sizeof before);
    }
}

/* Every bit of what is random is: none stays as it is over many. */
static void all_digits_vary(void **state)
{
    (void)state;
    struct tg_rng rng;
    const struct tg_headers headers = {0};
    char id[TG_REQUEST_ID_LEN], uuid[TG_UUID_LEN], trace[TG_TRACE_ID_MAX];
    char first_id[sizeof id], first_uuid[sizeof uuid], first_trace[sizeof trace];
    unsigned differ[3][64] = {0};
    tg_rng_seed(&rng, 1);
    (void)tg_call_ids_make(&rng, &headers, at_ms, first_uuid, first_id, first_trace);
    for (int i = 0; i < 100; i++) {
        (void)tg_call_ids_make(&rng, &headers, at_ms, uuid, id, trace);
        for (size_t j = 0; j < sizeof uuid; j++) {
            differ[0][j] += uuid[j] != first_uuid[j];
        }
        for (size_t j = 0; j < sizeof id; j++) {
            differ[1][j] += id[j] != first_id[j];
        }
        for (size_t j = 0; j < strlen(trace); j++) {
            differ[2][j] += trace[j] != first_trace[j];
        }
    }
    for (size_t j = 0; j < sizeof uuid; j++) {
        assert_int_equal(differ[0][j] > 30, UUID[j] == 'x' || UUID[j] == 'v');
    }
    for (size_t j = 0; j < sizeof id; j++) {
        assert_int_equal(differ[1][j] > 30, j != sizeof id - 1);
    }
    for (size_t j = 0; j < strlen("Root=" TRACE); j++) {
        assert_int_equal(differ[2][j] > 30, ("Root=" TRACE)[j] == 'x');
    }
}

static void the_clients_trace_is_kept(void **state)
{
    (void)state;
    struct tg_rng rng;
    struct tg_header field = {TG_LIT("x-amzn-trace-ID"), TG_LIT("Root=1-2-3;Sampled=1")};
    const struct tg_headers headers = {&field, 1, 1};
    char id[TG_REQUEST_ID_LEN], uuid[TG_UUID_LEN], trace[TG_TRACE_ID_MAX];
    tg_rng_seed(&rng, 1);
    assert_int_equal(tg_call_ids_make(&rng, &headers, at_ms, uuid, id, trace), field.value.len);
    assert_string_equal(trace, field.value.ptr);
    tg_trace_id_make(&rng, &headers, at_ms, trace);
    assert_string_equal(trace, field.value.ptr);
}

static void a_hop_stands_in_front(void **state)
{
    (void)state;
    struct tg_rng rng;
    struct tg_arena arena;
    struct tg_slice hop;
    tg_arena_init(&arena, NULL);
    tg_rng_seed(&rng, 1);
    assert_int_equal(tg_trace_hop_make(&rng, TG_LIT("Root=1-2-3; Self=old;Sampled=1"), at_ms, &arena, &hop),
                     TG_OK);
    size_t own = strlen("Self=" TRACE);
    assert_form(hop.ptr, "Self=" TRACE);
    assert_true(tg_slice_eq(tg_slice_from(hop, own), TG_LIT(";Root=1-2-3;Sampled=1")));
    tg_arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_form),     cmocka_unit_test(those_of_a_call_have_theirs),
        cmocka_unit_test(all_digits_vary),       cmocka_unit_test(the_clients_trace_is_kept),
        cmocka_unit_test(a_hop_stands_in_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
