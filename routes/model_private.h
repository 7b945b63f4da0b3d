/* Shared by the files that compile a model; nobody else includes it. */
#ifndef TG_ROUTES_MODEL_PRIVATE_H
#define TG_ROUTES_MODEL_PRIVATE_H

#include "routes/model.h"
#include "server/base/doc.h"
#include "server/base/options.h"

struct model_trust; /* model_backends.c */

struct model_compiler {
    struct tg_model *model;
    struct tg_options_report *report;
    struct tg_arena *arena;
    struct model_trust *trusts;
    bool out_of_memory;
};

#define MODEL_REPORT(compiler, node, key, ...)                                                               \
    tg_options_error((compiler)->report, (node), (key), __VA_ARGS__)

/* Notes want of memory, which ends the whole; other errors have been reported. True: err is one. */
bool model_failed(struct model_compiler *compiler, enum tg_err err);
/* Zeroed memory of the model; NULL is noted. */
void *model_allocate(struct model_compiler *compiler, size_t size);
/* Reports a key that is there already. */
void model_add_unique(struct model_compiler *compiler, struct tg_map *map, struct tg_slice key,
                      const void *value, const struct tg_doc_node *where, const char *what);

/* model_compile.c: what both kinds of API have. */
void model_compile_target(struct model_compiler *compiler, struct tg_api *api, struct tg_route *route);
void model_compile_stage(struct model_compiler *compiler, struct tg_api *api, struct tg_stage *stage);

/* model_http.c: an HTTP API. */
void model_compile_http(struct model_compiler *compiler, struct tg_api *api);

/* model_links.c: private integrations; custom domains and who is reached by which host. */
void model_compile_links(struct model_compiler *compiler);
void model_compile_locator(struct model_compiler *compiler);

/* model_backends.c: what calls out, and who may call in. */
void model_compile_functions(struct model_compiler *compiler);
void model_compile_credentials(struct model_compiler *compiler);
void model_compile_integration(struct model_compiler *compiler, struct tg_api *api,
                               struct tg_integration *integration);
/* The TLS context for a tlsConfig, whose unset members come from backendTls; NULL: reported. */
struct tg_tls_context *model_trust(struct model_compiler *compiler, struct tg_tls_config *config,
                                   const struct tg_doc_node *where);
/* A context is needed only where https can occur: a URL that begins so, or one that a variable completes. */
bool model_may_be_https(struct tg_slice url);
/* The function that an integrationUri names; NULL: reported. */
const struct tg_stagevars *model_function(struct model_compiler *compiler, struct tg_slice uri,
                                          const struct tg_doc_node *where, const char *key);
void model_compile_authorizer(struct model_compiler *compiler, struct tg_authorizer *authorizer);

#endif
