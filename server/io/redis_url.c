#include "server/io/redis_url.h"

#include <sys/un.h>

#include "server/base/codec.h"

enum { PORT = 6379, DATABASE_MAX = 65535, HOST_MAX = 253 };

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
        return wrong(problem, "the password before the @ is empty");
    }
    return err;
}

static enum tg_err read_database(struct tg_slice text, struct tg_redis_url *url, const char **problem)
{
    uint64_t number = 0;
    if (tg_slice_to_u64(text, &number) != TG_OK || number > DATABASE_MAX) {
        return wrong(problem, "the database is a number of up to 65535");
    }
    url->database = (uint32_t)number;
    return TG_OK;
}

static enum tg_err read_port(struct tg_slice text, struct tg_redis_url *url, const char **problem)
{
    uint64_t number = 0;
    if (tg_slice_to_u64(text, &number) != TG_OK || number == 0 || number > UINT16_MAX) {
        return wrong(problem, "the port is a number from 1 to 65535");
    }
    url->port = (uint16_t)number;
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
    return host.len > 0 && host.len <= HOST_MAX;
}

static enum tg_err read_place(struct tg_slice text, struct tg_redis_url *url, const char **problem)
{
    struct tg_slice database, place = tg_slice_cut(text, '/', &database), host, port;
    bool brackets = place.len > 0 && place.ptr[0] == '[';
    url->port = PORT;
    if (brackets) {
        host = tg_slice_cut(tg_slice_from(place, 1), ']', &port);
        if (port.ptr == NULL || (port.len > 0 && port.ptr[0] != ':')) {
            return wrong(problem, "an IPv6 address stands in brackets, [::1]:6379");
        }
        port = port.len > 0 ? tg_slice_from(port, 1) : TG_EMPTY;
    } else {
        host = tg_slice_cut(place, ':', &port);
    }
    if (tg_slice_find(place, ',') < place.len) {
        return wrong(problem, "Sentinel and Cluster are not supported by this version; name one server");
    }
    if (!is_host(host, brackets)) {
        return wrong(problem, host.len == 0 ? "the host is missing" : "this is no host name or address");
    }
    url->host = host;
    enum tg_err err = port.ptr != NULL ? read_port(port, url, problem) : TG_OK;
    if (err == TG_OK && database.len > 0) {
        err = read_database(database, url, problem);
    }
    return err;
}

static enum tg_err read_path(struct tg_slice text, struct tg_redis_url *url, const char **problem)
{
    struct tg_slice query, path = tg_slice_cut(text, '?', &query);
    const struct sockaddr_un *address = NULL;
    if (path.len < 2 || path.ptr[0] != '/' || path.len >= sizeof address->sun_path) {
        return wrong(problem, "expected the absolute path of a socket, of up to 107 characters");
    }
    url->path = path;
    if (query.ptr == NULL) {
        return TG_OK;
    }
    if (!take(&query, TG_LIT("db="))) {
        return wrong(problem, "after the ? only db=NUMBER can stand");
    }
    return read_database(query, url, problem);
}

enum tg_err tg_redis_url_parse(struct tg_arena *arena, struct tg_slice text, struct tg_redis_url *out,
                               const char **problem)
{
    struct tg_redis_url url = {0};
    struct tg_slice rest = text;
    if (tg_slice_starts(text, TG_LIT("redis-sentinel:")) || tg_slice_starts(text, TG_LIT("redis-cluster:")) ||
        tg_slice_starts(text, TG_LIT("redis+sentinel:")) || tg_slice_starts(text, TG_LIT("redis+cluster:"))) {
        return wrong(problem, "Sentinel and Cluster are not supported by this version; name one server");
    }
    bool unix_socket = take(&rest, TG_LIT("unix://")) || take(&rest, TG_LIT("redis+unix://"));
    url.tls = !unix_socket && take(&rest, TG_LIT("rediss://"));
    if (!unix_socket && !url.tls && !take(&rest, TG_LIT("redis://"))) {
        return wrong(problem, "expected redis://, rediss:// (with TLS) or unix://");
    }
    if (has_control(rest)) {
        return wrong(problem, "blanks and control characters must be percent-encoded");
    }
    /* A password may hold an @: the last one counts. In the path of a socket none belongs to a login. */
    size_t slash = tg_slice_find(rest, '/'), at = rest.len;
    for (size_t i = 0; i < (unix_socket ? slash : rest.len); i++) {
        at = rest.ptr[i] == '@' ? i : at;
    }
    enum tg_err err = TG_OK;
    if (at < rest.len) {
        err = read_login(arena, tg_slice_head(rest, at), &url, problem);
        rest = tg_slice_from(rest, at + 1);
    }
    if (err == TG_OK) {
        err = unix_socket ? read_path(rest, &url, problem) : read_place(rest, &url, problem);
    }
    if (err == TG_OK) {
        *out = url;
    }
    return err;
}
