/* The parts of serving files, shared by the files of static*.c; nobody else but their tests includes it. All
 * but tg_static_find are pure. */
#ifndef TG_ROUTES_STATIC_PRIVATE_H
#define TG_ROUTES_STATIC_PRIVATE_H

#include <stdatomic.h>

#include "routes/static.h"
#include "server/base/codec.h"
#include "server/base/headers.h"
#include "server/io/beneath.h"

struct tg_static {
    atomic_uint refs;
    struct tg_arena arena;
    struct tg_beneath root;
    struct tg_slice index, fallback, cache_control;
    int fallback_status;
    struct tg_string_map types; /* lower-case extensions without a dot */
    bool dot_files, precompressed, shared_etags, allow_sniffing;
};

/* ---- static.c: from a request's path to a name ---- */

/* `below` is the path below the route as it was on the wire, with or without its first slash. *name, in the
 * arena, is decoded and fit for tg_beneath_open; *slash: the path ends with a slash, so asks for a directory.
 * `.` segments fall away. A backslash is an ordinary byte. TG_ESYNTAX: an escape that is none, or one of
 * `/` or NUL; a `..` segment. TG_ENOTFOUND: no file can have this name (`//`, too long), or it is a dot
 * file's. TG_ENOMEM. */
enum tg_err tg_static_map(const struct tg_static *files, struct tg_slice below, struct tg_arena *arena,
                          struct tg_slice *name, bool *slash) TG_MUST_CHECK;
/* Where a client that left out a directory's last slash is sent: relative to what it asked for, and beginning
 * with `./`, so that no path can become another host. path and query as on the wire. */
enum tg_err tg_static_location(struct tg_arena *arena, struct tg_slice path, struct tg_slice query,
                               struct tg_slice *out) TG_MUST_CHECK;

/* ---- static_types.c: media types and content codings ---- */

enum tg_static_coding { TG_STATIC_IDENTITY, TG_STATIC_GZIP, TG_STATIC_BROTLI };
enum { TG_STATIC_CODINGS = 2 };

/* By the extension of the last component; application/octet-stream for one that is not known. */
struct tg_slice tg_static_type(const struct tg_static *files, struct tg_slice name);
/* The codings that Accept-Encoding allows (RFC 9110 section 12.5.3), the most wanted first; brotli before
 * gzip on a tie. Returns how many. */
size_t tg_static_codings(const struct tg_headers *headers, enum tg_static_coding out[TG_STATIC_CODINGS]);
/* The suffix of a file so coded, with its dot, and the name in Content-Encoding. */
struct tg_slice tg_static_coding_suffix(enum tg_static_coding coding);
struct tg_slice tg_static_coding_name(enum tg_static_coding coding);

/* ---- static_conditional.c: RFC 9110 sections 8.8 and 13 ---- */

struct tg_static_validators {
    char etag[40]; /* with its quotes, and W/ before them when it is weak */
    size_t etag_len;
    int64_t modified_s; /* as Last-Modified tells it: not after now */
    bool strong;        /* the file has rested long enough for its time to tell any change */
};
enum tg_static_verdict { TG_STATIC_PROCEED, TG_STATIC_NOT_MODIFIED, TG_STATIC_FAILED };

void tg_static_validate(const struct tg_static *files, const struct tg_beneath_file *file, int64_t now_ms,
                        struct tg_static_validators *out);
/* For GET and HEAD, in the order of section 13.2.2. *ranges (with TG_STATIC_PROCEED): If-Range does not
 * stand in the way of Range. */
enum tg_static_verdict tg_static_judge(const struct tg_headers *headers,
                                       const struct tg_static_validators *validators, int64_t now_ms,
                                       bool *ranges);

/* ---- static_range.c: RFC 9110 section 14 ---- */

enum { TG_STATIC_RANGES_MAX = 16 };
struct tg_static_range {
    uint64_t first, len; /* len > 0, inside the file */
};
enum tg_static_ranges { TG_STATIC_WHOLE, TG_STATIC_PARTIAL, TG_STATIC_UNSATISFIABLE };

/* What a Range field asks of `size` bytes. TG_STATIC_WHOLE: it is malformed, of another unit, asks for more
 * than TG_STATIC_RANGES_MAX parts, for parts that overlap, or an empty file: it is ignored. In the order of
 * the field; the ranges that lie behind the end are left out. */
enum tg_static_ranges tg_static_range_parse(struct tg_slice value, uint64_t size,
                                            struct tg_static_range out[TG_STATIC_RANGES_MAX], size_t *count);

/* ---- static_find.c: the file, on a thread that may block ---- */

enum tg_static_outcome {
    TG_STATIC_FOUND,
    TG_STATIC_FALLBACK,  /* found, but the fallback in the place of what was asked for */
    TG_STATIC_DIRECTORY, /* one with an index document, asked for without its slash */
    TG_STATIC_MISSING,
    TG_STATIC_DENIED,
    TG_STATIC_BUSY, /* descriptors or memory are out */
    TG_STATIC_BROKEN
};
struct tg_static_wish {
    struct tg_slice name; /* tg_static_map; outlives the search */
    bool slash;
    bool missing; /* there is none of this name: the fallback at once */
    enum tg_static_coding codings[TG_STATIC_CODINGS];
    size_t coding_count; /* 0 unless files->precompressed */
};
struct tg_static_found {
    enum tg_static_outcome outcome;
    struct tg_beneath_file file; /* open with FOUND and FALLBACK: the caller's; else fd is -1 */
    struct tg_slice type;        /* media type, of files; with FOUND and FALLBACK */
    enum tg_static_coding coding;
};
void tg_static_find(const struct tg_static *files, const struct tg_static_wish *wish,
                    struct tg_static_found *out);

/* ---- static_answer.c: what goes out ---- */

struct tg_static_part {
    struct tg_slice head; /* before the bytes of the file; empty but in multipart/byteranges */
    uint64_t offset, len;
};
struct tg_static_answer {
    int status;
    struct tg_headers headers;
    struct tg_slice body; /* in place of parts */
    struct tg_static_part *parts;
    size_t count;
    struct tg_slice tail; /* behind the parts */
    uint64_t length;      /* of all of it */
};
struct tg_static_question {
    const struct tg_headers *headers;
    struct tg_slice path, query; /* as on the wire */
    bool head;
    int64_t now_ms;
    uint64_t random; /* for the boundary of multipart */
};
/* Everything in the arena; ready to be filled with more headers. TG_ENOMEM. */
enum tg_err tg_static_answer(const struct tg_static *files, const struct tg_static_question *question,
                             const struct tg_static_found *found, struct tg_arena *arena,
                             struct tg_static_answer *out) TG_MUST_CHECK;
/* An answer without a file: {"message":"..."} with the status's own phrase. */
enum tg_err tg_static_refusal(int status, struct tg_arena *arena, struct tg_static_answer *out) TG_MUST_CHECK;

#endif
