#include "server/app/health.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_S = 3, ANSWER_MAX = 4096 };

/* One that listens everywhere is asked on the loopback interface: that is what a connect to such an address
 * does. TG_EIO, with errno. */
static enum tg_err ask(const struct tg_address *address, char answer[ANSWER_MAX], size_t *len)
{
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return TG_EIO;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ssize_t got = connect(fd, (const struct sockaddr *)&address->storage, address->len);
    if (got == 0) {
        got = send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    }
    *len = 0;
    while (got > 0 && *len < ANSWER_MAX) {
        got = recv(fd, answer + *len, ANSWER_MAX - *len, 0);
        *len += got > 0 ? (size_t)got : 0;
    }
    int problem = errno;
    (void)close(fd);
    errno = problem;
    return got < 0 ? TG_EIO : TG_OK;
}

/* The first line and the body. */
static void print_answer(struct tg_slice answer)
{
    static const struct tg_slice blank = TG_LIT_INIT("\r\n\r\n");
    struct tg_slice status = tg_slice_cut(answer, '\r', &answer);
    while (answer.len > 0 && !tg_slice_starts(answer, blank)) {
        answer = tg_slice_make(answer.ptr + 1, answer.len - 1);
    }
    size_t skip = answer.len < blank.len ? answer.len : blank.len;
    (void)printf("%.*s %.*s\n", TG_FMT(status), (int)(answer.len - skip), answer.ptr + skip);
}

int tg_health_ask(const struct tg_config_source *source)
{
    struct tg_config *config;
    char answer[ANSWER_MAX];
    size_t len = 0;
    if (tg_config_load(source, &config) != TG_OK) {
        return 1;
    }
    struct tg_slice name = config->admin.address;
    enum tg_err err = name.len > 0 ? ask(&config->admin.socket_address, answer, &len) : TG_EINVAL;
    bool ready = err == TG_OK && tg_slice_starts(tg_slice_make(answer, len), TG_LIT("HTTP/1.1 200 "));
    if (err == TG_EINVAL) {
        (void)fprintf(stderr, "no admin listener is configured: set admin.address\n");
    } else if (err != TG_OK) {
        (void)fprintf(stderr, "%.*s: %s\n", TG_FMT(name), errno == EAGAIN ? "no answer" : strerror(errno));
    } else {
        print_answer(tg_slice_make(answer, len));
    }
    tg_config_unref(config);
    return ready ? 0 : 1;
}
