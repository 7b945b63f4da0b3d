/* Opening of connections: the name, then its addresses in turn, then TLS, all within one timeout; and their
 * end. */
#include "server/io/upstream_private.h"

#include <assert.h>
#include <stdlib.h>

enum { ADDRESSES_MAX = 8 };

void tg_upstream_conn_enter(struct tg_upstream_conn *conn)
{
    conn->dispatch++;
}

/* The answer's bytes stay while the event that hands them out is under way. */
static void free_if_over(struct tg_upstream_conn *conn)
{
    if (conn->dead && conn->dispatch == 0) {
        tg_buf_free(&conn->in);
        free(conn);
    }
}

void tg_upstream_conn_leave(struct tg_upstream_conn *conn)
{
    conn->dispatch--;
    free_if_over(conn);
}

void tg_upstream_conn_end(struct tg_upstream_conn *conn)
{
    assert(conn->call == NULL && !conn->dead);
    if (conn->idle) {
        tg_upstream_unidle(conn);
    }
    tg_timer_stop(&conn->timer);
    if (conn->question != NULL) {
        tg_resolve_cancel(conn->question);
    }
    tg_transport_close(conn->transport);
    conn->transport = NULL;
    free(conn->addresses);
    conn->origin->connections--;
    conn->origin->apart -= conn->apart;
    conn->origin->upstream->stats.connections--;
    conn->dead = true;
    free_if_over(conn);
}

void tg_upstream_conn_drop(struct tg_upstream_conn *conn)
{
    struct tg_upstream_origin *origin = conn->origin;
    tg_upstream_conn_end(conn);
    tg_upstream_settle(origin);
}

static void on_open(void *arg, enum tg_err err);

static const struct tg_transport_events transport_events = {
    .on_open = on_open,
    .on_readable = tg_upstream_on_readable,
    .on_writable = tg_upstream_on_writable,
};

static void connect_failed(struct tg_upstream_conn *conn, enum tg_err err)
{
    conn->origin->upstream->stats.connect_failures++;
    tg_call_fail(conn->call, err);
}

/* What the transport refuses at once, in the words of on_end. */
static enum tg_err translate(enum tg_err err)
{
    switch (err) {
    case TG_EINVAL: /* the server name cannot be verified */
        return TG_ETLS;
    case TG_ELIMIT: /* out of descriptors */
        return TG_EBUSY;
    default:
        return err;
    }
}

/* Starts on the next address that can be started on; an address gets its share of the time left. */
static enum tg_err try_next(struct tg_upstream_conn *conn)
{
    struct tg_upstream_origin *origin = conn->origin;
    struct tg_loop *loop = origin->upstream->loop;
    while (conn->address_next < conn->address_count) {
        size_t left = conn->address_count - conn->address_next;
        const struct tg_address *address = &conn->addresses[conn->address_next++];
        struct tg_tls_context *tls = origin->name.tls ? origin->name.trust : NULL;
        enum tg_err err = tg_transport_connect(loop, address, tls, origin->name.server_name,
                                               &transport_events, conn, &conn->transport);
        if (err == TG_OK) {
            uint64_t now = tg_loop_now_ms(loop);
            uint64_t rest = conn->deadline_ms > now ? conn->deadline_ms - now : 0;
            tg_timer_start(loop, &conn->timer, rest / left);
            return TG_OK;
        }
        conn->connect_err = translate(err);
    }
    return conn->connect_err;
}

static void on_open(void *arg, enum tg_err err)
{
    struct tg_upstream_conn *conn = arg;
    if (err == TG_OK) {
        tg_timer_stop(&conn->timer);
        free(conn->addresses);
        conn->addresses = NULL;
        conn->open = true;
        conn->origin->upstream->stats.opened++;
        tg_upstream_conn_opened(conn);
        return;
    }
    tg_transport_close(conn->transport);
    conn->transport = NULL;
    conn->connect_err = err;
    /* The same server's certificate is no better at another address. */
    if (err != TG_ETLS) {
        err = try_next(conn);
    }
    if (err != TG_OK) {
        connect_failed(conn, err);
    }
}

static enum tg_err set_addresses(struct tg_upstream_conn *conn, const struct tg_address *addresses,
                                 size_t count)
{
    conn->address_count = count < ADDRESSES_MAX ? count : ADDRESSES_MAX;
    conn->addresses = malloc(conn->address_count * sizeof *addresses);
    if (conn->addresses == NULL) {
        return TG_ENOMEM;
    }
    memcpy(conn->addresses, addresses, conn->address_count * sizeof *addresses);
    return TG_OK;
}

static void on_resolved(void *arg, enum tg_err err, const struct tg_address *addresses, size_t count)
{
    struct tg_upstream_conn *conn = arg;
    conn->question = NULL;
    if (err == TG_OK && count == 0) {
        err = TG_EDNS;
    }
    if (err == TG_OK) {
        err = set_addresses(conn, addresses, count);
    }
    if (err == TG_OK) {
        err = try_next(conn);
    }
    if (err != TG_OK) {
        connect_failed(conn, err);
    }
}

static void on_timer(struct tg_timer *timer)
{
    struct tg_upstream_conn *conn = TG_CONTAINER(timer, struct tg_upstream_conn, timer);
    if (conn->open) {
        tg_upstream_conn_drop(conn);
        return;
    }
    tg_transport_close(conn->transport);
    conn->transport = NULL;
    conn->connect_err = TG_ETIMEOUT;
    enum tg_err err = conn->question == NULL ? try_next(conn) : TG_ETIMEOUT;
    if (err != TG_OK) {
        connect_failed(conn, err);
    }
}

static enum tg_err start(struct tg_upstream_conn *conn)
{
    struct tg_upstream *upstream = conn->origin->upstream;
    const struct tg_origin *name = &conn->origin->name;
    tg_timer_start(upstream->loop, &conn->timer, upstream->options.connect_timeout_ms);
    if (!tg_slice_starts(name->host, TG_LIT("unix:"))) {
        return tg_resolver_ask(upstream->resolver, name->host, name->port, on_resolved, conn,
                               &conn->question);
    }
    struct tg_address address;
    if (tg_address_parse(name->host, &address) != TG_OK) {
        return TG_EINVAL;
    }
    enum tg_err err = set_addresses(conn, &address, 1);
    return err == TG_OK ? try_next(conn) : err;
}

enum tg_err tg_upstream_connect(struct tg_upstream_origin *origin, struct tg_call *call)
{
    struct tg_upstream *upstream = origin->upstream;
    struct tg_upstream_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return TG_ENOMEM;
    }
    conn->origin = origin;
    conn->connect_err = TG_EREFUSED;
    conn->deadline_ms = tg_loop_now_ms(upstream->loop) + upstream->options.connect_timeout_ms;
    tg_list_init(&conn->node);
    tg_timer_init(&conn->timer, on_timer);
    tg_buf_init(&conn->in, SIZE_MAX);
    conn->apart = call->apart;
    origin->connections++;
    origin->apart += conn->apart;
    upstream->stats.connections++;
    enum tg_err err = start(conn);
    if (err != TG_OK) {
        upstream->stats.connect_failures++;
        tg_upstream_conn_end(conn);
        return err;
    }
    conn->call = call;
    call->conn = conn;
    return TG_OK;
}
