/* The HTTP/1.1 codec: strict parsing of request and response heads, incremental decoding of bodies, writing
 * of heads. Pure functions over bytes, used by the front door and by the back-end client alike; knows no
 * socket, no time.
 *
 * Strict means (RFC 9112): CRLF line ends only (bare CR or LF refused), no blank before a colon, no obs-fold,
 * no control characters in values, single SP in the request line, one Host exactly (HTTP/1.1), never both
 * Content-Length and Transfer-Encoding, one Content-Length only (a repeat is refused even when equal, and so
 * is a list), Transfer-Encoding exactly "chunked" (HTTP/1.1 only), chunk sizes of at most 16 hex digits,
 * chunk extensions bounded and without control characters. Empty lines before a request line: at most one
 * CRLF is skipped. */
#ifndef TG_IO_HTTP1_H
#define TG_IO_HTTP1_H

#include "server/base/buf.h"
#include "server/base/headers.h"

struct tg_http1_limits {
    size_t line;  /* request or status line, bytes */
    size_t head;  /* the whole head, bytes */
    size_t count; /* header fields */
};

/* What to answer, and a constant text for the log, when a request is refused. */
struct tg_http1_fault {
    int status; /* 400, 414, 431, 501, 505 */
    const char *reason;
};

enum tg_http1_framing {
    TG_HTTP1_NO_BODY,
    TG_HTTP1_LENGTH,
    TG_HTTP1_CHUNKED,
    TG_HTTP1_UNTIL_CLOSE /* responses only */
};

struct tg_http1_request {
    struct tg_slice method;
    struct tg_slice target; /* as on the wire */
    /* As on the wire; "/" for an absolute target without one; "*" for the asterisk form; empty for CONNECT.
     */
    struct tg_slice path;
    struct tg_slice query; /* without '?'; NULL pointer when the target has no '?' */
    struct tg_slice
        host;  /* Host field, or the authority of an absolute target, which wins (RFC 9112 3.2.2) */
    int minor; /* 0 or 1: HTTP/1.x */
    struct tg_headers headers; /* items in the arena, bytes in the input */
    bool keep_alive;
    bool expect_continue;
    bool has_upgrade; /* an Upgrade field is there */
    enum tg_http1_framing framing;
    uint64_t content_length; /* with TG_HTTP1_LENGTH */
};

struct tg_http1_response {
    int status; /* 100-999 */
    struct tg_slice reason;
    int minor;
    struct tg_headers headers;
    bool keep_alive;
    enum tg_http1_framing framing;
    bool has_length; /* a Content-Length is there, which without a body is that of the body left out */
    uint64_t content_length;
};

/* Parses one head at the front of `bytes`. *scanned is the caller's memory between calls on the same, growing
 * bytes (0 at first), so that a head that trickles in costs linear time. On TG_OK *head_len bytes belong to
 * the head. TG_EAGAIN: incomplete. TG_EPROTO: refused, *fault filled. TG_ENOMEM. */
enum tg_err tg_http1_parse_request(struct tg_slice bytes, size_t *scanned,
                                   const struct tg_http1_limits *limits, struct tg_arena *arena,
                                   struct tg_http1_request *out, size_t *head_len,
                                   struct tg_http1_fault *fault) TG_MUST_CHECK;
/* The same for a response to a request of the given method (HEAD has no body; nor have 1xx, 204, 304). A 1xx
 * head is returned like any other: the caller skips it. */
enum tg_err tg_http1_parse_response(struct tg_slice bytes, size_t *scanned,
                                    const struct tg_http1_limits *limits, struct tg_slice method,
                                    struct tg_arena *arena, struct tg_http1_response *out, size_t *head_len,
                                    struct tg_http1_fault *fault) TG_MUST_CHECK;

/* Body decoder; plain memory, nothing to free. */
struct tg_http1_body {
    enum tg_http1_framing framing;
    uint64_t remaining; /* of the body or of the current chunk */
    unsigned char state;
    unsigned digits;
    size_t line;       /* bytes of the current chunk line or of the trailer section */
    size_t extensions; /* bytes of chunk extensions so far */
    bool done;
};
void tg_http1_body_init(struct tg_http1_body *body, enum tg_http1_framing framing, uint64_t content_length);
/* Takes bytes from the front of `in`: *used were consumed, *out (inside `in`) is content, perhaps empty. Call
 * again while *used > 0 and !body->done. TG_EPROTO for broken chunking, now and ever after. Trailer fields
 * are checked for syntax and dropped. */
enum tg_err tg_http1_body_decode(struct tg_http1_body *body, struct tg_slice in, size_t *used,
                                 struct tg_slice *out) TG_MUST_CHECK;

/* Whether twice does what once does: safe to send again (RFC 9110 section 9.2.2). */
bool tg_http1_idempotent(struct tg_slice method);
/* The standard reason phrase, or "Unknown". */
const char *tg_http1_reason(int status);
/* The status line, CR LF included; empty where the standard has no reason phrase. */
struct tg_slice tg_http1_status_line(int status);
/* Writes one field line at `at`: where it ends, or NULL: it would not end before `end`, or cannot be written.
 */
char *tg_http1_put_field(char *at, const char *end, const struct tg_header *field);
/* Writers. TG_EINVAL when a name, a value, the method or the target could not be read back (CR, LF, NUL,
 * blanks in the wrong place): then nothing was appended. The caller supplies framing fields (Content-Length,
 * Connection). */
enum tg_err tg_http1_write_request(struct tg_buf *out, struct tg_slice method, struct tg_slice target,
                                   const struct tg_headers *headers) TG_MUST_CHECK;
enum tg_err tg_http1_write_response(struct tg_buf *out, int status,
                                    const struct tg_headers *headers) TG_MUST_CHECK;

#endif
