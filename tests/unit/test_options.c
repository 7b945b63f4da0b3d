#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/base/options.h"

enum color { RED, GREEN };

struct wheel {
    const struct tg_doc_node *where;
    struct tg_slice name;
    double size;
};

struct wheels {
    struct wheel *items;
    size_t count;
};

struct engine {
    const struct tg_doc_node *where;
    int64_t power;
    bool turbo;
    struct tg_slice key;
};

struct car {
    struct tg_slice title, kind;
    enum color color;
    int64_t seats, mode;
    double price;
    struct tg_strings tags, colors;
    struct tg_string_map labels, templates;
    struct engine engine;
    struct wheels wheels, spares;
    const struct tg_doc_node *raw;
    struct tg_slice note;
};

static const struct tg_option_name COLORS[] = {
    {.name = "red", .value = RED}, {.name = "green", .value = GREEN, .scope = "TRUCK"}, {0}};
static const struct tg_option_name KINDS[] = {{.name = "CAR"}, {.name = "TRUCK"}, {0}};
static const struct tg_option_name AUTO[] = {{.name = "auto", .value = 0}, {0}};
#define AT(type, member) .offset = offsetof(type, member)

static const struct tg_option WHEEL_ROWS[] = {
    {.type = TG_OPTION_WHERE, AT(struct wheel, where)},
    {.type = TG_OPTION_KEY, AT(struct wheel, name)},
    {"size", TG_OPTION_DOUBLE, AT(struct wheel, size), .fallback = "-1", .min = 1, .max = 30,
     .help = "Inches."},
};
static const struct tg_schema WHEEL = {.name = "wheels",
                                       .size = sizeof(struct wheel),
                                       .rows = WHEEL_ROWS,
                                       .row_count = TG_OPTION_COUNT(WHEEL_ROWS)};

static void check_engine(struct tg_options_report *report, const struct tg_doc_node *node,
                         struct tg_slice scope, void *target)
{
    (void)scope;
    struct engine *engine = target;
    if (engine->turbo && engine->power < 100) {
        tg_options_error(report, node, "turbo", "needs a power of %d", 100);
    }
}

static const struct tg_option ENGINE_ROWS[] = {
    {.type = TG_OPTION_WHERE, AT(struct engine, where)},
    {"power", TG_OPTION_INT, AT(struct engine, power), .fallback = "70", .min = 1, .help = "Horses."},
    {"turbo", TG_OPTION_BOOL, AT(struct engine, turbo), .help = "Whether it whistles."},
    {"startKey", TG_OPTION_STRING, TG_OPTION_SECRET, AT(struct engine, key), .help = "Key."},
    {"startKeyFile", TG_OPTION_FILE, TG_OPTION_SECRET, AT(struct engine, key), .help = "Its file."},
};
static const struct tg_schema ENGINE = {.name = "engine",
                                        .size = sizeof(struct engine),
                                        .rows = ENGINE_ROWS,
                                        .row_count = TG_OPTION_COUNT(ENGINE_ROWS),
                                        .check = check_engine};

