/* Streamed exchanges and tunnels through the HTTP server, in any order that the interface allows. Input: what
 * the client does besides sending; the size of its pieces; how many bytes of script follow, then these; then
 * what the client sends. A step of the script is an operation of the handler, made between two passes of the
 * loop or from a callback. A second reading of the client's bytes, by the codec alone, tells what must
 * arrive. Checked beside memory: requests, bodies and tunnels arrive unmoved and in order, each end is told
 * once, nothing is told from within an operation or while held, and the answers on the wire are those given.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/buf.h"
#include "server/front/httpd.h"
#include "server/io/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* What the client does. */
enum { GO_AWAY = 1, SLOW = 2, DEAF = 4, FROM_CALLBACKS = 8, DRAIN = 16, CUT = 32 };

enum step {
    WAIT,
    TAKE,
    READ,
    HOLD,
    START_LENGTH,
    START_OPEN,
    SEND,
    SEND_MUCH,
    END,
    END_SHORT,
    TUNNEL,
    SHUT,
    REPLY,
    STEPS
};

enum { MUCH = 70000, ANSWERS_MAX = 512, SENT_MAX = 4 << 20 };

static const struct tg_http1_limits limits = {.line = 256, .head = 1024, .count = 16};
static const struct tg_headers no_fields;

/* An answer as the handler gave it. */
struct given {
    bool head, tunnel, empty, begun, ended, whole;
    int64_t length; /* as started; -1: open */
    size_t sent;    /* what send took */
};

struct probe {
    struct tg_loop *loop;
    struct tg_arena_pool arenas;
    struct tg_httpd *httpd;
    struct sockaddr_un address;
    socklen_t address_len;
    struct tg_task awake;
    int flags;
    struct tg_slice script;
    size_t step;
    /* The exchange. */
    struct tg_exchange *exchange;
    bool inside, asked, taken, held, body_over, aborted, full, shut;
    size_t got; /* bytes of the body, or of the tunnel */
    /* The client's bytes, read a second time. */
    struct tg_slice sent;
    size_t at;             /* where the next request begins */
    bool readable;         /* whether there can be a next one */
    struct tg_buf content; /* of the request's body, as far as it was sent */
    bool content_whole;
    struct given answers[ANSWERS_MAX];
    size_t count;
    bool gone; /* some exchange was aborted: what its client saw is open */
};

static char pattern(size_t place)
{
    return (char)('a' + place % 23);
}

static struct given *answer_of(struct probe *probe)
{
    return &probe->answers[probe->count - 1];
}

static bool in_tunnel(struct probe *probe)
{
    return answer_of(probe)->tunnel;
}

/* ---- the second reading ---- */

static void expect_request(struct probe *probe, const struct tg_exchange *exchange)
{
    struct tg_arena arena;
    struct tg_http1_request request;
    struct tg_http1_fault fault;
    struct tg_http1_body decoder;
    size_t scanned = 0, head_len = 0, used = 1;
    enum tg_err err = TG_OK;
    CHECK(probe->readable && probe->at <= probe->sent.len);
    struct tg_slice rest = tg_slice_from(probe->sent, probe->at);
    tg_arena_init(&arena, NULL);
    CHECK(tg_http1_parse_request(rest, &scanned, &limits, &arena, &request, &head_len, &fault) == TG_OK);
    CHECK(tg_slice_eq(request.method, exchange->method) && tg_slice_eq(request.target, exchange->target));
    CHECK(exchange->has_body == (request.framing != TG_HTTP1_NO_BODY));
    CHECK(exchange->minor == request.minor);
    probe->at += head_len;
    tg_http1_body_init(&decoder, request.framing, request.content_length);
    tg_buf_clear(&probe->content);
    while (err == TG_OK && used > 0 && !decoder.done) {
        struct tg_slice content;
        used = 0;
        err = tg_http1_body_decode(&decoder, tg_slice_from(probe->sent, probe->at), &used, &content);
        if (err == TG_OK) {
            CHECK(tg_buf_append(&probe->content, content) == TG_OK);
            probe->at += used;
        }
    }
    probe->content_whole = decoder.done;
    probe->readable = decoder.done && request.keep_alive;
    tg_arena_reset(&arena);
}

/* ---- the handler ---- */

static void act(struct probe *probe);

