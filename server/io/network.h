/* Ranges of IP addresses, as `10.0.0.0/8` and `2001:db8::/32` write them; an address alone is a range of one.
 * Pure. IPv4-mapped IPv6 addresses count as IPv4, whichever way they come. */
#ifndef TG_IO_NETWORK_H
#define TG_IO_NETWORK_H

#include "server/io/address.h"

struct tg_network {
    unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits; /* of the address that count: 128 for an address alone; IPv4 ranges have 96 more */
};

struct tg_networks {
    struct tg_network *items;
    size_t count;
};

/* TG_ESYNTAX. Bits beyond those that count are no error. */
enum tg_err tg_network_parse(struct tg_slice text, struct tg_network *out) TG_MUST_CHECK;
/* Whether all of `other` is in the range; one of IPv4 is in none of IPv6. */
bool tg_network_holds(const struct tg_network *range, const struct tg_network *other);
/* Whether the address is in one of them. Those of unix sockets are in none. */
bool tg_networks_hold(const struct tg_networks *ranges, const struct tg_address *address);

#endif
