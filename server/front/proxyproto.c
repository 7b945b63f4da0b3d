#include "server/front/proxyproto.h"

#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

enum {
    V1_MAX = 107, /* CR LF included */
    V2_FIXED = 16,
    V4_BLOCK = 12, /* two addresses and two ports */
    V6_BLOCK = 36,
    UNIX_PATH = 108,
    UNIX_BLOCK = 2 * UNIX_PATH,
    TLV_HEAD = 3,
    TLV_CRC32C = 0x03,
    CRC_LEN = 4
};

enum { COMMAND_LOCAL, COMMAND_PROXY };
enum { FAMILY_UNSPEC, FAMILY_V4, FAMILY_V6, FAMILY_UNIX };
enum { TRANSPORT_UNSPEC, TRANSPORT_STREAM, TRANSPORT_DATAGRAM };

static const struct tg_slice v1_start = TG_LIT_INIT("PROXY ");
static const struct tg_slice v2_start = TG_LIT_INIT("\r\n\r\n\0\r\nQUIT\n");

static enum tg_err refuse(const char **fault, const char *text)
{
    *fault = text;
    return TG_EPROTO;
}

/* Whether `bytes` are, or may become, something that begins with `start`. */
static bool may_start(struct tg_slice bytes, struct tg_slice start)
{
    size_t len = bytes.len < start.len ? bytes.len : start.len;
    return len == 0 || memcmp(bytes.ptr, start.ptr, len) == 0;
}

/* ---- version 1 ---- */

static bool read_port(struct tg_slice text, uint16_t *port)
{
    uint64_t number;
    bool leading_zero = text.len > 1 && text.ptr[0] == '0';
    if (text.len == 0 || text.len > 5 || leading_zero || tg_slice_to_u64(text, &number) != TG_OK ||
        number > UINT16_MAX) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

static bool read_ip(struct tg_slice text, int family, struct tg_address *out)
{
    return tg_address_parse_ip(text, out) == TG_OK && out->storage.ss_family == family;
}

/* `line`: between `PROXY ` and CR LF. */
static enum tg_err read_v1_line(struct tg_slice line, struct tg_proxy_header *header, const char **fault)
{
    struct tg_slice rest, parts[4];
    struct tg_slice family = tg_slice_cut(line, ' ', &rest);
    uint16_t source_port, destination_port;
    if (tg_slice_eq(family, TG_LIT("UNKNOWN"))) {
        header->local = true; /* whatever follows is to be passed over */
        return TG_OK;
    }
    bool v6 = tg_slice_eq(family, TG_LIT("TCP6"));
    if (!v6 && !tg_slice_eq(family, TG_LIT("TCP4"))) {
        return refuse(fault, "version 1: the family is none of TCP4, TCP6 and UNKNOWN");
    }
    for (size_t i = 0; i < 4; i++) {
        if (rest.ptr == NULL) {
            return refuse(fault, "version 1: two addresses and two ports must follow the family");
        }
        parts[i] = tg_slice_cut(rest, ' ', &rest);
    }
    if (rest.ptr != NULL) {
        return refuse(fault, "version 1: something follows the ports");
    }
    if (!read_ip(parts[0], v6 ? AF_INET6 : AF_INET, &header->source) ||
        !read_ip(parts[1], v6 ? AF_INET6 : AF_INET, &header->destination)) {
        return refuse(fault, "version 1: an address is not one of the family");
    }
    if (!read_port(parts[2], &source_port) || !read_port(parts[3], &destination_port)) {
        return refuse(fault, "version 1: a port is no number up to 65535");
    }
    tg_address_set_port(&header->source, source_port);
    tg_address_set_port(&header->destination, destination_port);
    return TG_OK;
}

static enum tg_err read_v1(struct tg_slice bytes, struct tg_proxy_header *header, const char **fault)
{
    struct tg_slice head = tg_slice_make(bytes.ptr, bytes.len < V1_MAX ? bytes.len : V1_MAX);
    size_t end = tg_slice_find(head, '\n');
    if (end == head.len) {
        return head.len < V1_MAX ? TG_EAGAIN : refuse(fault, "version 1: no end within 107 bytes");
    }
    if (end == 0 || head.ptr[end - 1] != '\r') {
        return refuse(fault, "version 1: the line ends without CR");
    }
    header->len = end + 1;
    return read_v1_line(tg_slice_make(head.ptr + v1_start.len, end - 1 - v1_start.len), header, fault);
}

/* ---- version 2 ---- */

static size_t two_bytes(const unsigned char *at)
{
    return ((size_t)at[0] << 8) | at[1];
}

static uint32_t four_bytes(const unsigned char *at)
{
    return ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];
}

/* Castagnoli's polynomial, reflected; four bits at a time. */
static uint32_t crc32c(uint32_t crc, const unsigned char *bytes, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return crc;
}

/* Over the whole header, with zeros in its own place. */
static bool crc_is_right(const unsigned char *header, size_t len, size_t crc_at)
{
    static const unsigned char zeros[CRC_LEN];
    uint32_t crc = crc32c(0xffffffff, header, crc_at);
    crc = crc32c(crc, zeros, CRC_LEN);
    crc = crc32c(crc, header + crc_at + CRC_LEN, len - crc_at - CRC_LEN);
    return (crc ^ 0xffffffff) == four_bytes(header + crc_at);
}

