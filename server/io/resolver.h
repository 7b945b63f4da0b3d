/* Name to addresses, without blocking the loop: getaddrinfo on libuv's threads, answers cached for a set time
 * (failures for a shorter one), equal questions joined. Literal addresses are answered without a question.
 * One a worker. */
#ifndef TG_IO_RESOLVER_H
#define TG_IO_RESOLVER_H

#include "server/io/address.h"
#include "server/io/loop.h"

struct tg_resolver;
struct tg_resolve; /* a question under way */

struct tg_resolver_options {
    uint64_t ttl_ms;          /* how long an answer is used */
    uint64_t negative_ttl_ms; /* how long a failure is believed */
    size_t max_entries;       /* names in the cache; the oldest go first */
};

/* addresses are borrowed for the call; count 0 with TG_EDNS. */
typedef void tg_resolved_fn(void *arg, enum tg_err err, const struct tg_address *addresses, size_t count);

enum tg_err tg_resolver_new(struct tg_loop *loop, const struct tg_resolver_options *options,
                            struct tg_resolver **out) TG_MUST_CHECK;
/* Questions under way must have been cancelled. A getaddrinfo that still runs ends unheard; tg_loop_free
 * waits for it. */
void tg_resolver_free(struct tg_resolver *resolver);
/* Calls back exactly once, later, unless cancelled. The port is put into each address. host: a name or an IP
 * address without brackets. At once: TG_EINVAL (no host name), TG_EBUSY (max_entries names are being looked
 * up), TG_ENOMEM. */
enum tg_err tg_resolver_ask(struct tg_resolver *resolver, struct tg_slice host, uint16_t port,
                            tg_resolved_fn *done, void *arg, struct tg_resolve **out) TG_MUST_CHECK;
/* NULL is allowed. */
void tg_resolve_cancel(struct tg_resolve *question);

#endif
