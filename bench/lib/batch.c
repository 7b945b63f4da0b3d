#include "bench/lib/batch.h"

#include <stdio.h>
#include <string.h>

char *batch_body(const struct crowd *crowd, size_t size, size_t *len)
{
    static const char head[] = "{\"connectionIds\":", middle[] = "],\"data\":\"", tail[] = "\"}";
    size_t room =
        sizeof head + crowd->count * (sizeof crowd->clients->id + 3) + sizeof middle + size + sizeof tail;
    char *body = xmalloc(room);
    size_t at = (size_t)snprintf(body, room, "%s", head);
    for (size_t i = 0; i < crowd->count; i++) { /* no id has a character that JSON would have escaped */
        at += (size_t)snprintf(body + at, room - at, "%c\"%s\"", i == 0 ? '[' : ',', crowd->clients[i].id);
    }
    at += (size_t)snprintf(body + at, room - at, "%s", middle);
    memset(body + at, 'z', size);
    at += size;
    *len = at + (size_t)snprintf(body + at, room - at, "%s", tail);
    return body;
}

void batch_check(const struct http_message *answer, size_t count)
{
    char wanted[64];
    int len = snprintf(wanted, sizeof wanted, "{\"delivered\":%zu,\"failed\":[]}", count);
    if (answer->body_len != (size_t)len || memcmp(answer->body, wanted, (size_t)len) != 0) {
        int shown = answer->body_len < 300 ? (int)answer->body_len : 300;
        die("a batch for %zu was answered with: %.*s", count, shown, (const char *)answer->body);
    }
}
