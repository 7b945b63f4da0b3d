/* Structured log lines: a level, a constant message and key=value pairs, in text or JSON, one write(2) a line
 * so that workers share a descriptor without a lock. A line that the descriptor does not take at once is
 * dropped and counted: a log never blocks a loop. Owned by the app, handed to whoever logs. Never log a
 * token, a body or a query string. */
#ifndef TG_BASE_LOG_H
#define TG_BASE_LOG_H

#include <stdatomic.h>

#include "server/base/slice.h"

enum tg_log_level { TG_LOG_ERROR, TG_LOG_WARN, TG_LOG_INFO, TG_LOG_DEBUG };
enum tg_log_format { TG_LOG_TEXT, TG_LOG_JSON };

struct tg_log {
    int fd; /* borrowed */
    enum tg_log_format format;
    _Atomic(enum tg_log_level) level; /* lines above it are not written; changed by a reload */
    _Atomic(uint64_t) dropped;
    int64_t (*now_ms)(void *arg); /* wall clock, ms since 1970; NULL: the system's */
    void *now_arg;
};

struct tg_log_field {
    const char *key;
    bool is_number;
    int64_t number;
    struct tg_slice text;
};

#define TG_KV(k, s)      ((struct tg_log_field){.key = (k), .text = (s)})
#define TG_KV_CSTR(k, s) ((struct tg_log_field){.key = (k), .text = tg_slice_cstr(s)})
#define TG_KV_INT(k, n)  ((struct tg_log_field){.key = (k), .is_number = true, .number = (int64_t)(n)})
#define TG_KV_ERR(e)     ((struct tg_log_field){.key = "error", .text = tg_slice_cstr(tg_err_text(e))})

/* tg_log(log, TG_LOG_WARN, "back end refused the call", TG_KV("api", id), TG_KV_INT("status", 502)); log may
 * be NULL.
 */
#define tg_log(log, level, message, ...)                                                                     \
    tg_log_write((log), (level), (message), (const struct tg_log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

/* A descriptor of one's own for a standard stream that others share, which never blocks: the stream opened
 * anew, or a plain copy where the system does not allow that (then a reader that stalls can block). -1 with
 * errno. */
int tg_log_open_stream(int fd);
void tg_log_init(struct tg_log *log, int fd, enum tg_log_level level, enum tg_log_format format);
/* fields ends with a row whose key is NULL. */
void tg_log_write(struct tg_log *log, enum tg_log_level level, const char *message,
                  const struct tg_log_field *fields);

#endif
