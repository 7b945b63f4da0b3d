/* A WebSocket client that knows how to greet several servers, and what a message is to each, its "dialect".
 *
 * gateway: tidegate, the limit, and the server made of npm's ws. Text frames; {"action":"id"} is answered
 * with the connection's id.
 *
 * nchan: text frames; the connection's channel stands in the address. Also for whoever else sends text back.
 *
 * pushpin: likewise, published to as bench/lib/pushpin.h says.
 *
 * mqtt: MQTT 3.1.1 in binary frames, QoS 0, each client subscribed to a topic of its own. */
#ifndef BENCH_LIB_CLIENT_H
#define BENCH_LIB_CLIENT_H

#include "bench/lib/driver.h"
#include "bench/lib/stream.h"

struct client;

struct client_events {
    void (*on_open)(struct client *client);                   /* greeted: messages may go */
    void (*on_messages)(struct client *client, size_t count); /* so many whole ones came */
    void (*on_end)(struct client *client);
};

struct client {
    struct stream stream;
    const struct options *options;
    const struct client_events *events;
    size_t number;
    enum { CLIENT_UPGRADING, CLIENT_GREETING, CLIENT_OPEN } state;
    char id[64]; /* dialect gateway: the connection's id */
    struct {     /* dialect mqtt: where in the stream of packets we are */
        unsigned char type;
        enum { MQTT_TYPE, MQTT_LENGTH, MQTT_BODY } at;
        unsigned shift;
        size_t left;
    } mqtt;
};

/* Connects; on_open or on_end follows. */
void client_connect(struct client *client, struct loop *loop, const struct options *options, size_t number,
                    const struct client_events *events);

/* The frame of a message of `size` bytes that comes back to the client that sends it. `out` has room for size
 * and 64 more. It must be made for each client where it is addressed (mqtt), otherwise it is the same for
 * all. */
size_t client_message(const struct options *options, unsigned char *out, size_t size, size_t number);
bool client_messages_differ(const struct options *options);

/* Connects the clients 0 to count - 1, some hundred at a time; the caller counts those that are open. */
struct crowd {
    struct client *clients;
    size_t count, begun, open;
};
void crowd_connect(struct crowd *crowd, struct loop *loop, const struct options *options,
                   const struct client_events *events);
/* To be called by on_open while the crowd gathers; true when all are open. */
bool crowd_opened(struct crowd *crowd, struct loop *loop, const struct options *options,
                  const struct client_events *events);

/* An MQTT packet, without a WebSocket around it: for publishers over TCP. */
size_t mqtt_connect(unsigned char *out, size_t number);
size_t mqtt_publish(unsigned char *out, size_t topic, size_t size);

#endif