static const struct tg_option CAR_ROWS[] = {
    {"title", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(struct car, title), .min = 1, .max = 8,
     .help = "What it is called."},
    {"kind", TG_OPTION_STRING, TG_OPTION_REQUIRED, AT(struct car, kind), .names = KINDS,
     .help = "What it is."},
    {"color", TG_OPTION_ENUM, AT(struct car, color), .fallback = "red", .names = COLORS, .help = "Paint."},
    {"seats", TG_OPTION_INT, TG_OPTION_RESTART, AT(struct car, seats), .fallback = "auto", .max = 9,
     .names = AUTO, .help = "Places."},
    {"mode", TG_OPTION_OCTAL, AT(struct car, mode), .fallback = "0660", .max = 0777, .help = "Bits."},
    {"price", TG_OPTION_DOUBLE, AT(struct car, price), .fallback = "2.5", .help = "Money."},
    {"tags", TG_OPTION_STRINGS, AT(struct car, tags), .fallback = "a, b", .max = 4, .help = "Words."},
    {"labels", TG_OPTION_STRING_MAP, AT(struct car, labels), .help = "Pairs."},
    {"templates", TG_OPTION_STRING_MAP, TG_OPTION_VERBATIM, AT(struct car, templates), .help = "Texts."},
    {"engine", TG_OPTION_STRUCT, AT(struct car, engine), .schema = &ENGINE, .help = "The engine."},
    {"wheels", TG_OPTION_STRUCT_MAP, AT(struct car, wheels), .schema = &WHEEL, .help = "By name."},
    {"spares", TG_OPTION_STRUCTS, AT(struct car, spares), .schema = &WHEEL, .help = "In order."},
    {"raw", TG_OPTION_NODE, AT(struct car, raw), .help = "Anything."},
    {"carId", TG_OPTION_STRING, TG_OPTION_READ_ONLY, .help = "Given."},
    {"old", TG_OPTION_INT, TG_OPTION_UNUSED | TG_OPTION_DISCARD, .help = "Before."},
    {"oldWheels", TG_OPTION_STRUCTS, TG_OPTION_DISCARD, .schema = &WHEEL, .help = "Before."},
    {"towBar", TG_OPTION_BOOL, TG_OPTION_DISCARD, .scope = "TRUCK", .help = "For trucks."},
    {"someday", TG_OPTION_INT, TG_OPTION_NOT_YET | TG_OPTION_DISCARD, .min = 0, .max = INT64_MAX,
     .help = "Later."},
    {"note", TG_OPTION_STRING, AT(struct car, note), .help = "Any text."},
};
static const struct tg_schema CAR = {.name = "Car",
                                     .help = "A car.",
                                     .size = sizeof(struct car),
                                     .rows = CAR_ROWS,
                                     .row_count = TG_OPTION_COUNT(CAR_ROWS),
                                     .scope_key = "kind",
                                     .scope_noun = "cars"};

struct fixture {
    struct tg_arena arena;
    struct tg_options_report report;
    const struct tg_doc_node *root;
    struct car car;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    tg_arena_init(&f->arena, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tg_arena_reset(&f->arena);
    free(f);
    return 0;
}

static bool lookup(void *arg, struct tg_slice name, struct tg_slice *value)
{
    (void)arg;
    *value = TG_LIT("5");
    return tg_slice_eq(name, TG_LIT("FIVE"));
}

static void parse(struct fixture *f, const char *text)
{
    struct tg_doc_options options = {.lookup = lookup};
    struct tg_doc_error error;
    enum tg_err err = tg_doc_parse(&f->arena, "car.yaml", tg_slice_cstr(text), &options, &f->root, &error);
    if (err != TG_OK) {
        fail_msg("%zu: %s", error.line, error.text);
    }
    tg_options_report_init(&f->report, &f->arena);
    f->car = (struct car){0};
}

static enum tg_err bind(struct fixture *f, const char *text)
{
    parse(f, text);
    return tg_options_bind(&CAR, &f->arena, f->root, &f->report, &f->car);
}

static void assert_text(struct tg_slice got, const char *expected)
{
    if (!tg_slice_eq(got, tg_slice_cstr(expected))) {
        fail_msg("got \"%.*s\", expected \"%s\"", TG_FMT(got), expected);
    }
}

/* All messages, each on a line of its own. */
static void assert_messages(struct fixture *f, const char *expected)
{
    struct tg_buf all;
    tg_buf_init(&all, SIZE_MAX);
    for (size_t i = 0; i < f->report.count; i++) {
        assert_int_equal(tg_buf_append(&all, f->report.items[i].text), TG_OK);
        assert_int_equal(tg_buf_append_char(&all, '\n'), TG_OK);
    }
    assert_text(tg_buf_slice(&all), expected);
    tg_buf_free(&all);
}

#define HEAD "title: t\nkind: CAR\n"

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bind(f, HEAD), TG_OK);
    assert_int_equal(f->car.color, RED);
    assert_int_equal(f->car.seats, 0);
    assert_int_equal(f->car.mode, 0660);
    assert_true(f->car.price == 2.5);
    assert_int_equal(f->car.tags.count, 2);
    assert_text(f->car.tags.items[1], "b");
    assert_int_equal(f->car.engine.power, 70);
    assert_null(f->car.engine.where);
    assert_int_equal(f->car.wheels.count, 0);
    assert_null(f->car.raw);
    assert_int_equal(f->report.count, 0);
}

