#include "server/io/redis_url.h"

#include <sys/un.h>

#include "server/base/codec.h"

enum { PORT = 6379, SENTINEL_PORT = 26379, DATABASE_MAX = 65535 };

static enum tg_err wrong(const char **problem, const char *text)
{
    *problem = text;
    return TG_ESYNTAX;
}

static bool take(struct tg_slice *rest, struct tg_slice prefix)
{
    if (!tg_slice_starts(*rest, prefix)) {
        return false;
    }
    *rest = tg_slice_from(*rest, prefix.len);
    return true;
}

static bool has_control(struct tg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 127) {
            return true;
        }
    }
    return false;
}

static enum tg_err read_login(struct tg_arena *arena, struct tg_slice login, struct tg_redis_url *url,
                              const char **problem)
{
    struct tg_slice password, user = tg_slice_cut(login, ':', &password);
    if (password.ptr == NULL) {
        return wrong(problem, "before the @ stands user:password, or :password for the default user");
    }
    enum tg_err err = tg_percent_decode(arena, user, false, &url->user);
    if (err == TG_OK) {
        err = tg_percent_decode(arena, password, false, &url->password);
    }
    if (err == TG_OK && url->password.len == 0) {
        return wrong(problem, "the password before the @ is empty: give one, or leave out all up to the @");
    }
    return err;
}

static enum tg_err read_database(struct tg_slice text, struct tg_redis_url *url, const char **problem)
{
    uint64_t number = 0;
    if (tg_slice_to_u64(text, &number) != TG_OK || number > DATABASE_MAX) {
        return wrong(problem, "the database, which stands last, is a number of up to 65535");
    }
    url->database = (uint32_t)number;
    return TG_OK;
}

static enum tg_err read_port(struct tg_slice text, uint16_t *out, const char **problem)
{
    uint64_t number = 0;
    if (tg_slice_to_u64(text, &number) != TG_OK || number == 0 || number > UINT16_MAX) {
        return wrong(problem, "the port behind the colon is a number from 1 to 65535");
    }
    *out = (uint16_t)number;
    return TG_OK;
}

static bool is_host(struct tg_slice host, bool brackets)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
        if (!word && !(brackets ? c == ':' : c == '-' || c == '_')) {
            return false;
        }
    }
    return host.len > 0 && host.len <= TG_REDIS_HOST_MAX;
}

