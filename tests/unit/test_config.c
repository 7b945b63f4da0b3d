/* Loading, reloading and documenting. The model's compiler is stood in for, so that a test can say what it
 * finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/app/config.h"
#include "server/base/options.h"

static struct {
    size_t compiled, released;
    bool complain;
} compiler;

enum tg_err tg_model_compile(struct tg_model *model, struct tg_options_report *report)
{
    compiler.compiled++;
    if (compiler.complain) {
        tg_options_error(report, model->apis.items[0].where, "name", "displeases");
        return TG_EINVAL;
    }
    return TG_OK;
}

void tg_model_release(struct tg_model *model)
{
    assert_non_null(model->arena);
    compiler.released++;
}

void tg_model_unref(struct tg_model *model)
{
    if (atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) == 1) {
        model->destroy(model);
    }
}

struct fixture {
    char path[32];
    char messages[4096];
    size_t errors;
    char *environment[4];
    const char *overrides[4];
    struct tg_config *config;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    (void)snprintf(f->path, sizeof f->path, "/tmp/tidegate-test-XXXXXX");
    int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)memset(&compiler, 0, sizeof compiler);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->config != NULL) {
        tg_config_unref(f->config);
    }
    (void)unlink(f->path);
    free(f);
    return 0;
}

static void on_message(void *arg, bool is_error, const char *line)
{
    struct fixture *f = arg;
    size_t used = strlen(f->messages);
    /* The file's name is not the test's. */
    const char *text = strncmp(line, f->path, strlen(f->path)) == 0 ? line + strlen(f->path) : line;
    (void)snprintf(f->messages + used, sizeof f->messages - used, "%s\n", text);
    f->errors += is_error ? 1 : 0;
}

static enum tg_err load_as(struct fixture *f, const char *text, struct tg_config **out)
{
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct tg_config_source source = {.path = f->path,
                                      .overrides = f->overrides,
                                      .environment = f->environment,
                                      .message = on_message,
                                      .arg = f};
    f->messages[0] = '\0';
    f->errors = 0;
    return tg_config_load(&source, out);
}

static enum tg_err load(struct fixture *f, const char *text)
{
    if (f->config != NULL) {
        tg_config_unref(f->config);
        f->config = NULL;
    }
    return load_as(f, text, &f->config);
}

#define APIS                                                                                                 \
    "apis:\n- {apiId: a, name: a, protocolType: WEBSOCKET, routeSelectionExpression: $request.body.a}\n"
#define FILE_TEXT "listeners: [{address: '127.0.0.1:8080'}]\n" APIS

static void test_a_sound_file_loads(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, FILE_TEXT), TG_OK);
    assert_string_equal(f->messages, "");
    assert_int_equal(compiler.compiled, 1);
    assert_string_equal(f->config->path.ptr, f->path);
    assert_ptr_equal(f->config->model.arena, &f->config->arena);
    assert_string_equal(f->config->connection_id_secret.ptr, "000000000000");
    struct tg_config *second = tg_config_ref(f->config);
    tg_config_unref(second);
    assert_int_equal(compiler.released, 0);
    tg_config_unref(f->config);
    f->config = NULL;
    assert_int_equal(compiler.released, 1);
}

static void test_json_is_read_too(void **state)
{
    struct fixture *f = *state;
    f->environment[0] = (char[]){"PORT=81"};
    assert_int_equal(
        load(f, "{\n\t\"listeners\": [{\"address\": \"127.0.0.1:${PORT}\", \"backlog\": \"${PORT}\"}],\n"
                "\t\"apis\": [{\"apiId\": \"a\", \"name\": \"a\", \"protocolType\": \"WEBSOCKET\",\n"
                "\t\"routeSelectionExpression\": \"${request.body.a}\"}]\n}\n"),
        TG_OK);
    assert_int_equal(f->config->listeners.items[0].backlog, 81);
    assert_string_equal(f->config->listeners.items[0].address.ptr, "127.0.0.1:81");
    assert_string_equal(f->config->model.apis.items[0].route_selection_expression.ptr, "${request.body.a}");
}

static void test_a_missing_file(void **state)
{
    struct fixture *f = *state;
    struct tg_config_source source = {.path = "/nonexistent/x.yaml", .message = on_message, .arg = f};
    assert_int_equal(tg_config_load(&source, &f->config), TG_ENOTFOUND);
    assert_string_equal(f->messages, "/nonexistent/x.yaml: not found\n");
    source.path = "/";
    f->messages[0] = '\0';
    assert_int_equal(tg_config_load(&source, &f->config), TG_EINVAL);
    assert_string_equal(f->messages, "/: input/output error\n");
}

static void test_malformed_text_is_told_with_its_place(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "listeners: [\napis: 1\n"), TG_EINVAL);
    assert_int_equal(f->errors, 1);
    assert_memory_equal(f->messages, ":3:1: ", 6);
    assert_null(f->config);
}

static void test_every_error_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    f->overrides[0] = "nonsense";
    f->environment[0] = (char[]){"TIDEGATE_WORKERS=many"};
    assert_int_equal(load(f, FILE_TEXT "regoin: x\nadmin: {address: \"${ADMIN}\"}\n"), TG_EINVAL);
    assert_string_equal(
        f->messages,
        "--set nonsense: expected path=value\n"
        ":4: regoin: unknown key; did you mean region?\n"
        ":5: admin.address: the environment variable ADMIN is not set; ${ADMIN:-text} gives a default, "
        "$${ADMIN} stands for the text itself\n"
        "TIDEGATE_WORKERS: workers: expected an integer or auto, got a string: many\n");
    assert_int_equal(f->errors, 4);
    assert_int_equal(compiler.compiled, 1); /* for what it finds on top */
}

