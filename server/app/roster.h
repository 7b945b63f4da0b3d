/* What the admin listener tells of connections: how many there are, a page of them, or one. A roster is made
 * on the main thread with a wish and goes by mail to a worker, which looks through a part of its table, adds
 * what it finds and sends it back; then on to the next part, and the next worker, until nothing is left to
 * look at. So no worker is kept from its work, however many connections it has; what comes and goes meanwhile
 * is seen or not. Belongs to the thread that has it; everything in it is its own. */
#ifndef TG_APP_ROSTER_H
#define TG_APP_ROSTER_H

#include "connmgr/connid.h"
#include "routes/engine.h"
#include "server/app/report.h"
#include "server/base/map.h"

enum {
    TG_ROSTER_STEP_SLOTS = 4096, /* looked at by a worker at a time */
    TG_ROSTER_STEP_ROWS = 100,   /* written by a worker at a time */
    TG_ROSTER_PAGE_SLOTS = 1 << 18
};

enum tg_roster_wish {
    TG_ROSTER_COUNT, /* by worker, by API and stage */
    TG_ROSTER_PAGE,  /* a row for each that the filter lets pass */
    TG_ROSTER_ONE    /* by its id, with all that is known */
};

/* Empty, 0: everything passes. */
struct tg_roster_filter {
    struct tg_slice api_id, stage, source_ip;
    uint64_t queued_bytes; /* at least so many wait for the client */
};

struct tg_roster_count {
    uint64_t connections, closing, messages, queued_bytes; /* closing: of the connections */
};

struct tg_roster {
    struct tg_report report;
    struct tg_arena arena;
    enum tg_roster_wish wish;
    struct tg_roster_filter filter; /* PAGE */
    size_t rows_left, slots_left;   /* PAGE; slots: the most that it looks at, that its time is bounded */
    char id[TG_CONNID_LEN + 1];     /* ONE */
    struct tg_conn_handle handle;
    size_t worker, slot; /* where to look next */
    bool paused;         /* PAGE: the row at `slot` did not fit any more */
    bool looked;         /* ONE */
    enum tg_err err;     /* TG_ENOMEM: something is missing */
    struct tg_buf text;  /* rows; COUNT: of the workers */
    size_t rows;
    struct tg_roster_count all, of_worker;
    uint64_t handshakes, handshakes_of_worker; /* COUNT: under way */
    struct tg_map stages;                      /* COUNT: struct stage by names */
    size_t step_rows;
    size_t cost; /* of the last look, in slots */
    struct tg_buf key;
};

/* Begins at the first slot of the first worker. */
enum tg_err tg_roster_new(enum tg_roster_wish wish, struct tg_roster **out) TG_MUST_CHECK;
void tg_roster_free(struct tg_roster *roster);
/* Copies the filter's text. */
enum tg_err tg_roster_set_filter(struct tg_roster *roster,
                                 const struct tg_roster_filter *filter) TG_MUST_CHECK;
/* Where a page goes on, as tg_roster_render has written it: "worker.slot". TG_ESYNTAX. */
enum tg_err tg_roster_set_cursor(struct tg_roster *roster, struct tg_slice cursor) TG_MUST_CHECK;
/* One part, on the thread of the worker, which has this engine. */
void tg_roster_look(struct tg_roster *roster, const struct tg_engine *engine);
/* Those that came to a worker and wait for its look. However many they are, in one pass of the loop it looks
 * at no more for all of them than for two alone. One a worker. */
struct tg_roster_queue {
    struct tg_loop *loop;
    const struct tg_engine *engine;
    void (*looked)(void *arg, struct tg_roster *roster); /* takes it */
    void *arg;
    struct tg_list waiting;
    struct tg_timer timer;
};
/* The fields above `waiting` are the owner's to fill in before the first is added. */
void tg_roster_queue_init(struct tg_roster_queue *queue);
/* Takes the roster. */
void tg_roster_queue_add(struct tg_roster_queue *queue, struct tg_roster *roster);
void tg_roster_queue_free(struct tg_roster_queue *queue);
/* Nothing is left to look at, with so many workers. */
bool tg_roster_done(const struct tg_roster *roster, size_t workers);
/* JSON; of a roster that is done. TG_ENOTFOUND: ONE is not there. */
enum tg_err tg_roster_render(struct tg_roster *roster, size_t workers, struct tg_buf *out) TG_MUST_CHECK;

#endif
