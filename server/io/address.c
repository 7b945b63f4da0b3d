#include "server/io/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#define UNIX_PREFIX TG_LIT("unix:")

/* sockaddr_storage is meant to be read as the family's own type; the build has -fno-strict-aliasing. */
static struct sockaddr_in *as_ipv4(const struct tg_address *address)
{
    return (struct sockaddr_in *)(void *)&address->storage;
}

static struct sockaddr_in6 *as_ipv6(const struct tg_address *address)
{
    return (struct sockaddr_in6 *)(void *)&address->storage;
}

static struct sockaddr_un *as_unix(const struct tg_address *address)
{
    return (struct sockaddr_un *)(void *)&address->storage;
}

static enum tg_err parse_unix(struct tg_slice path, struct tg_address *out)
{
    struct tg_address address = {.storage.ss_family = AF_UNIX};
    struct sockaddr_un *un = as_unix(&address);
    if (path.len == 0 || path.len >= sizeof(un->sun_path) || memchr(path.ptr, '\0', path.len) != NULL) {
        return TG_ESYNTAX;
    }
    memcpy(un->sun_path, path.ptr, path.len);
    address.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    *out = address;
    return TG_OK;
}

static enum tg_err parse_port(struct tg_slice text, uint16_t *out)
{
    uint64_t port = 0;
    if (text.len > 5 || tg_slice_to_u64(text, &port) != TG_OK || port > UINT16_MAX) {
        return TG_ESYNTAX;
    }
    *out = (uint16_t)port;
    return TG_OK;
}

static enum tg_err parse_host(struct tg_slice host, int family, struct tg_address *out)
{
    char text[INET6_ADDRSTRLEN];
    if (host.len >= sizeof(text) || (host.len > 0 && memchr(host.ptr, '\0', host.len) != NULL)) {
        return TG_ESYNTAX;
    }
    if (host.len > 0) {
        memcpy(text, host.ptr, host.len);
    }
    text[host.len] = '\0';
    struct tg_address address = {.storage.ss_family = (sa_family_t)family};
    address.len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    void *bytes =
        family == AF_INET ? (void *)&as_ipv4(&address)->sin_addr : (void *)&as_ipv6(&address)->sin6_addr;
    if (inet_pton(family, text, bytes) != 1) {
        return TG_ESYNTAX;
    }
    *out = address;
    return TG_OK;
}

enum tg_err tg_address_parse(struct tg_slice text, struct tg_address *out)
{
    if (tg_slice_starts(text, UNIX_PREFIX)) {
        return parse_unix(tg_slice_from(text, UNIX_PREFIX.len), out);
    }
    struct tg_address address;
    struct tg_slice host;
    struct tg_slice rest;
    int family = AF_INET;
    if (text.len > 0 && text.ptr[0] == '[') {
        host = tg_slice_cut(tg_slice_from(text, 1), ']', &rest);
        if (rest.len == 0 || rest.ptr[0] != ':') {
            return TG_ESYNTAX;
        }
        rest = tg_slice_from(rest, 1);
        family = AF_INET6;
    } else {
        host = tg_slice_cut(text, ':', &rest);
        if (host.len == 0) {
            host = TG_LIT("::");
            family = AF_INET6;
        }
    }
    uint16_t port = 0;
    enum tg_err err = parse_port(rest, &port);
    err = err == TG_OK ? parse_host(host, family, &address) : err;
    if (err == TG_OK) {
        tg_address_set_port(&address, port);
        *out = address;
    }
    return err;
}

enum tg_err tg_address_parse_ip(struct tg_slice text, struct tg_address *out)
{
    return parse_host(text, tg_slice_find(text, ':') < text.len ? AF_INET6 : AF_INET, out);
}

/* The IP address without decoration; IPv4-mapped as IPv4 when `mapped`. */
static const char *ip_text(const struct tg_address *address, bool mapped, char text[INET6_ADDRSTRLEN])
{
    if (address->storage.ss_family == AF_INET) {
        return inet_ntop(AF_INET, &as_ipv4(address)->sin_addr, text, INET6_ADDRSTRLEN);
    }
    const struct in6_addr *ip = &as_ipv6(address)->sin6_addr;
    if (mapped && IN6_IS_ADDR_V4MAPPED(ip)) {
        return inet_ntop(AF_INET, &ip->s6_addr[12], text, INET6_ADDRSTRLEN);
    }
    return inet_ntop(AF_INET6, ip, text, INET6_ADDRSTRLEN);
}

static size_t finish(int written)
{
    assert(written >= 0 && written < TG_ADDRESS_TEXT_MAX);
    return (size_t)written;
}

size_t tg_address_text(const struct tg_address *address, char out[TG_ADDRESS_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN];
    unsigned port = tg_address_port(address);
    switch (address->storage.ss_family) {
    case AF_INET:
        return finish(snprintf(out, TG_ADDRESS_TEXT_MAX, "%s:%u", ip_text(address, false, ip), port));
    case AF_INET6:
        return finish(snprintf(out, TG_ADDRESS_TEXT_MAX, "[%s]:%u", ip_text(address, false, ip), port));
    default: {
        /* The path of an unnamed socket, as accept() reports the peer, is not there at all. */
        size_t base = offsetof(struct sockaddr_un, sun_path);
        size_t held = address->len > base ? address->len - base : 0;
        size_t len = strnlen(as_unix(address)->sun_path, held);
        return finish(snprintf(out, TG_ADDRESS_TEXT_MAX, "unix:%.*s", (int)len, as_unix(address)->sun_path));
    }
    }
}

size_t tg_address_ip(const struct tg_address *address, char out[TG_ADDRESS_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN];
    bool is_ip = address->storage.ss_family == AF_INET || address->storage.ss_family == AF_INET6;
    return finish(snprintf(out, TG_ADDRESS_TEXT_MAX, "%s", is_ip ? ip_text(address, true, ip) : "unix"));
}

uint16_t tg_address_port(const struct tg_address *address)
{
    switch (address->storage.ss_family) {
    case AF_INET:
        return ntohs(as_ipv4(address)->sin_port);
    case AF_INET6:
        return ntohs(as_ipv6(address)->sin6_port);
    default:
        return 0;
    }
}

void tg_address_set_port(struct tg_address *address, uint16_t port)
{
    if (address->storage.ss_family == AF_INET) {
        as_ipv4(address)->sin_port = htons(port);
    } else if (address->storage.ss_family == AF_INET6) {
        as_ipv6(address)->sin6_port = htons(port);
    }
}

bool tg_address_is_local(const struct tg_address *address)
{
    switch (address->storage.ss_family) {
    case AF_INET:
        return ntohl(as_ipv4(address)->sin_addr.s_addr) >> 24 == 127;
    case AF_INET6: {
        const struct in6_addr *ip = &as_ipv6(address)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
    }
    default:
        return address->storage.ss_family == AF_UNIX;
    }
}