static void test_every_type_is_bound(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        bind(f, "title: 007\nkind: TRUCK\ncolor: green\nseats: 4\nmode: 0600\nprice: 3\n"
                "tags: [x, 5]\nlabels: {b: 1, a: 2}\nengine: {power: 100, turbo: true, startKey: s}\n"
                "wheels: {left: {size: 15}, right: }\nspares: [{size: 16.5}]\nraw: {k: [1]}\n"
                "carId: [ignored]\nold: 5\ntowBar: true\nx-notes: {anything: goes}\nnote: ~\n"),
        TG_OK);
    assert_text(f->car.title, "007");
    assert_int_equal(f->car.color, GREEN);
    assert_int_equal(f->car.seats, 4);
    assert_int_equal(f->car.mode, 0600);
    assert_true(f->car.price == 3);
    assert_text(f->car.tags.items[1], "5");
    assert_text(f->car.labels.items[0].key, "b");
    assert_text(*tg_string_map_get(&f->car.labels, TG_LIT("a")), "2");
    assert_true(f->car.engine.turbo);
    assert_int_equal(f->car.engine.where->line, 9);
    assert_int_equal(f->car.wheels.count, 2);
    assert_text(f->car.wheels.items[1].name, "right");
    assert_true(f->car.wheels.items[0].size == 15);
    assert_true(f->car.wheels.items[1].size == -1);
    assert_true(f->car.spares.items[0].size == 16.5);
    assert_int_equal(f->car.raw->type, TG_DOC_MAPPING);
    assert_null(f->car.note.ptr);
}

static void test_all_errors_are_told_with_their_place(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bind(f, "kind: CAR\n"
                             "color: green\n"
                             "seat: 4\n"
                             "mode: 0900\n"
                             "price: cheap\n"
                             "tags: [ok, toolong]\n"
                             "labels: [x]\n"
                             "engine: {power: 0, turbo: yes}\n"
                             "wheels: {left: {size: 31}}\n"
                             "spares: [{size: '5'}, 7]\n"
                             "towBar: true\n"
                             "title: 'much too long'\n"
                             "zzz: 1\n"),
                     TG_EINVAL);
    assert_messages(f, "car.yaml:3: seat: unknown key; did you mean seats?\n"
                       "car.yaml:11: towBar: cannot be set for CAR cars; it is for TRUCK\n"
                       "car.yaml:13: zzz: unknown key\n"
                       "car.yaml:12: title: must be 1 to 8 characters long\n"
                       "car.yaml:2: color: green is for kind TRUCK only, not for CAR\n"
                       "car.yaml:4: mode: expected permissions as octal digits, got an integer: 0900\n"
                       "car.yaml:5: price: expected a number, got a string: cheap\n"
                       "car.yaml:6: tags[1]: must be 0 to 4 characters long\n"
                       "car.yaml:7: labels: expected a mapping of strings, got a list\n"
                       "car.yaml:8: engine.power: must be at least 1\n"
                       "car.yaml:8: engine.turbo: expected true or false, got a string: yes\n"
                       "car.yaml:9: wheels.left.size: must be 1 to 30\n"
                       "car.yaml:10: spares[0].size: expected a number, got a string: \"5\"\n"
                       "car.yaml:10: spares[1]: expected a mapping, got an integer\n");
    assert_int_equal(f->report.errors, 14);
}

static void test_missing_and_unknown_values(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bind(f, "kind: BIKE\ntitle: ~\nseats: many\ncolor: blue\n"), TG_EINVAL);
    assert_messages(f, "car.yaml:1: the key title is missing\n"
                       "car.yaml:1: kind: unknown value \"BIKE\"; expected one of: CAR, TRUCK\n"
                       "car.yaml:4: color: unknown value \"blue\"; expected one of: red, green\n"
                       "car.yaml:3: seats: expected an integer or auto, got a string: many\n");
    assert_int_equal(bind(f, ""), TG_EINVAL);
    assert_messages(f, "car.yaml:1: the key title is missing\ncar.yaml:1: the key kind is missing\n");
    assert_int_equal(bind(f, "[1]"), TG_EINVAL);
    assert_messages(f, "car.yaml:1: expected a mapping, got a list\n");
}

static void test_discarded_values_are_checked(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bind(f, HEAD "old: x\noldWheels: [{size: 99}]\n"), TG_EINVAL);
    assert_messages(f, "car.yaml:3: old: expected an integer, got a string: x\n"
                       "car.yaml:4: oldWheels[0].size: must be 1 to 30\n");
}

static void test_options_without_effect_yet_warn(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bind(f, HEAD "someday: 5\n"), TG_OK);
    assert_messages(f, "car.yaml:3: someday: has no effect in this version\n");
    assert_int_equal(bind(f, HEAD "someday: -1\n"), TG_EINVAL);
    assert_non_null(strstr(f->report.items[1].text.ptr, "must be at least 0"));
}

