#include "server/base/err.h"

#include <stddef.h>

const char *tg_err_text(enum tg_err err)
{
    static const char *const texts[] = {
#define X(name, text) text,
        TG_ERR_TABLE(X)
#undef X
    };
    size_t index = (size_t)err;
    return index < sizeof texts / sizeof texts[0] ? texts[index] : "unknown error";
}
