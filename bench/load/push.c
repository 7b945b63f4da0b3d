/* Messages published from outside, by each publisher over a kept connection (unless --reconnect): HTTP, MQTT
 * where the dialect is, or ZeroMQ.
 *
 * push: each publisher serves its share of the clients, one after another; an operation ends when the
 * publisher has its answer and the client its message.
 *
 * fanout: rounds of a message to every client, by all publishers at once, or by one: a publish to a channel
 * of all (--broadcast), or a request that names all (--batch). An operation is a message that a client got;
 * the latency is that of a whole round. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/batch.h"
#include "bench/lib/client.h"
#include "bench/lib/pushpin.h"
#include "bench/lib/sigv4.h"
#include "bench/lib/wire.h"
#include "bench/load/kinds.h"

struct publisher {
    struct stream stream;
    size_t number, target;
    bool busy, answered, delivered, greeted;
    uint64_t since;
};

struct request {
    unsigned char *bytes;
    size_t len;
};

static struct push {
    struct loop *loop;
    const struct options *options;
    struct driver driver;
    struct crowd crowd;
    struct publisher *publishers;
    struct request *requests; /* one a client (--batch: the first is for all), made beforehand: the generator
                               * must not be what is slow */
    size_t count, open, next, got; /* publishers; in fanout: the next target, what the round has brought */
    uint64_t round_ns;
    bool is_mqtt, is_fanout, is_answered, running;
    bool is_at_once; /* one publish reaches all */
    struct watch settle_timer;
} push;

static bool speaks(const char *dialect)
{
    return strcmp(push.options->dialect, dialect) == 0;
}

/* ---- requests ---- */

enum { PATH_ROOM = 300, HEAD_ROOM = 1400 };

/* Where messages for this client are posted to. */
static void publish_path(const struct client *client, char *path)
{
    size_t channel = push.options->broadcast ? 0 : client->number;
    if (push.options->batch) {
        (void)snprintf(path, PATH_ROOM, "%s/@tidegate/connections", push.options->path);
    } else if (speaks("gateway")) {
        char id[3 * sizeof client->id];
        size_t at = 0;
        for (const char *from = client->id; *from != '\0'; from++) { /* as the SDKs write it */
            at += (size_t)snprintf(id + at, sizeof id - at, *from == '=' ? "%%3D" : "%c", *from);
        }
        (void)snprintf(path, PATH_ROOM, "%s/@connections/%s", push.options->path, id);
    } else if (speaks("pushpin")) {
        (void)snprintf(path, PATH_ROOM, "/publish/");
    } else {
        (void)snprintf(path, PATH_ROOM, "/pub?id=%zu", channel);
    }
}

/* Writes a POST of `len` bytes; `out` has room for HEAD_ROOM more. */
static size_t http_request(const struct client *client, const unsigned char *body, size_t len, char *out)
{
    char path[PATH_ROOM], host[40], signature[500] = "";
    (void)snprintf(host, sizeof host, "127.0.0.1:%zu", push.options->publish_port);
    publish_path(client, path);
    if (push.options->access_key != NULL) {
        (void)sigv4_fields(signature, sizeof signature, path, host, body, len, push.options->access_key,
                           push.options->secret);
    }
    int head = snprintf(out, HEAD_ROOM, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %zu\r\n\r\n", path,
                        host, signature, len);
    memcpy(out + head, body, len);
    return (size_t)head + len;
}

static void make_request(const struct client *client)
{
    struct request *request = &push.requests[client->number];
    size_t size = push.options->size, room = size + HEAD_ROOM + PUSHPIN_MORE;
    request->bytes = xmalloc(room);
    if (push.options->zmtp) {
        request->len = pushpin_zmtp(request->bytes, client->number, size);
        return;
    }
    if (push.is_mqtt) {
        request->len = mqtt_publish(request->bytes, push.options->broadcast ? 0 : client->number, size);
        return;
    }
    unsigned char *body = xmalloc(room);
    memset(body, 'z', size);
    if (speaks("pushpin")) {
        size = pushpin_item((char *)body, client->number, size, true);
    }
    request->len = http_request(client, body, size, (char *)request->bytes);
    free(body);
}

