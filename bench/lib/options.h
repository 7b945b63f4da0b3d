/* The command line of a load generator: one table of options for all kinds. */
#ifndef BENCH_LIB_OPTIONS_H
#define BENCH_LIB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct options {
    const char *kind;                /* the one argument that is no option */
    const char *dialect;             /* gateway | nchan | mqtt: bench/lib/client.h */
    const char *path;                /* of the handshake, or of HTTP requests */
    const char *servers;             /* process ids whose CPU is measured, with commas between */
    const char *beside;              /* processes on the core of the load: the back end */
    const char *counters;            /* file in which bench/alloccount.c counts */
    const char *access_key, *secret; /* pushes are signed */
    const char *method;
    size_t port, publish_port;
    size_t connections, depth, publishers, size; /* size: bytes of a message or body */
    size_t active;     /* echo: so many clients talk, the others are silent; 0: all */
    size_t at_a_time;  /* clients that connect at the same time, until all have */
    size_t redis_port; /* whose commands are counted */
    size_t window;     /* so many messages under way in all, over the connections in turn; 0: depth of each */
    double seconds, warmup;
    double rate;    /* operations a second in an open loop; 0: closed loop */
    double settle;  /* seconds between the last client and the first publisher: for who subscribes late */
    double churn;   /* connections a second that are closed and opened anew */
    bool held;      /* stops itself (SIGSTOP) when all is connected: the load begins with the first SIGCONT */
    bool syscalls;  /* count the servers' system calls: the kernel's tracing must be allowed */
    bool tls;       /* to the server, publishers too */
    bool resume;    /* TLS: with the session of a connection before */
    bool numbered;  /* path: a client's number is added to it */
    bool zmtp;      /* publishers speak ZeroMQ; nothing answers them */
    bool reconnect; /* a publisher's connection serves one publish */
    bool broadcast; /* one publish reaches all: the numbers in addresses and topics are 0 */
    bool batch;     /* fanout, gateway: one request names all clients */
};

/* Reads the command line; ends the process on a mistake. */
void options_parse(struct options *options, int argc, char **argv);

#endif
