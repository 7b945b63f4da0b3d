#include "bench/lib/pushpin.h"

#include <stdio.h>
#include <string.h>

#include "bench/lib/loop.h"

enum { GREETING = 64, LONG_MESSAGE = 0x02, COMMAND = 0x04 };

size_t pushpin_item(char *out, size_t channel, size_t size, bool in_list)
{
    static const char end[] = "\"}}}";
    int len =
        snprintf(out, PUSHPIN_MORE, "%s{\"channel\": \"%zu\", \"formats\": {\"ws-message\": {\"content\": \"",
                 in_list ? "{\"items\": [" : "", channel);
    size_t at = (size_t)len;
    memset(out + at, 'z', size);
    at += size;
    memcpy(out + at, end, sizeof end - 1);
    at += sizeof end - 1;
    if (in_list) {
        memcpy(out + at, "]}", 2);
        at += 2;
    }
    return at;
}

size_t pushpin_zmtp(unsigned char *out, size_t channel, size_t size)
{
    enum { HEAD = 9 };
    out[HEAD] = 'J';
    size_t len = 1 + pushpin_item((char *)out + HEAD + 1, channel, size, false);
    out[0] = LONG_MESSAGE;
    for (size_t i = 0; i < HEAD - 1; i++) {
        out[1 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
    }
    return HEAD + len;
}

size_t zmtp_greeting(unsigned char *out, size_t room)
{
    static const unsigned char ready[] = "\5READY\13Socket-Type\0\0\0\4PUSH";
    if (room < GREETING + 2 + sizeof ready) {
        die("no room for a greeting");
    }
    memset(out, 0, GREETING);
    out[0] = 0xff;
    out[9] = 0x7f;
    out[10] = 3; /* the version */
    memcpy(out + 12, "NULL", 4);
    out[GREETING] = COMMAND;
    out[GREETING + 1] = sizeof ready - 1;
    memcpy(out + GREETING + 2, ready, sizeof ready - 1);
    return GREETING + 2 + sizeof ready - 1;
}
