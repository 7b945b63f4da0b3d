/* Any text is refused with a reason, or every part of the URL is within its limits. */
#include <stdlib.h>

#include "server/io/redis_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    struct tg_redis_url url = {.port = 1};
    const char *problem = NULL;
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_redis_url_parse(&arena, tg_slice_make(data, size), &url, &problem);
    check(err == TG_OK || err == TG_ESYNTAX);
    check((err == TG_OK) == (problem == NULL));
    if (err == TG_OK) {
        check((url.host.len > 0) != (url.path.len > 0));
        check(url.path.len == 0 ? url.port > 0 : url.path.ptr[0] == '/' && url.path.len < 108 && !url.tls);
        check(url.host.len <= 253 && url.database <= 65535);
        check(url.password.ptr == NULL ? url.user.len == 0 : url.password.len > 0);
        check(url.host.len == 0 || memchr(url.host.ptr, '@', url.host.len) == NULL);
    } else {
        check(url.port == 1 && url.host.ptr == NULL);
    }
    tg_arena_reset(&arena);
    return 0;
}
