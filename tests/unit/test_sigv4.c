/* Signature Version 4. The first three vectors are those of spec websocket-api.md 5.5; the others were made
 * with botocore 1.43.11 for the same key, time and host. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "routes/sigv4.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])
#define HOST        "abc123.execute-api.us-east-1.amazonaws.com"
#define SCOPE       "20260102/us-east-1/execute-api/aws4_request"
#define HELLO       "ae4d5c8b154c83f090c10bb11e7b5759f6381b6fd4debcf97a6f4521009ff6a4"
#define HELLO_PATH  "/prod/@connections/L0SM9cOFvHcCIhw%3D"
#define HELLO_HASH  "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define TOKEN       "FwoGZXIvYXdzEXAMPLE//token=="
#define PRESIGNED                                                                                            \
    "room=a%20b&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2F"     \
    "execute-api%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&"     \
    "X-Amz-Signature=5ce68979ff8499d43a62072f238062a227c1285cfac41af0a51fb58635f288c5"

static const int64_t signed_ms = 1767323045000;

struct field {
    const char *name, *value;
};

/* A request in the terms of a test row; members left out are those of the first vector. */
struct sample {
    const char *method, *path, *query, *body;
    struct field fields[8];
    const char *session_token; /* of the credential */
    int64_t late_ms, expires_ms;
    const char *region;
};

#define AUTHORIZED(headers, signature)                                                                       \
    {                                                                                                        \
        "Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/" SCOPE ", SignedHeaders=" headers         \
                         ", Signature=" signature                                                            \
    }
#define HOST_FIELD                                                                                           \
    {                                                                                                        \
        "Host", HOST                                                                                         \
    }
#define DATE_FIELD                                                                                           \
    {                                                                                                        \
        "X-Amz-Date", "20260102T030405Z"                                                                     \
    }

static const struct sample hello = {
    .method = "POST",
    .path = HELLO_PATH,
    .query = "",
    .body = "hello",
    .fields = {HOST_FIELD, DATE_FIELD, AUTHORIZED("host;x-amz-date", HELLO)},
    .region = "us-east-1",
};

struct fixture {
    struct tg_arena arena;
    struct tg_sigv4_cache cache;
    struct tg_headers headers;
    struct tg_sigv4_request request;
    struct tg_sigv4_credential credential;
    struct tg_sigv4_result result;
    size_t lookups;
};

static bool look_up(void *arg, struct tg_slice access_key_id, struct tg_sigv4_credential *out)
{
    struct fixture *f = arg;
    f->lookups++;
    *out = f->credential;
    return tg_slice_eq(access_key_id, TG_LIT("AKIDEXAMPLE"));
}

static void set_up(struct fixture *f, const struct sample *sample)
{
    *f = (struct fixture){.lookups = 0};
    tg_arena_init(&f->arena, NULL);
    for (size_t i = 0; i < COUNT(sample->fields) && sample->fields[i].name != NULL; i++) {
        assert_int_equal(tg_headers_add(&f->headers, &f->arena, tg_slice_cstr(sample->fields[i].name),
                                        tg_slice_cstr(sample->fields[i].value)),
                         TG_OK);
    }
    f->request = (struct tg_sigv4_request){
        .method = tg_slice_cstr(sample->method != NULL ? sample->method : hello.method),
        .path = tg_slice_cstr(sample->path != NULL ? sample->path : hello.path),
        .query = tg_slice_cstr(sample->query),
        .headers = &f->headers,
        .payload = tg_slice_cstr(sample->body != NULL ? sample->body : hello.body),
        .region = tg_slice_cstr(sample->region != NULL ? sample->region : hello.region),
        .service = TG_LIT("execute-api"),
        .now_ms = signed_ms + sample->late_ms,
    };
    f->credential = (struct tg_sigv4_credential){
        .access_key_id = TG_LIT("AKIDEXAMPLE"),
        .secret_access_key = TG_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        .session_token = tg_slice_cstr(sample->session_token),
        .expires_ms = sample->expires_ms,
        .identity = f,
    };
}

static enum tg_sigv4_outcome verify(struct fixture *f)
{
    assert_int_equal(tg_sigv4_verify(&f->request, look_up, f, &f->cache, &f->arena, &f->result), TG_OK);
    return f->result.outcome;
}

static enum tg_sigv4_outcome outcome_of(const struct sample *sample)
{
    struct fixture f;
    set_up(&f, sample);
    enum tg_sigv4_outcome outcome = verify(&f);
    tg_arena_reset(&f.arena);
    return outcome;
}

