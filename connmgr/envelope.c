#include <stdlib.h>

#include "connmgr/bus.h"

enum { TEXTS = sizeof((struct tg_envelope *)NULL)->text / sizeof(struct tg_slice) };

enum tg_err tg_envelope_new(const struct tg_envelope *model, struct tg_envelope **out)
{
    size_t size = sizeof *model;
    for (size_t i = 0; i < TEXTS; i++) {
        size += model->text[i].len;
    }
    struct tg_envelope *envelope = malloc(size);
    if (envelope == NULL) {
        return TG_ENOMEM;
    }
    *envelope = *model;
    tg_list_init(&envelope->mail.node);
    char *to = (char *)(envelope + 1);
    for (size_t i = 0; i < TEXTS; i++) {
        if (model->text[i].len > 0) {
            memcpy(to, model->text[i].ptr, model->text[i].len);
        }
        envelope->text[i].ptr = model->text[i].ptr != NULL ? to : NULL;
        to += model->text[i].len;
    }
    *out = envelope;
    return TG_OK;
}

void tg_envelope_free(struct tg_envelope *envelope)
{
    free(envelope);
}
