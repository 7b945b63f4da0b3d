#include "server/io/sends.h"

#include <assert.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "server/base/alloc.h"
#include "server/io/sock.h"

enum {
    BYTES_MAX = 131072,
    TRIES_MAX = 2 * TG_SENDS_MAX, /* calls of io_uring_enter for one flush */
    UNTRIED = INT32_MIN           /* a result that send(2) never has */
};

/* One that was told, or forgotten, has no `sent`. */
struct one {
    tg_sends_fn *sent;
    void *arg;
    uint32_t at, len; /* of bytes */
    int fd;
    int32_t result; /* as of send(2), with the error negative */
};

/* io_uring(7): a queue of requests and one of results, both shared with the kernel. */
struct ring {
    int fd;
    unsigned *sq_tail, *cq_head, *cq_tail;
    unsigned sq_mask, cq_mask;
    struct io_uring_sqe *requests;
    const struct io_uring_cqe *results;
    void *sq, *cq;
    size_t sq_len, cq_len, requests_len;
};

struct tg_sends {
    size_t count, told; /* ones that there are; of these, those that are done with */
    size_t len;
    bool gathers, flushing, wants_ring, has_ring;
    struct ring ring;
    struct one ones[TG_SENDS_MAX];
    char bytes[BYTES_MAX]; /* takes no memory until it is used */
};

/* ---- the ring ---- */

static void ring_close(struct ring *ring)
{
    if (ring->requests != NULL) {
        (void)munmap(ring->requests, ring->requests_len);
    }
    if (ring->cq != NULL && ring->cq != ring->sq) {
        (void)munmap(ring->cq, ring->cq_len);
    }
    if (ring->sq != NULL) {
        (void)munmap(ring->sq, ring->sq_len);
    }
    (void)close(ring->fd);
}

/* NULL: it cannot be mapped. */
static void *map(const struct ring *ring, size_t len, uint64_t offset)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, (off_t)offset);
    return at != MAP_FAILED ? at : NULL;
}

/* What no request differs in. The kernel reads them, and writes none. */
static void prepare_requests(struct ring *ring, const struct io_uring_params *params)
{
    unsigned *order = (unsigned *)((char *)ring->sq + params->sq_off.array);
    memset(ring->requests, 0, ring->requests_len);
    for (unsigned i = 0; i < params->sq_entries; i++) {
        order[i] = i;
        ring->requests[i].opcode = IORING_OP_SEND;
        ring->requests[i].msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    }
}

static bool ring_map(struct ring *ring, const struct io_uring_params *params)
{
    ring->sq_len = params->sq_off.array + params->sq_entries * sizeof(unsigned);
    ring->cq_len = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    ring->requests_len = params->sq_entries * sizeof(struct io_uring_sqe);
    bool single = (params->features & IORING_FEAT_SINGLE_MMAP) != 0;
    if (single && ring->cq_len > ring->sq_len) {
        ring->sq_len = ring->cq_len;
    }
    ring->sq = map(ring, ring->sq_len, IORING_OFF_SQ_RING);
    ring->cq = single ? ring->sq : map(ring, ring->cq_len, IORING_OFF_CQ_RING);
    ring->requests = map(ring, ring->requests_len, IORING_OFF_SQES);
    if (ring->sq == NULL || ring->cq == NULL || ring->requests == NULL) {
        return false;
    }
    char *sq = ring->sq, *cq = ring->cq;
    ring->sq_tail = (unsigned *)(sq + params->sq_off.tail);
    ring->sq_mask = *(unsigned *)(sq + params->sq_off.ring_mask);
    ring->cq_head = (unsigned *)(cq + params->cq_off.head);
    ring->cq_tail = (unsigned *)(cq + params->cq_off.tail);
    ring->cq_mask = *(unsigned *)(cq + params->cq_off.ring_mask);
    ring->results = (const struct io_uring_cqe *)(cq + params->cq_off.cqes);
    prepare_requests(ring, params);
    return true;
}

/* A kernel without it, or one that does not let us (a sandbox, kernel.io_uring_disabled), says no. */
static bool ring_open(struct ring *ring)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL};
    *ring = (struct ring){.fd = (int)syscall(SYS_io_uring_setup, TG_SENDS_MAX, &params)};
    if (ring->fd < 0) {
        return false;
    }
    if (!ring_map(ring, &params)) {
        ring_close(ring);
        return false;
    }
    return true;
}

/* Returns how many there are. */
static size_t put_requests(struct ring *ring, const struct tg_sends *sends, size_t first)
{
    unsigned before = *ring->sq_tail, tail = before;
    for (size_t i = first; i < sends->count; i++) {
        const struct one *one = &sends->ones[i];
        struct io_uring_sqe *request = &ring->requests[tail & ring->sq_mask];
        if (one->sent == NULL) {
            continue;
        }
        request->fd = one->fd;
        request->addr = (uint64_t)(uintptr_t)(sends->bytes + one->at);
        request->len = one->len;
        request->user_data = i;
        tail++;
    }
    __atomic_store_n(ring->sq_tail, tail, __ATOMIC_RELEASE);
    return tail - before;
}

static size_t take_results(struct ring *ring, struct tg_sends *sends)
{
    unsigned head = *ring->cq_head, tail = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
    size_t count = tail - head;
    for (; head != tail; head++) {
        const struct io_uring_cqe *result = &ring->results[head & ring->cq_mask];
        sends->ones[result->user_data].result = result->res != -EINTR ? result->res : UNTRIED;
    }
    __atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
    return count;
}

/* The ring failed. What it was not given is written one by one; of what it was, nobody knows how much was
 * written, and to write it again would be worse than to break the connection. (None of it is under way still:
 * MSG_DONTWAIT keeps the kernel from putting it off.) */