static void assert_message(const struct sample *sample, const char *message)
{
    struct fixture f;
    struct tg_slice text = TG_EMPTY;
    set_up(&f, sample);
    (void)verify(&f);
    assert_int_equal(tg_sigv4_message(&f.result, &f.arena, &text), TG_OK);
    assert_int_equal(text.len, strlen(message));
    assert_memory_equal(text.ptr, message, text.len);
    tg_arena_reset(&f.arena);
}

static const struct sample good[] = {
    {.body = "hello", .fields = {HOST_FIELD, DATE_FIELD, AUTHORIZED("host;x-amz-date", HELLO)}},
    {.method = "GET",
     .body = "",
     .fields = {HOST_FIELD, DATE_FIELD,
                AUTHORIZED("host;x-amz-date",
                           "7b2ebe48ae76e779b3ced8da0700c24ba456e04a0ed2cf7c6506731c43b01a02")}},
    {.path = "/prod/%40connections/L0SM9cOFvHcCIhw%3D",
     .fields = {HOST_FIELD, DATE_FIELD,
                AUTHORIZED("host;x-amz-date",
                           "d4ef5f90e5b2192a1706d7a74a49fd191f83ca98688db7ef68dfd8756812c03a")}},
    {.method = "GET",
     .path = "/prod/items",
     .query = "b=2&a=%20x&a=1&empty=&B=%C3%A4~",
     .body = "",
     .fields = {HOST_FIELD,
                DATE_FIELD,
                {"x-amz-META", "  two \t words "},
                {"Content-Type", "application/json"},
                {"User-Agent", "not signed"},
                AUTHORIZED("content-type;host;x-amz-date;x-amz-meta",
                           "792a0a8ff42e6363db01b7238fd2a9d1956974dde5b8a34942e188f7ad13e085")}},
    {.method = "DELETE",
     .body = "",
     .session_token = TOKEN,
     .fields = {HOST_FIELD,
                DATE_FIELD,
                {"X-Amz-Security-Token", TOKEN},
                AUTHORIZED("host;x-amz-date;x-amz-security-token",
                           "069ace0d27eaf803eec1656633d058ebffcfe7b6130d39c0a36ffdd4ba506371")}},
    {.path = "/",
     .body = "{}",
     .fields = {HOST_FIELD,
                DATE_FIELD,
                {"X-Amz-Content-SHA256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
                AUTHORIZED("host;x-amz-content-sha256;x-amz-date",
                           "00806d9b5420d756b17396739be84683081686448d2e9e3c52b96e49f7d82770")}},
    {.method = "GET", .path = "/prod", .query = PRESIGNED, .body = "", .fields = {HOST_FIELD}},
    {.method = "GET",
     .path = "/prod",
     .query =
         "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2F"
         "execute-api%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=604800&X-Amz-SignedHeaders="
         "host&X-Amz-Security-Token=FwoGZXIvYXdzEXAMPLE%2F%2Ftoken%3D%3D&"
         "X-Amz-Signature=25e05cf8d742a924b209f75271fbe0ea999913fc7cb2af47418440c9e23055a6",
     .body = "",
     .fields = {HOST_FIELD},
     .session_token = TOKEN,
     .late_ms = 600000000},
};

static void vectors_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct fixture f;
        set_up(&f, &good[i]);
        assert_int_equal(verify(&f), TG_SIGV4_OK);
        assert_true(tg_slice_eq(f.result.access_key_id, TG_LIT("AKIDEXAMPLE")));
        assert_ptr_equal(f.result.identity, &f);
        assert_int_equal(f.result.presigned, f.headers.count == 1);
        assert_int_equal(f.cache.misses, 1);
        assert_int_equal(verify(&f), TG_SIGV4_OK);
        assert_int_equal(f.cache.hits, 1);
        assert_int_equal(tg_sigv4_verify(&f.request, look_up, &f, NULL, &f.arena, &f.result), TG_OK);
        assert_int_equal(f.result.outcome, TG_SIGV4_OK);
        tg_arena_reset(&f.arena);
    }
}

static void a_digest_may_be_given_for_the_payload(void **state)
{
    (void)state;
    struct fixture f;
    unsigned char digest[TG_SHA256_LEN];
    set_up(&f, &hello);
    assert_int_equal(tg_sha256(TG_LIT("hello"), digest), TG_OK);
    f.request.payload = TG_EMPTY;
    f.request.payload_sha256 = digest;
    assert_int_equal(verify(&f), TG_SIGV4_OK);
    digest[31] ^= 1;
    assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
    tg_arena_reset(&f.arena);
}

