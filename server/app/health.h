/* `tidegate health`: asks the gateway that runs with this configuration, on this machine, whether it is
 * ready; for health checks of containers, which have no HTTP client. Blocks, a few seconds at most. */
#ifndef TG_APP_HEALTH_H
#define TG_APP_HEALTH_H

#include "server/app/config.h"

/* Prints what /readyz says, or why nobody could be asked. The exit status: 0 when it is ready. */
int tg_health_ask(const struct tg_config_source *source);

#endif
