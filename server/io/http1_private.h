/* What the HTTP/1.1 codec's own files share: character classes, finding the end of a head, reading its
 * fields. */
#ifndef TG_IO_HTTP1_PRIVATE_H
#define TG_IO_HTTP1_PRIVATE_H

#include "server/io/http1_known.h"

/* Character classes; CR, LF, NUL and the other control characters are in none. */
enum {
    TG_HTTP1_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
    TG_HTTP1_VALUE = 2,  /* field-vchar, obs-text, SP, HTAB */
    TG_HTTP1_TARGET = 4, /* printable ASCII but '#': what clients send unescaped goes through as it is */
    TG_HTTP1_HOST = 8,   /* reg-name, RFC 3986 3.2.2 */
    TG_HTTP1_HEX = 16
};
extern const unsigned char tg_http1_classes[256];

static inline bool tg_http1_is(char c, unsigned char class)
{
    return (tg_http1_classes[(unsigned char)c] & class) != 0;
}

/* The byte at `p`, or NUL, which is in no class, from `end` on. */
static inline char tg_http1_look(const char *p, const char *end)
{
    return p < end ? *p : '\0';
}

/* Where a run ends that began at `at`: the first byte of another kind, or `end`. Eight or
 * sixteen bytes are looked at at a time, the last ones one by one. */
const char *tg_http1_skip_name(const char *at, const char *end);
const char *tg_http1_skip_value(const char *at, const char *end);
const char *tg_http1_skip_target(const char *at, const char *end);

/* Fills *fault and returns TG_EPROTO. */
enum tg_err tg_http1_refuse(struct tg_http1_fault *fault, int status, const char *reason) TG_MUST_CHECK;

/* Finds the end of the head that starts at `start`: *end is the offset behind its empty line. Every LF before
 * it stands behind a CR. What it refuses depends on the first offending byte alone, not on how the bytes were
 * cut. */
enum tg_err tg_http1_find_end(struct tg_slice bytes, size_t start, size_t *scanned,
                              const struct tg_http1_limits *limits, size_t *end,
                              struct tg_http1_fault *fault) TG_MUST_CHECK;

/* The fields of a head and what they say about the message. */
struct tg_http1_fields {
    struct tg_headers headers;
    unsigned hosts;       /* Host fields seen */
    struct tg_slice host; /* the last one */
    bool has_length, has_coding;
    uint64_t content_length;
    bool close, keep_alive; /* Connection options */
    bool expect_continue;
    bool upgrade; /* such a field */
};
/* *at is the first byte behind the first line, and left behind the empty one. Reads nothing from `end` on:
 * what is not whole there is refused as if it were wrong. */
enum tg_err tg_http1_parse_fields(const char **at, const char *end, int minor, size_t limit,
                                  struct tg_arena *arena, struct tg_http1_fields *out,
                                  struct tg_http1_fault *fault) TG_MUST_CHECK;
bool tg_http1_keep_alive(const struct tg_http1_fields *fields, int minor);
/* The value of a Content-Length that can be right. */
bool tg_http1_length_ok(struct tg_slice value, uint64_t *length);

/* ---- http1_known.c ---- */

struct tg_http1_memory {
    struct tg_http1_known *known;
    struct tg_http1_hint *hint;
};
/* The length of the field section of an HTTP/1.1 request that begins at `at`, if it is the one of the hint
 * and has at most `limit` fields; its Host is right. 0: it is to be read. */
size_t tg_http1_recall(struct tg_http1_known *known, struct tg_http1_hint *hint, const char *at,
                       const char *end, size_t limit, struct tg_arena *arena, struct tg_http1_fields *out);
/* This is such a section, and was read as these. */
void tg_http1_learn(struct tg_http1_known *known, struct tg_http1_hint *hint, struct tg_slice bytes,
                    const struct tg_http1_fields *fields);

/* Reads a head that starts at `start` and is whole within the bytes. What is not whole is refused as if it
 * were wrong. memory NULL: nothing is known. */
enum tg_err tg_http1_read_request(struct tg_slice bytes, size_t start, const struct tg_http1_limits *limits,
                                  const struct tg_http1_memory *memory, struct tg_arena *arena,
                                  struct tg_http1_request *out, size_t *head_len,
                                  struct tg_http1_fault *fault) TG_MUST_CHECK;

/* Reads `HTTP/x.y`, the eight bytes at `at`: minor 0 or 1 (a higher one counts as 1, RFC 9110 2.5). */
enum tg_err tg_http1_parse_version(const char *at, int *minor, struct tg_http1_fault *fault) TG_MUST_CHECK;

#endif
