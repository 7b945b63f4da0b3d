/* The bytes of a client, after its upgrade request, through the engine over a real socket. The first two
 * bytes choose the settings and the size of the pieces, and how much goes in as early bytes. Checked beside
 * memory: what the owner is told, and that what comes back is frames and nothing follows a close frame. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/buf.h"
#include "server/base/codec.h"
#include "server/front/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum { DEFLATE = 1, BINARY = 2, WIDE = 4, PAUSE = 8, CLOSE = 16, EARLY = 32, CUT = 64, ECHO = 128 };

struct probe {
    struct tg_loop *loop;
    struct tg_ws_engine *engine;
    struct tg_task awake;
    struct tg_socket *socket;
    struct tg_ws_limits limits;
    int mode;
    bool paused, adopting, blocked;
    int closed;
};

static void on_message(void *arg, struct tg_slice payload, bool binary)
{
    struct probe *probe = arg;
    CHECK(!probe->adopting && probe->closed == 0);
    CHECK(payload.len <= probe->limits.max_message);
    CHECK(binary ? probe->limits.binary : tg_utf8_valid(payload));
    if ((probe->mode & ECHO) != 0 && payload.len < 126 && !probe->blocked) {
        char frame[128] = {(char)(binary ? 0x82 : 0x81), (char)payload.len};
        if (payload.len > 0) {
            memcpy(frame + 2, payload.ptr, payload.len);
        }
        struct tg_slice bytes = tg_slice_make(frame, payload.len + 2);
        probe->blocked = tg_ws_ops.write(probe->socket, bytes) == TG_EAGAIN;
    }
    if ((probe->mode & PAUSE) != 0) {
        probe->paused = true;
        tg_ws_ops.pause(probe->socket, true);
    }
    if ((probe->mode & CLOSE) != 0) {
        tg_ws_ops.close(probe->socket, 4000, TG_LIT("enough"));
    }
    if ((probe->mode & CUT) != 0) {
        tg_ws_ops.close(probe->socket, 0, TG_EMPTY);
    }
}

static void on_control(void *arg, bool ping)
{
    struct probe *probe = arg;
    (void)ping;
    CHECK(!probe->adopting && probe->closed == 0);
}

static void on_writable(void *arg)
{
    struct probe *probe = arg;
    CHECK(!probe->adopting && probe->closed == 0 && probe->blocked);
    probe->blocked = false;
}

static void on_closed(void *arg, const struct tg_socket_end *end)
{
    struct probe *probe = arg;
    CHECK(!probe->adopting && probe->closed == 0);
    CHECK(end->code >= 1000 && end->code <= 4999 && end->reason.len <= 123 && tg_utf8_valid(end->reason));
    probe->closed++;
    probe->socket = NULL;
}

static const struct tg_socket_events events = {
    .on_message = on_message, .on_control = on_control, .on_writable = on_writable, .on_closed = on_closed};

static void do_nothing(struct tg_task *task)
{
    (void)task;
}

static void turn(struct probe *probe)
{
    tg_task_defer(probe->loop, &probe->awake);
    tg_loop_run_once(probe->loop);
    if (probe->paused && probe->socket != NULL) {
        probe->paused = false;
        tg_ws_ops.pause(probe->socket, false);
    }
}

static bool receive(int fd, struct tg_buf *in)
{
    char space[4096];
    size_t before = tg_buf_size(in);
    ssize_t got;
    while ((got = recv(fd, space, sizeof(space), MSG_DONTWAIT)) > 0) {
        CHECK(tg_buf_append(in, tg_slice_make(space, (size_t)got)) == TG_OK);
    }
    return tg_buf_size(in) > before;
}

/* The answer, then unmasked frames with known opcodes, nothing after a close frame; all of them whole unless
 * the connection was cut. */
static void check_output(struct tg_slice out, bool cut)
{
    size_t head = tg_slice_find_slice(out, TG_LIT("\r\n\r\n"));
    CHECK(head < out.len);
    out = tg_slice_from(out, head + 4);
    bool closed = false;
    while (out.len > 0) {
        const unsigned char *bytes = (const unsigned char *)out.ptr;
        if (out.len < 2 || out.len < 2 + (size_t)bytes[1]) {
            CHECK(cut);
            return;
        }
        CHECK(bytes[0] == 0x81 || bytes[0] == 0x82 || bytes[0] == 0x88 || bytes[0] == 0x8a);
        CHECK(!closed);
        closed = bytes[0] == 0x88;
        out = tg_slice_from(out, 2 + (size_t)bytes[1]);
    }
}

static void run(struct probe *probe, struct tg_slice bytes, size_t step)
{
    static const struct tg_headers none = {0};
    struct tg_slice offer =
        (probe->mode & DEFLATE) != 0 ? TG_LIT("permessage-deflate; client_max_window_bits") : TG_EMPTY;
    struct tg_slice early = tg_slice_head(bytes, (probe->mode & EARLY) != 0 ? step : 0);
    struct tg_buf in;
    static const struct tg_transport_events unused;
    struct tg_transport *transport;
    int pair[2];
    tg_buf_init(&in, SIZE_MAX);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(tg_transport_accept(probe->loop, pair[1], NULL, &unused, NULL, &transport) == TG_OK);
    probe->adopting = true;
    CHECK(tg_ws_adopt(probe->engine, transport, TG_LIT("dGhlIHNhbXBsZSBub25jZQ=="), offer, &none, early,
                      &probe->limits, &events, probe, &probe->socket) == TG_OK);
    probe->adopting = false;
    bytes = tg_slice_from(bytes, early.len);
    while (bytes.len > 0 && probe->closed == 0) {
        struct tg_slice piece = tg_slice_head(bytes, step);
        if (send(pair[0], piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)piece.len) {
            break;
        }
        bytes = tg_slice_from(bytes, piece.len);
        turn(probe);
        (void)receive(pair[0], &in);
    }
    for (int quiet = 0; quiet < 6 && probe->closed == 0; quiet++) {
        turn(probe);
        quiet = receive(pair[0], &in) ? 0 : quiet;
    }
    (void)receive(pair[0], &in);
    check_output(tg_buf_slice(&in), probe->closed != 0);
    close(pair[0]);
    for (int i = 0; i < 1000 && probe->closed == 0; i++) {
        turn(probe);
    }
    CHECK(probe->closed == 1);
    turn(probe);
    tg_buf_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct probe probe; /* the engine is made once: it is not what is tested */
    if (size < 2 || size > 60000) {
        return 0;
    }
    if (probe.loop == NULL) {
        tg_task_init(&probe.awake, do_nothing);
        CHECK(tg_loop_new(&probe.loop) == TG_OK);
        CHECK(tg_ws_engine_new(probe.loop, &probe.engine) == TG_OK);
    }
    probe.mode = data[0];
    probe.closed = 0;
    probe.paused = false;
    probe.blocked = false;
    probe.limits = (struct tg_ws_limits){
        .max_frame = (data[0] & WIDE) != 0 ? 32768 : 64,
        .max_message = (data[0] & WIDE) != 0 ? 131072 : 100,
        .binary = (data[0] & BINARY) != 0,
        .deflate = (data[0] & DEFLATE) != 0,
        .close_timeout_ms = 1000,
    };
    run(&probe, tg_slice_make(data + 2, size - 2), data[1] == 0 ? size : (size_t)data[1]);
    return 0;
}
