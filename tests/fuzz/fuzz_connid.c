/* Any text is refused or is exactly what the id that it names is written as; any id survives the way out and
 * back; bytes that only look like an id are as good as never taken. */
#include <stdlib.h>

#include "connmgr/connid.h"
#include "server/base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char key[TG_CONNID_KEY_LEN] = "fuzz-connection";

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void read_text(struct tg_slice text)
{
    char again[TG_CONNID_LEN + 1];
    struct tg_connid id = {0};
    enum tg_err err = tg_connid_decode(key, text, &id);
    check(err == TG_OK || err == TG_ESYNTAX);
    if (err == TG_OK) {
        check(id.generation > 0 && id.node <= 0xffffff && id.worker <= 0xff && id.slot <= 0xffffff);
        tg_connid_encode(key, &id, again);
        check(tg_slice_eq(text, tg_slice_cstr(again)));
    } else {
        check(id.node == 0 && id.worker == 0 && id.slot == 0 && id.generation == 0);
    }
}

static uint32_t number(const uint8_t *data, size_t len)
{
    uint32_t value = 0;
    while (len-- > 0) {
        value = value << 8 | *data++;
    }
    return value;
}

static void round_trip(const uint8_t data[10])
{
    const struct tg_connid id = {number(data, 3), number(data + 3, 1), number(data + 4, 3),
                                 number(data + 7, 3)};
    struct tg_connid back;
    char text[TG_CONNID_LEN + 1];
    tg_connid_encode(key, &id, text);
    enum tg_err err = tg_connid_decode(key, tg_slice_cstr(text), &back);
    check(err == (id.generation > 0 ? TG_OK : TG_ESYNTAX));
    if (err == TG_OK) {
        check(back.node == id.node && back.worker == id.worker && back.slot == id.slot &&
              back.generation == id.generation);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_text(tg_slice_make(data, size));
    if (size >= 10) {
        round_trip(data);
    }
    if (size >= 13) {
        char text[TG_CONNID_LEN];
        tg_base64url_encode(data, 13, text);
        read_text(tg_slice_make(text, sizeof text));
    }
    return 0;
}
