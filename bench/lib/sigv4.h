/* Signature Version 4 of a POST without query, for execute-api: what @connections asks for. */
#ifndef BENCH_LIB_SIGV4_H
#define BENCH_LIB_SIGV4_H

#include <stddef.h>

/* Writes the fields X-Amz-Date and Authorization, each with its line's end, signed now. `path` is as on the
 * wire. Returns the number of bytes, NUL not counted. */
size_t sigv4_fields(char *out, size_t room, const char *path, const char *host, const void *body,
                    size_t body_len, const char *access_key, const char *secret);

#endif
