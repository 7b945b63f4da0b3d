/* Origins: their idle connections, their waiting calls, and who gets which. */
#include "server/io/upstream_private.h"

#include <assert.h>
#include <stdlib.h>

enum { KEY_MAX = 1024, ARENA_CHUNKS = 16 };

enum tg_err tg_upstream_new(struct tg_loop *loop, struct tg_resolver *resolver, struct tg_log *log,
                            const struct tg_upstream_options *options, struct tg_upstream **out)
{
    struct tg_upstream *upstream = malloc(sizeof *upstream);
    if (upstream == NULL) {
        return TG_ENOMEM;
    }
    upstream->loop = loop;
    upstream->resolver = resolver;
    upstream->log = log;
    upstream->stats = (struct tg_upstream_stats){0};
    tg_map_init(&upstream->origins, tg_loop_now_ns());
    tg_arena_pool_init(&upstream->arenas, ARENA_CHUNKS);
    tg_upstream_configure(upstream, options);
    *out = upstream;
    return TG_OK;
}

static bool first_origin(void *arg, struct tg_slice key, void *value)
{
    (void)key;
    *(struct tg_upstream_origin **)arg = value;
    return false;
}

void tg_upstream_free(struct tg_upstream *upstream)
{
    if (upstream == NULL) {
        return;
    }
    while (upstream->origins.count > 0) {
        /* An origin goes with its last connection. */
        struct tg_upstream_origin *origin = NULL;
        tg_map_each(&upstream->origins, first_origin, &origin);
        assert(origin->connections == origin->idle_count && origin->pending_count == 0);
        tg_upstream_conn_drop(TG_CONTAINER(origin->idle.next, struct tg_upstream_conn, node));
    }
    tg_map_free(&upstream->origins, NULL);
    tg_arena_pool_free(&upstream->arenas);
    free(upstream);
}

void tg_upstream_configure(struct tg_upstream *upstream, const struct tg_upstream_options *options)
{
    upstream->options = *options;
    if (upstream->options.max_connections == 0) {
        upstream->options.max_connections = 1;
    }
}

void tg_upstream_stats(const struct tg_upstream *upstream, struct tg_upstream_stats *out)
{
    *out = upstream->stats;
}

static char *put(char *at, const void *bytes, size_t len)
{
    if (len > 0) {
        memcpy(at, bytes, len);
    }
    return at + len;
}

/* Every field of the origin in one string: host and server name last, one behind the other. The address tells
 * one trust from another, as an origin holds its own: no other can have that address as long. */
static enum tg_err make_key(const struct tg_origin *name, char key[KEY_MAX], size_t *len)
{
    struct tg_slice host = name->host;
    struct tg_slice server_name = name->tls ? name->server_name : TG_EMPTY;
    const struct tg_tls_context *trust = name->tls ? name->trust : NULL;
    if (name->tls && trust == NULL) {
        return TG_EINVAL;
    }
    size_t fixed = sizeof name->tls + sizeof name->port + sizeof trust + sizeof host.len;
    if (host.len == 0 || host.len > KEY_MAX || server_name.len > KEY_MAX ||
        host.len + server_name.len > KEY_MAX - fixed) {
        return TG_EINVAL;
    }
    char *at = put(key, &name->tls, sizeof name->tls);
    at = put(at, &name->port, sizeof name->port);
    at = put(at, &trust, sizeof trust);
    at = put(at, &host.len, sizeof host.len);
    at = put(at, host.ptr, host.len);
    at = put(at, server_name.ptr, server_name.len);
    *len = (size_t)(at - key);
    return TG_OK;
}

static void origin_free(struct tg_upstream_origin *origin)
{
    tg_tls_context_free(origin->name.trust);
    free(origin);
}

