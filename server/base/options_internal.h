/* What the options files share among themselves: private to them. */
#ifndef TG_BASE_OPTIONS_INTERNAL_H
#define TG_BASE_OPTIONS_INTERNAL_H

#include "server/base/options.h"

struct tg_binder {
    struct tg_arena *arena;
    struct tg_options_report *report;
    const char *scope_key; /* in force, or NULL */
    const char *scope_noun;
    struct tg_slice scope; /* its value; empty: not known */
};

/* A value of one of the scalar types, or a list or map of strings, into *target. Errors go to the report. */
void tg_options_bind_value(struct tg_binder *binder, const struct tg_option *option,
                           const struct tg_doc_node *node, void *target);
/* The row's fallback into *target. */
void tg_options_bind_fallback(struct tg_binder *binder, const struct tg_option *option, void *target);
/* Reports a variable without a value in a scalar; false then. */
bool tg_options_check_variables(struct tg_binder *binder, const struct tg_option *option,
                                const struct tg_doc_node *node);
/* Whether a row or a name is for the scope in force. An unknown scope lets everything pass. */
bool tg_options_in_scope(const struct tg_binder *binder, const char *scope);
/* Text in the arena, or out_of_memory in the report and an empty slice. */
struct tg_slice tg_options_keep(struct tg_binder *binder, struct tg_slice text);
static inline bool tg_option_has_upper(const struct tg_option *option)
{
    return option->max != INT64_MAX && (option->max != 0 || option->min < 0);
}
/* STRING, FILE, BOOL, INT, OCTAL, DOUBLE, ENUM. */
bool tg_option_is_scalar(const struct tg_option *option);
/* Visits the scalar rows that are reached from the schema through STRUCT rows alone, with their path and the
 * name of their variable, until visit returns something else than TG_OK. */
enum tg_err tg_options_each_scalar(const struct tg_schema *schema, const char *prefix,
                                   enum tg_err (*visit)(void *arg, const struct tg_option *option,
                                                        struct tg_slice path, struct tg_slice variable),
                                   void *arg) TG_MUST_CHECK;

#endif
