/* One epoll and the descriptors that it watches, each with a function of its own. */
#ifndef BENCH_LIB_LOOP_H
#define BENCH_LIB_LOOP_H

#include <stddef.h>
#include <stdint.h>

struct watch {
    int fd;
    void (*on_ready)(struct watch *watch, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLERR ... */
};

struct tls;

struct loop {
    int epoll;
    unsigned char *scratch; /* what streams read into */
    int stop;
    struct tls *connects, *accepts; /* TLS of streams that connect, that are adopted; NULL: none */
};

enum { LOOP_SCRATCH = 512 * 1024 };

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Ends the process with a message: a load generator that cannot do what it was asked measures nothing. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *xmalloc(size_t size); /* zeroed */
uint64_t now_ns(void);
void lift_descriptor_limit(void); /* to what is allowed */

void loop_init(struct loop *loop);
void loop_add(struct loop *loop, struct watch *watch, uint32_t events);
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);
/* What was in the same batch of events may still be called: a watch must not be freed before the pass ends.
 */
void loop_run(struct loop *loop); /* until stop is set */

/* A timer that calls on_ready(EPOLLIN) once, `at` a time of now_ns(); its fd is a timerfd. */
void timer_init(struct loop *loop, struct watch *timer);
void timer_set(struct watch *timer, uint64_t at_ns);

#endif
