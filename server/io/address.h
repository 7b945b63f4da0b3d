/* Socket addresses as text and as the system wants them: IPv4, IPv6, unix sockets. */
#ifndef TG_IO_ADDRESS_H
#define TG_IO_ADDRESS_H

#include <sys/socket.h>

#include "server/base/slice.h"

struct tg_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

enum { TG_ADDRESS_TEXT_MAX = 128 };

/* `127.0.0.1:80`, `[::1]:80`, `:80` (every IPv6 and IPv4 address), `unix:/path`. No names. TG_ESYNTAX. */
enum tg_err tg_address_parse(struct tg_slice text, struct tg_address *out) TG_MUST_CHECK;
/* An IP address alone, without brackets or zone; the port becomes 0. TG_ESYNTAX. */
enum tg_err tg_address_parse_ip(struct tg_slice text, struct tg_address *out) TG_MUST_CHECK;
/* The form that tg_address_parse reads; NUL-terminated, returns the length. */
size_t tg_address_text(const struct tg_address *address, char out[TG_ADDRESS_TEXT_MAX]);
/* The IP address alone (an IPv4-mapped IPv6 address as IPv4), or "unix". */
size_t tg_address_ip(const struct tg_address *address, char out[TG_ADDRESS_TEXT_MAX]);
uint16_t tg_address_port(const struct tg_address *address);
void tg_address_set_port(struct tg_address *address, uint16_t port);
/* 127.0.0.0/8, ::1, unix sockets. */
bool tg_address_is_local(const struct tg_address *address);

#endif