static void step_from_callback(struct probe *probe)
{
    if ((probe->flags & FROM_CALLBACKS) != 0) {
        act(probe);
    }
}

static void on_abort(void *arg)
{
    struct probe *probe = arg;
    CHECK(!probe->inside && probe->exchange != NULL && !probe->aborted);
    probe->aborted = true;
    probe->gone = true;
    step_from_callback(probe);
}

static void on_room(void *arg)
{
    struct probe *probe = arg;
    CHECK(!probe->inside && probe->exchange != NULL && probe->full && !probe->aborted);
    probe->full = false;
    step_from_callback(probe);
}

static void on_bytes(void *arg, struct tg_slice bytes)
{
    struct probe *probe = arg;
    struct tg_slice want =
        in_tunnel(probe) ? tg_slice_from(probe->sent, probe->at) : tg_buf_slice(&probe->content);
    CHECK(!probe->inside && probe->exchange != NULL);
    CHECK(probe->taken && !probe->held && !probe->body_over);
    CHECK(bytes.len > 0 && bytes.len <= want.len - probe->got);
    CHECK(tg_slice_eq(tg_slice_head(tg_slice_from(want, probe->got), bytes.len), bytes));
    probe->got += bytes.len;
    step_from_callback(probe);
}

static void on_end(void *arg, enum tg_err err)
{
    struct probe *probe = arg;
    CHECK(!probe->inside && probe->exchange != NULL && probe->taken && !probe->body_over);
    probe->body_over = true;
    if (err == TG_OK && in_tunnel(probe)) {
        CHECK(probe->at + probe->got == probe->sent.len);
    } else if (err == TG_OK) {
        CHECK(!probe->held && probe->content_whole && probe->got == tg_buf_size(&probe->content));
    } else {
        CHECK(err == TG_ECLOSED || err == TG_EPROTO || err == TG_ELIMIT);
        CHECK(err != TG_EPROTO || !probe->content_whole);
    }
    step_from_callback(probe);
}

static const struct tg_body_events events = {.on_bytes = on_bytes, .on_end = on_end};

static void body_done(void *arg, enum tg_err err, struct tg_slice body)
{
    struct probe *probe = arg;
    CHECK(!probe->inside && probe->exchange != NULL && probe->asked && !probe->taken && !probe->body_over);
    probe->body_over = true;
    if (err == TG_OK) {
        CHECK(probe->content_whole && tg_slice_eq(body, tg_buf_slice(&probe->content)));
    }
    step_from_callback(probe);
}

static void handle(void *arg, struct tg_exchange *exchange)
{
    struct probe *probe = arg;
    CHECK(probe->exchange == NULL && probe->count < ANSWERS_MAX && !probe->inside);
    expect_request(probe, exchange);
    probe->answers[probe->count++] = (struct given){.head = tg_slice_eq(exchange->method, TG_LIT("HEAD"))};
    probe->exchange = exchange;
    probe->asked = probe->taken = probe->held = probe->body_over = false;
    probe->aborted = probe->full = probe->shut = false;
    probe->got = 0;
    exchange->on_abort = on_abort;
    exchange->abort_arg = probe;
    exchange->on_room = on_room;
    exchange->room_arg = probe;
    step_from_callback(probe);
}

static void start(struct probe *probe, int64_t length)
{
    struct given *given = answer_of(probe);
    int status = given->sent % 2 == 0 && probe->step % 7 == 0 ? 304 : 200;
    enum tg_err err = probe->exchange->ops->start(probe->exchange, status, &no_fields, length);
    CHECK(err == TG_OK || err == TG_ECLOSED);
    CHECK(!probe->aborted || err == TG_ECLOSED);
    probe->gone = probe->gone || err == TG_ECLOSED;
    given->begun = true;
    given->empty = given->head || status == 304;
    given->length = length;
}

static void send_bytes(struct probe *probe, size_t len)
{
    struct given *given = answer_of(probe);
    char bytes[MUCH];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = pattern(given->sent + i);
    }
    enum tg_err err = probe->exchange->ops->send(probe->exchange, tg_slice_make(bytes, len));
    bool fits = given->empty || given->length < 0 || len <= (size_t)given->length - given->sent;
    CHECK(!probe->aborted || err == TG_ECLOSED);
    if (err == TG_ECLOSED) {
        probe->gone = probe->gone || !probe->shut;
        return;
    }
    CHECK(!probe->shut && fits == (err != TG_ELIMIT));
    CHECK(err == TG_OK || err == TG_EAGAIN || err == TG_ELIMIT);
    probe->full = probe->full || err == TG_EAGAIN;
    given->sent += fits && !given->empty ? len : 0;
}

