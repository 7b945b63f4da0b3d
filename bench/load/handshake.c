/* Connections opened and cut, --connections of them under way. Cut with a reset: else the ports would run
 * out. */
#include "bench/lib/client.h"
#include "bench/load/kinds.h"

static struct handshakes {
    struct loop *loop;
    const struct options *options;
    struct driver driver;
    uint64_t *since;
    struct client *clients;
} handshakes;

static const struct client_events events;

static void begin(struct client *client, size_t number)
{
    handshakes.since[number] = now_ns();
    client_connect(client, handshakes.loop, handshakes.options, number, &events);
}

static void on_open(struct client *client)
{
    driver_done(&handshakes.driver, handshakes.since[client->number]);
    stream_close(&client->stream, true);
    begin(client, client->number);
}

static void on_messages(struct client *client, size_t count)
{
    (void)client;
    (void)count;
}

static void on_end(struct client *client)
{
    driver_failed(&handshakes.driver, "the server closed before it answered");
    begin(client, client->number);
}

static const struct client_events events = {on_open, on_messages, on_end};

void load_handshake(struct loop *loop, const struct options *options)
{
    handshakes.loop = loop;
    handshakes.options = options;
    handshakes.since = xmalloc(options->connections * sizeof *handshakes.since);
    handshakes.clients = xmalloc(options->connections * sizeof *handshakes.clients);
    driver_init(&handshakes.driver, options, loop, NULL, NULL);
    for (size_t i = 0; i < options->connections; i++) {
        begin(&handshakes.clients[i], i);
    }
    driver_go(&handshakes.driver);
}
