/* Connections of a loop, TCP or TLS, that neither wait nor copy what comes whole. */
#ifndef BENCH_LIB_STREAM_H
#define BENCH_LIB_STREAM_H

#include <stdbool.h>

#include "bench/lib/loop.h"

struct stream;

struct stream_events {
    void (*on_open)(struct stream *stream); /* a connection that was asked for is there */
    /* Bytes came, with those before them that were left over; returns how many are done with. They may be
     * changed. */
    size_t (*on_data)(struct stream *stream, unsigned char *data, size_t len);
    void (*on_end)(struct stream *stream); /* the peer closed, or cut; the stream is closed already */
};

struct stream {
    struct watch watch;
    struct loop *loop;
    const struct stream_events *events;
    struct ssl_st *tls;        /* NULL: none */
    bool connecting;           /* TCP, or TLS on it */
    unsigned life;             /* counts the connections that this stream has been */
    unsigned char *rest, *out; /* of a message that has not come whole; that the socket has not taken */
    size_t rest_len, rest_cap, out_len, out_cap;
};

/* Begins to connect to `port` on the loopback interface; on_open follows, or on_end. */
void stream_connect(struct stream *stream, struct loop *loop, size_t port,
                    const struct stream_events *events);

/* Takes over a connected socket that does not block. */
void stream_adopt(struct stream *stream, struct loop *loop, int fd, const struct stream_events *events);

/* Writes what the socket takes and keeps the rest for later. False: the connection is broken; on_end follows.
 */
bool stream_send(struct stream *stream, const void *bytes, size_t len);

/* Closes without a callback; `cut`: with a reset, so that no port waits in TIME_WAIT. */
void stream_close(struct stream *stream, bool cut);

static inline bool stream_is_open(const struct stream *stream)
{
    return stream->loop != NULL && stream->watch.fd >= 0 && !stream->connecting;
}

/* A listening socket on the loopback interface; on_ready of `watch` accepts from it. */
void listener_open(struct loop *loop, struct watch *watch, size_t port);
/* The next connection that waits, or -1. */
int listener_accept(const struct watch *watch);

#endif
