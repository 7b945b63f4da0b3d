/* How one request to tidegate sends a message to many connections: POST /{stage}/@tidegate/connections. */
#ifndef BENCH_LIB_BATCH_H
#define BENCH_LIB_BATCH_H

#include "bench/lib/client.h"
#include "bench/lib/wire.h"

/* The request's body: `size` bytes for every client of the crowd, all of which are open. The caller frees it.
 */
char *batch_body(const struct crowd *crowd, size_t size, size_t *len);

/* Ends the process unless the answer says that so many got it, and none did not. */
void batch_check(const struct http_message *answer, size_t count);

#endif
