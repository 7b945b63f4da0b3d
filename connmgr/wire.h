/* What goes through Redis, in MessagePack: envelopes between nodes, and rows, which hold what a survivor
 * needs for a connection's $disconnect. Flat arrays of numbers, booleans, bytes and nil; what is read may be
 * anybody's, and is refused unless every element is what it should be. Versions: the first element; a node
 * refuses what it does not know. */
#ifndef TG_CONNMGR_WIRE_H
#define TG_CONNMGR_WIRE_H

#include "connmgr/bus.h"
#include "connmgr/conn.h"
#include "server/base/buf.h"

/* expires_ms: by the clock of Redis; 0: never. Appends. */
enum tg_err tg_wire_write_envelope(struct tg_buf *out, const struct tg_envelope *envelope,
                                   int64_t expires_ms) TG_MUST_CHECK;
/* *out is the caller's to free; its `to` is empty. TG_ESYNTAX, TG_ENOMEM. */
enum tg_err tg_wire_read_envelope(struct tg_slice bytes, struct tg_envelope **out,
                                  int64_t *expires_ms) TG_MUST_CHECK;

/* Appends. */
enum tg_err tg_wire_write_row(struct tg_buf *out, const struct tg_conn_info *info) TG_MUST_CHECK;
/* In the arena, nothing points into bytes. TG_ESYNTAX, TG_ENOMEM. */
enum tg_err tg_wire_read_row(struct tg_arena *arena, struct tg_slice bytes,
                             struct tg_conn_info *out) TG_MUST_CHECK;

#endif
