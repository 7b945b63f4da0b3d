/* Steps through the members or items of one JSON container whose text is known to be valid
 * (tg_jsonscan_find), as slices of it; nothing is copied. One level only: a value that is a container is
 * walked by a walk of its own. */
#ifndef TG_ROUTES_JSONWALK_H
#define TG_ROUTES_JSONWALK_H

#include "routes/jsonscan.h"

struct tg_jsonwalk {
    const char *at, *end;
    bool object;
};

/* From the first member or item of the container on; nothing when the value is none or was not found. */
void tg_jsonwalk_init(struct tg_jsonwalk *walk, const struct tg_jsonscan_value *container);
/* The next value; of an object with its name, a string as written (NULL is allowed for arrays). False at the
 * end. Members of the same name come each. */
bool tg_jsonwalk_next(struct tg_jsonwalk *walk, struct tg_jsonscan_value *name,
                      struct tg_jsonscan_value *value);
/* Whether a name that the walk gave is that text, once it is unescaped. */
bool tg_jsonwalk_is(const struct tg_jsonscan_value *name, struct tg_slice text);

#endif
