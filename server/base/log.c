#include "server/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "server/base/codec.h"

enum { LINE_MAX_BYTES = 2048 }; /* longer lines are cut, and say so */

static const struct tg_slice cut_json = TG_LIT_INIT(",\"cut\":true}");
static const struct tg_slice cut_text = TG_LIT_INIT(" cut=true");
static const struct tg_slice replacement = TG_LIT_INIT("\xef\xbf\xbd");

enum { CLOSING = 2 }; /* a quote and a newline */

/* Invariant: at any time there is room for the longer cut mark and a newline; inside of quotes, for a quote
 * too. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
    bool cut; /* something did not fit; nothing more is put */
};

static size_t room(const struct line *line)
{
    size_t end = sizeof line->text - cut_json.len - CLOSING;
    return line->len < end ? end - line->len : 0;
}

static void put_reserved(struct line *line, struct tg_slice bytes)
{
    if (bytes.len > 0) {
        memcpy(line->text + line->len, bytes.ptr, bytes.len);
        line->len += bytes.len;
    }
}

/* All of it or nothing. */
static void put(struct line *line, struct tg_slice bytes)
{
    if (line->cut || bytes.len > room(line)) {
        line->cut = true;
        return;
    }
    put_reserved(line, bytes);
}

static void put_cstr(struct line *line, const char *text)
{
    put(line, tg_slice_cstr(text));
}

/* As much of it as fits. */
static void put_plain(struct line *line, struct tg_slice text)
{
    bool fits = text.len <= room(line);
    put(line, tg_slice_head(text, room(line)));
    line->cut = line->cut || !fits;
}

/* Puts the first character of the text as JSON writes it, and returns what it took of the text. */
static size_t put_character(struct line *line, struct tg_slice text)
{
    bool well_formed;
    char escape[8];
    unsigned char c = (unsigned char)text.ptr[0];
    size_t len = tg_utf8_step(text, &well_formed);
    if (c == '"' || c == '\\') {
        escape[0] = '\\';
        escape[1] = (char)c;
        put(line, tg_slice_make(escape, 2));
    } else if (c < 0x20 || c == 0x7f) {
        (void)snprintf(escape, sizeof escape, "\\u%04x", c);
        put(line, tg_slice_make(escape, 6));
    } else {
        put(line, well_formed ? tg_slice_head(text, len) : replacement);
    }
    return len;
}

/* Escapes as JSON does; a line stays one line, and UTF-8, whatever it carries. The closing quote always has
 * room. */
static void put_quoted(struct line *line, struct tg_slice text)
{
    put_cstr(line, "\"");
    if (line->cut) {
        return;
    }
    while (text.len > 0 && !line->cut) {
        text = tg_slice_from(text, put_character(line, text));
    }
    put_reserved(line, TG_LIT("\""));
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

/* A field whose value cannot even start is left out whole. */
static void put_field(struct line *line, bool json, const struct tg_log_field *field)
{
    size_t start = line->len;
    char digits[24];
    put_cstr(line, json ? ",\"" : " ");
    put_cstr(line, field->key);
    put_cstr(line, json ? "\":" : "=");
    size_t value = line->len;
    if (field->is_number) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)field->number);
        put_cstr(line, digits);
    } else if (!json && is_plain(field->text)) {
        put_plain(line, field->text);
    } else {
        put_quoted(line, field->text);
    }
    if (line->cut && line->len == value) {
        line->len = start;
    }
}

static void put_end(struct line *line, bool json)
{
    if (line->cut) {
        put_reserved(line, json ? cut_json : cut_text);
    } else if (json) {
        put_reserved(line, TG_LIT("}"));
    }
    put_reserved(line, TG_LIT("\n"));
}

static int64_t system_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int tg_log_open_stream(int fd)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 0);
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
    char time[TG_TIME_TEXT_MAX];
    bool json = log->format == TG_LOG_JSON;
    (void)tg_time_iso(log->now_ms != NULL ? log->now_ms(log->now_arg) : system_now_ms(), time);
    put_cstr(&line, json ? "{\"time\":\"" : "");
    put_cstr(&line, time);
    put_cstr(&line, json ? "\",\"level\":\"" : " ");
    put_cstr(&line, names[level]);
    put_cstr(&line, json ? "\",\"message\":" : " ");
    if (json) {
        put_quoted(&line, tg_slice_cstr(message));
    } else {
        put_plain(&line, tg_slice_cstr(message));
    }
    for (; fields->key != NULL && !line.cut; fields++) {
        put_field(&line, json, fields);
    }
    put_end(&line, json);
    ssize_t written;
    do {
        written = write(log->fd, line.text, line.len);
    } while (written < 0 && errno == EINTR);
    if (written != (ssize_t)line.len) {
        (void)atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
    }
}
