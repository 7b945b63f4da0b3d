#include "bench/lib/client.h"

#include <stdio.h>
#include <string.h>

#include "bench/lib/wire.h"

enum { PUBLISH = 3, SUBACK = 9, TOPIC_LEN = 7 };

static bool is_mqtt(const struct options *options)
{
    return strcmp(options->dialect, "mqtt") == 0;
}

static bool is_gateway(const struct options *options)
{
    return strcmp(options->dialect, "gateway") == 0;
}

static bool is_publishing(const struct options *options)
{
    return strcmp(options->kind, "push") == 0 || strcmp(options->kind, "fanout") == 0;
}

/* ---- MQTT ---- */

static size_t put_length(unsigned char *out, size_t len)
{
    size_t at = 0;
    do {
        out[at++] = (unsigned char)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
        len >>= 7;
    } while (len > 0);
    return at;
}

static size_t put_topic(unsigned char *out, size_t number)
{
    char text[16];
    (void)snprintf(text, sizeof text, "c/%05zu", number % 100000);
    out[0] = 0;
    out[1] = TOPIC_LEN;
    memcpy(out + 2, text, TOPIC_LEN);
    return 2 + TOPIC_LEN;
}

size_t mqtt_connect(unsigned char *out, size_t number)
{
    static const unsigned char fixed[] = {0x10, 20, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 8};
    char name[16];
    (void)snprintf(name, sizeof name, "b%07zu", number);
    memcpy(out, fixed, sizeof fixed);
    memcpy(out + sizeof fixed, name, 8);
    return sizeof fixed + 8;
}

static size_t mqtt_subscribe(unsigned char *out, size_t number)
{
    static const unsigned char fixed[] = {0x82, 5 + TOPIC_LEN, 0, 1};
    memcpy(out, fixed, sizeof fixed);
    size_t at = sizeof fixed;
    at += put_topic(out + at, number);
    out[at++] = 0;
    return at;
}

size_t mqtt_publish(unsigned char *out, size_t topic, size_t size)
{
    size_t at = 0;
    out[at++] = PUBLISH << 4;
    at += put_length(out + at, 2 + TOPIC_LEN + size);
    at += put_topic(out + at, topic);
    memset(out + at, 'y', size);
    return at + size;
}

/* Follows the packets of a connection; returns how many of `type` ended within these bytes. */
static size_t mqtt_follow(struct client *client, const unsigned char *bytes, size_t len, unsigned char type)
{
    size_t count = 0;
    for (size_t i = 0; i < len;) {
        if (client->mqtt.at == MQTT_TYPE) {
            client->mqtt.type = bytes[i++] >> 4;
            client->mqtt.at = MQTT_LENGTH;
            client->mqtt.left = client->mqtt.shift = 0;
        } else if (client->mqtt.at == MQTT_LENGTH) {
            client->mqtt.left |= (size_t)(bytes[i] & 0x7f) << client->mqtt.shift;
            client->mqtt.shift += 7;
            client->mqtt.at = (bytes[i++] & 0x80) != 0 ? MQTT_LENGTH : MQTT_BODY;
        } else {
            size_t step = client->mqtt.left < len - i ? client->mqtt.left : len - i;
            client->mqtt.left -= step;
            i += step;
        }
        if (client->mqtt.at == MQTT_BODY && client->mqtt.left == 0) {
            count += client->mqtt.type == type ? 1 : 0;
            client->mqtt.at = MQTT_TYPE;
        }
    }
    return count;
}

/* ---- messages ---- */

bool client_messages_differ(const struct options *options)
{
    return is_mqtt(options);
}

size_t client_message(const struct options *options, unsigned char *out, size_t size, size_t number)
{
    static const char start[] = "{\"action\":\"e\",\"p\":", end[] = "\"}";
    unsigned char *payload = out + WS_HEAD_MAX; /* ws_frame moves it into place */
    if (is_mqtt(options)) {
        return ws_frame(out, WS_BINARY, payload, mqtt_publish(payload, number, size), true);
    }
    size_t head = sizeof start - 1;
    memcpy(payload, start, head);
    if (size < head + 4) { /* {"action":"e","p":1}: 20 bytes */
        memcpy(payload + head, "1}", 2);
        return ws_frame(out, WS_TEXT, payload, head + 2, true);
    }
    payload[head] = '"';
    memset(payload + head + 1, 'y', size - head - 3);
    memcpy(payload + size - 2, end, 2);
    return ws_frame(out, WS_TEXT, payload, size, true);
}

/* ---- greeting ---- */

static void opened(struct client *client)
{
    client->state = CLIENT_OPEN;
    client->events->on_open(client);
}