/* One character of one part of the request differs from what was signed. */
static void each_part_is_under_the_signature(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct fixture f;
        set_up(&f, &good[i]);
        struct tg_sigv4_request whole = f.request;
        f.request.method = TG_LIT("PUT");
        assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
        f.request = whole;
        f.request.path = TG_LIT("/prod/other");
        assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
        f.request = whole;
        f.request.payload = TG_LIT("hellO");
        assert_true(verify(&f) == TG_SIGV4_MISMATCH || verify(&f) == TG_SIGV4_PAYLOAD);
        f.request = whole;
        assert_int_equal(tg_arena_printf(&f.arena, &f.request.query, "%.*s&x", TG_FMT(whole.query)), TG_OK);
        assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
        f.request = whole;
        f.headers.items[0].value = TG_LIT("abc124.execute-api.us-east-1.amazonaws.com");
        assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
        f.headers.items[0].value = TG_LIT(HOST);
        assert_int_equal(tg_headers_add(&f.headers, &f.arena, TG_LIT("host"), TG_LIT("b")), TG_OK);
        assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
        f.headers.count--;
        f.credential.secret_access_key = TG_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEy");
        assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
        f.credential.secret_access_key = TG_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        assert_int_equal(verify(&f), TG_SIGV4_OK);
        tg_arena_reset(&f.arena);
    }
}

static void the_path_is_not_normalised(void **state)
{
    (void)state;
    static const char *const others[] = {
        "/prod/%40connections/L0SM9cOFvHcCIhw%3D",    "/prod/@connections/L0SM9cOFvHcCIhw=",
        "/prod/@connections/L0SM9cOFvHcCIhw%3d",      "/prod//@connections/L0SM9cOFvHcCIhw%3D",
        "/prod/./@connections/L0SM9cOFvHcCIhw%3D",    "/prod/@connections/L0SM9cOFvHcCIhw%3D/",
        "/x/../prod/@connections/L0SM9cOFvHcCIhw%3D",
    };
    struct sample sample = hello;
    for (size_t i = 0; i < COUNT(others); i++) {
        sample.path = others[i];
        assert_int_equal(outcome_of(&sample), TG_SIGV4_MISMATCH);
    }
}

static void the_query_has_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        bool same;
    } rows[] = {
        {"empty&a=1&a=%20x&b=2&%42=%c3%a4%7E", true},
        {"&&b=2&a=%20x&&a=1&empty=&B=%C3%A4~&", true},
        {"b=2&a=%20x&a=1&empty=&B=%C3%A4~&a=1", false},
        {"b=2&a=+x&a=1&empty=&B=%C3%A4~", false},
        {"b=2&a=%2520x&a=1&empty=&B=%C3%A4~", false},
        {"b=2&a=1&empty=&B=%C3%A4~", false},
        {"b=2&a=%20x&a=1&empty=&B=%C3%A4~&X-Amz-Signature=1", false},
    };
    struct sample sample = good[3];
    for (size_t i = 0; i < COUNT(rows); i++) {
        sample.query = rows[i].query;
        assert_int_equal(outcome_of(&sample), rows[i].same ? TG_SIGV4_OK : TG_SIGV4_MISMATCH);
    }
}

static void unsigned_headers_do_not_count(void **state)
{
    (void)state;
    struct sample sample = hello;
    sample.fields[3] = (struct field){"X-Forwarded-For", "203.0.113.9"};
    sample.fields[4] = (struct field){"x-amz-extra", "1"};
    assert_int_equal(outcome_of(&sample), TG_SIGV4_OK);
}

#define FORM(fields) "AWS4-HMAC-SHA256 " fields
#define CREDENTIAL   "Credential=AKIDEXAMPLE/" SCOPE
#define NAMES        "SignedHeaders=host;x-amz-date"
#define SIGNED       "Signature=" HELLO

