/* What a worker has yet to be told of the cluster. A worker's mailbox has a limit, and a worker that stands
 * still lets it fill up; but a number, its loss, or that an earlier one has been dealt with must not go
 * untold: connections and $disconnects hang on it. So what was refused is kept, and told later: the number
 * first, of several the last, because what else there is to tell is about it or about those before. One a
 * worker, on the main thread; the owner tells again when it likes. */
#ifndef TG_APP_ERRANDS_H
#define TG_APP_ERRANDS_H

#include "connmgr/cluster.h"

enum { TG_ERRANDS_SETTLED_MAX = 64 };

/* Zeroed: nothing to tell. */
struct tg_errands {
    bool numbered; /* the number has to be told */
    bool rewrite;  /* rows have to be written anew */
    uint32_t node; /* 0: it was lost */
    char token[TG_TOKEN_LEN];
    size_t settled_count;
    struct tg_settled {
        uint32_t node;
        uint64_t known_until_ms;
    } settled[TG_ERRANDS_SETTLED_MAX];
};

/* Each tells the worker one thing. TG_ECLOSED: it has ended, and nothing has to be told any more; any other
 * error: later. */
struct tg_errand_ops {
    enum tg_err (*join)(void *worker, uint32_t node, const char *token);
    enum tg_err (*fence)(void *worker);
    enum tg_err (*rewrite)(void *worker);
    enum tg_err (*settle)(void *worker, uint32_t node, uint64_t known_until_ms);
};

/* node 0: the number was lost. token: TG_TOKEN_LEN characters, or NULL where there is none. */
void tg_errands_number(struct tg_errands *errands, uint32_t node, const char *token);
void tg_errands_rewrite(struct tg_errands *errands);
/* An earlier number has been dealt with; as on_settled of struct tg_member_events. False: so many are to be
 * told that the first was dropped. */
bool tg_errands_settled(struct tg_errands *errands, uint32_t node, uint64_t known_until_ms);
/* Tells what there is to tell. False: something is left. */
bool tg_errands_run(struct tg_errands *errands, const struct tg_errand_ops *ops, void *worker);

#endif
