#include "bench/lib/redis.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/lib/loop.h"

static int open_connection(size_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        die("Redis on port %zu", port);
    }
    return fd;
}

/* Reads one bulk string, "$LENGTH\r\n" and so many bytes. */
static void read_answer(int fd, char *text, size_t room)
{
    size_t len = 0, whole = room - 1;
    while (len < whole) {
        ssize_t count = recv(fd, text + len, room - 1 - len, 0);
        if (count <= 0) {
            die("Redis gives no answer");
        }
        len += (size_t)count;
        text[len] = '\0';
        const char *body = strchr(text, '\n');
        if (body != NULL && whole == room - 1) {
            whole = (size_t)(body + 1 - text) + strtoul(text + 1, NULL, 10) + 2;
        }
        if (text[0] != '$' || whole > room - 1) {
            die("Redis answers: %.100s", text);
        }
    }
}

void redis_count(size_t port, struct redis_counts *counts)
{
    static const char question[] = "INFO commandstats\r\n", start[] = "cmdstat_";
    static char answer[65536];
    int fd = open_connection(port);
    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) < 0) {
        die("Redis takes no question");
    }
    read_answer(fd, answer, sizeof answer);
    (void)close(fd);
    counts->count = 0;
    for (const char *line = answer;
         (line = strstr(line, start)) != NULL && counts->count < REDIS_COMMANDS_MAX;) {
        line += sizeof start - 1;
        int name_len = (int)strcspn(line, ":");
        const char *calls = strstr(line, "calls=");
        if (calls == NULL || strncmp(line, "info:", 5) == 0) {
            continue;
        }
        (void)snprintf(counts->commands[counts->count].name, sizeof counts->commands[0].name, "%.*s",
                       name_len, line);
        counts->commands[counts->count++].calls = strtoull(calls + 6, NULL, 10);
    }
}

static uint64_t calls_of(const struct redis_counts *counts, const char *name)
{
    for (size_t i = 0; i < counts->count; i++) {
        if (strcmp(counts->commands[i].name, name) == 0) {
            return counts->commands[i].calls;
        }
    }
    return 0;
}

void redis_print(const struct redis_counts *begin, const struct redis_counts *end)
{
    printf(", \"redis\": {");
    for (size_t i = 0; i < end->count; i++) {
        const char *name = end->commands[i].name;
        printf("%s\"%s\": %llu", i > 0 ? ", " : "", name,
               (unsigned long long)(end->commands[i].calls - calls_of(begin, name)));
    }
    printf("}");
}
