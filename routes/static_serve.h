/* One answer out of a directory of files (static.h) onto an exchange: the file is found and read on the
 * threads of a work pool, a block at a time, and goes out as fast as the client takes it. Per client there is
 * at most one job and one block of TG_STATIC_BLOCK bytes, and none while the client is slow. A file that
 * turns out shorter than it was when it was opened has its answer cut, so that the client can tell; of one
 * that grows, what was announced is sent. */
#ifndef TG_ROUTES_STATIC_SERVE_H
#define TG_ROUTES_STATIC_SERVE_H

#include "routes/exchange.h"
#include "routes/static.h"
#include "server/io/work.h"

enum { TG_STATIC_BLOCK = 65536 };

struct tg_static_serve; /* an answer under way, in the arena */

struct tg_static_input {
    struct tg_static *files; /* the answer takes a reference */
    struct tg_loop *loop;
    struct tg_work_pool *work;
    /* Taken when the start returns TG_OK: on_abort and on_room become the answer's. Its body is not read. */
    struct tg_exchange *exchange;
    struct tg_arena *arena; /* lives until done, or until after cancel; the exchange's own may be used */
    struct tg_slice below;  /* the path below the route, as on the wire; lives as long as the arena */
    uint64_t random;        /* for the boundary of several ranges */
    /* Right before the head goes out, once; not when the client has gone. Adds to the headers (from the
     * exchange's arena); an error answers 500 without them. May be NULL. */
    enum tg_err (*prepare)(void *arg, int status, struct tg_headers *headers);
    /* Once, later, when the exchange has ended; bytes of the body that it took. Status 0: the client went
     * away before there was an answer. TG_OK: all went out; TG_ECLOSED: the client has gone; other errors:
     * the answer is cut, as the file became shorter or could not be read (TG_EIO), or for want of memory. */
    void (*done)(void *arg, int status, uint64_t bytes, enum tg_err err);
    void *arg;
};

/* Statuses: 200, 206, 301, 304, 400, 403, 404, 405 (only GET and HEAD), 412, 416, 500, 503 (no room in the
 * pool, no descriptors), or the fallback's. TG_ENOMEM: nothing has begun. */
enum tg_err tg_static_serve(const struct tg_static_input *input, struct tg_static_serve **out) TG_MUST_CHECK;
/* done will not be called. True: the answer's head had gone out; it is cut, and the exchange has ended.
 * False: the exchange is the caller's again, reply is still due. */
bool tg_static_serve_cancel(struct tg_static_serve *serve);

#endif