static void end(struct probe *probe, bool whole)
{
    struct given *given = answer_of(probe);
    struct tg_exchange *exchange = probe->exchange;
    given->ended = true;
    given->whole = given->empty ||
                   (whole && (given->tunnel || given->length < 0 || (size_t)given->length == given->sent));
    probe->exchange = NULL;
    exchange->ops->end(exchange, whole);
}

static void reply(struct probe *probe, bool lines)
{
    struct given *given = answer_of(probe);
    struct tg_exchange *exchange = probe->exchange;
    *given = (struct given){
        .head = given->head, .begun = true, .ended = true, .whole = true, .length = 5, .sent = 5};
    given->empty = given->head;
    probe->exchange = NULL;
    if (lines) {
        exchange->ops->reply_lines(exchange, 200, TG_LIT("X: y\r\n"), TG_LIT("abcde"));
    } else {
        exchange->ops->reply(exchange, 200, &no_fields, TG_LIT("abcde"));
    }
}

static void tunnel(struct probe *probe)
{
    struct given *given = answer_of(probe);
    /* What is asked for and not there yet keeps a tunnel away; read_body is the handler's to wait for. */
    if (probe->asked && !probe->taken && !probe->body_over) {
        return;
    }
    enum tg_err err = probe->exchange->ops->tunnel(probe->exchange, &no_fields, &events, probe);
    CHECK(err == TG_OK || err == TG_ECLOSED || err == TG_EINVAL);
    if (err == TG_EINVAL) {
        return;
    }
    given->begun = true;
    given->length = -1;
    if (err == TG_OK) {
        CHECK(!probe->aborted && probe->content_whole);
        given->tunnel = probe->asked = true;
        probe->taken = true;
        probe->held = probe->body_over = false;
        probe->got = 0;
    } else {
        probe->gone = true;
    }
}

/* Then nothing more is asked. */
static bool is_at_hand(struct probe *probe)
{
    struct tg_slice body;
    if (!probe->exchange->ops->body_at_hand(probe->exchange, 100000, &body)) {
        return false;
    }
    CHECK(probe->content_whole && tg_slice_eq(body, tg_buf_slice(&probe->content)));
    probe->asked = probe->body_over = true;
    return true;
}

static void do_step(struct probe *probe, enum step step, uint8_t detail)
{
    const struct given *given = answer_of(probe);
    const struct tg_exchange_ops *ops = probe->exchange->ops;
    bool begun = given->begun;
    switch (step) {
    case TAKE:
        if (!probe->asked) {
            probe->asked = probe->taken = true;
            ops->take_body(probe->exchange, detail % 4 == 0 ? detail : 0, &events, probe);
        }
        break;
    case READ:
        if (!probe->asked && !given->tunnel && !(detail % 4 == 1 && is_at_hand(probe))) {
            probe->asked = true;
            ops->read_body(probe->exchange, detail % 4 == 0 ? detail : 100000, body_done, probe);
        }
        break;
    case HOLD:
        probe->held = !probe->held;
        ops->hold_body(probe->exchange, probe->held);
        break;
    case START_LENGTH:
    case START_OPEN:
        if (!begun) {
            start(probe, step == START_OPEN ? -1 : detail % 3 == 0 ? MUCH : detail);
        }
        break;
    case SEND:
    case SEND_MUCH:
        if (begun && given->sent < SENT_MAX) {
            send_bytes(probe, step == SEND ? detail : MUCH);
        }
        break;
    case TUNNEL:
        if (!begun) {
            tunnel(probe);
        }
        break;
    case SHUT:
        if (given->tunnel) {
            probe->shut = true;
            ops->shut(probe->exchange);
        }
        break;
    default:
        break;
    }
}

