#include "connmgr/connid.h"

#include "server/base/codec.h"
#include "server/base/crypto.h"

enum {
    NAME_LEN = 10, /* what is named: node, worker, slot, generation */
    CHECK_LEN = 3,
    BYTES_LEN = NAME_LEN + CHECK_LEN,
};

static void put(unsigned char *to, size_t len, uint32_t value)
{
    for (size_t i = len; i > 0; i--) {
        to[i - 1] = (unsigned char)value;
        value >>= 8;
    }
}

static uint32_t get(const unsigned char *from, size_t len)
{
    uint32_t value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

static void make_check(const unsigned char *key, const unsigned char name[NAME_LEN],
                       unsigned char check[CHECK_LEN])
{
    put(check, CHECK_LEN, (uint32_t)(tg_siphash(key, name, NAME_LEN) & 0xffffff));
}

/* Masks, or unmasks. The hash takes the length of its input in, so that the mask of one id is never the check
 * of another. */
static void mask(const unsigned char *key, const unsigned char check[CHECK_LEN], unsigned char name[NAME_LEN])
{
    unsigned char seed[CHECK_LEN + 1];
    memcpy(seed, check, CHECK_LEN);
    for (size_t at = 0; at < NAME_LEN; at += 8) {
        seed[CHECK_LEN] = (unsigned char)at;
        uint64_t stream = tg_siphash(key, seed, sizeof seed);
        for (size_t i = at; i < NAME_LEN && i < at + 8; i++) {
            name[i] ^= (unsigned char)stream;
            stream >>= 8;
        }
    }
}

void tg_connid_encode(const unsigned char key[TG_CONNID_KEY_LEN], const struct tg_connid *id,
                      char out[TG_CONNID_LEN + 1])
{
    unsigned char bytes[BYTES_LEN];
    put(bytes, 3, id->node);
    put(bytes + 3, 1, id->worker);
    put(bytes + 4, 3, id->slot);
    put(bytes + 7, 3, id->generation);
    make_check(key, bytes, bytes + NAME_LEN);
    mask(key, bytes + NAME_LEN, bytes);
    tg_base64url_encode(bytes, sizeof bytes, out);
    out[TG_CONNID_LEN] = '\0';
}

enum tg_err tg_connid_decode(const unsigned char key[TG_CONNID_KEY_LEN], struct tg_slice text,
                             struct tg_connid *out)
{
    unsigned char bytes[BYTES_LEN], check[CHECK_LEN];
    enum tg_err err = tg_base64url_decode(text, bytes, sizeof bytes);
    if (err != TG_OK) {
        return err;
    }
    mask(key, bytes + NAME_LEN, bytes);
    make_check(key, bytes, check);
    struct tg_connid id = {
        .node = get(bytes, 3),
        .worker = get(bytes + 3, 1),
        .slot = get(bytes + 4, 3),
        .generation = get(bytes + 7, 3),
    };
    if (!tg_slice_eq_secret(tg_slice_make(check, CHECK_LEN), tg_slice_make(bytes + NAME_LEN, CHECK_LEN)) ||
        id.generation == 0) {
        return TG_ESYNTAX;
    }
    *out = id;
    return TG_OK;
}

void tg_connid_reader_init(struct tg_connid_reader *reader, const unsigned char key[TG_CONNID_KEY_LEN])
{
    *reader = (struct tg_connid_reader){0};
    memcpy(reader->key, key, sizeof reader->key);
}

/* By any four of the characters: they all look random. */
static size_t place_of(const char text[TG_CONNID_LEN])
{
    enum { AT = 8 };
    uint32_t some;
    memcpy(&some, text + AT, sizeof some);
    return (uint32_t)(some * 2654435761U) / (UINT32_MAX / TG_CONNID_RECENT + 1);
}

enum tg_err tg_connid_read(struct tg_connid_reader *reader, struct tg_slice text, struct tg_connid *out)
{
    if (text.len != TG_CONNID_LEN) {
        return TG_ESYNTAX;
    }
    size_t place = place_of(text.ptr);
    if (reader->recent[place].id.generation > 0 &&
        memcmp(text.ptr, reader->recent[place].text, TG_CONNID_LEN) == 0) {
        *out = reader->recent[place].id;
        return TG_OK;
    }
    enum tg_err err = tg_connid_decode(reader->key, text, out);
    if (err == TG_OK) {
        memcpy(reader->recent[place].text, text.ptr, TG_CONNID_LEN);
        reader->recent[place].id = *out;
    }
    return err;
}