static void ring_give_up(struct tg_sends *sends, size_t first, size_t given)
{
    for (size_t i = first; given > 0; i++) {
        struct one *one = &sends->ones[i];
        if (one->sent != NULL) {
            one->result = one->result == UNTRIED ? -EIO : one->result;
            given--;
        }
    }
    ring_close(&sends->ring);
    sends->has_ring = sends->wants_ring = false;
}

/* A write to a non-blocking socket is done, or refused, by the call that hands it in; if ever not, its result
 * is waited for. False: not all have a result. */
static bool ring_send(struct tg_sends *sends, size_t first)
{
    struct ring *ring = &sends->ring;
    size_t count = put_requests(ring, sends, first), given = 0, taken = 0;
    for (int tries = 0; taken < count && tries < TRIES_MAX; tries++) {
        bool all = given == count;
        long done = syscall(SYS_io_uring_enter, ring->fd, count - given, all ? 1 : 0,
                            all ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
        if (done < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) {
            break;
        }
        given += done > 0 ? (size_t)done : 0;
        taken += take_results(ring, sends);
    }
    if (taken < count) {
        ring_give_up(sends, first, given);
    }
    return taken == count;
}

/* ---- writing ---- */

static void send_one(const struct tg_sends *sends, struct one *one)
{
    size_t put = 0;
    enum tg_err err = tg_sock_send(one->fd, tg_slice_make(sends->bytes + one->at, one->len), &put);
    one->result = err == TG_OK ? (int32_t)put : err == TG_EAGAIN ? -EAGAIN : -EIO;
}

static void tell(const struct tg_sends *sends, struct one *one)
{
    tg_sends_fn *sent = one->sent;
    size_t put = one->result > 0 ? (size_t)one->result : 0;
    enum tg_err err = one->result >= 0 ? TG_OK : one->result == -EAGAIN ? TG_EAGAIN : TG_EIO;
    one->sent = NULL;
    sent(one->arg, tg_slice_make(sends->bytes + one->at, one->len), err, put);
}

/* Writes those from `first` on. */
static void write_from(struct tg_sends *sends, size_t first)
{
    bool several = sends->count - first > 1;
    if (several && sends->wants_ring && !sends->has_ring) {
        sends->has_ring = sends->wants_ring = ring_open(&sends->ring);
    }
    if (several && sends->has_ring && ring_send(sends, first)) {
        return;
    }
    for (size_t i = first; i < sends->count; i++) {
        if (sends->ones[i].sent != NULL && sends->ones[i].result == UNTRIED) {
            send_one(sends, &sends->ones[i]);
        }
    }
}

void tg_sends_flush(struct tg_sends *sends)
{
    assert(!sends->flushing);
    sends->flushing = true;
    while (sends->told < sends->count) {
        size_t end = sends->count;
        write_from(sends, sends->told);
        while (sends->told < end) {
            struct one *one = &sends->ones[sends->told++];
            if (one->sent != NULL) {
                tell(sends, one);
            }
        }
    }
    sends->count = sends->told = sends->len = 0;
    sends->flushing = false;
}

bool tg_sends_has_room(const struct tg_sends *sends, size_t len)
{
    return len <= TG_SENDS_LONGEST && len <= BYTES_MAX - sends->len && sends->count < TG_SENDS_MAX;
}

uint16_t tg_sends_add(struct tg_sends *sends, int fd, struct tg_slice bytes, tg_sends_fn *sent, void *arg)
{
    assert(bytes.len > 0);
    if (!sends->gathers || !tg_sends_has_room(sends, bytes.len)) {
        return 0;
    }
    memcpy(sends->bytes + sends->len, bytes.ptr, bytes.len);
    sends->ones[sends->count++] = (struct one){.sent = sent,
                                               .arg = arg,
                                               .at = (uint32_t)sends->len,
                                               .len = (uint32_t)bytes.len,
                                               .fd = fd,
                                               .result = UNTRIED};
    sends->len += bytes.len;
    return (uint16_t)sends->count;
}

static struct one *one_of(struct tg_sends *sends, uint16_t number)
{
    assert(number >= 1 && number <= sends->count);
    struct one *one = &sends->ones[number - 1];
    assert(one->sent != NULL);
    if (one->result == UNTRIED) {
        send_one(sends, one);
    }
    return one;
}

void tg_sends_now(struct tg_sends *sends, uint16_t number)
{
    tell(sends, one_of(sends, number));
}

void tg_sends_forget(struct tg_sends *sends, uint16_t number)
{
    one_of(sends, number)->sent = NULL;
}

/* ---- life ---- */

enum tg_err tg_sends_new(struct tg_sends **out)
{
    struct tg_sends *sends = malloc(sizeof *sends);
    if (sends == NULL) {
        return TG_ENOMEM;
    }
    memset(sends, 0, offsetof(struct tg_sends, ones));
    sends->gathers = true;
    *out = sends;
    return TG_OK;
}

void tg_sends_gather(struct tg_sends *sends, bool on)
{
    sends->gathers = on;
}

void tg_sends_use_ring(struct tg_sends *sends, bool use)
{
    sends->wants_ring = use;
}

void tg_sends_free(struct tg_sends *sends)
{
    if (sends == NULL) {
        return;
    }
    for (size_t i = 0; i < sends->count; i++) {
        assert(sends->ones[i].sent == NULL);
    }
    if (sends->has_ring) {
        ring_close(&sends->ring);
    }
    free(sends);
}

bool tg_sends_has_ring(const struct tg_sends *sends)
{
    return sends->has_ring;
}
