/* WebSocket and HTTP/1.1 as bytes, as far as load generators and bare servers need them: peers are trusted.
 */
#ifndef BENCH_LIB_WIRE_H
#define BENCH_LIB_WIRE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
    WS_HEAD_MAX = 14
};

struct ws_frame {
    unsigned opcode;
    unsigned char *payload;
    size_t len;
};

/* The frame at `data`, unmasked in place; returns its bytes, 0 when it has not come whole. */
size_t ws_next(unsigned char *data, size_t len, struct ws_frame *frame);

/* Writes a frame of `len` bytes of payload, masked as a client's or not, and returns its size: up to
 * WS_HEAD_MAX more. */
size_t ws_frame(unsigned char *out, unsigned opcode, const void *payload, size_t len, bool masked);

/* The Sec-WebSocket-Accept for a key of 24 characters; `out` has 29 bytes, the last is NUL. */
void ws_accept(const char *key, char *out);

/* The bytes of a head up to and with its empty line, 0 when it has not come whole. */
size_t http_head(const unsigned char *data, size_t len);

/* The value of a field, up to the line's end, or NULL; `name` in lower case with its colon. */
const char *http_field(const unsigned char *head, size_t head_len, const char *name, size_t *value_len);

struct http_message {
    size_t head_len;
    const unsigned char *body;
    size_t body_len; /* of a chunked body: with its framing */
    int status;      /* of a response */
};

/* The request or response at `data`; returns its bytes, 0 when it has not come whole. */
size_t http_next(const unsigned char *data, size_t len, struct http_message *message);

#endif