static void make_batch(void)
{
    size_t len;
    struct request *request = &push.requests[0];
    char *body = batch_body(&push.crowd, push.options->size, &len);
    request->bytes = xmalloc(len + HEAD_ROOM);
    request->len = http_request(push.crowd.clients, (const unsigned char *)body, len, (char *)request->bytes);
    free(body);
}

/* ---- operations ---- */

static const struct stream_events publisher_events;

static void publish(struct publisher *publisher, size_t target, uint64_t since_ns)
{
    publisher->target = target;
    publisher->answered = !push.is_answered;
    publisher->delivered = push.is_fanout;
    publisher->since = since_ns;
    publisher->busy = push.is_answered || !push.is_fanout;
    if (push.options->reconnect) {
        stream_connect(&publisher->stream, push.loop, push.options->publish_port, &publisher_events);
        return; /* sent when it is open */
    }
    (void)stream_send(&publisher->stream, push.requests[target].bytes, push.requests[target].len);
}

static size_t next_target(const struct publisher *publisher)
{
    size_t target = publisher->target + push.count;
    return target < push.crowd.count ? target : publisher->number;
}

static bool start_one(void *arg, uint64_t due_ns)
{
    (void)arg;
    for (size_t tried = 0; tried < push.count; tried++) {
        struct publisher *publisher = &push.publishers[push.next];
        push.next = (push.next + 1) % push.count;
        if (!publisher->busy) {
            publish(publisher, next_target(publisher), due_ns);
            return true;
        }
    }
    return false;
}

static void begin_round(void)
{
    push.round_ns = now_ns();
    push.next = push.got = 0;
    for (size_t i = 0; i < push.count && push.next < (push.is_at_once ? 1 : push.crowd.count); i++) {
        publish(&push.publishers[i], push.next++, push.round_ns);
    }
}

static void check_round(void)
{
    if (push.got < push.crowd.count) {
        return;
    }
    for (size_t i = 0; i < push.count; i++) {
        if (push.publishers[i].busy) {
            return;
        }
    }
    driver_latency(&push.driver, push.round_ns);
    begin_round();
}

static void check_done(struct publisher *publisher)
{
    if (!publisher->answered || !publisher->delivered) {
        return;
    }
    publisher->busy = false;
    if (push.is_fanout) {
        if (!push.is_at_once && push.next < push.crowd.count) {
            publish(publisher, push.next++, now_ns());
        } else {
            check_round();
        }
        return;
    }
    driver_done(&push.driver, publisher->since);
    if (!driver_is_open_loop(&push.driver)) {
        publish(publisher, next_target(publisher), now_ns());
    }
}

static void on_messages(struct client *client, size_t count)
{
    if (push.is_fanout) {
        for (size_t i = 0; i < count; i++) {
            push.got++;
            driver_count(&push.driver);
        }
        check_round();
        return;
    }
    struct publisher *publisher = &push.publishers[client->number % push.count];
    if (count != 1 || !publisher->busy || publisher->target != client->number || publisher->delivered) {
        die("client %zu got a message that nobody sent", client->number);
    }
    publisher->delivered = true;
    check_done(publisher);
}

/* ---- publishers' connections ---- */

static void begin(void)
{
    push.running = true;
    driver_go(&push.driver);
    if (push.is_fanout) {
        begin_round();
        return;
    }
    for (size_t i = 0; i < push.count && !driver_is_open_loop(&push.driver); i++) {
        publish(&push.publishers[i], push.publishers[i].target, now_ns());
    }
}

