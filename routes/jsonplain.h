/* The plainest documents, which most messages are: an object of strings without escapes or bytes of 0x80 and
 * above, and of integers. Pure function over borrowed bytes; whatever is not so plain is jsonscan's. */
#ifndef TG_ROUTES_JSONPLAIN_H
#define TG_ROUTES_JSONPLAIN_H

#include "routes/jsonscan.h"

/* The last member with that name. False: the document is another, or no JSON. */
bool tg_jsonplain_find(struct tg_slice text, struct tg_slice wanted, struct tg_jsonscan_value *out);

#endif
