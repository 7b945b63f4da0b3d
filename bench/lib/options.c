#include "bench/lib/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/loop.h"

static const struct row {
    const char *name;
    enum { TEXT, COUNT, AMOUNT, FLAG } type;
    size_t at;
} rows[] = {
    {"--dialect", TEXT, offsetof(struct options, dialect)},
    {"--path", TEXT, offsetof(struct options, path)},
    {"--servers", TEXT, offsetof(struct options, servers)},
    {"--beside", TEXT, offsetof(struct options, beside)},
    {"--counters", TEXT, offsetof(struct options, counters)},
    {"--access-key", TEXT, offsetof(struct options, access_key)},
    {"--secret", TEXT, offsetof(struct options, secret)},
    {"--method", TEXT, offsetof(struct options, method)},
    {"--port", COUNT, offsetof(struct options, port)},
    {"--publish-port", COUNT, offsetof(struct options, publish_port)},
    {"--connections", COUNT, offsetof(struct options, connections)},
    {"--depth", COUNT, offsetof(struct options, depth)},
    {"--publishers", COUNT, offsetof(struct options, publishers)},
    {"--size", COUNT, offsetof(struct options, size)},
    {"--active", COUNT, offsetof(struct options, active)},
    {"--at-a-time", COUNT, offsetof(struct options, at_a_time)},
    {"--redis-port", COUNT, offsetof(struct options, redis_port)},
    {"--window", COUNT, offsetof(struct options, window)},
    {"--seconds", AMOUNT, offsetof(struct options, seconds)},
    {"--warmup", AMOUNT, offsetof(struct options, warmup)},
    {"--rate", AMOUNT, offsetof(struct options, rate)},
    {"--settle", AMOUNT, offsetof(struct options, settle)},
    {"--churn", AMOUNT, offsetof(struct options, churn)},
    {"--held", FLAG, offsetof(struct options, held)},
    {"--syscalls", FLAG, offsetof(struct options, syscalls)},
    {"--tls", FLAG, offsetof(struct options, tls)},
    {"--resume", FLAG, offsetof(struct options, resume)},
    {"--numbered", FLAG, offsetof(struct options, numbered)},
    {"--zmtp", FLAG, offsetof(struct options, zmtp)},
    {"--reconnect", FLAG, offsetof(struct options, reconnect)},
    {"--broadcast", FLAG, offsetof(struct options, broadcast)},
    {"--batch", FLAG, offsetof(struct options, batch)},
};

static const struct row *find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    die("no such option: %s", name);
}

static void set(struct options *options, const struct row *row, char *value)
{
    void *field = (char *)options + row->at;
    char *end = value;
    switch (row->type) {
    case TEXT:
        *(const char **)field = value;
        return;
    case COUNT:
        *(size_t *)field = strtoul(value, &end, 10);
        break;
    case AMOUNT:
        *(double *)field = strtod(value, &end);
        break;
    case FLAG:
        break;
    }
    if (end == value || *end != '\0') {
        die("%s: not a number: %s", row->name, value);
    }
}

void options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.dialect = "gateway",
                                .path = "/prod",
                                .servers = "",
                                .beside = "",
                                .method = "GET",
                                .connections = 1,
                                .depth = 1,
                                .publishers = 16,
                                .at_a_time = 200,
                                .size = 20,
                                .seconds = 2,
                                .warmup = 0.5};
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            options->kind = argv[i];
            continue;
        }
        const struct row *row = find(argv[i]);
        if (row->type == FLAG) {
            *(bool *)((char *)options + row->at) = true;
        } else if (i + 1 < argc) {
            set(options, row, argv[++i]);
        } else {
            die("%s: no value", row->name);
        }
    }
    if (options->kind == NULL || options->port == 0 || options->connections == 0 || options->depth == 0 ||
        options->publishers == 0) {
        die("usage: load KIND --port N [--connections N] ...; bench/lib/options.h lists the options");
    }
    options->publish_port = options->publish_port == 0 ? options->port : options->publish_port;
    lift_descriptor_limit();
}