static void test_a_check_runs_on_a_sound_struct(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bind(f, HEAD "engine:\n  power: 20\n  turbo: true\n"), TG_EINVAL);
    assert_messages(f, "car.yaml:5: engine.turbo: needs a power of 100\n");
    assert_int_equal(bind(f, HEAD "engine: {power: x, turbo: true}\n"), TG_EINVAL);
    assert_int_equal(f->report.count, 1);
}

static void test_variables(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        bind(f, HEAD "seats: \"${FIVE}\"\nlabels: {a: 'v${FIVE}'}\ntemplates: {t: '${FIVE}${NONE}'}\n"),
        TG_OK);
    assert_int_equal(f->car.seats, 5);
    assert_text(f->car.labels.items[0].value, "v5");
    assert_text(f->car.templates.items[0].value, "${FIVE}${NONE}");
    assert_int_equal(bind(f, HEAD "seats: ${NONE}\nraw: {a: [\"${GONE}\"]}\n"), TG_EINVAL);
    assert_messages(
        f, "car.yaml:3: seats: the environment variable NONE is not set; ${NONE:-text} gives a default, "
           "$${NONE} stands for the text itself\n"
           "car.yaml:4: raw.a[0]: the environment variable GONE is not set; ${GONE:-text} gives a "
           "default, $${GONE} stands for the text itself\n");
}

static void test_messages_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX);
    assert_int_equal(tg_buf_append(&text, TG_LIT(HEAD)), TG_OK);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(tg_buf_printf(&text, "unknown%d: 1\n", i), TG_OK);
    }
    assert_int_equal(tg_buf_append_char(&text, '\0'), TG_OK);
    assert_int_equal(bind(f, text.data), TG_EINVAL);
    tg_buf_free(&text);
    assert_int_equal(f->report.count, TG_OPTIONS_MESSAGES_MAX);
    assert_int_equal(f->report.dropped, 10);
    assert_int_equal(f->report.errors, 60);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_secrets_from_files(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/tidegate-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    char text[256];
    (void)snprintf(text, sizeof text, HEAD "engine: {startKeyFile: %s}\n", path);

    write_file(path, "s3cret\n", 0600);
    assert_int_equal(bind(f, text), TG_OK);
    assert_text(f->car.engine.key, "s3cret");
    assert_int_equal(f->report.count, 0);

    write_file(path, "s3cret", 0644);
    assert_int_equal(bind(f, text), TG_OK);
    assert_int_equal(f->report.count, 1);
    assert_false(f->report.items[0].is_error);
    assert_non_null(strstr(f->report.items[0].text.ptr, "every user of this machine can read"));

    write_file(path, "\n", 0600);
    assert_int_equal(bind(f, text), TG_EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bind(f, text), TG_EINVAL);
    assert_non_null(strstr(f->report.items[0].text.ptr, "not found"));

    (void)snprintf(text, sizeof text, HEAD "engine: {startKeyFile: %s, startKey: x}\n", "/tmp");
    assert_int_equal(bind(f, text), TG_EINVAL);
    assert_messages(f, "car.yaml:3: engine.startKeyFile: cannot be set together with startKey\n"
                       "car.yaml:3: engine.startKeyFile: cannot read /tmp: input/output error\n");
    assert_int_equal(bind(f, HEAD "engine: {startKey: [hidden]}\n"), TG_EINVAL);
    assert_messages(f, "car.yaml:3: engine.startKey: expected a string, got a list\n");
}

static void test_overrides(void **state)
{
    struct fixture *f = *state;
    static char *const environment[] = {"PATH=/bin",
                                        "CAR_SEATS=3",
                                        "CAR_ENGINE__START_KEY=a=b",
                                        "CAR_ENGINE__POWER=9",
                                        "CAR_PRIZE=1",
                                        "CAR_PORT_80_TCP=tcp://1",
                                        "CAR_TAGS=x",
                                        "CARGO=1",
                                        "CAR_ENGINE__TURBO=false",
                                        NULL};
    static const char *const sets[] = {"engine.power=11", "spares[0].size=17", "note=${FIVE}", NULL};
    parse(f, HEAD "seats: 2\n");
    assert_int_equal(tg_options_override(&CAR, &f->arena, "CAR", environment, sets, &f->report, &f->root),
                     TG_OK);
    assert_messages(f, "CAR_PRIZE: no option has this variable; ignored\n"
                       "CAR_TAGS: no option has this variable; ignored\n");
    assert_int_equal(tg_options_bind(&CAR, &f->arena, f->root, &f->report, &f->car), TG_OK);
    assert_int_equal(f->car.seats, 3);
    assert_text(f->car.engine.key, "a=b");
    assert_int_equal(f->car.engine.power, 11);
    assert_true(f->car.spares.items[0].size == 17);
    assert_text(f->car.note, "${FIVE}");
}