static void the_authorization_field_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum tg_sigv4_outcome outcome;
    } rows[] = {
        {FORM(CREDENTIAL ", " NAMES ", " SIGNED), TG_SIGV4_OK},
        {FORM(CREDENTIAL "," NAMES "," SIGNED), TG_SIGV4_OK},
        {" " FORM(" " SIGNED " , " NAMES ",\t" CREDENTIAL) " ", TG_SIGV4_OK},
        {FORM(CREDENTIAL ", " NAMES ", " SIGNED ","), TG_SIGV4_OK},
        {FORM(CREDENTIAL ", " NAMES ", Other=1, " SIGNED), TG_SIGV4_OK},
        {"", TG_SIGV4_MISSING_TOKEN},
        {"Bearer abc", TG_SIGV4_NOT_KEY_VALUE},
        {"abc", TG_SIGV4_NOT_KEY_VALUE},
        {"Basic dXNlcjpwYXNz", TG_SIGV4_NOT_KEY_VALUE},
        {"Basic dXNlcjpwYXM=", TG_SIGV4_INCOMPLETE},
        {"AWS4-HMAC-SHA256", TG_SIGV4_INCOMPLETE},
        {FORM(NAMES ", " SIGNED), TG_SIGV4_INCOMPLETE},
        {FORM(CREDENTIAL ", " SIGNED), TG_SIGV4_INCOMPLETE},
        {FORM(CREDENTIAL ", " NAMES), TG_SIGV4_INCOMPLETE},
        {FORM(CREDENTIAL ", " NAMES ", Signature="), TG_SIGV4_INCOMPLETE},
        {FORM(CREDENTIAL ", " NAMES ", Signature"), TG_SIGV4_NOT_KEY_VALUE},
        {FORM(CREDENTIAL ", " NAMES ", , " SIGNED), TG_SIGV4_NOT_KEY_VALUE},
        {"AWS4-ECDSA-P256-SHA256 " CREDENTIAL ", " NAMES ", " SIGNED, TG_SIGV4_ALGORITHM},
        {"aws4-hmac-sha256 " CREDENTIAL ", " NAMES ", " SIGNED, TG_SIGV4_ALGORITHM},
        {FORM("Credential=AKIDEXAMPLE, " NAMES ", " SIGNED), TG_SIGV4_INCOMPLETE},
        {FORM("Credential=AKIDEXAMPLE/x/" SCOPE ", " NAMES ", " SIGNED), TG_SIGV4_INCOMPLETE},
        {FORM("Credential=AKIDEXAMPLE/20260103/us-east-1/execute-api/aws4_request, " NAMES ", " SIGNED),
         TG_SIGV4_SCOPE},
        {FORM("Credential=AKIDEXAMPLE/20260102/us-east-2/execute-api/aws4_request, " NAMES ", " SIGNED),
         TG_SIGV4_SCOPE},
        {FORM("Credential=AKIDEXAMPLE/20260102/us-east-1/s3/aws4_request, " NAMES ", " SIGNED),
         TG_SIGV4_SCOPE},
        {FORM("Credential=AKIDEXAMPLE/20260102/us-east-1/execute-api/aws5, " NAMES ", " SIGNED),
         TG_SIGV4_SCOPE},
        {FORM("Credential=AKIDOTHER/" SCOPE ", " NAMES ", " SIGNED), TG_SIGV4_UNKNOWN_KEY},
        {FORM("Credential=/" SCOPE ", " NAMES ", " SIGNED), TG_SIGV4_UNKNOWN_KEY},
        {FORM(CREDENTIAL ", SignedHeaders=x-amz-date, " SIGNED), TG_SIGV4_UNSIGNED_HEADER},
        {FORM(CREDENTIAL ", SignedHeaders=host, " SIGNED), TG_SIGV4_UNSIGNED_HEADER},
        {FORM(CREDENTIAL ", SignedHeaders=host;x-amz-date;, " SIGNED), TG_SIGV4_MISMATCH},
        {FORM(CREDENTIAL ", SignedHeaders=x-amz-date;host, " SIGNED), TG_SIGV4_MISMATCH},
        {FORM(CREDENTIAL ", SignedHeaders=host;host;x-amz-date, " SIGNED), TG_SIGV4_MISMATCH},
        {FORM(CREDENTIAL ", SignedHeaders=Absent;host;x-amz-date, " SIGNED), TG_SIGV4_MISMATCH},
        {FORM(CREDENTIAL ", SignedHeaders=absent;host;x-amz-date, " SIGNED), TG_SIGV4_MISMATCH},
        {FORM(CREDENTIAL ", " NAMES ", Signature=ae4d"), TG_SIGV4_MISMATCH},
        {FORM(CREDENTIAL ", " NAMES ", " SIGNED "0"), TG_SIGV4_MISMATCH},
        {FORM(CREDENTIAL ", " NAMES ", Signature=0" HELLO), TG_SIGV4_MISMATCH},
    };
    struct sample sample = hello;
    for (size_t i = 0; i < COUNT(rows); i++) {
        sample.fields[2].value = rows[i].value;
        if (outcome_of(&sample) != rows[i].outcome) {
            fail_msg("row %zu: outcome %d", i, (int)outcome_of(&sample));
        }
    }
}

