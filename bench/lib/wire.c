#include "bench/lib/wire.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const unsigned char mask_key[4] = {0x37, 0xfa, 0x21, 0x3d};

static void apply_mask(unsigned char *bytes, size_t len, const unsigned char *key)
{
    uint64_t wide;
    size_t i = 0;
    memcpy(&wide, key, 4);
    memcpy((unsigned char *)&wide + 4, key, 4);
    for (; i + sizeof wide <= len; i += sizeof wide) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        word ^= wide;
        memcpy(bytes + i, &word, sizeof word);
    }
    for (; i < len; i++) {
        bytes[i] ^= key[i & 3];
    }
}

size_t ws_next(unsigned char *data, size_t len, struct ws_frame *frame)
{
    if (len < 2) {
        return 0;
    }
    bool masked = (data[1] & 0x80) != 0;
    size_t payload = data[1] & 0x7f, extended = payload == 126 ? 2 : payload == 127 ? 8 : 0;
    size_t head = 2 + extended + (masked ? 4 : 0);
    if (len < head) {
        return 0;
    }
    if (extended > 0) {
        payload = 0;
        for (size_t i = 0; i < extended; i++) {
            payload = payload << 8 | data[2 + i];
        }
    }
    if (len - head < payload) {
        return 0;
    }
    if (masked) {
        apply_mask(data + head, payload, data + head - 4);
    }
    *frame = (struct ws_frame){.opcode = data[0] & 0x0f, .payload = data + head, .len = payload};
    return head + payload;
}

size_t ws_frame(unsigned char *out, unsigned opcode, const void *payload, size_t len, bool masked)
{
    const unsigned char mask_bit = masked ? 0x80 : 0;
    size_t head = 2;
    out[0] = (unsigned char)(0x80 | opcode);
    if (len < 126) {
        out[1] = (unsigned char)(mask_bit | len);
    } else {
        size_t extended = len < 65536 ? 2 : 8;
        out[1] = (unsigned char)(mask_bit | (extended == 2 ? 126 : 127));
        for (size_t i = 0; i < extended; i++) {
            out[head++] = (unsigned char)(len >> (8 * (extended - 1 - i)));
        }
    }
    if (masked) {
        memcpy(out + head, mask_key, sizeof mask_key);
        head += sizeof mask_key;
    }
    memmove(out + head, payload, len);
    if (masked) {
        apply_mask(out + head, len, mask_key);
    }
    return head + len;
}

void ws_accept(const char *key, char *out)
{
    unsigned char text[60], digest[SHA_DIGEST_LENGTH];
    memcpy(text, key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    (void)SHA1(text, sizeof text, digest);
    (void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

size_t http_head(const unsigned char *data, size_t len)
{
    const unsigned char *end = memmem(data, len, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - data) + 4;
}

const char *http_field(const unsigned char *head, size_t head_len, const char *name, size_t *value_len)
{
    size_t name_len = strlen(name);
    const char *line = (const char *)head, *end = line + head_len;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if ((size_t)(end - line) > name_len && (line[0] | 0x20) == name[0] &&
            strncasecmp(line, name, name_len) == 0) {
            const char *value = line + name_len;
            value += strspn(value, " \t");
            *value_len = strcspn(value, "\r");
            return value;
        }
    }
    return NULL;
}

size_t http_next(const unsigned char *data, size_t len, struct http_message *message)
{
    size_t head = http_head(data, len), value_len, body = 0;
    if (head == 0) {
        return 0;
    }
    const char *value = http_field(data, head, "content-length:", &value_len);
    if (value != NULL) {
        body = strtoul(value, NULL, 10);
        if (len - head < body) {
            return 0;
        }
    } else if (http_field(data, head, "transfer-encoding:", &value_len) != NULL) {
        /* As servers send them here: the last chunk's line does not occur within the others. */
        const unsigned char *last = memmem(data + head - 2, len - head + 2, "\r\n0\r\n\r\n", 7);
        if (last == NULL) {
            return 0;
        }
        body = (size_t)(last - data) + 7 - head;
    }
    *message = (struct http_message){.head_len = head, .body = data + head, .body_len = body};
    if (memcmp(data, "HTTP/1.1 ", 9) == 0) {
        message->status = (int)strtoul((const char *)data + 9, NULL, 10);
    }
    return head + body;
}
