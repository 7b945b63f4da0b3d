/* Options: tables that say which keys a configuration has, bound into structs from a document tree (doc.h).
 * One row an option feeds the binder, its messages, the environment overrides, the reference in Markdown and
 * the help text. The binder collects every error it finds, each with file, line and path. It knows types,
 * ranges and names; what one row cannot say is left to a schema's check function and to those who compile the
 * result.
 *
 * The memory of what is bound is the arena's, texts included. A null is the same as an absent key. Keys that
 * start with "x-" are ignored in every mapping with fixed keys: a place for anchors and notes. */
#ifndef TG_BASE_OPTIONS_H
#define TG_BASE_OPTIONS_H

#include "server/base/doc.h"
#include "server/base/strings.h"

enum tg_option_type {
    TG_OPTION_STRING, /* struct tg_slice; `names` limits the words, min and max the characters */
    TG_OPTION_FILE,  /* struct tg_slice: the content of the file named, at least min bytes, without a trailing
                        newline. Follows the STRING row of the same offset, whose value it stands in for */
    TG_OPTION_BOOL,  /* bool */
    TG_OPTION_INT,   /* int64_t within min and max; `names` are words for values ("auto") */
    TG_OPTION_OCTAL, /* int64_t, octal digits in the file: permissions */
    TG_OPTION_DOUBLE,     /* double within min and max, finite */
    TG_OPTION_ENUM,       /* an enum: one of `names` */
    TG_OPTION_STRINGS,    /* struct tg_strings; min, max, names as for STRING, for each */
    TG_OPTION_STRING_MAP, /* struct tg_string_map; min, max as for STRING, for each value */
    TG_OPTION_STRUCT,     /* the struct of `schema` itself; absent: its defaults */
    TG_OPTION_STRUCTS,    /* {struct *items; size_t count} of `schema` */
    TG_OPTION_STRUCT_MAP, /* the same from a mapping; a KEY row of `schema` takes the key */
    TG_OPTION_NODE,       /* const struct tg_doc_node *, any value; variables in it have been checked */
    TG_OPTION_KEY,        /* struct tg_slice: the key of this struct in a STRUCT_MAP; no key of its own */
    TG_OPTION_WHERE /* const struct tg_doc_node *: the struct's place, NULL when absent; no key of its own */
};

enum tg_option_flag {
    TG_OPTION_REQUIRED = 1 << 0,
    TG_OPTION_SECRET = 1 << 1,    /* never shown in a message */
    TG_OPTION_RESTART = 1 << 2,   /* a change takes a restart */
    TG_OPTION_READ_ONLY = 1 << 3, /* an output of the API model: accepted unseen, not bound */
    TG_OPTION_UNUSED = 1 << 4,    /* checked, but without effect */
    TG_OPTION_VERBATIM = 1 << 5,  /* ${NAME} is not substituted: templates */
    TG_OPTION_NOT_YET = 1 << 7,   /* checked, then a warning says that it has no effect in this version */
    TG_OPTION_DISCARD = 1 << 6    /* checked, then thrown away: `offset` says nothing */
};

struct tg_option_name {
    const char *name;
    int value;
    const char *scope; /* as of a row */
};

struct tg_schema;

struct tg_option {
    const char *key; /* NULL for KEY and WHERE rows */
    enum tg_option_type type;
    unsigned flags;
    size_t offset;
    const char *fallback; /* as text in the file; words of a STRINGS row parted by commas; NULL: zero */
    const char *help;     /* one line of Markdown */
    int64_t min, max;     /* both 0: any; max INT64_MAX, or 0 above min 0: no upper limit */
    const struct tg_option_name *names; /* ends with a NULL name */
    const struct tg_schema *schema;
    const char *scope; /* only where the nearest scope key says this; NULL: everywhere */
};

struct tg_options_report;

struct tg_schema {
    const char *name; /* heading of its section: "listeners[]" */
    const char *help; /* a paragraph of Markdown, or NULL */
    size_t size;      /* of the struct */
    const struct tg_option *rows;
    size_t row_count;
    const char *scope_key;  /* key of this struct whose value is the scope of all beneath, or NULL */
    const char *scope_noun; /* with it: what messages call things of one scope: "WEBSOCKET protocol Apis" */
    /* Runs after the rows, unless one had an error or the struct is absent; `scope` is the scope in force,
     * empty when none is; may be NULL. */
    void (*check)(struct tg_options_report *report, const struct tg_doc_node *node, struct tg_slice scope,
                  void *target);
};

#define TG_OPTION_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { TG_OPTIONS_MESSAGES_MAX = 50 };

struct tg_options_message {
    bool is_error;
    struct tg_slice text; /* `file:line: path.to[2].key: what is wrong` */
};

/* What was found wrong. Texts are in the arena. */
struct tg_options_report {
    struct tg_arena *arena;
    struct tg_options_message items[TG_OPTIONS_MESSAGES_MAX];
    size_t count;
    size_t errors;  /* all of them, with those not kept */
    size_t dropped; /* messages not kept: there is no room */
    bool out_of_memory;
    bool once_a_place; /* drop messages about a place that has an error already */
};

void tg_options_report_init(struct tg_options_report *report, struct tg_arena *arena);
/* Adds a message about `key` of the mapping `node`, whether or not it has it; with a NULL key about the node
 * itself. `node` may be NULL: no place. */
void tg_options_error(struct tg_options_report *report, const struct tg_doc_node *node, const char *key,
                      const char *format, ...) TG_PRINTF(4, 5);
void tg_options_warn(struct tg_options_report *report, const struct tg_doc_node *node, const char *key,
                     const char *format, ...) TG_PRINTF(4, 5);

/* Fills *target, a zeroed struct of `schema`, from `root`. Errors go to the report, and what can be bound is
 * bound all the same. TG_EINVAL: there were errors; TG_ENOMEM. The tree must outlive WHERE and NODE members
 * only. */
enum tg_err tg_options_bind(const struct tg_schema *schema, struct tg_arena *arena,
                            const struct tg_doc_node *root, struct tg_options_report *report,
                            void *target) TG_MUST_CHECK;

/* Makes *root a tree with the overrides: first `environment` (NAME=value, NULL-terminated; may be NULL), in
 * which PREFIX_ADMIN__MAX_AGE is admin.maxAge, for scalar rows that are reached through STRUCT rows alone;
 * then `sets`
 * ("path=value", NULL-terminated; may be NULL). A malformed set is an error in the report; variables that
 * start with the prefix and mean nothing are warnings, but for those that Kubernetes sets for a service of
 * that name. TG_EINVAL: there were errors; TG_ENOMEM. */
enum tg_err tg_options_override(const struct tg_schema *schema, struct tg_arena *arena, const char *prefix,
                                char *const *environment, const char *const *sets,
                                struct tg_options_report *report,
                                const struct tg_doc_node **root) TG_MUST_CHECK;

/* Appends the reference: a section a schema, each once, in the order in which they are met. */
enum tg_err tg_options_markdown(const struct tg_schema *schema, struct tg_buf *out) TG_MUST_CHECK;
/* Appends the scalar options that can be set by environment or on the command line: path, type, default,
 * help. */
enum tg_err tg_options_help(const struct tg_schema *schema, const char *prefix,
                            struct tg_buf *out) TG_MUST_CHECK;

#endif
