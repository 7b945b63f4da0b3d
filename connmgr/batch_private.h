/* Shared by batch.c (a batch and its parts) and batch_serve.c (the part of a batch whose connections are this
 * worker's); private to them.
 *
 * A batch is cut into parts, one for each worker that has some of its connections. This worker's own part,
 * and parts that other workers ask for, are served here, a slice of the connections in a pass of the loop;
 * the others are asked of their workers by an envelope each. Texts: a question has the API id, the payload
 * and the connections; an answer what became of each of them, or none, which says the same of all
 * (`outcome`). */
#ifndef TG_CONNMGR_BATCH_PRIVATE_H
#define TG_CONNMGR_BATCH_PRIVATE_H

#include "connmgr/batch.h"
#include "connmgr/push_private.h"

enum { TG_BATCH_TEXT_API, TG_BATCH_TEXT_PAYLOAD, TG_BATCH_TEXT_TARGETS };
enum { TG_BATCH_TEXT_OUTCOMES };
enum { TG_BATCH_TARGET_BYTES = 8 }; /* on the wire: slot and generation, big-endian */

/* Connections of this worker that are written to. One allocation. */
struct tg_serving {
    struct tg_list node; /* push->batches_writing or batches_waiting */
    struct tg_push *push;
    void (*served)(struct tg_serving *serving); /* once, when all outcomes are known; then it is freed */
    void *arg;
    struct tg_bus_address asker; /* of another worker's part */
    uint64_t correlation;
    struct tg_frame *frame;
    struct tg_slice api_id;
    struct tg_timer deadline;
    struct tg_list waiting; /* struct waiting */
    size_t count, next;
    unsigned char *outcomes; /* enum tg_push_outcome */
    struct tg_conn_handle targets[];
};

/* Begins in this pass of the loop; the caller fills in the targets at once. NULL: no memory. */
struct tg_serving *tg_serving_new(struct tg_push *push, const struct tg_batch_request *request,
                                  void (*served)(struct tg_serving *serving));
/* Withdraws what waits; what was not tried yet is not. */
void tg_serving_free(struct tg_serving *serving);
/* A question of another worker. */
void tg_serving_take(struct tg_push *push, const struct tg_envelope *question);

static inline void tg_batch_put_target(char to[TG_BATCH_TARGET_BYTES], uint32_t slot, uint32_t generation)
{
    uint64_t both = (uint64_t)slot << 32 | generation;
    for (int i = 0; i < TG_BATCH_TARGET_BYTES; i++) {
        to[i] = (char)(both >> (56 - 8 * i));
    }
}

static inline struct tg_conn_handle tg_batch_get_target(const char from[TG_BATCH_TARGET_BYTES])
{
    uint64_t both = 0;
    for (int i = 0; i < TG_BATCH_TARGET_BYTES; i++) {
        both = both << 8 | (unsigned char)from[i];
    }
    return (struct tg_conn_handle){.slot = (uint32_t)(both >> 32), .generation = (uint32_t)both};
}

#endif
