#include "server/io/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { V4_BITS = 96, ALL_BITS = 128 };

static const unsigned char mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const struct tg_network *network)
{
    return network->bits >= V4_BITS && memcmp(network->address, mapped_prefix, sizeof mapped_prefix) == 0;
}

enum tg_err tg_network_parse(struct tg_slice text, struct tg_network *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct tg_network network = {.bits = ALL_BITS};
    uint64_t bits;
    struct tg_slice rest, host = tg_slice_cut(text, '/', &rest);
    if (host.len == 0 || host.len >= sizeof copy || tg_slice_find(host, '\0') < host.len) {
        return TG_ESYNTAX;
    }
    memcpy(copy, host.ptr, host.len);
    copy[host.len] = '\0';
    memcpy(network.address, mapped_prefix, sizeof mapped_prefix);
    bool v4 = inet_pton(AF_INET, copy, network.address + sizeof mapped_prefix) == 1;
    if (!v4 && inet_pton(AF_INET6, copy, network.address) != 1) {
        return TG_ESYNTAX;
    }
    if (rest.ptr != NULL) {
        if (tg_slice_to_u64(rest, &bits) != TG_OK || bits > (v4 ? ALL_BITS - V4_BITS : ALL_BITS)) {
            return TG_ESYNTAX;
        }
        network.bits = (unsigned)bits + (v4 ? V4_BITS : 0);
    }
    /* A range of IPv6 that reaches beyond the mapped addresses is not one of IPv4, and has no such member. */
    if (network.bits < V4_BITS && memcmp(network.address, mapped_prefix, sizeof mapped_prefix) == 0) {
        return TG_ESYNTAX;
    }
    *out = network;
    return TG_OK;
}

bool tg_network_holds(const struct tg_network *range, const struct tg_network *other)
{
    size_t bytes = range->bits / 8;
    unsigned rest = range->bits % 8;
    unsigned char mask = (unsigned char)(0xff00u >> rest);
    return other->bits >= range->bits && is_v4(range) == is_v4(other) &&
           memcmp(range->address, other->address, bytes) == 0 &&
           (rest == 0 || ((range->address[bytes] ^ other->address[bytes]) & mask) == 0);
}

bool tg_networks_hold(const struct tg_networks *ranges, const struct tg_address *address)
{
    struct tg_network one = {.bits = ALL_BITS};
    if (address->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->storage;
        memcpy(one.address, mapped_prefix, sizeof mapped_prefix);
        memcpy(one.address + sizeof mapped_prefix, &in->sin_addr, 4);
    } else if (address->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&address->storage;
        memcpy(one.address, &in6->sin6_addr, sizeof one.address);
    } else {
        return false;
    }
    for (size_t i = 0; i < ranges->count; i++) {
        if (tg_network_holds(&ranges->items[i], &one)) {
            return true;
        }
    }
    return false;
}
