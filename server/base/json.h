/* JSON trees of what functions, authorisers and policies say (jansson behind an opaque type), and a writer
 * that appends JSON text to a buffer. Routing of messages does not build a tree: see routes/jsonscan.h. */
#ifndef TG_BASE_JSON_H
#define TG_BASE_JSON_H

#include "server/base/arena.h"
#include "server/base/buf.h"

/* A value; really jansson's. Borrowed from its document, which dies with the arena it was read into. */
struct tg_json;

enum tg_json_type {
    TG_JSON_NULL,
    TG_JSON_BOOL,
    TG_JSON_INTEGER,
    TG_JSON_REAL,
    TG_JSON_STRING,
    TG_JSON_ARRAY,
    TG_JSON_OBJECT
};

/* Reads one value, nothing but blanks after it. Strict RFC 8259, duplicate keys: last wins, depth limited by
 * the library (2048), \u0000 allowed but not in keys. When an integer is outside of int64_t, every integer of
 * the text becomes a real. TG_ESYNTAX (also a real past a double's range), TG_ENOMEM. */
enum tg_err tg_json_parse(struct tg_arena *arena, struct tg_slice text,
                          const struct tg_json **out) TG_MUST_CHECK;

/* NULL reads as TG_JSON_NULL everywhere, so that look-ups chain. */
enum tg_json_type tg_json_type(const struct tg_json *value);
/* Member of an object, or NULL when absent or not an object. */
const struct tg_json *tg_json_get(const struct tg_json *object, struct tg_slice key);
/* Number of members or items; 0 for scalars. */
size_t tg_json_count(const struct tg_json *value);
const struct tg_json *tg_json_at(const struct tg_json *array, size_t index);
/* Empty unless a string. */
struct tg_slice tg_json_string(const struct tg_json *value);
bool tg_json_bool(const struct tg_json *value);
/* 0 unless an integer. */
int64_t tg_json_integer(const struct tg_json *value);
/* 0 unless an integer or a real. */
double tg_json_number(const struct tg_json *value);
/* In the order of the text. Stops when visit returns false. */
void tg_json_each(const struct tg_json *object,
                  bool (*visit)(void *arg, struct tg_slice key, const struct tg_json *value), void *arg);
/* Scalars as text: strings verbatim, numbers in shortest decimal, true, false, null; arrays and objects as
 * compact JSON. */
enum tg_err tg_json_stringify(struct tg_arena *arena, const struct tg_json *value,
                              struct tg_slice *out) TG_MUST_CHECK;

/* Appends the value as compact JSON, strings quoted; part of it may have been appended on failure. */
enum tg_err tg_json_write(struct tg_buf *out, const struct tg_json *value) TG_MUST_CHECK;
/* Appends "text" with quotes and escapes: \" \\ \b \f \n \r \t and \u00XX for other controls; bytes >= 0x80
 * pass as they are (callers hand in valid UTF-8 or repair it first). */
enum tg_err tg_json_write_string(struct tg_buf *out, struct tg_slice text) TG_MUST_CHECK;

#endif
