/* A document tree read from YAML or JSON text: what a configuration file says, with the place of every value.
 * The tree and its text live in the arena that it was read into and never change; tg_doc_set makes a changed
 * copy. It knows nothing of what the keys mean: see options.h. The parsing library stays behind doc.c.
 *
 * Scalars are resolved by the core schema of YAML 1.2: only true and false (True, TRUE ...) are booleans,
 * `yes`, `on` and `no` are strings. Refused: a second document, duplicate keys, keys that are not scalars,
 * tags other than the core ones, an alias inside its own anchor, NUL characters. Two limits of the YAML
 * reader apply to JSON files: a character beyond U+FFFF must be written as such, not as a \u surrogate pair,
 * and a key must not be longer than 1024 bytes. */
#ifndef TG_BASE_DOC_H
#define TG_BASE_DOC_H

#include "server/base/arena.h"
#include "server/base/buf.h"

enum tg_doc_type {
    TG_DOC_NULL,
    TG_DOC_BOOL,
    TG_DOC_INT,
    TG_DOC_FLOAT, /* also integers beyond int64_t */
    TG_DOC_STRING,
    TG_DOC_SEQUENCE,
    TG_DOC_MAPPING
};

struct tg_doc_node {
    enum tg_doc_type type;
    bool quoted;                         /* a scalar in quotes or a block scalar: always a string */
    bool open;                           /* its end has not been read yet; false in a finished tree */
    bool boolean;                        /* TG_DOC_BOOL */
    int64_t integer;                     /* TG_DOC_INT */
    double real;                         /* TG_DOC_FLOAT and TG_DOC_INT */
    struct tg_slice text;                /* of a scalar, variables substituted, NUL-terminated */
    struct tg_slice raw;                 /* of a scalar, as in the file */
    struct tg_slice unset;               /* the first variable in it that has no value; empty: none */
    const struct tg_doc_member *members; /* in the order of the text; a sequence's have no key */
    size_t count;
    const struct tg_doc_node *parent; /* of the place where it was written first; NULL: the root */
    struct tg_slice key;              /* in that parent */
    size_t index;                     /* in that parent */
    const char *origin;               /* file name, or where an override came from */
    size_t line, column;              /* from 1; line 0: not from a file */
    size_t weight;                    /* nodes beneath and itself, shared ones counted each time */
    size_t height;                    /* lists and mappings on the longest way down, itself included */
};

struct tg_doc_member {
    struct tg_slice key;
    size_t line, column; /* of the key */
    const struct tg_doc_node *value;
};

/* Where ${NAME} looks. Returns false when there is no such variable; *value must live as long as the tree. */
typedef bool (*tg_doc_lookup)(void *arg, struct tg_slice name, struct tg_slice *value);

/* A zero is the default: 16 MiB, 100,000 nodes or one for four bytes where that is more (aliases count what
 * they stand for), 64 levels. */
struct tg_doc_options {
    size_t max_bytes;
    size_t max_nodes;
    size_t max_depth;
    /* NULL: no substitution. Otherwise, in scalars that are values: ${NAME}, ${NAME:-text when unset or
     * empty}, and
     * $${ for a literal ${. Braces that hold anything but a name (${stageVariables.host}) are left alone. A
     * plain scalar is resolved after substitution, but stays a scalar whatever the variable holds. */
    tg_doc_lookup lookup;
    void *lookup_arg;
};

enum { TG_DOC_ERROR_MAX = 256 };
struct tg_doc_error {
    size_t line, column; /* from 1; 0: no place */
    char text[TG_DOC_ERROR_MAX];
};

/* Reads one document. `text` is copied, `origin` (the file's name) is borrowed for the life of the tree. An
 * empty text is a null. A variable without a value is no error here, but marked in its node, so that whoever
 * reads the node can report all of them. TG_ESYNTAX and TG_ELIMIT with *error filled, TG_ENOMEM with an empty
 * one. */
enum tg_err tg_doc_parse(struct tg_arena *arena, const char *origin, struct tg_slice text,
                         const struct tg_doc_options *options, const struct tg_doc_node **out,
                         struct tg_doc_error *error) TG_MUST_CHECK;

/* Value of a key, or NULL when it is absent or the node is no mapping; node may be NULL. */
const struct tg_doc_node *tg_doc_get(const struct tg_doc_node *node, struct tg_slice key);
/* The same with the key's place. */
const struct tg_doc_member *tg_doc_member(const struct tg_doc_node *node, struct tg_slice key);
/* "null", "a boolean", "an integer", "a number", "a string", "a list", "a mapping". */
const char *tg_doc_type_text(enum tg_doc_type type);

/* Appends the path from the root, `apis[0].routes[2].routeKey`; nothing for the root. Keys with other
 * characters than letters, digits and _$@-/ are written ["like.this"]. */
enum tg_err tg_doc_path(const struct tg_doc_node *node, struct tg_buf *out) TG_MUST_CHECK;
/* Appends the tree as JSON text; infinities and not-a-number as strings. */
enum tg_err tg_doc_json(const struct tg_doc_node *node, struct tg_buf *out) TG_MUST_CHECK;

/* A tree like `root` in which the value at `path` (as tg_doc_path writes it) is the plain scalar `text`,
 * which is not substituted. Mappings on the way are made as needed; a list item must exist or be the one
 * after the last. `origin` is borrowed. TG_ESYNTAX: no path, TG_EINVAL: something on the way is neither
 * mapping nor list, TG_ENOMEM. */
enum tg_err tg_doc_set(struct tg_arena *arena, const struct tg_doc_node *root, struct tg_slice path,
                       struct tg_slice text, const char *origin,
                       const struct tg_doc_node **out) TG_MUST_CHECK;

#endif
