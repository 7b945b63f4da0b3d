#include "server/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 }; /* longer lines are cut */

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
};

static void put(struct line *line, struct tg_slice bytes)
{
    size_t room = sizeof line->text - 1 - line->len; /* one byte kept for the newline */
    size_t len = bytes.len < room ? bytes.len : room;
    if (len > 0) {
        memcpy(line->text + line->len, bytes.ptr, len);
        line->len += len;
    }
}

static void put_cstr(struct line *line, const char *text)
{
    put(line, tg_slice_cstr(text));
}

/* Escapes as JSON does; a line stays one line whatever it carries. */
static void put_quoted(struct line *line, struct tg_slice text)
{
    put_cstr(line, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char escape[8];
        if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = (char)c;
            put(line, tg_slice_make(escape, 2));
        } else if (c < 0x20 || c == 0x7f) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", c);
            put(line, tg_slice_make(escape, 6));
        } else {
            put(line, tg_slice_make(&text.ptr[i], 1));
        }
    }
    put_cstr(line, "\"");
}

static bool is_plain(struct tg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c == '"' || c == '\\' || c == '=' || c >= 0x7f) {
            return false;
        }
    }
    return text.len > 0;
}

static void put_time(struct line *line, int64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    char text[32];
    (void)gmtime_r(&seconds, &parts);
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    put(line, tg_slice_make(text, len));
    (void)snprintf(text, sizeof text, ".%03dZ", (int)(now_ms % 1000));
    put_cstr(line, text);
}

static int64_t system_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void tg_log_init(struct tg_log *log, int fd, enum tg_log_level level, enum tg_log_format format)
{
    *log = (struct tg_log){.fd = fd, .format = format};
    atomic_store(&log->level, level);
}

void tg_log_write(struct tg_log *log, enum tg_log_level level, const char *message,
                  const struct tg_log_field *fields)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (log == NULL || level > atomic_load_explicit(&log->level, memory_order_relaxed)) {
        return;
    }
    struct line line = {.len = 0};
    bool json = log->format == TG_LOG_JSON;
    put_cstr(&line, json ? "{\"time\":\"" : "");
    put_time(&line, log->now_ms != NULL ? log->now_ms(log->now_arg) : system_now_ms());
    put_cstr(&line, json ? "\",\"level\":\"" : " ");
    put_cstr(&line, names[level]);
    put_cstr(&line, json ? "\",\"message\":" : " ");
    if (json) {
        put_quoted(&line, tg_slice_cstr(message));
    } else {
        put_cstr(&line, message);
    }
    for (; fields->key != NULL; fields++) {
        put_cstr(&line, json ? ",\"" : " ");
        put_cstr(&line, fields->key);
        put_cstr(&line, json ? "\":" : "=");
        if (fields->is_number) {
            char digits[24];
            (void)snprintf(digits, sizeof digits, "%lld", (long long)fields->number);
            put_cstr(&line, digits);
        } else if (!json && is_plain(fields->text)) {
            put(&line, fields->text);
        } else {
            put_quoted(&line, fields->text);
        }
    }
    put_cstr(&line, json ? "}" : "");
    line.text[line.len++] = '\n';
    ssize_t written;
    do {
        written = write(log->fd, line.text, line.len);
    } while (written < 0 && errno == EINTR);
    if (written != (ssize_t)line.len) {
        (void)atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
    }
}
