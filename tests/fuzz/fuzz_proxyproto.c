/* A header is found whole however it comes: no part of it is taken for one, no more than it is taken, and
 * what was wrong stays wrong. What was read, written again in both versions, reads the same. The first byte
 * says which versions are allowed. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "server/front/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* The bytes in memory of their own, so that a read beyond them is seen. */
static enum tg_err parse(enum tg_proxy_protocol allowed, const uint8_t *data, size_t size,
                         struct tg_proxy_header *header)
{
    const char *fault = NULL;
    char *copy = malloc(size + 1);
    check(copy != NULL);
    if (size > 0) {
        memcpy(copy + 1, data, size);
    }
    enum tg_err err = tg_proxy_parse(allowed, tg_slice_make(copy + 1, size), header, &fault);
    check(err == TG_OK || err == TG_EAGAIN || err == TG_EPROTO);
    check((err == TG_EPROTO) == (fault != NULL));
    free(copy);
    return err;
}

static bool same(const struct tg_proxy_header *a, const struct tg_proxy_header *b)
{
    char left[TG_ADDRESS_TEXT_MAX], right[TG_ADDRESS_TEXT_MAX];
    if (a->local || b->local) {
        return a->local == b->local;
    }
    (void)tg_address_text(&a->source, left);
    (void)tg_address_text(&b->source, right);
    if (strcmp(left, right) != 0) {
        return false;
    }
    (void)tg_address_text(&a->destination, left);
    (void)tg_address_text(&b->destination, right);
    return strcmp(left, right) == 0;
}

static uint32_t crc32c(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static size_t put_ip(uint8_t *out, const struct tg_address *address)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->storage;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&address->storage;
    if (address->storage.ss_family == AF_INET) {
        memcpy(out, &in->sin_addr, 4);
        return 4;
    }
    memcpy(out, &in6->sin6_addr, 16);
    return 16;
}

/* As version 2, with a CRC. */
static void write_again(const struct tg_proxy_header *header)
{
    static const uint8_t crc_head[3] = {3, 0, 4};
    uint8_t out[64] = "\r\n\r\n\0\r\nQUIT\n\x21";
    struct tg_proxy_header back;
    bool v4 = header->source.storage.ss_family == AF_INET;
    size_t at = 16;
    check(header->destination.storage.ss_family == header->source.storage.ss_family);
    if (header->source.storage.ss_family == AF_UNIX) {
        return;
    }
    out[13] = v4 ? 0x11 : 0x21;
    at += put_ip(out + at, &header->source);
    at += put_ip(out + at, &header->destination);
    const uint16_t ports[2] = {tg_address_port(&header->source), tg_address_port(&header->destination)};
    for (int i = 0; i < 2; i++) {
        out[at++] = (uint8_t)(ports[i] >> 8);
        out[at++] = (uint8_t)ports[i];
    }
    memcpy(out + at, crc_head, 3);
    at += 7;
    out[15] = (uint8_t)(at - 16);
    uint32_t crc = crc32c(out, at);
    for (int i = 0; i < 4; i++) {
        out[at - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    check(parse(TG_PROXY_V2, out, at, &back) == TG_OK && back.len == at && same(header, &back));
    out[at - 1] ^= 1;
    check(parse(TG_PROXY_V2, out, at, &back) == TG_EPROTO);
}

/* As version 1. */
static void write_as_text(const struct tg_proxy_header *header)
{
    char line[128], source[TG_ADDRESS_TEXT_MAX], destination[TG_ADDRESS_TEXT_MAX];
    struct tg_proxy_header back;
    bool v4 = header->source.storage.ss_family == AF_INET;
    if (header->source.storage.ss_family == AF_UNIX) {
        return;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&header->source.storage;
    const struct sockaddr_in6 *to6 = (const struct sockaddr_in6 *)(const void *)&header->destination.storage;
    (void)tg_address_ip(&header->source, source);
    (void)tg_address_ip(&header->destination, destination);
    if (!v4 && (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) || IN6_IS_ADDR_V4MAPPED(&to6->sin6_addr))) {
        return; /* told as IPv4 */
    }
    int len = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n", v4 ? "TCP4" : "TCP6", source,
                       destination, tg_address_port(&header->source), tg_address_port(&header->destination));
    check(parse(TG_PROXY_V1, (const uint8_t *)line, (size_t)len, &back) == TG_OK);
    check(back.len == (size_t)len && same(header, &back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_proxy_header header, part;
    if (size == 0) {
        return 0;
    }
    enum tg_proxy_protocol allowed = (enum tg_proxy_protocol)(1 + data[0] % 3);
    data++;
    size--;
    enum tg_err err = parse(allowed, data, size, &header), before = TG_EAGAIN;
    size_t step = size > 512 ? size / 256 : 1;
    for (size_t len = 0; len < size; len += step) {
        enum tg_err now = parse(allowed, data, len, &part);
        check(before == TG_EAGAIN || now == before);
        check(now != TG_OK || (err == TG_OK && part.len == header.len && same(&part, &header)));
        check(now != TG_OK || part.len <= len);
        check(now != TG_EPROTO || err == TG_EPROTO);
        before = now;
    }
    check(before == TG_EAGAIN || err == before);
    if (err == TG_EAGAIN) {
        check(size < TG_PROXY_HEADER_MAX);
    }
    if (err == TG_OK) {
        check(header.len >= 15 && header.len <= TG_PROXY_HEADER_MAX && header.len <= size);
        check(parse(allowed, data, header.len, &part) == TG_OK);
        check(parse(allowed, data, header.len - 1, &part) == TG_EAGAIN);
        if (!header.local) {
            write_again(&header);
            write_as_text(&header);
        }
    }
    return 0;
}
