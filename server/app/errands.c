#include "server/app/errands.h"

#include <string.h>

void tg_errands_number(struct tg_errands *errands, uint32_t node, const char *token)
{
    errands->numbered = true;
    errands->rewrite = false; /* of the number before */
    errands->node = node;
    if (token != NULL) {
        memcpy(errands->token, token, sizeof errands->token);
    }
}

void tg_errands_rewrite(struct tg_errands *errands)
{
    errands->rewrite = true;
}

static void drop_first(struct tg_errands *errands)
{
    errands->settled_count--;
    memmove(errands->settled, errands->settled + 1, errands->settled_count * sizeof errands->settled[0]);
}

bool tg_errands_settled(struct tg_errands *errands, uint32_t node, uint64_t known_until_ms)
{
    bool fits = errands->settled_count < TG_ERRANDS_SETTLED_MAX;
    if (!fits) {
        drop_first(errands);
    }
    errands->settled[errands->settled_count++] =
        (struct tg_settled){.node = node, .known_until_ms = known_until_ms};
    return fits;
}

static enum tg_err tell_number(const struct tg_errands *errands, const struct tg_errand_ops *ops,
                               void *worker)
{
    return errands->node != 0 ? ops->join(worker, errands->node, errands->token) : ops->fence(worker);
}

static enum tg_err run(struct tg_errands *errands, const struct tg_errand_ops *ops, void *worker)
{
    enum tg_err err = errands->numbered ? tell_number(errands, ops, worker) : TG_OK;
    if (err != TG_OK) {
        return err;
    }
    errands->numbered = false;
    err = errands->rewrite ? ops->rewrite(worker) : TG_OK;
    if (err != TG_OK) {
        return err;
    }
    errands->rewrite = false;
    while (errands->settled_count > 0) {
        err = ops->settle(worker, errands->settled[0].node, errands->settled[0].known_until_ms);
        if (err != TG_OK) {
            return err;
        }
        drop_first(errands);
    }
    return TG_OK;
}

bool tg_errands_run(struct tg_errands *errands, const struct tg_errand_ops *ops, void *worker)
{
    enum tg_err err = run(errands, ops, worker);
    if (err == TG_ECLOSED) {
        *errands = (struct tg_errands){.numbered = false};
    }
    return err == TG_OK || err == TG_ECLOSED;
}
