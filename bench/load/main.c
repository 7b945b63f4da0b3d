/* bench/load: one load generator of several kinds, in one thread. Prints one line of JSON. */
#include <signal.h>
#include <string.h>

#include "bench/lib/tls.h"
#include "bench/load/kinds.h"

static const struct {
    const char *name;
    void (*set_up)(struct loop *loop, const struct options *options);
} kinds[] = {
    {"echo", load_echo},           {"push", load_push}, {"fanout", load_fanout},
    {"handshake", load_handshake}, {"idle", load_idle}, {"http", load_http},
};

int main(int argc, char **argv)
{
    struct options options;
    struct loop loop;
    struct tls tls;
    options_parse(&options, argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    loop_init(&loop);
    if (options.tls) {
        tls_connect(&tls, options.resume);
        loop.connects = &tls;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, options.kind) == 0) {
            kinds[i].set_up(&loop, &options);
            loop_run(&loop);
            return 0;
        }
    }
    die("no such kind of load: %s", options.kind);
}
