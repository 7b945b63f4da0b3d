/* Reads any bytes as a document, walks what comes out by a recursive schema, and writes it as JSON. */
#include <stdint.h>
#include <stdlib.h>

#include "server/base/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct item;
struct items {
    struct item *items;
    size_t count;
};
struct item {
    const struct tg_doc_node *where;
    struct tg_slice key, text;
    int64_t number, mode;
    double real;
    bool flag;
    int choice;
    struct tg_strings strings;
    struct tg_string_map map;
    struct items list, named;
    const struct tg_doc_node *raw;
};

static const struct tg_schema ITEM;
static const struct tg_option_name NAMES[] = {
    {.name = "one", .value = 1}, {.name = "two", .value = 2, .scope = "x"}, {0}};
#define AT(member) .offset = offsetof(struct item, member)
static const struct tg_option ROWS[] = {
    {.type = TG_OPTION_WHERE, AT(where)},
    {.type = TG_OPTION_KEY, AT(key)},
    {"text", TG_OPTION_STRING, AT(text), .min = 1, .max = 40},
    {"number", TG_OPTION_INT, AT(number), .names = NAMES, .min = -5, .max = 500},
    {"mode", TG_OPTION_OCTAL, AT(mode), .max = 0777},
    {"real", TG_OPTION_DOUBLE, AT(real), .fallback = "0.5"},
    {"flag", TG_OPTION_BOOL, AT(flag), .scope = "x"},
    {"choice", TG_OPTION_ENUM, AT(choice), .names = NAMES, .fallback = "one"},
    {"strings", TG_OPTION_STRINGS, AT(strings)},
    {"map", TG_OPTION_STRING_MAP, TG_OPTION_VERBATIM, AT(map)},
    {"list", TG_OPTION_STRUCTS, AT(list), .schema = &ITEM},
    {"named", TG_OPTION_STRUCT_MAP, AT(named), .schema = &ITEM},
    {"raw", TG_OPTION_NODE, AT(raw)},
};
static const struct tg_schema ITEM = {.name = "item",
                                      .size = sizeof(struct item),
                                      .rows = ROWS,
                                      .row_count = TG_OPTION_COUNT(ROWS),
                                      .scope_key = "choice"};

static bool lookup(void *arg, struct tg_slice name, struct tg_slice *value)
{
    (void)arg;
    *value = name;
    return name.len != 3;
}

static void write_tree(const struct tg_doc_node *root)
{
    struct tg_buf out;
    tg_buf_init(&out, 1 << 20);
    /* A full buffer is no finding. */
    enum tg_err err = tg_doc_json(root, &out);
    if (err != TG_OK && err != TG_ELIMIT) {
        abort();
    }
    tg_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena arena;
    tg_arena_init(&arena, NULL);
    struct tg_doc_options options = {
        .max_bytes = 1 << 16, .max_nodes = 2000, .max_depth = 16, .lookup = lookup};
    struct tg_doc_error error;
    struct tg_slice text = tg_slice_make(data, size);
    const struct tg_doc_node *root = NULL;
    if (tg_doc_parse(&arena, "input", text, &options, &root, &error) == TG_OK) {
        write_tree(root);
        struct tg_options_report *report = tg_arena_alloc(&arena, sizeof *report);
        struct item item = {0};
        tg_options_report_init(report, &arena);
        /* The text as a path as well. */
        const struct tg_doc_node *changed = root;
        if (tg_doc_set(&arena, root, tg_slice_head(text, 200), TG_LIT("v"), "set", &changed) == TG_OK) {
            write_tree(changed);
        }
        enum tg_err err = tg_options_bind(&ITEM, &arena, changed, report, &item);
        if ((err == TG_OK) != (report->errors == 0)) {
            abort();
        }
    } else if (error.text[0] == '\0') {
        abort();
    }
    tg_arena_reset(&arena);
    return 0;
}
