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
    struct tg_redis_url url = {.database = 70000};
    const char *problem = NULL;
    tg_arena_init(&arena, NULL);
    enum tg_err err = tg_redis_url_parse(&arena, tg_slice_make(data, size), &url, &problem);
    check(err == TG_OK || err == TG_ESYNTAX);
    check((err == TG_OK) == (problem == NULL));
    if (err == TG_OK) {
        check((url.place_count > 0) != (url.path.len > 0) && url.place_count <= TG_REDIS_PLACES_MAX);
        check(url.path.len == 0 || (url.path.ptr[0] == '/' && url.path.len < 108 && !url.tls));
        check((url.kind == TG_REDIS_SENTINEL) == (url.service.len > 0) && url.database <= 65535);
        check(url.kind != TG_REDIS_CLUSTER || (url.database == 0 && url.place_count > 0));
        check(url.place_count < 2 || url.kind != TG_REDIS_ONE);
        check(url.password.ptr == NULL ? url.user.len == 0 : url.password.len > 0);
        for (size_t i = 0; i < url.place_count; i++) {
            struct tg_slice host = url.places[i].host;
            check(url.places[i].port > 0 && host.len > 0 && host.len <= TG_REDIS_HOST_MAX);
            check(memchr(host.ptr, '@', host.len) == NULL && memchr(host.ptr, ',', host.len) == NULL);
        }
    } else {
        check(url.database == 70000 && url.place_count == 0);
    }
    tg_arena_reset(&arena);
    return 0;
}