/* The next step of the script. */
static void act(struct probe *probe)
{
    if (probe->exchange == NULL || probe->script.len < 2) {
        return;
    }
    size_t at = 2 * (probe->step++ % (probe->script.len / 2));
    enum step step = (enum step)((uint8_t)probe->script.ptr[at] % STEPS);
    uint8_t detail = (uint8_t)probe->script.ptr[at + 1];
    bool begun = answer_of(probe)->begun;
    probe->inside = true;
    if (step == REPLY && !begun) {
        reply(probe, detail % 2 == 1);
    } else if ((step == END || step == END_SHORT) && begun) {
        end(probe, step == END);
    } else {
        do_step(probe, step, detail);
    }
    probe->inside = false;
}

/* ---- the client ---- */

static void do_nothing(struct tg_task *task)
{
    (void)task;
}

static void turn(struct probe *probe)
{
    tg_task_defer(probe->loop, &probe->awake);
    tg_loop_run_once(probe->loop);
    act(probe);
    bool open = probe->exchange != NULL && in_tunnel(probe);
    CHECK(atomic_load(&tg_httpd_counters(probe->httpd)->tunnels_open) == open);
}

/* False: nothing more will come. */
static bool receive(int fd, struct tg_buf *in, size_t most)
{
    char space[65536];
    ssize_t got = 1;
    while (got > 0 && most > 0) {
        got = recv(fd, space, most < sizeof space ? most : sizeof space, MSG_DONTWAIT);
        if (got > 0) {
            CHECK(tg_buf_append(in, tg_slice_make(space, (size_t)got)) == TG_OK);
            most -= (size_t)got;
        }
    }
    return got > 0 || (got < 0 && errno == EAGAIN);
}

/* ---- what came ---- */

/* Content that begins like the pattern. */
static void check_content(struct tg_slice content, size_t from)
{
    for (size_t i = 0; i < content.len; i++) {
        CHECK(content.ptr[i] == pattern(from + i));
    }
}

/* The body of one answer at the front of *out. False: it is cut short. */
static bool check_body(const struct given *given, const struct tg_http1_response *answer,
                       struct tg_slice *out)
{
    struct tg_http1_body decoder;
    size_t used = 1, len = 0;
    tg_http1_body_init(&decoder, answer->framing, answer->content_length);
    while (used > 0 && !decoder.done) {
        struct tg_slice content;
        CHECK(tg_http1_body_decode(&decoder, *out, &used, &content) == TG_OK);
        check_content(content, len);
        len += content.len;
        *out = tg_slice_from(*out, used);
    }
    CHECK(len <= given->sent);
    bool whole = decoder.done || decoder.framing == TG_HTTP1_UNTIL_CLOSE;
    /* One that is ended short looks whole where its length says so. */
    CHECK(!decoder.done || given->empty || (len == given->sent && (given->whole || given->length >= 0)));
    return whole;
}

/* Every answer given is on the wire, in order, but for what came behind a cut or to one who had gone. */
static void check_output(const struct probe *probe, struct tg_slice out, bool everything)
{
    size_t answers = 0;
    bool cut = false;
    while (out.len > 0) {
        struct tg_arena arena;
        struct tg_http1_response answer;
        struct tg_http1_fault fault;
        size_t scanned = 0, head_len = 0;
        const struct given *given = answers < probe->count ? &probe->answers[answers] : NULL;
        tg_arena_init(&arena, NULL);
        CHECK(!cut);
        enum tg_err err = tg_http1_parse_response(
            out, &scanned, &limits, given != NULL && given->head ? TG_LIT("HEAD") : TG_LIT("GET"), &arena,
            &answer, &head_len, &fault);
        CHECK(err == TG_OK || (err == TG_EAGAIN && !everything));
        if (err == TG_EAGAIN) {
            tg_arena_reset(&arena);
            return;
        }
        out = tg_slice_from(out, head_len);
        if (answer.status == 101) {
            CHECK(given != NULL && given->tunnel);
            check_content(out, 0);
            CHECK(out.len <= given->sent && (!everything || !given->whole || out.len == given->sent));
            out = TG_EMPTY;
            cut = true;
        } else if (given == NULL) {
            CHECK(answer.status >= 400);
            out = TG_EMPTY; /* the server's own refusal, the last thing it says */
            cut = true;
        } else if (answer.status != 100) {
            CHECK(!given->tunnel);
            cut = !check_body(given, &answer, &out);
            CHECK(!cut || !given->whole || !everything);
            cut = cut || answer.framing == TG_HTTP1_UNTIL_CLOSE;
        }
        answers += answer.status != 100;
        tg_arena_reset(&arena);
    }
    CHECK(!everything || cut || answers >= probe->count || !probe->answers[answers].whole);
}

