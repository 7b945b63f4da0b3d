/* Shared by the files of the locator; nobody else includes it. */
#ifndef TG_ROUTES_LOCATE_PRIVATE_H
#define TG_ROUTES_LOCATE_PRIVATE_H

#include "routes/locate.h"
#include "server/base/map.h"

enum {
    LOCATE_HOST_MAX = 255, /* bytes of a host without its port; a longer one has no name of ours */
    LOCATE_KEY_MAX = 300,  /* characters of an apiMappingKey */
    LOCATE_ID_SIZE = sizeof(uint32_t)
};

enum { LOCATE_WEBSOCKET, LOCATE_HTTP, LOCATE_PROTOCOLS };

struct locate_domain {
    const struct tg_locate_domain *config;
    uint32_t id; /* the beginning of its keys in `mappings` */
    bool has[LOCATE_PROTOCOLS];
    size_t longest; /* bytes of its longest key */
};

/* Where one mapping leads. */
struct locate_mapping {
    const struct tg_locate_api *api;
    size_t stage;
    struct tg_slice key; /* empty: the fallback */
};

/* Whom a host name belongs to: a domain, or an API of one or each protocol. */
struct locate_name {
    const struct locate_domain *domain;
    const struct tg_locate_api *apis[LOCATE_PROTOCOLS];
};

struct tg_locator {
    struct tg_map names;    /* a host, or `*.` and what follows its first label -> struct locate_name */
    struct tg_map ids;      /* apiId in lower case -> const struct tg_locate_api */
    struct tg_map mappings; /* a domain's id and a key -> struct locate_mapping */
    const struct tg_locate_api *only[LOCATE_PROTOCOLS]; /* by any host; may be NULL */
    bool has[LOCATE_PROTOCOLS];
    bool has_batches;
};

/* The host without port and dot, in lower case, in `buffer`; empty when it is too long. */
struct tg_slice locate_host(struct tg_slice host, char buffer[LOCATE_HOST_MAX]);

/* The stage's index, or TG_LOCATE_NO_STAGE. */
size_t locate_stage(const struct tg_locate_api *api, struct tg_slice name);

#endif
