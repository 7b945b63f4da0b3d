/* Text encodings: base64, hex, percent-encoding, UTF-8, dates. All pure; results go to a caller's buffer or
 * arena. */
#ifndef TG_BASE_CODEC_H
#define TG_BASE_CODEC_H

#include "server/base/arena.h"
#include "server/base/buf.h"

/* Bytes that the encoding of `len` bytes takes, padding included. */
#define TG_BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Standard alphabet, padded (RFC 4648 section 4). */
enum tg_err tg_base64_encode(struct tg_buf *out, struct tg_slice bytes) TG_MUST_CHECK;
/* Accepts padded and unpadded text, standard alphabet only, no blanks; TG_ESYNTAX otherwise. */
enum tg_err tg_base64_decode(struct tg_arena *arena, struct tg_slice text,
                             struct tg_slice *out) TG_MUST_CHECK;
/* URL-safe alphabet with padding (RFC 4648 section 5), as connection ids are written. `out` takes
 * TG_BASE64_LEN bytes; no NUL is added. */
void tg_base64url_encode(const void *bytes, size_t len, char *out);
/* Exactly TG_BASE64_LEN(len) characters, padding as it must be and unused bits zero; TG_ESYNTAX otherwise. */
enum tg_err tg_base64url_decode(struct tg_slice text, void *bytes, size_t len) TG_MUST_CHECK;

/* Lower-case digits; `out` takes 2 * len bytes. */
void tg_hex_encode(const void *bytes, size_t len, char *out);

/* Percent-encodes every byte outside A-Za-z0-9-._~ and, when keep_slash, '/': RFC 3986 unreserved. */
enum tg_err tg_percent_encode(struct tg_buf *out, struct tg_slice bytes, bool keep_slash) TG_MUST_CHECK;
/* Decodes %XX; a broken escape stays as it is. plus_is_space for query strings. */
enum tg_err tg_percent_decode(struct tg_arena *arena, struct tg_slice text, bool plus_is_space,
                              struct tg_slice *out) TG_MUST_CHECK;
/* The same into the caller's text.len bytes; returns how many were written. */
size_t tg_percent_decode_into(char *out, struct tg_slice text, bool plus_is_space);

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
bool tg_utf8_valid(struct tg_slice text);
/* Length of the first character, or of the maximal ill-formed part in its place; text is not empty. */
size_t tg_utf8_step(struct tg_slice text, bool *well_formed);
/* The text with every maximal ill-formed part replaced by U+FFFD, as the WHATWG decoder does it; *out is the
 * input itself when it is valid. */
enum tg_err tg_utf8_repair(struct tg_arena *arena, struct tg_slice text, struct tg_slice *out) TG_MUST_CHECK;

enum { TG_TIME_TEXT_MAX = 32 };
/* The writers of dates NUL-terminate, return the length, and hold to the years 0 to 9999. */

/* Common Log Format in UTC, `02/Jan/2026:03:04:05 +0000`. */
size_t tg_time_clf(int64_t wall_ms, char out[TG_TIME_TEXT_MAX]);
/* The form of HTTP (RFC 9110 section 5.6.7), `Fri, 02 Jan 2026 03:04:05 GMT`. */
size_t tg_time_http(int64_t wall_ms, char out[TG_TIME_TEXT_MAX]);
/* ISO 8601 UTC with milliseconds, `2026-01-02T03:04:05.123Z`. */
size_t tg_time_iso(int64_t wall_ms, char out[TG_TIME_TEXT_MAX]);
/* `20260102T030405Z`. */
size_t tg_time_basic(int64_t wall_ms, char out[TG_TIME_TEXT_MAX]);
/* The three forms of a date in HTTP (RFC 9110 section 5.6.7) to seconds since 1970; `now_s` tells the century
 * of a year of two digits. TG_ESYNTAX. The day of the week is not compared with the date. */
enum tg_err tg_time_parse_http(struct tg_slice text, int64_t now_s, int64_t *seconds) TG_MUST_CHECK;
/* `20260102T030405Z` to seconds since 1970; TG_ESYNTAX. */
enum tg_err tg_time_parse_basic(struct tg_slice text, int64_t *seconds) TG_MUST_CHECK;

#endif