static void on_publisher_open(struct stream *stream)
{
    unsigned char packet[128];
    struct publisher *publisher = CONTAINER(stream, struct publisher, stream);
    if (push.options->reconnect) {
        const struct request *request = &push.requests[publisher->target];
        (void)stream_send(stream, request->bytes, request->len);
        return;
    }
    if (push.is_mqtt) {
        (void)stream_send(stream, packet, mqtt_connect(packet, 1000000 + publisher->number));
    } else if (push.options->zmtp) {
        (void)stream_send(stream, packet, zmtp_greeting(packet, sizeof packet));
        return; /* messages that come before it has greeted end the connection */
    }
    if (++push.open == push.count) {
        begin();
    }
}

static size_t on_answer(struct stream *stream, unsigned char *data, size_t len)
{
    struct publisher *publisher = CONTAINER(stream, struct publisher, stream);
    struct http_message answer;
    if (push.options->zmtp && !publisher->greeted) {
        publisher->greeted = true;
        if (++push.open == push.count) {
            begin();
        }
    }
    if (!push.is_answered) {
        return len; /* its CONNACK, or greeting */
    }
    size_t step = http_next(data, len, &answer);
    if (step == 0) {
        return 0;
    }
    if (answer.status < 200 || answer.status > 202 || !publisher->busy) {
        die("a publish was refused, or answered twice: %.*s", (int)len, (const char *)data);
    }
    if (push.options->batch) {
        batch_check(&answer, push.crowd.count);
    }
    publisher->answered = true;
    if (push.options->reconnect) {
        stream_close(stream, true);
    }
    check_done(publisher);
    return step;
}

static void on_publisher_end(struct stream *stream)
{
    (void)stream;
    die("the server closed a publisher's connection");
}

static const struct stream_events publisher_events = {on_publisher_open, on_answer, on_publisher_end};
static const struct client_events client_events;

static void on_settled(struct watch *timer, uint32_t ready)
{
    (void)timer;
    (void)ready;
    if (push.options->batch) {
        make_batch();
    }
    for (size_t i = 0; i < push.count; i++) {
        push.publishers[i].number = push.publishers[i].target = i;
        if (!push.options->reconnect) {
            stream_connect(&push.publishers[i].stream, push.loop, push.options->publish_port,
                           &publisher_events);
        }
    }
    if (push.options->reconnect) {
        begin();
    }
}

static void on_open(struct client *client)
{
    if (!push.options->batch) {
        make_request(client);
    }
    if (crowd_opened(&push.crowd, push.loop, push.options, &client_events)) {
        timer_set(&push.settle_timer, now_ns() + (uint64_t)(push.options->settle * 1e9) + 1);
    }
}

static void on_end(struct client *client)
{
    die("the server closed connection %zu", client->number);
}

static const struct client_events client_events = {on_open, on_messages, on_end};

static void set_up(struct loop *loop, const struct options *options)
{
    push.loop = loop;
    push.options = options;
    push.is_mqtt = speaks("mqtt");
    if (options->batch && !(push.is_fanout && speaks("gateway"))) {
        die("--batch: only a gateway's fanout has it");
    }
    push.is_at_once = options->broadcast || options->batch;
    push.is_answered = !push.is_mqtt && !options->zmtp;
    push.settle_timer.on_ready = on_settled;
    timer_init(loop, &push.settle_timer);
    push.count = options->publishers < options->connections ? options->publishers : options->connections;
    push.count = push.is_at_once ? 1 : push.count;
    push.publishers = xmalloc(push.count * sizeof *push.publishers);
    push.requests = xmalloc(options->connections * sizeof *push.requests);
    driver_init(&push.driver, options, loop, start_one, NULL);
    crowd_connect(&push.crowd, loop, options, &client_events);
}

void load_push(struct loop *loop, const struct options *options)
{
    set_up(loop, options);
}

void load_fanout(struct loop *loop, const struct options *options)
{
    push.is_fanout = true;
    set_up(loop, options);
}