static void an_unsigned_request_has_no_token(void **state)
{
    (void)state;
    struct sample sample = {.fields = {HOST_FIELD, DATE_FIELD}};
    assert_int_equal(outcome_of(&sample), TG_SIGV4_MISSING_TOKEN);
    assert_message(&sample, "Missing Authentication Token");
    sample.query = "X-Amz-Date=20260102T030405Z&a=b";
    assert_int_equal(outcome_of(&sample), TG_SIGV4_MISSING_TOKEN);
}

static void the_clock_may_differ_by_five_minutes(void **state)
{
    (void)state;
    static const struct {
        int64_t late_ms;
        enum tg_sigv4_outcome outcome;
    } rows[] = {
        {300000, TG_SIGV4_OK},  {300001, TG_SIGV4_EXPIRED},  {360000, TG_SIGV4_EXPIRED},
        {-300000, TG_SIGV4_OK}, {-300001, TG_SIGV4_NOT_YET}, {86400000, TG_SIGV4_EXPIRED},
    };
    struct sample sample = hello;
    for (size_t i = 0; i < COUNT(rows); i++) {
        sample.late_ms = rows[i].late_ms;
        assert_int_equal(outcome_of(&sample), rows[i].outcome);
    }
    sample.late_ms = 360000;
    assert_message(&sample, "Signature expired: 20260102T030405Z is now earlier than 20260102T030505Z "
                            "(20260102T031005Z - 5 min.)");
    sample.late_ms = -3600000;
    assert_message(&sample,
                   "Signature not yet current: 20260102T030405Z is still later than 20260102T020905Z "
                   "(20260102T020405Z + 5 min.)");
}

static void presigned_urls_live_as_long_as_they_say(void **state)
{
    (void)state;
    struct sample sample = good[6];
    sample.late_ms = 300000;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_OK);
    sample.late_ms = 300001;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_EXPIRED);
    sample.late_ms = -300001;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_NOT_YET);
    sample = good[7];
    sample.late_ms = 604800000;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_OK);
    sample.late_ms++;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_EXPIRED);
}

static void presigned_parts_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        enum tg_sigv4_outcome outcome;
    } rows[] = {
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256", TG_SIGV4_INCOMPLETE},
        {"X-Amz-Signature=1", TG_SIGV4_INCOMPLETE},
        {PRESIGNED "&X-Amz-Signature=9", TG_SIGV4_OK}, /* the first in order counts */
        {PRESIGNED "&X-Amz-Signature=2", TG_SIGV4_MISMATCH},
        {PRESIGNED "&room=c", TG_SIGV4_MISMATCH},
        {PRESIGNED "&X-Amz-Security-Token=t", TG_SIGV4_UNKNOWN_KEY},
    };
    static const char *const expires[] = {"0", "604801", "-1", "abc", "99999999999999999999999", "1.5"};
    struct sample sample = good[6];
    for (size_t i = 0; i < COUNT(rows); i++) {
        sample.query = rows[i].query;
        assert_int_equal(outcome_of(&sample), rows[i].outcome);
    }
    for (size_t i = 0; i < COUNT(expires); i++) {
        struct fixture f;
        set_up(&f, &sample);
        assert_int_equal(
            tg_arena_printf(&f.arena, &f.request.query, "X-Amz-Signature=1&X-Amz-Expires=%s", expires[i]),
            TG_OK);
        assert_int_equal(verify(&f), TG_SIGV4_INCOMPLETE);
        tg_arena_reset(&f.arena);
    }
    sample.query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Date=20260102T030405Z";
    assert_message(&sample,
                   "AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters "
                   "must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters.");
}