/* As Sentinels take them. */
static bool is_service(struct tg_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

static enum tg_err read_place(struct tg_slice text, uint16_t port_else, struct tg_redis_place *out,
                              const char **problem)
{
    struct tg_slice host, port;
    bool brackets = text.len > 0 && text.ptr[0] == '[';
    out->port = port_else;
    if (brackets) {
        host = tg_slice_cut(tg_slice_from(text, 1), ']', &port);
        if (port.ptr == NULL || (port.len > 0 && port.ptr[0] != ':')) {
            return wrong(problem, "an IPv6 address stands in brackets, [::1]:6379");
        }
        port = port.len > 0 ? tg_slice_from(port, 1) : TG_EMPTY;
    } else {
        host = tg_slice_cut(text, ':', &port);
        if (tg_slice_find(port, ':') < port.len) {
            return wrong(problem, "an IPv6 address stands in brackets, [::1]:6379, and a port is given once");
        }
    }
    if (!is_host(host, brackets)) {
        return wrong(problem, host.len == 0 ? "the host is missing"
                                            : "the host has characters that no name or address has");
    }
    out->host = host;
    return port.ptr != NULL ? read_port(port, &out->port, problem) : TG_OK;
}

/* Which one it is. */
static enum tg_err wrong_place(struct tg_arena *arena, size_t number, const char **problem)
{
    struct tg_slice text;
    enum tg_err err = tg_arena_printf(arena, &text, "server %zu of the list: %s", number, *problem);
    *problem = err == TG_OK ? text.ptr : *problem;
    return err == TG_OK ? TG_ESYNTAX : err;
}

static enum tg_err read_places(struct tg_arena *arena, struct tg_slice text, struct tg_redis_url *url,
                               const char **problem)
{
    uint16_t port = url->kind == TG_REDIS_SENTINEL ? SENTINEL_PORT : PORT;
    enum tg_err err = TG_OK;
    struct tg_slice rest = text;
    if (url->kind == TG_REDIS_ONE && tg_slice_find(text, ',') < text.len) {
        return wrong(problem, "several servers are written as redis+sentinel:// or redis+cluster://");
    }
    do {
        struct tg_slice place = tg_slice_cut(rest, ',', &rest);
        if (url->place_count == TG_REDIS_PLACES_MAX) {
            return wrong(problem, "more than 16 servers are named: some of them are enough");
        }
        err = read_place(place, port, &url->places[url->place_count++], problem);
    } while (err == TG_OK && rest.ptr != NULL);
    return err == TG_ESYNTAX && url->kind != TG_REDIS_ONE ? wrong_place(arena, url->place_count, problem)
                                                          : err;
}

/* host[:port][,...] and, behind a slash, the service of Sentinels and the database. */
static enum tg_err read_servers(struct tg_arena *arena, struct tg_slice text, struct tg_redis_url *url,
                                const char **problem)
{
    struct tg_slice database, places = tg_slice_cut(text, '/', &database);
    if (tg_slice_find(text, '?') < text.len) {
        return wrong(problem, "no ?option can follow: the database is the number behind the last slash");
    }
    enum tg_err err = read_places(arena, places, url, problem);
    if (err == TG_OK && url->kind == TG_REDIS_SENTINEL) {
        url->service = tg_slice_cut(database, '/', &database);
        if (url->service.len == 0) {
            return wrong(problem, "the name of the service is missing: redis+sentinel://host,host/SERVICE");
        }
        if (!is_service(url->service)) {
            return wrong(problem, "the name of the service has letters, digits, ., - and _ alone");
        }
    }
    if (err == TG_OK && database.len > 0) {
        err = read_database(database, url, problem);
    }
    if (err == TG_OK && url->kind == TG_REDIS_CLUSTER && url->database != 0) {
        return wrong(problem, "a Cluster has no database but 0: leave the number out");
    }
    return err;
}

static enum tg_err read_path(struct tg_slice text, struct tg_redis_url *url, const char **problem)
{
    struct tg_slice query, path = tg_slice_cut(text, '?', &query);
    const struct sockaddr_un *address = NULL;
    if (path.len < 2 || path.ptr[0] != '/' || path.len >= sizeof address->sun_path) {
        return wrong(problem, "the path of the socket is absolute, unix:///run/redis.sock, and has up to "
                              "107 characters");
    }
    url->path = path;
    if (query.ptr == NULL) {
        return TG_OK;
    }
    if (!take(&query, TG_LIT("db="))) {
        return wrong(problem, "behind the ? only db=NUMBER can stand");
    }
    return read_database(query, url, problem);
}

struct scheme {
    struct tg_slice text;
    enum tg_redis_kind kind;
    bool tls, unix_socket;
};

static const struct scheme *read_scheme(struct tg_slice *rest)
{
    static const struct scheme schemes[] = {
        {TG_LIT_INIT("redis://"), TG_REDIS_ONE, false, false},
        {TG_LIT_INIT("rediss://"), TG_REDIS_ONE, true, false},
        {TG_LIT_INIT("unix://"), TG_REDIS_ONE, false, true},
        {TG_LIT_INIT("redis+unix://"), TG_REDIS_ONE, false, true},
        {TG_LIT_INIT("redis+sentinel://"), TG_REDIS_SENTINEL, false, false},
        {TG_LIT_INIT("redis-sentinel://"), TG_REDIS_SENTINEL, false, false},
        {TG_LIT_INIT("rediss+sentinel://"), TG_REDIS_SENTINEL, true, false},
        {TG_LIT_INIT("rediss-sentinel://"), TG_REDIS_SENTINEL, true, false},
        {TG_LIT_INIT("redis+cluster://"), TG_REDIS_CLUSTER, false, false},
        {TG_LIT_INIT("redis-cluster://"), TG_REDIS_CLUSTER, false, false},
        {TG_LIT_INIT("rediss+cluster://"), TG_REDIS_CLUSTER, true, false},
        {TG_LIT_INIT("rediss-cluster://"), TG_REDIS_CLUSTER, true, false},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (take(rest, schemes[i].text)) {
            return &schemes[i];
        }
    }
    return NULL;
}

enum tg_err tg_redis_url_parse(struct tg_arena *arena, struct tg_slice text, struct tg_redis_url *out,
                               const char **problem)
{
    struct tg_redis_url url = {0};
    struct tg_slice rest = text;
    const struct scheme *scheme = read_scheme(&rest);
    if (scheme == NULL) {
        return wrong(
            problem,
            "it begins with redis://, rediss:// (TLS), unix:///, redis+sentinel:// or redis+cluster://");
    }
    url.kind = scheme->kind;
    url.tls = scheme->tls;
    if (has_control(rest)) {
        return wrong(problem, "a blank or a control character is in it: in a password it is written %20");
    }
    /* A password may hold an @: the last one counts. In the path of a socket none belongs to a login. */
    size_t slash = tg_slice_find(rest, '/'), at = rest.len;
    for (size_t i = 0; i < (scheme->unix_socket ? slash : rest.len); i++) {
        at = rest.ptr[i] == '@' ? i : at;
    }
    enum tg_err err = TG_OK;
    if (at < rest.len) {
        err = read_login(arena, tg_slice_head(rest, at), &url, problem);
        rest = tg_slice_from(rest, at + 1);
    }
    if (err == TG_OK) {
        err = scheme->unix_socket ? read_path(rest, &url, problem) : read_servers(arena, rest, &url, problem);
    }
    if (err == TG_OK) {
        *out = url;
    }
    return err;
}
