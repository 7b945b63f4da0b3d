#include <stdarg.h>
#include <stdio.h>

#include "server/base/options.h"

enum { MESSAGE_MAX = 2048 };

void tg_options_report_init(struct tg_options_report *report, struct tg_arena *arena)
{
    *report = (struct tg_options_report){.arena = arena};
}

static enum tg_err write_place(struct tg_buf *out, const struct tg_doc_node *node, const char *key)
{
    if (node == NULL) {
        return key != NULL ? tg_buf_printf(out, "%s: ", key) : TG_OK;
    }
    const struct tg_doc_member *member = key != NULL ? tg_doc_member(node, tg_slice_cstr(key)) : NULL;
    const char *origin = member != NULL ? member->value->origin : node->origin;
    size_t line = member == NULL ? node->line : member->value->line == 0 ? 0 : member->line;
    enum tg_err err = TG_OK;
    if (origin != NULL) {
        err = line > 0 ? tg_buf_printf(out, "%s:%zu: ", origin, line) : tg_buf_printf(out, "%s: ", origin);
    }
    size_t before = tg_buf_size(out);
    if (err == TG_OK) {
        err = tg_doc_path(node, out);
    }
    bool has_path = tg_buf_size(out) > before;
    if (err == TG_OK && key != NULL) {
        err = tg_buf_printf(out, "%s%s", has_path ? "." : "", key);
        has_path = true;
    }
    return err == TG_OK && has_path ? tg_buf_append(out, TG_LIT(": ")) : err;
}

/* Whether an error about this very place has been told: what comes after it is most often its consequence. */
static bool is_told(const struct tg_options_report *report, struct tg_slice place)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->items[i].is_error && tg_slice_starts(report->items[i].text, place)) {
            return true;
        }
    }
    return false;
}

static void TG_PRINTF(5, 0)
    add(struct tg_options_report *report, bool is_error, const struct tg_doc_node *node, const char *key,
        const char *format, va_list args)
{
    struct tg_buf out;
    tg_buf_init(&out, SIZE_MAX);
    enum tg_err err = write_place(&out, node, key);
    if (err == TG_OK && report->once_a_place && is_told(report, tg_buf_slice(&out))) {
        tg_buf_free(&out);
        return;
    }
    if (is_error) {
        report->errors++;
    }
    if (report->count == TG_OPTIONS_MESSAGES_MAX) {
        report->dropped++;
        tg_buf_free(&out);
        return;
    }
    char text[MESSAGE_MAX];
    (void)vsnprintf(text, sizeof text, format, args);
    if (err == TG_OK) {
        err = tg_buf_append(&out, tg_slice_cstr(text));
    }
    struct tg_slice message = TG_EMPTY;
    if (err == TG_OK) {
        err = tg_arena_copy(report->arena, tg_buf_slice(&out), &message);
    }
    tg_buf_free(&out);
    if (err != TG_OK) {
        report->out_of_memory = true;
        return;
    }
    report->items[report->count++] = (struct tg_options_message){.is_error = is_error, .text = message};
}

void tg_options_error(struct tg_options_report *report, const struct tg_doc_node *node, const char *key,
                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(report, true, node, key, format, args);
    va_end(args);
}

void tg_options_warn(struct tg_options_report *report, const struct tg_doc_node *node, const char *key,
                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(report, false, node, key, format, args);
    va_end(args);
}