static void dates_come_from_either_field(void **state)
{
    (void)state;
    static const char *const bad[] = {"20260102T030405",
                                      "2026-01-02T03:04:05Z",
                                      "Fri, 02 Xan 2026 03:04:05 GMT",
                                      "Fri, 02 Jan 2026 03:04:05 CET",
                                      "Fri, 02 anF 2026 03:04:05 GMT",
                                      "now"};
    struct sample sample = hello;
    sample.fields[1].value = "";
    assert_int_equal(outcome_of(&sample), TG_SIGV4_INCOMPLETE);
    sample.fields[1] = (struct field){"X-Other", "1"};
    assert_int_equal(outcome_of(&sample), TG_SIGV4_INCOMPLETE);
    for (size_t i = 0; i < COUNT(bad); i++) {
        sample.fields[1] = (struct field){"Date", bad[i]};
        assert_int_equal(outcome_of(&sample), TG_SIGV4_INCOMPLETE);
    }
    sample.fields[1] = (struct field){"Date", "Fri, 02 Jan 2026 03:04:05 GMT"};
    assert_int_equal(outcome_of(&sample), TG_SIGV4_UNSIGNED_HEADER);
    sample.fields[2] = (struct field)AUTHORIZED(
        "date;host", "f6b3882361bc6426d186a905b2053cbc09d666ff5ed8215d77d7c6f94bef8b0a");
    assert_int_equal(outcome_of(&sample), TG_SIGV4_OK);
    sample = hello;
    sample.fields[3] = (struct field)DATE_FIELD;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_INCOMPLETE);
}

static void session_tokens_must_match(void **state)
{
    (void)state;
    struct sample sample = good[4];
    sample.session_token = "other";
    assert_int_equal(outcome_of(&sample), TG_SIGV4_UNKNOWN_KEY);
    sample.session_token = NULL;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_UNKNOWN_KEY);
    sample = hello;
    sample.session_token = TOKEN;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_UNKNOWN_KEY);
    assert_message(&sample, "The security token included in the request is invalid.");
    sample = hello;
    sample.fields[3] = (struct field){"X-Amz-Security-Token", TOKEN};
    assert_int_equal(outcome_of(&sample), TG_SIGV4_UNSIGNED_HEADER);
    sample = good[4];
    sample.expires_ms = signed_ms + 1;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_OK);
    sample.expires_ms = signed_ms;
    assert_int_equal(outcome_of(&sample), TG_SIGV4_EXPIRED_TOKEN);
}

static void payload_hashes_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "",
                                      "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"};
    struct sample sample = hello;
    for (size_t i = 0; i < COUNT(bad); i++) {
        sample.fields[3] = (struct field){"x-amz-content-sha256", bad[i]};
        assert_int_equal(outcome_of(&sample), TG_SIGV4_PAYLOAD);
    }
    sample.fields[3] = (struct field){"x-amz-content-sha256", HELLO_HASH};
    assert_int_equal(outcome_of(&sample), TG_SIGV4_OK);
}

static void a_key_without_a_secret_signs_nothing(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, &hello);
    f.credential.secret_access_key = TG_EMPTY;
    assert_int_equal(verify(&f), TG_SIGV4_UNKNOWN_KEY);
    tg_arena_reset(&f.arena);
}

static void messages_say_what_is_wrong(void **state)
{
    (void)state;
    struct sample sample = hello;
    sample.fields[2].value = "Bearer abc";
    assert_message(&sample,
                   "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 "
                   "and encoded with Base64): 'w1Xc6WwWEogNEZQP/dkBTThsJT4MNlKmzQanIm970rY='.");
    sample.fields[2].value = FORM(CREDENTIAL);
    assert_message(&sample,
                   "Authorization header requires 'Signature' parameter. Authorization header requires "
                   "'SignedHeaders' parameter. (Hashed with SHA-256 and encoded with Base64) "
                   "Authorization=GU75uuJC1S5ejfHQIFjK1prK+DSOjFNhRuz0sp9Yb7I=");
    sample.fields[2].value =
        FORM("Credential=AKIDEXAMPLE/20260102/us-east-2/s3/aws4_request, " NAMES ", " SIGNED);
    assert_message(&sample,
                   "Credential should be scoped to a valid region. Credential should be scoped to correct "
                   "service: 'execute-api'. ");
    sample.fields[2].value =
        FORM("Credential=AKIDEXAMPLE/20260103/us-east-1/execute-api/aws4_request, " NAMES ", " SIGNED);
    assert_message(&sample,
                   "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
                   "HTTP: '20260103' != '20260102', from '20260102T030405Z'.");
    sample.fields[2].value = FORM(CREDENTIAL ", SignedHeaders=x-amz-date, " SIGNED);
    assert_message(&sample, "'Host' must be a 'SignedHeader' in the AWS Authorization.");
    sample.fields[2].value = FORM("Credential=AKIDOTHER/" SCOPE ", " NAMES ", " SIGNED);
    assert_message(&sample, "The security token included in the request is invalid.");
    sample.fields[2].value = FORM(CREDENTIAL ", " NAMES ", Signature=0");
    assert_message(&sample,
                   "The request signature we calculated does not match the signature you provided. Check "
                   "your AWS Secret Access Key and signing method. Consult the service documentation for "
                   "details.");
}

