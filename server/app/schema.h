/* The tables that say what a configuration file may hold: schema.c the gateway's own part, schema_api.c the
 * API model (spec websocket-api.md section 9), schema_check.c what one row cannot say about one resource.
 * What takes two resources to see (references, duplicate names, expressions) is tg_model_compile's. */
#ifndef TG_APP_SCHEMA_H
#define TG_APP_SCHEMA_H

#include "server/app/config.h"
#include "server/base/options.h"

/* Variables of the environment start so. */
#define TG_CONFIG_PREFIX "TIDEGATE"

extern const struct tg_schema tg_schema_config; /* struct tg_config */
extern const struct tg_schema tg_schema_api;    /* struct tg_api */
extern const struct tg_schema tg_schema_tls;    /* struct tg_tls_config */

/* Checks of one struct each, as struct tg_schema wants them. */
typedef void tg_schema_check(struct tg_options_report *report, const struct tg_doc_node *node,
                             struct tg_slice scope, void *target);
tg_schema_check tg_check_config, tg_check_listener, tg_check_admin, tg_check_registry, tg_check_drain;
tg_schema_check tg_check_api, tg_check_route, tg_check_route_response, tg_check_integration,
    tg_check_integration_response, tg_check_authorizer, tg_check_stage;

#endif
