/* Connections that do nothing. When they are open it prints a line; it holds them until it is ended. */
#include <stdio.h>

#include "bench/lib/client.h"
#include "bench/load/kinds.h"

static struct idle {
    struct loop *loop;
    const struct options *options;
    struct crowd crowd;
    uint64_t begun_ns;
} idle;

static const struct client_events events;

static void on_open(struct client *client)
{
    (void)client;
    if (crowd_opened(&idle.crowd, idle.loop, idle.options, &events)) {
        printf("{\"open\": %zu, \"seconds\": %.3f}\n", idle.crowd.count,
               (double)(now_ns() - idle.begun_ns) / 1e9);
        (void)fflush(stdout);
    }
}

static void on_messages(struct client *client, size_t count)
{
    (void)client;
    (void)count;
}

static void on_end(struct client *client)
{
    die("the server closed connection %zu", client->number);
}

static const struct client_events events = {on_open, on_messages, on_end};

void load_idle(struct loop *loop, const struct options *options)
{
    idle.loop = loop;
    idle.options = options;
    idle.begun_ns = now_ns();
    crowd_connect(&idle.crowd, loop, options, &events);
}