static void outcomes_have_a_status_and_a_type(void **state)
{
    (void)state;
    for (int outcome = TG_SIGV4_MISSING_TOKEN; outcome <= TG_SIGV4_MISMATCH; outcome++) {
        assert_int_equal(tg_sigv4_status((enum tg_sigv4_outcome)outcome), 403);
        assert_true(tg_slice_ends(tg_sigv4_error_type((enum tg_sigv4_outcome)outcome), TG_LIT("Exception")));
    }
    assert_true(
        tg_slice_eq(tg_sigv4_error_type(TG_SIGV4_UNKNOWN_KEY), TG_LIT("UnrecognizedClientException")));
}

static void the_cache_follows_a_changed_secret(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, &hello);
    assert_int_equal(verify(&f), TG_SIGV4_OK);
    f.credential.secret_access_key = TG_LIT("another");
    assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
    f.credential.secret_access_key = TG_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert_int_equal(verify(&f), TG_SIGV4_OK);
    char secret[300];
    memset(secret, 'x', sizeof secret);
    uint64_t seen = f.cache.hits + f.cache.misses;
    f.credential.secret_access_key = tg_slice_make(secret, sizeof secret);
    assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
    assert_int_equal(f.cache.hits + f.cache.misses, seen);
    tg_arena_reset(&f.arena);
}

static void signing_gives_the_known_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct fixture f;
        struct tg_sigv4_signature signature = {.date = TG_EMPTY};
        set_up(&f, &good[i]);
        struct tg_slice expected = tg_headers_first(&f.headers, TG_LIT("authorization"))->value;
        assert_int_equal(tg_sigv4_sign(&f.request, &f.credential, &f.cache, &f.arena, &signature), TG_OK);
        assert_true(tg_slice_eq(signature.date, TG_LIT("20260102T030405Z")));
        assert_int_equal(signature.authorization.len, expected.len);
        assert_memory_equal(signature.authorization.ptr, expected.ptr, expected.len);
        tg_arena_reset(&f.arena);
    }
}

static void what_is_signed_verifies(void **state)
{
    (void)state;
    static const char *const paths[] = {"/", "", "/a b", "/%", "/%zz/\xff", "//a/../b/", "/\xc3\xa4?"};
    static const char *const queries[] = {"",         "a", "=", "a=b=c&a=b", "%&%4&%41=%", "z&y&x&&w=+%2B%20",
                                          "\xff=\x01"};
    for (size_t i = 0; i < COUNT(paths) * COUNT(queries); i++) {
        struct fixture f;
        struct tg_sigv4_signature signature;
        const struct sample sample = {.path = paths[i / COUNT(queries)],
                                      .query = queries[i % COUNT(queries)],
                                      .session_token = i % 2 == 0 ? TOKEN : NULL,
                                      .fields = {HOST_FIELD,
                                                 {"X-Amz-Two", "a,  b "},
                                                 {"Content-Type", "text/plain"},
                                                 {"x-amz-two", ""},
                                                 {"User-Agent", "x"},
                                                 {"X-Amz-Date", "replaced"}}};
        set_up(&f, &sample);
        assert_int_equal(tg_sigv4_sign(&f.request, &f.credential, NULL, &f.arena, &signature), TG_OK);
        assert_int_equal(tg_headers_set(&f.headers, &f.arena, TG_LIT("x-amz-date"), signature.date), TG_OK);
        assert_int_equal(
            tg_headers_set(&f.headers, &f.arena, TG_LIT("Authorization"), signature.authorization), TG_OK);
        if (sample.session_token != NULL) {
            assert_int_equal(
                tg_headers_set(&f.headers, &f.arena, TG_LIT("X-Amz-Security-Token"), TG_LIT(TOKEN)), TG_OK);
        }
        assert_int_equal(verify(&f), TG_SIGV4_OK);
        f.headers.items[1].value = TG_LIT("a,b");
        assert_int_equal(verify(&f), TG_SIGV4_MISMATCH);
        tg_arena_reset(&f.arena);
    }
}

