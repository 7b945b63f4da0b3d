/* Messages that come back: --depth of them under way a connection, or --window in all, over the connections
 * in turn. With --churn, so many connections a second are closed and opened anew meanwhile. */
#include "bench/lib/client.h"
#include "bench/load/kinds.h"

enum { OPEN_LOOP_DEPTH = 64 };

struct talker {
    size_t under_way, oldest;
    uint64_t *since; /* a ring: when what is under way was sent, or due */
};

static struct echo {
    struct loop *loop;
    const struct options *options;
    struct driver driver;
    struct crowd crowd;
    struct talker *talkers;
    unsigned char *frames; /* as many as may be under way, one behind another */
    size_t frame_len;
    size_t depth, active, next, next_to_churn;
    bool running;
    struct watch churn_timer;
    uint64_t churned, churn_began_ns;
} echo;

static void send_messages(struct client *client, size_t count, uint64_t since_ns)
{
    struct talker *talker = &echo.talkers[client->number];
    if (client_messages_differ(echo.options)) {
        for (size_t i = 0; i < count; i++) {
            (void)client_message(echo.options, echo.frames + i * echo.frame_len, echo.options->size,
                                 client->number);
        }
    }
    for (size_t i = 0; i < count; i++) {
        talker->since[(talker->oldest + talker->under_way++) % echo.depth] = since_ns;
    }
    (void)stream_send(&client->stream, echo.frames, count * echo.frame_len);
}

static bool start_one(void *arg, uint64_t due_ns)
{
    (void)arg;
    for (size_t tried = 0; tried < echo.active; tried++) {
        struct client *client = &echo.crowd.clients[echo.next];
        echo.next = (echo.next + 1) % echo.active;
        if (client->state == CLIENT_OPEN && stream_is_open(&client->stream) &&
            echo.talkers[client->number].under_way < echo.depth) {
            send_messages(client, 1, due_ns);
            return true;
        }
    }
    return false;
}

static void on_messages(struct client *client, size_t count)
{
    struct talker *talker = &echo.talkers[client->number];
    for (size_t i = 0; i < count; i++) {
        if (talker->under_way == 0) {
            die("a message came that nobody sent");
        }
        uint64_t since = talker->since[talker->oldest];
        talker->oldest = (talker->oldest + 1) % echo.depth;
        talker->under_way--;
        driver_done(&echo.driver, since);
    }
    if (driver_is_open_loop(&echo.driver)) {
        return;
    }
    if (echo.options->window == 0) {
        send_messages(client, count, now_ns());
        return;
    }
    for (size_t i = 0; i < count; i++) {
        (void)start_one(NULL, now_ns());
    }
}

/* ---- connections that come and go ---- */

static void set_churn_timer(void)
{
    timer_set(&echo.churn_timer,
              echo.churn_began_ns + (uint64_t)((double)++echo.churned * 1e9 / echo.options->churn));
}

static void on_churn(struct watch *timer, uint32_t events)
{
    static const unsigned char close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}; /* 1000 */
    (void)timer;
    (void)events;
    for (size_t tried = 0; tried < echo.crowd.count; tried++) {
        struct client *client = &echo.crowd.clients[echo.next_to_churn];
        echo.next_to_churn = (echo.next_to_churn + 1) % echo.crowd.count;
        if (client->state == CLIENT_OPEN && stream_is_open(&client->stream) &&
            echo.talkers[client->number].under_way == 0) {
            client->state = CLIENT_GREETING; /* not to be used any more; the server answers and closes */
            (void)stream_send(&client->stream, close_frame, sizeof close_frame);
            break;
        }
    }
    set_churn_timer();
}

static const struct client_events events;

static void on_end(struct client *client)
{
    if (echo.running && echo.options->churn > 0 && client->state != CLIENT_OPEN) {
        client_connect(client, echo.loop, echo.options, client->number, &events);
        return;
    }
    die("the server closed connection %zu", client->number);
}

static void begin(void)
{
    if (driver_is_open_loop(&echo.driver)) {
        return; /* the driver begins */
    }
    for (size_t i = 0; i < echo.options->window; i++) {
        (void)start_one(NULL, now_ns());
    }
    for (size_t i = 0; i < echo.active && echo.options->window == 0; i++) {
        send_messages(&echo.crowd.clients[i], echo.depth, now_ns());
    }
}

static void on_open(struct client *client)
{
    (void)client;
    if (echo.running || !crowd_opened(&echo.crowd, echo.loop, echo.options, &events)) {
        return;
    }
    echo.running = true;
    driver_go(&echo.driver);
    begin();
    if (echo.options->churn > 0) {
        timer_init(echo.loop, &echo.churn_timer);
        echo.churn_began_ns = now_ns();
        set_churn_timer();
    }
}

static const struct client_events events = {on_open, on_messages, on_end};

void load_echo(struct loop *loop, const struct options *options)
{
    echo.loop = loop;
    echo.options = options;
    echo.depth = options->rate > 0 ? OPEN_LOOP_DEPTH : options->depth;
    echo.active = options->active == 0 ? options->connections : options->active;
    echo.churn_timer.on_ready = on_churn;
    echo.talkers = xmalloc(options->connections * sizeof *echo.talkers);
    uint64_t *rings = xmalloc(options->connections * echo.depth * sizeof *rings);
    for (size_t i = 0; i < options->connections; i++) {
        echo.talkers[i].since = rings + i * echo.depth;
    }
    echo.frames = xmalloc(echo.depth * (options->size + 64) + 64);
    echo.frame_len = client_message(options, echo.frames, options->size, 0);
    for (size_t i = 1; i < echo.depth; i++) {
        (void)client_message(options, echo.frames + i * echo.frame_len, options->size, 0);
    }
    driver_init(&echo.driver, options, loop, start_one, NULL);
    crowd_connect(&echo.crowd, loop, options, &events);
}