static void test_bad_overrides_name_their_origin(void **state)
{
    struct fixture *f = *state;
    static char *const environment[] = {"CAR_SEATS=x", NULL};
    static const char *const sets[] = {"price", "a..b=1", "title.x=1", "engine.power=no", NULL};
    parse(f, HEAD);
    assert_int_equal(tg_options_override(&CAR, &f->arena, "CAR", environment, sets, &f->report, &f->root),
                     TG_EINVAL);
    assert_int_equal(tg_options_bind(&CAR, &f->arena, f->root, &f->report, &f->car), TG_EINVAL);
    assert_messages(
        f, "--set price: expected path=value\n"
           "--set a..b: expected a path such as admin.address or listeners[0].address\n"
           "--set title.x: does not fit: something on the way is no mapping, or the list is shorter\n"
           "CAR_SEATS: seats: expected an integer or auto, got a string: x\n"
           "--set engine.power: engine.power: expected an integer, got a string: no\n");
}

static void test_an_empty_file_takes_overrides(void **state)
{
    struct fixture *f = *state;
    static char *const environment[] = {"CAR_TITLE=t", "CAR_KIND=CAR", NULL};
    parse(f, "");
    assert_int_equal(tg_options_override(&CAR, &f->arena, "CAR", environment, NULL, &f->report, &f->root),
                     TG_OK);
    assert_int_equal(tg_options_bind(&CAR, &f->arena, f->root, &f->report, &f->car), TG_OK);
    assert_text(f->car.title, "t");
}

static void test_markdown_comes_from_the_tables(void **state)
{
    (void)state;
    struct tg_buf out;
    tg_buf_init(&out, SIZE_MAX);
    assert_int_equal(tg_options_markdown(&CAR, &out), TG_OK);
    assert_int_equal(tg_buf_append_char(&out, '\0'), TG_OK);
    static const char *const lines[] = {
        "\n## Car\n\nA car.\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n",
        "| `title` | string, 1 to 8 characters | **required** | What it is called. |\n",
        "| `color` | `red`, `green` (TRUCK only) | `red` | Paint. |\n",
        "| `seats` | integer, 0 to 9, or `auto` | `auto` | Places. *A change takes a restart.* |\n",
        "| `wheels` | map of names: [wheels](#wheels) |  | By name. |\n",
        "| `engine` | mapping: [engine](#engine) |  | The engine. |\n",
        "| `turbo` | boolean | `false` | Whether it whistles. |\n",
        "| `carId` | string |  | Given. *Output of the API model: accepted and ignored.* |\n",
        "| `towBar` | boolean |  | For trucks. *TRUCK only.* |\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (strstr(out.data, lines[i]) == NULL) {
            fail_msg("%s is not in:\n%s", lines[i], out.data);
        }
    }
    char *first = strstr(out.data, "## wheels");
    assert_non_null(first);
    assert_null(strstr(first + 1, "## wheels"));
    tg_buf_free(&out);
}

static void test_help_lists_scalars(void **state)
{
    (void)state;
    struct tg_buf out;
    tg_buf_init(&out, SIZE_MAX);
    assert_int_equal(tg_options_help(&CAR, "CAR", &out), TG_OK);
    assert_int_equal(tg_buf_append_char(&out, '\0'), TG_OK);
    assert_non_null(strstr(out.data, "  engine.startKey (CAR_ENGINE__START_KEY)\n      Key.\n"));
    assert_non_null(strstr(out.data, "  seats (CAR_SEATS)\n      Places. [auto]\n"));
    assert_null(strstr(out.data, "labels"));
    assert_null(strstr(out.data, "carId"));
    tg_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_type_is_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_errors_are_told_with_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_and_unknown_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discarded_values_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_without_effect_yet_warn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_check_runs_on_a_sound_struct, setup, teardown),
        cmocka_unit_test_setup_teardown(test_variables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secrets_from_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overrides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_overrides_name_their_origin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_file_takes_overrides, setup, teardown),
        cmocka_unit_test(test_markdown_comes_from_the_tables),
        cmocka_unit_test(test_help_lists_scalars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
