#include "server/io/wsanswer.h"

#include "server/base/codec.h"
#include "server/base/crypto.h"

enum tg_err tg_ws_accept_key(struct tg_buf *out, struct tg_slice key)
{
    struct tg_buf joined;
    unsigned char digest[TG_SHA1_LEN];
    tg_buf_init(&joined, SIZE_MAX);
    enum tg_err err = tg_buf_append(&joined, key);
    if (err == TG_OK) {
        err = tg_buf_append(&joined, TG_LIT("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    }
    if (err == TG_OK) {
        err = tg_sha1(tg_buf_slice(&joined), digest);
    }
    tg_buf_free(&joined);
    return err == TG_OK ? tg_base64_encode(out, tg_slice_make(digest, sizeof digest)) : err;
}

static enum tg_err append_field(struct tg_buf *out, struct tg_slice name, struct tg_slice value)
{
    const struct tg_slice parts[] = {name, TG_LIT(": "), value, TG_LIT("\r\n")};
    enum tg_err err = TG_OK;
    for (size_t i = 0; err == TG_OK && i < sizeof parts / sizeof parts[0]; i++) {
        err = tg_buf_append(out, parts[i]);
    }
    return err;
}

static bool fields_ok(const struct tg_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (!tg_header_name_ok(headers->items[i].name) || !tg_header_value_ok(headers->items[i].value)) {
            return false;
        }
    }
    return true;
}

enum tg_err tg_ws_write_answer(struct tg_buf *out, struct tg_slice key, struct tg_slice extensions,
                               const struct tg_headers *headers)
{
    if (key.len == 0 || !fields_ok(headers)) {
        return TG_EINVAL;
    }
    enum tg_err err = tg_buf_append(out, TG_LIT("HTTP/1.1 101 Switching Protocols\r\n"
                                                "Upgrade: websocket\r\n"
                                                "Connection: Upgrade\r\n"
                                                "Sec-WebSocket-Accept: "));
    if (err == TG_OK) {
        err = tg_ws_accept_key(out, key);
    }
    if (err == TG_OK) {
        err = tg_buf_append(out, TG_LIT("\r\n"));
    }
    if (err == TG_OK && extensions.len > 0) {
        err = append_field(out, TG_LIT("Sec-WebSocket-Extensions"), extensions);
    }
    for (size_t i = 0; err == TG_OK && i < headers->count; i++) {
        err = append_field(out, headers->items[i].name, headers->items[i].value);
    }
    return err == TG_OK ? tg_buf_append(out, TG_LIT("\r\n")) : err;
}