static void test_what_the_compiler_finds_is_an_error(void **state)
{
    struct fixture *f = *state;
    compiler.complain = true;
    assert_int_equal(load(f, FILE_TEXT), TG_EINVAL);
    assert_string_equal(f->messages, ":3: apis[0].name: displeases\n");
    assert_int_equal(compiler.released, 1);
}

static void test_warnings_do_not_stop_it(void **state)
{
    struct fixture *f = *state;
    f->environment[0] = (char[]){"TIDEGATE_WROKERS=2"};
    assert_int_equal(load(f, FILE_TEXT), TG_OK);
    assert_int_equal(f->errors, 0);
    assert_string_equal(f->messages, "TIDEGATE_WROKERS: no option has this variable; ignored\n");
}

static void test_overrides_in_order(void **state)
{
    struct fixture *f = *state;
    f->environment[0] = (char[]){"TIDEGATE_WORKERS=3"};
    f->environment[1] = (char[]){"TIDEGATE_ADMIN__ADDRESS=127.0.0.1:9090"};
    f->environment[2] = (char[]){"TIDEGATE_MAX_CONNECTIONS=7"};
    f->overrides[0] = "maxConnections=8";
    f->overrides[1] = "listeners[1].address=unix:/tmp/x";
    assert_int_equal(load(f, FILE_TEXT "workers: 2\n"), TG_OK);
    assert_int_equal(f->config->workers, 3);
    assert_int_equal(f->config->max_connections, 8);
    assert_int_equal(tg_address_port(&f->config->admin.socket_address), 9090);
    assert_int_equal(f->config->listeners.count, 2);
}

static void test_what_takes_a_restart(void **state)
{
    static const struct {
        const char *text, *option;
    } rows[] = {{FILE_TEXT "region: x\nlog: {level: debug}\n", NULL},
                {FILE_TEXT "maxConnections: 5\n", "maxConnections"},
                {FILE_TEXT "log: {format: json}\n", "log.format"},
                {FILE_TEXT "backends: {dnsTtlSeconds: 1}\n", "backends.dnsTtlSeconds"},
                {"listeners: [{address: '127.0.0.1:8080', backlog: 1}]\n" APIS, "listeners"},
                {"listeners: [{address: '127.0.0.1:8081'}]\n" APIS, "listeners"},
                {"listeners: [{address: '127.0.0.1:8080'}, {address: '127.0.0.1:1'}]\n" APIS, "listeners"},
                {FILE_TEXT "admin: {address: '127.0.0.1:1'}\n", "admin"},
                {FILE_TEXT "workers: 1\n", "workers"},
                {FILE_TEXT "registry: {cluster: x}\n", "registry"},
                {FILE_TEXT "registry: {leaseSeconds: 9}\n", "registry"},
                {FILE_TEXT "connectionIdSecret: x\n", "connectionIdSecret"},
                {FILE_TEXT "accountId: 111111111111\n", "connectionIdSecret"}};
    struct fixture *f = *state;
    assert_int_equal(load(f, FILE_TEXT), TG_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tg_config *next = NULL;
        const char *option = NULL;
        assert_int_equal(load_as(f, rows[i].text, &next), TG_OK);
        assert_int_equal(tg_config_reloadable(f->config, next, &option), rows[i].option == NULL);
        if (rows[i].option != NULL) {
            assert_string_equal(option, rows[i].option);
        } else {
            assert_null(option);
        }
        tg_config_unref(next);
    }
}

static void test_the_example_loads(void **state)
{
    struct fixture *f = *state;
    struct tg_config_source source = {.path = "examples/chat/tidegate.yaml",
                                      .environment = f->environment,
                                      .message = on_message,
                                      .arg = f};
    assert_int_equal(tg_config_load(&source, &f->config), TG_OK);
    assert_int_equal(f->errors, 0);
    assert_non_null(f->config);
    assert_string_equal(f->config->model.apis.items[0].integrations.items[0].integration_uri.ptr,
                        "http://127.0.0.1:9000/");
}

/* docs/configuration.md is what the tables say. TG_UPDATE_DOCS=1 writes it anew. */
static void test_the_reference_is_up_to_date(void **state)
{
    (void)state;
    static const char path[] = "docs/configuration.md";
    struct tg_buf expected;
    tg_buf_init(&expected, SIZE_MAX);
    assert_int_equal(tg_config_document(&expected), TG_OK);
    size_t size = tg_buf_size(&expected);
    if (getenv("TG_UPDATE_DOCS") != NULL) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(expected.data, 1, size, out), size);
        assert_int_equal(fclose(out), 0);
    }
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = malloc(size + 1);
    assert_non_null(text);
    size_t got = fread(text, 1, size + 1, file);
    assert_int_equal(fclose(file), 0);
    bool same = got == size && memcmp(text, expected.data, size) == 0;
    free(text);
    tg_buf_free(&expected);
    if (!same) {
        fail_msg("%s does not match the tables; run this test with TG_UPDATE_DOCS=1", path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_sound_file_loads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_is_read_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_missing_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed_text_is_told_with_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_error_is_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_compiler_finds_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_warnings_do_not_stop_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overrides_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_takes_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_example_loads, setup, teardown),
        cmocka_unit_test(test_the_reference_is_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
