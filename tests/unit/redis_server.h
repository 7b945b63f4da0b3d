/* For tests of what talks to Redis: a real redis-server of the test's own, on a free port of 127.0.0.1 and on
 * a unix socket in a folder of its own. Where the program is missing, tests are skipped by REDIS_OR_SKIP. */
#ifndef TG_TESTS_REDIS_SERVER_H
#define TG_TESTS_REDIS_SERVER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REDIS_OR_SKIP()                                                                                      \
    do {                                                                                                     \
        if (!redis_server_there()) {                                                                         \
            print_message("redis-server is not installed\n");                                                \
            skip();                                                                                          \
        }                                                                                                    \
    } while (0)

struct redis_server {
    pid_t pid; /* 0: not running */
    int port;
    char dir[64], socket[96];
    char url[64]; /* redis://127.0.0.1:PORT */
};

static inline bool redis_server_there(void)
{
    static const char *const places[] = {"/usr/bin/redis-server", "/usr/local/bin/redis-server"};
    return access(places[0], X_OK) == 0 || access(places[1], X_OK) == 0;
}

static inline int redis_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline void redis_server_make(struct redis_server *server)
{
    *server = (struct redis_server){.port = redis_free_port()};
    snprintf(server->dir, sizeof server->dir, "/tmp/tg-test-redis-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    snprintf(server->socket, sizeof server->socket, "%s/s", server->dir);
    snprintf(server->url, sizeof server->url, "redis://127.0.0.1:%d", server->port);
}

static inline bool redis_server_answers(const struct redis_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool yes = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return yes;
}

/* more: further arguments, NULL-terminated; may be NULL. Returns when it accepts connections. */
static inline void redis_server_start(struct redis_server *server, const char *const *more)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    char port[16];
    const char *args[40] = {"redis-server", "--port", port,     "--bind",    "127.0.0.1",
                            "--unixsocket", NULL,     "--save", "",          "--appendonly",
                            "no",           "--dir",  NULL,     "--logfile", "log"};
    size_t count = 15;
    snprintf(port, sizeof port, "%d", server->port);
    args[6] = server->socket;
    args[12] = server->dir;
    for (; more != NULL && *more != NULL && count < 39; more++) {
        args[count++] = *more;
    }
    unlink(server->socket);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp("redis-server", (char *const *)(uintptr_t)args);
        _exit(127);
    }
    for (int i = 0; !redis_server_answers(server); i++) {
        assert_int_equal(waitpid(server->pid, NULL, WNOHANG), 0);
        assert_true(i < 5000);
        nanosleep(&pause, NULL);
    }
}

/* A Sentinel that calls this server "main", and knows no other Sentinel. */
static inline void redis_sentinel_start(struct redis_server *sentinel, int port)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    char path[96];
    snprintf(path, sizeof path, "%s/sentinel.conf", sentinel->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "port %d\nbind 127.0.0.1\ndir %s\nunixsocket %s\nlogfile log\n"
            "sentinel monitor main 127.0.0.1 %d 2\n",
            sentinel->port, sentinel->dir, sentinel->socket, port);
    fclose(file);
    unlink(sentinel->socket);
    sentinel->pid = fork();
    assert_true(sentinel->pid >= 0);
    if (sentinel->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", path, "--sentinel", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; !redis_server_answers(sentinel); i++) {
        assert_int_equal(waitpid(sentinel->pid, NULL, WNOHANG), 0);
        assert_true(i < 5000);
        nanosleep(&pause, NULL);
    }
}

static inline void redis_server_kill(struct redis_server *server)
{
    if (server->pid != 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

static inline void redis_server_free(struct redis_server *server)
{
    static const char *const left[] = {"log", "nodes.conf", "sentinel.conf"};
    char path[96];
    redis_server_kill(server);
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", server->dir, left[i]);
        unlink(path);
    }
    unlink(server->socket);
    rmdir(server->dir);
}

#endif