static void greet(struct client *client)
{
    static const char question[] = "{\"action\":\"id\"}";
    unsigned char packets[128], frame[160];
    size_t len;
    client->state = CLIENT_GREETING;
    if (is_mqtt(client->options)) {
        len = mqtt_connect(packets, client->number);
        len += mqtt_subscribe(packets + len, client->options->broadcast ? 0 : client->number);
        len = ws_frame(frame, WS_BINARY, packets, len, true);
    } else if (is_gateway(client->options) && is_publishing(client->options)) {
        len = ws_frame(frame, WS_TEXT, question, sizeof question - 1, true);
    } else {
        opened(client);
        return;
    }
    (void)stream_send(&client->stream, frame, len);
}

static void greeted(struct client *client, const struct ws_frame *frame)
{
    if (is_mqtt(client->options)) {
        if (mqtt_follow(client, frame->payload, frame->len, SUBACK) == 1) {
            opened(client);
        }
        return;
    }
    if (frame->len >= sizeof client->id) {
        die("a connection's id of %zu bytes: %.*s", frame->len, (int)frame->len,
            (const char *)frame->payload);
    }
    memcpy(client->id, frame->payload, frame->len);
    client->id[frame->len] = '\0';
    opened(client);
}

/* ---- the connection ---- */

static void on_open(struct stream *stream)
{
    struct client *client = CONTAINER(stream, struct client, stream);
    const struct options *options = client->options;
    char request[600], path[100];
    (void)snprintf(path, sizeof path, "%s", options->path);
    if (options->numbered) {
        (void)snprintf(path, sizeof path, "%s%zu", options->path, options->broadcast ? 0 : client->number);
    }
    int len =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%zu\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                 path, options->port, is_mqtt(options) ? "Sec-WebSocket-Protocol: mqtt\r\n" : "");
    (void)stream_send(stream, request, (size_t)len);
}

static void on_frame(struct client *client, const struct ws_frame *frame, size_t *messages)
{
    unsigned char pong[WS_HEAD_MAX + 125];
    if (frame->opcode == WS_PING) {
        (void)stream_send(&client->stream, pong, ws_frame(pong, WS_PONG, frame->payload, frame->len, true));
    } else if (frame->opcode == WS_CLOSE && client->state != CLIENT_OPEN) {
        return; /* its answer to ours */
    } else if (frame->opcode == WS_CLOSE) {
        fprintf(stderr, "load: the server closes: %.*s\n", (int)frame->len, (const char *)frame->payload);
    } else if (client->state == CLIENT_GREETING) {
        greeted(client, frame);
    } else if (is_mqtt(client->options)) {
        *messages += mqtt_follow(client, frame->payload, frame->len, PUBLISH);
    } else {
        (*messages)++;
    }
}

static size_t on_data(struct stream *stream, unsigned char *data, size_t len)
{
    struct client *client = CONTAINER(stream, struct client, stream);
    size_t done = 0, step;
    size_t messages = 0;
    if (client->state == CLIENT_UPGRADING) {
        done = http_head(data, len);
        if (done == 0) {
            return 0;
        }
        if (memcmp(data, "HTTP/1.1 101", 12) != 0) {
            die("handshake refused: %.*s", (int)done, (const char *)data);
        }
        greet(client);
    }
    struct ws_frame frame;
    while (stream->watch.fd >= 0 && (step = ws_next(data + done, len - done, &frame)) > 0) {
        on_frame(client, &frame, &messages);
        done += step;
    }
    if (messages > 0) {
        client->events->on_messages(client, messages);
    }
    return done;
}

static void on_end(struct stream *stream)
{
    struct client *client = CONTAINER(stream, struct client, stream);
    client->events->on_end(client);
}

static const struct stream_events stream_events = {on_open, on_data, on_end};

void client_connect(struct client *client, struct loop *loop, const struct options *options, size_t number,
                    const struct client_events *events)
{
    client->options = options;
    client->events = events;
    client->number = number;
    client->state = CLIENT_UPGRADING;
    client->mqtt.at = MQTT_TYPE;
    stream_connect(&client->stream, loop, options->port, &stream_events);
}

void crowd_connect(struct crowd *crowd, struct loop *loop, const struct options *options,
                   const struct client_events *events)
{
    crowd->count = options->connections;
    crowd->clients = xmalloc(crowd->count * sizeof *crowd->clients);
    while (crowd->begun < crowd->count && crowd->begun < options->at_a_time) {
        client_connect(&crowd->clients[crowd->begun], loop, options, crowd->begun, events);
        crowd->begun++;
    }
}

bool crowd_opened(struct crowd *crowd, struct loop *loop, const struct options *options,
                  const struct client_events *events)
{
    crowd->open++;
    if (crowd->begun < crowd->count) {
        client_connect(&crowd->clients[crowd->begun], loop, options, crowd->begun, events);
        crowd->begun++;
    }
    return crowd->open == crowd->count;
}
