/* For tests of streamed exchanges, over httpd_world.h with its script HOLD: the test is the handler. */
#ifndef TG_TESTS_HTTPD_STREAMS_H
#define TG_TESTS_HTTPD_STREAMS_H

#include "tests/unit/httpd_world.h"

/* One exchange, and what its handler was told. */
struct stream {
    struct world *world;
    struct seen *seen;
    struct tg_exchange *exchange; /* NULL: ended */
    struct tg_buf body;
    int ends, rooms;
    enum tg_err end_err;
    bool calling; /* inside an operation, which must not call back */
    bool hold_on_bytes;
    int end_after; /* replies from that on_bytes; 0: never */
    int pieces;
    bool reply_on_end;
};

static const struct tg_headers no_fields;

static inline void stream_reply(struct stream *stream, int status, const char *text)
{
    struct tg_exchange *exchange = stream->exchange;
    stream->exchange = NULL;
    stream->seen->exchange = NULL;
    exchange->ops->reply(exchange, status, &no_fields, tg_slice_cstr(text));
}

static inline void stream_on_bytes(void *arg, struct tg_slice bytes)
{
    struct stream *stream = arg;
    assert_false(stream->calling);
    assert_non_null(stream->exchange);
    assert_int_equal(stream->ends, 0);
    assert_true(bytes.len > 0);
    assert_int_equal(tg_buf_append(&stream->body, bytes), TG_OK);
    stream->pieces++;
    if (stream->hold_on_bytes) {
        stream->exchange->ops->hold_body(stream->exchange, true);
    }
    if (stream->pieces == stream->end_after) {
        stream_reply(stream, 200, "enough");
    }
}

static inline void stream_on_end(void *arg, enum tg_err err)
{
    struct stream *stream = arg;
    assert_false(stream->calling);
    assert_non_null(stream->exchange);
    stream->ends++;
    stream->end_err = err;
    if (stream->reply_on_end) {
        stream_reply(stream, 200, "all");
    }
}

static inline void stream_on_room(void *arg)
{
    struct stream *stream = arg;
    assert_false(stream->calling);
    assert_non_null(stream->exchange);
    stream->rooms++;
}

static const struct tg_body_events stream_events = {.on_bytes = stream_on_bytes, .on_end = stream_on_end};

/* Takes the newest request, once `count` have come in all. */
static inline void stream_open(struct stream *stream, struct world *world, size_t count)
{
    WAIT(world, world->count >= count);
    *stream = (struct stream){.world = world, .seen = &world->seen[count - 1]};
    tg_buf_init(&stream->body, SIZE_MAX);
    stream->exchange = stream->seen->exchange;
    assert_non_null(stream->exchange);
    stream->exchange->on_room = stream_on_room;
    stream->exchange->room_arg = stream;
}

static inline void stream_free(struct stream *stream)
{
    tg_buf_free(&stream->body);
}

static inline void stream_take(struct stream *stream, uint64_t limit)
{
    stream->calling = stream->seen->starting = true;
    stream->exchange->ops->take_body(stream->exchange, limit, &stream_events, stream);
    stream->calling = stream->seen->starting = false;
}

static inline void stream_hold(struct stream *stream, bool hold)
{
    stream->calling = stream->seen->starting = true;
    stream->exchange->ops->hold_body(stream->exchange, hold);
    stream->calling = stream->seen->starting = false;
}

static inline enum tg_err stream_start(struct stream *stream, int status, const struct tg_headers *fields,
                                       int64_t length)
{
    stream->calling = stream->seen->starting = true;
    enum tg_err err = stream->exchange->ops->start(stream->exchange, status, fields, length);
    stream->calling = stream->seen->starting = false;
    return err;
}

static inline enum tg_err stream_send(struct stream *stream, struct tg_slice bytes)
{
    stream->calling = stream->seen->starting = true;
    enum tg_err err = stream->exchange->ops->send(stream->exchange, bytes);
    stream->calling = stream->seen->starting = false;
    return err;
}

static inline void stream_end(struct stream *stream, bool whole)
{
    struct tg_exchange *exchange = stream->exchange;
    stream->exchange = NULL;
    stream->seen->exchange = NULL;
    exchange->ops->end(exchange, whole);
}

static inline enum tg_err stream_tunnel(struct stream *stream, const struct tg_headers *fields)
{
    stream->calling = stream->seen->starting = true;
    enum tg_err err = stream->exchange->ops->tunnel(stream->exchange, fields, &stream_events, stream);
    stream->calling = stream->seen->starting = false;
    return err;
}

static inline void stream_shut(struct stream *stream)
{
    stream->calling = stream->seen->starting = true;
    stream->exchange->ops->shut(stream->exchange);
    stream->calling = stream->seen->starting = false;
}

static inline void assert_bytes(const struct tg_buf *buf, const char *want)
{
    struct tg_slice got = tg_buf_slice(buf);
    if (!tg_slice_eq(got, tg_slice_cstr(want))) {
        print_message("got %.*s\n", TG_FMT(got));
    }
    assert_true(tg_slice_eq(got, tg_slice_cstr(want)));
}

/* Bytes that tell their place, so that none is lost, doubled or moved unseen. */
static inline void fill_pattern(char *bytes, size_t len, size_t from)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)(((from + i) * 2654435761u) >> 13);
    }
}

/* Waits until so much has come, without taking it for an answer. */
static inline void client_gather(struct client *client, size_t len)
{
    while (tg_buf_size(&client->in) < len) {
        client_receive(client);
        if (tg_buf_size(&client->in) < len) {
            assert_false(client->eof || client->reset);
            turn(client->world);
        }
    }
}

/* All passes that what has come so far takes. */
static inline void settle(struct world *world)
{
    for (int i = 0; i < 10; i++) {
        turn(world);
    }
}

#endif