static enum tg_err get_origin(struct tg_upstream *upstream, const struct tg_origin *name,
                              struct tg_upstream_origin **out)
{
    char key[KEY_MAX];
    size_t len = 0;
    enum tg_err err = make_key(name, key, &len);
    if (err != TG_OK) {
        return err;
    }
    *out = tg_map_get(&upstream->origins, tg_slice_make(key, len));
    if (*out != NULL) {
        return TG_OK;
    }
    struct tg_upstream_origin *origin = calloc(1, sizeof *origin + len);
    if (origin == NULL) {
        return TG_ENOMEM;
    }
    origin->upstream = upstream;
    origin->name = *name;
    origin->name.trust = name->tls ? tg_tls_context_ref(name->trust) : NULL;
    origin->key_len = len;
    memcpy(origin->key, key, len);
    size_t server_name_len = name->tls ? name->server_name.len : 0;
    origin->name.host.ptr = origin->key + len - server_name_len - name->host.len;
    origin->name.server_name = server_name_len > 0
                                   ? tg_slice_make(origin->key + len - server_name_len, server_name_len)
                                   : origin->name.host;
    tg_list_init(&origin->idle);
    tg_list_init(&origin->pending);
    err = tg_map_add(&upstream->origins, tg_slice_make(origin->key, len), origin);
    if (err != TG_OK) {
        origin_free(origin);
        return err;
    }
    *out = origin;
    return TG_OK;
}

static bool has_room(const struct tg_upstream_origin *origin)
{
    return origin->connections - origin->apart < origin->upstream->options.max_connections;
}

void tg_upstream_settle(struct tg_upstream_origin *origin)
{
    struct tg_upstream *upstream = origin->upstream;
    while (origin->pending_count > 0 && has_room(origin)) {
        struct tg_call *call = TG_CONTAINER(origin->pending.next, struct tg_call, node);
        tg_upstream_unqueue(call);
        enum tg_err err = tg_upstream_connect(origin, call);
        if (err != TG_OK) {
            tg_call_end_later(call, err);
        }
    }
    if (origin->connections == 0 && origin->pending_count == 0) {
        tg_map_remove(&upstream->origins, tg_slice_make(origin->key, origin->key_len));
        origin_free(origin);
    }
}

void tg_upstream_unqueue(struct tg_call *call)
{
    tg_list_remove(&call->node);
    call->origin->pending_count--;
    call->upstream->stats.pending--;
    call->origin = NULL;
}

void tg_upstream_unidle(struct tg_upstream_conn *conn)
{
    tg_timer_stop(&conn->timer);
    tg_list_remove(&conn->node);
    conn->idle = false;
    conn->origin->idle_count--;
    conn->origin->upstream->stats.idle--;
}

enum tg_err tg_upstream_place(struct tg_call *call)
{
    struct tg_upstream *upstream = call->upstream;
    struct tg_upstream_origin *origin = NULL;
    enum tg_err err = get_origin(upstream, &call->request.origin, &origin);
    if (err != TG_OK) {
        return err;
    }
    if (origin->idle_count > 0 && !call->apart) {
        struct tg_upstream_conn *conn = TG_CONTAINER(origin->idle.next, struct tg_upstream_conn, node);
        tg_upstream_unidle(conn);
        tg_upstream_conn_serve(conn, call);
        return TG_OK;
    }
    if (call->apart || has_room(origin)) {
        err = tg_upstream_connect(origin, call);
        if (err != TG_OK) {
            tg_upstream_settle(origin);
        }
        return err;
    }
    if (origin->pending_count >= upstream->options.max_pending) {
        upstream->stats.rejected++;
        return TG_EBUSY;
    }
    call->origin = origin;
    tg_list_append(&origin->pending, &call->node);
    origin->pending_count++;
    upstream->stats.pending++;
    return TG_OK;
}

void tg_upstream_release(struct tg_upstream_conn *conn)
{
    struct tg_upstream_origin *origin = conn->origin;
    struct tg_upstream *upstream = origin->upstream;
    if (origin->pending_count > 0) {
        struct tg_call *call = TG_CONTAINER(origin->pending.next, struct tg_call, node);
        tg_upstream_unqueue(call);
        tg_upstream_conn_serve(conn, call);
        return;
    }
    if (origin->idle_count >= upstream->options.max_idle) {
        tg_upstream_conn_drop(conn);
        return;
    }
    tg_buf_free(&conn->in);
    conn->idle = true;
    tg_list_prepend(&origin->idle, &conn->node);
    origin->idle_count++;
    upstream->stats.idle++;
    tg_timer_start(upstream->loop, &conn->timer, upstream->options.idle_timeout_ms);
    tg_upstream_conn_want(conn);
}
