/* What transport.c and transport_tls.c share: the head of every transport and the operation table. Private to
 * these two. transport.c owns the descriptor, the poll and the calls to the owner; a table knows only bytes.
 */
#ifndef TG_IO_TRANSPORT_OPS_H
#define TG_IO_TRANSPORT_OPS_H

#include "server/io/transport.h"

struct tg_transport_ops {
    /* After the connection stands, again on each readiness: TG_OK when open, TG_EAGAIN (handshake_writes is
     * set to what it waits for), anything else is why it failed. */
    enum tg_err (*handshake)(struct tg_transport *transport);
    /* As in transport.h; they set read_needs_write and write_needs_read. */
    enum tg_err (*read)(struct tg_transport *transport, char *space, size_t cap, size_t *got);
    enum tg_err (*write)(struct tg_transport *transport, struct tg_slice bytes, size_t *put);
    /* NULL: bytes of several places are joined by the caller. */
    enum tg_err (*write_pieces)(struct tg_transport *transport, const struct tg_slice *pieces, size_t count,
                                size_t *put);
    /* Bytes can be read whatever the socket says. */
    bool (*pending)(const struct tg_transport *transport);
    /* Before the write side is shut down; before the descriptor is closed. */
    void (*finish)(struct tg_transport *transport);
    /* NULL: never. */
    bool (*resumed)(const struct tg_transport *transport);
    /* NULL: never any. */
    enum tg_err (*peer)(const struct tg_transport *transport, struct tg_peer_certificate **out);
    /* Frees what is the table's own and the transport itself. */
    void (*destroy)(struct tg_transport *transport);
};

enum tg_transport_state {
    TG_TRANSPORT_CONNECTING,
    TG_TRANSPORT_HANDSHAKE,
    TG_TRANSPORT_OPEN,
    TG_TRANSPORT_FAILED
};

struct tg_transport {
    const struct tg_transport_ops *ops;
    struct tg_loop *loop;
    struct tg_poll *poll;
    int fd;
    enum tg_transport_state state;
    const struct tg_transport_events *events;
    void *arg;
    struct tg_task task;   /* the end of a connect that needed no waiting, and reading of pending bytes */
    enum tg_err start_err; /* why connect(2) failed, for the task to tell */
    const char *failure;   /* as tg_transport_failure; NULL: none */
    bool want_read, want_write;
    bool read_needs_write, write_needs_read, handshake_writes;
    bool stale;        /* of plain bytes: the poll may not have been told what is wanted */
    bool closed;       /* the owner's calls are over; the memory goes when no call is under way */
    unsigned dispatch; /* calls to the owner under way */
};

/* TLS transports without a descriptor: a server's, and a client's. TG_EINVAL for a name that cannot be
 * verified. */
enum tg_err tg_transport_tls_accept(struct tg_tls_context *context, struct tg_transport **out) TG_MUST_CHECK;
enum tg_err tg_transport_tls_connect(struct tg_tls_context *context, struct tg_slice server_name,
                                     struct tg_transport **out) TG_MUST_CHECK;

#endif