/* What the script leaves open is ended, when the client has said all. */
static void conclude(struct probe *probe)
{
    if (probe->exchange == NULL) {
        return;
    }
    probe->inside = true;
    if (answer_of(probe)->begun) {
        end(probe, true);
    } else {
        reply(probe, false);
    }
    probe->inside = false;
}

static void run(struct probe *probe, size_t piece)
{
    struct tg_slice bytes = probe->sent;
    struct tg_buf in;
    size_t most = (probe->flags & DEAF) != 0 ? 0 : (probe->flags & SLOW) != 0 ? 1000 : SIZE_MAX;
    bool open = true;
    tg_buf_init(&in, SIZE_MAX);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&probe->address, probe->address_len) == 0);
    turn(probe);
    for (int idle = 0; bytes.len > 0 && open && idle < 50; idle++) {
        struct tg_slice next = tg_slice_head(bytes, piece);
        ssize_t put = send(fd, next.ptr, next.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        idle = put > 0 ? 0 : idle;
        bytes = tg_slice_from(bytes, put > 0 ? (size_t)put : 0);
        turn(probe);
        open = receive(fd, &in, most);
    }
    probe->sent = tg_slice_head(probe->sent, probe->sent.len - bytes.len);
    for (int i = 0; i < 4; i++) {
        turn(probe);
        open = open && receive(fd, &in, most);
    }
    if ((probe->flags & CUT) != 0) {
        tg_httpd_cut(probe->httpd);
    }
    bool there = (probe->flags & GO_AWAY) == 0;
    if (there) {
        (void)shutdown(fd, SHUT_WR);
    } else {
        close(fd);
    }
    for (int i = 0; i < 5000 && tg_httpd_count(probe->httpd) > 0; i++) {
        turn(probe);
        if (there) {
            (void)receive(fd, &in, SIZE_MAX);
        }
        if (i > 20) {
            conclude(probe);
        }
    }
    CHECK(tg_httpd_count(probe->httpd) == 0 && probe->exchange == NULL);
    if (there) {
        CHECK(!receive(fd, &in, SIZE_MAX));
        check_output(probe, tg_buf_slice(&in), !probe->gone);
        close(fd);
    }
    tg_buf_free(&in);
}

static void make(struct probe *probe)
{
    const struct tg_httpd_options options = {
        .loop = probe->loop,
        .arenas = &probe->arenas,
        .limits = {.max_request_line = limits.line,
                   .max_head = limits.head,
                   .max_headers = limits.count,
                   .header_timeout_ms = 3600000,
                   .body_timeout_ms = 3600000,
                   .keep_alive_timeout_ms = 3600000,
                   .max_connections = 2},
        .handle = handle,
        .arg = probe,
    };
    CHECK(tg_httpd_new(&options, &probe->httpd) == TG_OK);
    /* The system chooses a name that no file has. */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    probe->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    probe->address_len = sizeof(probe->address);
    CHECK(bind(fd, (struct sockaddr *)&probe->address, sizeof(sa_family_t)) == 0 && listen(fd, 4) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&probe->address, &probe->address_len) == 0);
    CHECK(tg_httpd_listen(probe->httpd, fd, &(struct tg_httpd_listener_options){0}) == TG_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct probe probe; /* the server is made once: connections are what is tested */
    enum { HEAD_LEN = 3 };
    if (size < HEAD_LEN || size > 40000 || data[2] > size - HEAD_LEN) {
        return 0;
    }
    if (probe.loop == NULL) {
        tg_task_init(&probe.awake, do_nothing);
        tg_arena_pool_init(&probe.arenas, 4);
        tg_buf_init(&probe.content, SIZE_MAX);
        CHECK(tg_loop_new(&probe.loop) == TG_OK);
        make(&probe);
    }
    probe.flags = data[0];
    probe.script = tg_slice_make(data + HEAD_LEN, data[2]);
    probe.step = 0;
    probe.sent = tg_slice_make(data + HEAD_LEN + data[2], size - HEAD_LEN - data[2]);
    probe.at = 0;
    probe.readable = true;
    probe.count = 0;
    probe.gone = false;
    run(&probe, data[1] == 0 ? size : (size_t)data[1]);
    return 0;
}