static enum tg_err read_extensions(const unsigned char *header, size_t at, size_t len, const char **fault)
{
    while (at < len) {
        if (len - at < TLV_HEAD || len - at - TLV_HEAD < two_bytes(header + at + 1)) {
            return refuse(fault, "version 2: an extension (TLV) reaches beyond the header");
        }
        size_t value_len = two_bytes(header + at + 1), value_at = at + TLV_HEAD;
        if (header[at] == TLV_CRC32C && value_len != CRC_LEN) {
            return refuse(fault, "version 2: the CRC-32C has not four bytes");
        }
        if (header[at] == TLV_CRC32C && !crc_is_right(header, len, value_at)) {
            return refuse(fault, "version 2: the CRC-32C is wrong");
        }
        at = value_at + value_len;
    }
    return TG_OK;
}

static void set_ip(struct tg_address *address, int family, const unsigned char *ip, const unsigned char *port)
{
    *address = (struct tg_address){.storage.ss_family = (sa_family_t)family};
    if (family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)&address->storage;
        address->len = sizeof *in;
        memcpy(&in->sin_addr, ip, 4);
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&address->storage;
        address->len = sizeof *in6;
        memcpy(&in6->sin6_addr, ip, 16);
    }
    tg_address_set_port(address, (uint16_t)two_bytes(port));
}

/* A path that is not ended by a NUL, as its block allows, is cut by one byte. */
static void set_unix(struct tg_address *address, const unsigned char *path)
{
    *address = (struct tg_address){.storage.ss_family = AF_UNIX};
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&address->storage;
    size_t len = strnlen((const char *)path, sizeof un->sun_path - 1);
    memcpy(un->sun_path, path, len);
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

static size_t block_len(unsigned family)
{
    return family == FAMILY_V4 ? V4_BLOCK : family == FAMILY_V6 ? V6_BLOCK : UNIX_BLOCK;
}

/* The whole header is there. */
static enum tg_err read_v2_block(const unsigned char *bytes, struct tg_proxy_header *header,
                                 const char **fault)
{
    unsigned family = bytes[13] >> 4, transport = bytes[13] & 15u;
    const unsigned char *block = bytes + V2_FIXED;
    if ((bytes[12] & 15u) == COMMAND_LOCAL || family == FAMILY_UNSPEC || transport == TRANSPORT_UNSPEC) {
        header->local = true; /* its block is to be passed over */
        return TG_OK;
    }
    if (family == FAMILY_UNIX) {
        set_unix(&header->source, block);
        set_unix(&header->destination, block + UNIX_PATH);
    } else {
        int of = family == FAMILY_V4 ? AF_INET : AF_INET6;
        size_t ip = family == FAMILY_V4 ? 4 : 16;
        set_ip(&header->source, of, block, block + 2 * ip);
        set_ip(&header->destination, of, block + ip, block + 2 * ip + 2);
    }
    return read_extensions(bytes, V2_FIXED + block_len(family), header->len, fault);
}

static enum tg_err read_v2(struct tg_slice slice, struct tg_proxy_header *header, const char **fault)
{
    const unsigned char *bytes = (const unsigned char *)slice.ptr;
    if (slice.len < V2_FIXED) {
        return TG_EAGAIN;
    }
    unsigned version = bytes[12] >> 4, command = bytes[12] & 15u;
    unsigned family = bytes[13] >> 4, transport = bytes[13] & 15u;
    size_t len = two_bytes(bytes + 14);
    header->len = V2_FIXED + len;
    if (version != 2) {
        return refuse(fault, "version 2: its version field says another one");
    }
    if (command > COMMAND_PROXY) {
        return refuse(fault, "version 2: the command is neither LOCAL nor PROXY");
    }
    if (command == COMMAND_PROXY && (family > FAMILY_UNIX || transport > TRANSPORT_DATAGRAM)) {
        return refuse(fault, "version 2: the address family or the transport is none that is defined");
    }
    if (header->len > TG_PROXY_HEADER_MAX) {
        return refuse(fault, "version 2: the header is longer than 4096 bytes");
    }
    if (command == COMMAND_PROXY && family != FAMILY_UNSPEC && transport != TRANSPORT_UNSPEC &&
        len < block_len(family)) {
        return refuse(fault, "version 2: the header is too short for the addresses of its family");
    }
    return slice.len < header->len ? TG_EAGAIN : read_v2_block(bytes, header, fault);
}

/* ---- both ---- */

enum tg_err tg_proxy_parse(enum tg_proxy_protocol allowed, struct tg_slice bytes, struct tg_proxy_header *out,
                           const char **fault)
{
    struct tg_proxy_header header = {0};
    bool v1 = may_start(bytes, v1_start), v2 = may_start(bytes, v2_start);
    assert(allowed != TG_PROXY_OFF);
    if (!v1 && !v2) {
        return refuse(fault, "no PROXY header");
    }
    if (!(v1 && (allowed & TG_PROXY_V1) != 0) && !(v2 && (allowed & TG_PROXY_V2) != 0)) {
        return refuse(fault, v1 ? "a header of version 1, where version 2 is demanded"
                                : "a header of version 2, where version 1 is demanded");
    }
    if (bytes.len < (v1 ? v1_start.len : v2_start.len)) {
        return TG_EAGAIN;
    }
    enum tg_err err = v1 ? read_v1(bytes, &header, fault) : read_v2(bytes, &header, fault);
    if (err == TG_OK) {
        *out = header;
    }
    return err;
}
