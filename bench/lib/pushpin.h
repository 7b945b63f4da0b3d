/* How a message is published through pushpin: JSON, by HTTP or by ZeroMQ (ZMTP 3.0, a PUSH socket). */
#ifndef BENCH_LIB_PUSHPIN_H
#define BENCH_LIB_PUSHPIN_H

#include <stdbool.h>
#include <stddef.h>

enum { PUSHPIN_MORE = 200 }; /* bytes, beyond those of the message */

/* Writes what publishes `size` bytes to a channel, as one item or (HTTP) a list of one; returns its length.
 */
size_t pushpin_item(char *out, size_t channel, size_t size, bool in_list);

/* The item as a ZeroMQ message, frame and all. */
size_t pushpin_zmtp(unsigned char *out, size_t channel, size_t size);

/* What a PUSH socket says first: it need not wait for the other side's. */
size_t zmtp_greeting(unsigned char *out, size_t room);

#endif
