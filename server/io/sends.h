/* Short writes to many sockets, gathered during a pass of a loop and handed to the kernel in one system call:
 * io_uring_enter(2), where the system has it and lets us; otherwise a send(2) each. A loop has one
 * (tg_loop_sends), has it gather in passes with several events, and flushes it after these and after the
 * tasks.
 */
#ifndef TG_IO_SENDS_H
#define TG_IO_SENDS_H

#include <stdint.h>

#include "server/base/slice.h"

struct tg_sends;

enum {
    TG_SENDS_MAX = 256,     /* writes that wait at a time */
    TG_SENDS_LONGEST = 9216 /* bytes of one: longer ones gain nothing by the copy */
};

/* What became of a write, as tg_sock_send tells it: *put bytes on TG_OK, 0 otherwise. bytes: all of them,
 * valid until the return. May add others, and write or forget them; not flush. */
typedef void tg_sends_fn(void *arg, struct tg_slice bytes, enum tg_err err, size_t put);

enum tg_err tg_sends_new(struct tg_sends **out) TG_MUST_CHECK;
/* Whether to gather at all: what is alone gains nothing by it. By default yes. */
void tg_sends_gather(struct tg_sends *sends, bool on);
/* Whether io_uring is asked for, by the first flush that has a use for it; before that. By default no. */
void tg_sends_use_ring(struct tg_sends *sends, bool use);
/* Nothing may wait. NULL is allowed. */
void tg_sends_free(struct tg_sends *sends);
/* Whether io_uring is in use by now. */
bool tg_sends_has_ring(const struct tg_sends *sends);

/* Whether a write of so many bytes would be taken, if there is any gathering. */
bool tg_sends_has_room(const struct tg_sends *sends, size_t len);
/* Copies the bytes, of which there is at least one; fd is a non-blocking socket that stays open until it is
 * told. The number of the write, until `sent` is called; 0: there is no room, or nothing is gathered: the
 * caller writes it. */
uint16_t tg_sends_add(struct tg_sends *sends, int fd, struct tg_slice bytes, tg_sends_fn *sent, void *arg);
/* Writes that one now, alone, and tells: something else is to follow it to the same socket. */
void tg_sends_now(struct tg_sends *sends, uint16_t number);
/* Writes that one now, and tells nobody: its socket is about to be closed. */
void tg_sends_forget(struct tg_sends *sends, uint16_t number);
/* Writes all that there are, in the order in which they were added, then tells each. Also what is added
 * meanwhile. */
void tg_sends_flush(struct tg_sends *sends);

#endif
