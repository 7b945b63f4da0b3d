#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "connmgr/bus.h"

/* Where the envelopes of one worker arrive. The lock keeps the mailbox from being freed under a sender; it is
 * held for as long as one post takes. */
struct inbox {
    pthread_mutex_t lock;
    struct tg_mailbox *box; /* NULL: not open */
};

struct local_bus {
    struct tg_bus base;
    uint32_t node;
    size_t workers;
    size_t limit;
    struct inbox inboxes[];
};

struct local_port {
    struct tg_bus_port base;
    struct local_bus *bus;
    struct tg_mailbox *box;
    uint32_t worker;
    tg_bus_deliver_fn *deliver;
    void *arg;
};

static void local_free(struct tg_bus *base)
{
    struct local_bus *bus = (struct local_bus *)base;
    for (size_t i = 0; i < bus->workers; i++) {
        assert(bus->inboxes[i].box == NULL);
        pthread_mutex_destroy(&bus->inboxes[i].lock);
    }
    free(bus);
}

static struct tg_envelope *envelope_of(struct tg_mail *mail)
{
    return TG_CONTAINER(mail, struct tg_envelope, mail);
}

static void deliver(void *arg, struct tg_mail *mail)
{
    struct local_port *port = arg;
    port->deliver(port->arg, envelope_of(mail));
}

static void drop(void *arg, struct tg_mail *mail)
{
    (void)arg;
    tg_envelope_free(envelope_of(mail));
}

static void set_box(struct inbox *inbox, struct tg_mailbox *box)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->box = box;
    pthread_mutex_unlock(&inbox->lock);
}

static const struct tg_bus_ops local_ops;

static enum tg_err local_open(struct tg_bus *base, struct tg_loop *loop, uint32_t worker,
                              tg_bus_deliver_fn *deliver_fn, void *arg, struct tg_bus_port **out)
{
    struct local_bus *bus = (struct local_bus *)base;
    if (worker >= bus->workers) {
        return TG_EINVAL;
    }
    struct local_port *port = calloc(1, sizeof *port);
    if (port == NULL) {
        return TG_ENOMEM;
    }
    port->base.ops = &local_ops;
    port->bus = bus;
    port->worker = worker;
    port->deliver = deliver_fn;
    port->arg = arg;
    enum tg_err err = tg_mailbox_new(loop, bus->limit, deliver, port, &port->box);
    if (err != TG_OK) {
        free(port);
        return err;
    }
    set_box(&bus->inboxes[worker], port->box);
    *out = &port->base;
    return TG_OK;
}

static void local_close(struct tg_bus_port *base)
{
    struct local_port *port = (struct local_port *)base;
    set_box(&port->bus->inboxes[port->worker], NULL); /* from here on nobody can post */
    tg_mailbox_close(port->box, drop);
    tg_mailbox_free(port->box);
    free(port);
}

static enum tg_err local_send(struct tg_bus_port *base, struct tg_envelope *envelope)
{
    struct local_bus *bus = ((struct local_port *)base)->bus;
    enum tg_err err = TG_ENOTFOUND;
    if (envelope->to.node != bus->node || envelope->to.worker >= bus->workers) {
        return TG_ENOTFOUND;
    }
    struct inbox *inbox = &bus->inboxes[envelope->to.worker];
    pthread_mutex_lock(&inbox->lock);
    if (inbox->box != NULL) {
        err = tg_mailbox_post(inbox->box, &envelope->mail);
    }
    pthread_mutex_unlock(&inbox->lock);
    return err;
}

static void local_nothing(struct tg_bus_port *base, uint32_t node)
{
    (void)base;
    (void)node;
}

/* Who asks from this process runs in it. */
static bool local_quit(struct tg_bus_port *base)
{
    (void)base;
    return true;
}

static const struct tg_bus_ops local_ops = {
    .open = local_open,
    .close = local_close,
    .send = local_send,
    .renumber = local_nothing, /* one node: its number is the process's */
    .suspect = local_nothing,
    .quit = local_quit,
    .free = local_free,
};

enum tg_err tg_bus_local_new(uint32_t node, size_t workers, size_t limit, struct tg_bus **out)
{
    struct local_bus *bus = calloc(1, sizeof *bus + workers * sizeof bus->inboxes[0]);
    if (bus == NULL) {
        return TG_ENOMEM;
    }
    bus->base.ops = &local_ops;
    bus->node = node;
    bus->limit = limit;
    for (; bus->workers < workers; bus->workers++) {
        if (pthread_mutex_init(&bus->inboxes[bus->workers].lock, NULL) != 0) {
            local_free(&bus->base);
            return TG_ENOMEM;
        }
    }
    *out = &bus->base;
    return TG_OK;
}