static void signing_needs_a_host(void **state)
{
    (void)state;
    struct fixture f;
    struct tg_sigv4_signature signature = {.date = TG_EMPTY};
    const struct sample sample = {.fields = {{"Content-Type", "text/plain"}}};
    set_up(&f, &sample);
    assert_int_equal(tg_sigv4_sign(&f.request, &f.credential, NULL, &f.arena, &signature), TG_EINVAL);
    assert_null(signature.date.ptr);
    tg_arena_reset(&f.arena);
}

/* A signed field may have any name that a field may have; one that none can have was not signed by the rules.
 */
static void signed_names_are_field_names(void **state)
{
    (void)state;
    int verified = 0;
    for (int c = 1; c < 256; c++) {
        struct fixture f;
        char name[] = "x-amz-?-";
        struct tg_sigv4_signature signature;
        const struct sample sample = {.fields = {HOST_FIELD, {name, "value"}}};
        name[6] = (char)c;
        set_up(&f, &sample);
        bool ok = tg_header_name_ok(tg_slice_cstr(name));
        assert_int_equal(tg_sigv4_sign(&f.request, &f.credential, NULL, &f.arena, &signature), TG_OK);
        assert_int_equal(tg_headers_add(&f.headers, &f.arena, TG_LIT("X-Amz-Date"), signature.date), TG_OK);
        assert_int_equal(
            tg_headers_add(&f.headers, &f.arena, TG_LIT("Authorization"), signature.authorization), TG_OK);
        if ((verify(&f) == TG_SIGV4_OK) != ok) {
            fail_msg("character %d", c);
        }
        verified += ok;
        tg_arena_reset(&f.arena);
    }
    assert_true(verified > 60);
}

/* The date read last is remembered: by what it says alone. */
static void each_date_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *date;
        enum tg_sigv4_outcome outcome;
    } rows[] = {
        {"20260102T030405Z", TG_SIGV4_OK},          {"20260102T030405Z", TG_SIGV4_OK},
        {"20260102T020405Z", TG_SIGV4_EXPIRED},     {"20260102T0304O5Z", TG_SIGV4_INCOMPLETE},
        {"20260102T030405Z", TG_SIGV4_OK},          {"20260102T030505Z", TG_SIGV4_MISMATCH},
        {"20260102T040405Z", TG_SIGV4_NOT_YET},     {"20260102T030405", TG_SIGV4_INCOMPLETE},
        {"20260102T030405Zx", TG_SIGV4_INCOMPLETE},
    };
    struct tg_sigv4_cache cache = {.hits = 0};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        struct sample sample = hello;
        sample.fields[1].value = rows[i].date;
        set_up(&f, &sample);
        f.cache = cache;
        assert_int_equal(verify(&f), rows[i].outcome);
        cache = f.cache;
        tg_arena_reset(&f.arena);
    }
    /* Zeroes are no date, though an empty cache has them. */
    const struct sample zeroes = {
        .method = "GET",
        .path = "/prod",
        .query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2F"
                 "execute-api%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=0&X-Amz-Date="
                 "%00%00%00%00%00%00%00%00%00%00%00%00%00%00%00%00",
        .fields = {HOST_FIELD},
    };
    assert_int_equal(outcome_of(&zeroes), TG_SIGV4_INCOMPLETE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_verify),
        cmocka_unit_test(a_digest_may_be_given_for_the_payload),
        cmocka_unit_test(each_part_is_under_the_signature),
        cmocka_unit_test(the_path_is_not_normalised),
        cmocka_unit_test(the_query_has_one_form),
        cmocka_unit_test(unsigned_headers_do_not_count),
        cmocka_unit_test(the_authorization_field_is_read),
        cmocka_unit_test(an_unsigned_request_has_no_token),
        cmocka_unit_test(the_clock_may_differ_by_five_minutes),
        cmocka_unit_test(presigned_urls_live_as_long_as_they_say),
        cmocka_unit_test(presigned_parts_are_checked),
        cmocka_unit_test(dates_come_from_either_field),
        cmocka_unit_test(session_tokens_must_match),
        cmocka_unit_test(payload_hashes_are_checked),
        cmocka_unit_test(a_key_without_a_secret_signs_nothing),
        cmocka_unit_test(messages_say_what_is_wrong),
        cmocka_unit_test(outcomes_have_a_status_and_a_type),
        cmocka_unit_test(the_cache_follows_a_changed_secret),
        cmocka_unit_test(signing_gives_the_known_signatures),
        cmocka_unit_test(what_is_signed_verifies),
        cmocka_unit_test(signing_needs_a_host),
        cmocka_unit_test(signed_names_are_field_names),
        cmocka_unit_test(each_date_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
