/* The gateway process: loads the configuration, starts the workers, answers signals (SIGHUP reloads, SIGTERM
 * drains, SIGINT stops at once), serves the admin listener on the main thread, and ends. */
#ifndef TG_APP_APP_H
#define TG_APP_APP_H

#include "server/app/config.h"

/* Runs until told to stop; the exit status of the process: 0 after an orderly stop, 1 when it could not
 * start. Messages of the configuration go to source->message, everything later to the log on standard error.
 */
int tg_app_serve(const struct tg_config_source *source);

#endif
