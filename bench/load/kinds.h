/* The kinds of load: each sets itself up on a loop, which main() then runs until the driver stops it. */
#ifndef BENCH_LOAD_KINDS_H
#define BENCH_LOAD_KINDS_H

#include "bench/lib/driver.h"

void load_echo(struct loop *loop, const struct options *options); /* messages that come back */
void load_push(struct loop *loop,
               const struct options *options); /* published from outside, to one after another */
void load_fanout(struct loop *loop, const struct options *options); /* one publish that reaches everybody */
void load_handshake(struct loop *loop, const struct options *options); /* connections opened and cut */
void load_idle(struct loop *loop, const struct options *options);      /* connections that do nothing */
void load_http(struct loop *loop, const struct options *options);      /* requests over kept connections */

#endif
