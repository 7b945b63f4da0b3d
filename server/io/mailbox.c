#include "server/io/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

/* The lock is held for a few instructions, never across a call. */
struct tg_mailbox {
    uv_async_t wake;
    pthread_mutex_t lock;
    struct tg_list waiting; /* under the lock: posted, not yet fetched by the loop's thread */
    bool closed;            /* under the lock */
    struct tg_list fetched; /* the loop's thread's: being delivered */
    atomic_size_t count;    /* mails in both lists */
    size_t limit;
    void (*deliver)(void *arg, struct tg_mail *mail);
    void *arg;
};

static void take_all(struct tg_list *from, struct tg_list *to)
{
    if (!tg_list_empty(from)) {
        struct tg_list *first = from->next;
        tg_list_remove(from);
        tg_list_append(first, to);
    }
}

static struct tg_mail *next_mail(struct tg_mailbox *box)
{
    struct tg_list *node = tg_list_pop(&box->fetched);
    if (node == NULL) {
        return NULL;
    }
    atomic_fetch_sub_explicit(&box->count, 1, memory_order_relaxed);
    return TG_CONTAINER(node, struct tg_mail, node);
}

/* Fetches once: mail that its own delivery posts waits for the next pass. When a delivery closes the box the
 * rest has gone to `drop`, and the memory stays until the wake-up handle is closed, after this call. */
static void on_wake(uv_async_t *handle)
{
    struct tg_mailbox *box = handle->data;
    struct tg_mail *mail;
    pthread_mutex_lock(&box->lock);
    take_all(&box->waiting, &box->fetched);
    pthread_mutex_unlock(&box->lock);
    while ((mail = next_mail(box)) != NULL) {
        box->deliver(box->arg, mail);
    }
}

enum tg_err tg_mailbox_new(struct tg_loop *loop, size_t limit,
                           void (*deliver)(void *arg, struct tg_mail *mail), void *arg,
                           struct tg_mailbox **out)
{
    struct tg_mailbox *box = calloc(1, sizeof(*box));
    if (box == NULL) {
        return TG_ENOMEM;
    }
    if (pthread_mutex_init(&box->lock, NULL) != 0) {
        free(box);
        return TG_ENOMEM;
    }
    if (uv_async_init(tg_loop_native(loop), &box->wake, on_wake) != 0) {
        pthread_mutex_destroy(&box->lock);
        free(box);
        return TG_EIO;
    }
    tg_list_init(&box->waiting);
    tg_list_init(&box->fetched);
    box->wake.data = box;
    box->limit = limit;
    box->deliver = deliver;
    box->arg = arg;
    *out = box;
    return TG_OK;
}

enum tg_err tg_mailbox_post(struct tg_mailbox *box, struct tg_mail *mail)
{
    enum tg_err err = TG_OK;
    bool was_empty = false;
    pthread_mutex_lock(&box->lock);
    if (box->closed) {
        err = TG_ECLOSED;
    } else if (atomic_load_explicit(&box->count, memory_order_relaxed) >= box->limit) {
        err = TG_EBUSY;
    } else {
        was_empty = tg_list_empty(&box->waiting);
        tg_list_append(&box->waiting, &mail->node);
        atomic_fetch_add_explicit(&box->count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&box->lock);
    if (was_empty) {
        uv_async_send(&box->wake);
    }
    return err;
}

void tg_mailbox_close(struct tg_mailbox *box, void (*drop)(void *arg, struct tg_mail *mail))
{
    struct tg_list posted;
    struct tg_mail *mail;
    tg_list_init(&posted);
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    take_all(&box->waiting, &posted);
    pthread_mutex_unlock(&box->lock);
    while ((mail = next_mail(box)) != NULL) {
        drop(box->arg, mail);
    }
    take_all(&posted, &box->fetched);
    while ((mail = next_mail(box)) != NULL) {
        drop(box->arg, mail);
    }
}

static void wake_closed(uv_handle_t *handle)
{
    struct tg_mailbox *box = handle->data;
    pthread_mutex_destroy(&box->lock);
    free(box);
}

void tg_mailbox_free(struct tg_mailbox *box)
{
    if (box == NULL) {
        return;
    }
    assert(tg_list_empty(&box->waiting) && tg_list_empty(&box->fetched));
    uv_close((uv_handle_t *)&box->wake, wake_closed);
}
