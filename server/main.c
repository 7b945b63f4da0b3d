/* The command line: tidegate serve | check | health | version. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/app/app.h"
#include "server/app/config.h"
#include "server/app/health.h"

enum { OVERRIDES_MAX = 64, EXIT_USAGE = 2 };

extern char **environ;

static const char usage[] =
    "tidegate - a WebSocket gateway compatible with Amazon API Gateway\n"
    "\n"
    "  tidegate serve --config FILE [--set PATH=VALUE]...   run the gateway\n"
    "  tidegate check FILE [--set PATH=VALUE]...            check a configuration file, all of it, and exit\n"
    "  tidegate health --config FILE [--set PATH=VALUE]...  whether the gateway that runs with it is ready\n"
    "  tidegate version                                     print the version\n"
    "  tidegate --help                                      print this and the options\n"
    "\n"
    "FILE may be given as TIDEGATE_CONFIG. SIGHUP reloads it, SIGTERM drains and stops, SIGINT stops at "
    "once.\n"
    "Exit status: 0 in order, 1 a configuration or a start that failed, 2 wrong usage.\n";

static void print_message(void *arg, bool is_error, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s: %s\n", is_error ? "error" : "warning", line);
}

static int usage_error(const char *what, const char *argument)
{
    (void)fprintf(stderr, "tidegate: %s%s%s; see tidegate --help\n", what, argument != NULL ? ": " : "",
                  argument != NULL ? argument : "");
    return EXIT_USAGE;
}

static int print_help(void)
{
    struct tg_buf text;
    tg_buf_init(&text, 1 << 20);
    enum tg_err err = tg_config_help(&text);
    if (err == TG_OK) {
        struct tg_slice bytes = tg_buf_slice(&text);
        (void)printf("%s\n%.*s", usage, TG_FMT(bytes));
    }
    tg_buf_free(&text);
    return err == TG_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct arguments {
    const char *file;
    const char *overrides[OVERRIDES_MAX + 1];
    size_t override_count;
};

/* 0, or the exit status. `positional`: FILE may stand alone. */
static int parse(int argc, char **argv, bool positional, struct arguments *out)
{
    for (int i = 0; i < argc; i++) {
        const char *value = NULL;
        const char *argument = argv[i];
        bool is_config = strcmp(argument, "--config") == 0 || strcmp(argument, "-c") == 0;
        bool is_set = strcmp(argument, "--set") == 0;
        if (is_config || is_set) {
            if (i + 1 >= argc) {
                return usage_error("missing value", argument);
            }
            value = argv[++i];
        } else if (strncmp(argument, "--config=", 9) == 0) {
            is_config = true;
            value = argument + 9;
        } else if (strncmp(argument, "--set=", 6) == 0) {
            is_set = true;
            value = argument + 6;
        }
        if (is_set && out->override_count < OVERRIDES_MAX) {
            out->overrides[out->override_count++] = value;
        } else if (is_set) {
            return usage_error("too many --set", NULL);
        } else if ((is_config || (positional && argument[0] != '-')) && out->file == NULL) {
            out->file = is_config ? value : argument;
        } else {
            return usage_error("unexpected argument", argument);
        }
    }
    if (out->file == NULL) {
        out->file = getenv("TIDEGATE_CONFIG");
    }
    return out->file != NULL ? 0 : usage_error("no configuration file given", NULL);
}

static int check(const struct tg_config_source *source)
{
    struct tg_config *config;
    enum tg_err err = tg_config_load(source, &config);
    if (err != TG_OK) {
        return EXIT_FAILURE;
    }
    (void)printf("%s: ok, %zu API%s\n", source->path, config->model.apis.count,
                 config->model.apis.count == 1 ? "" : "s");
    tg_config_unref(config);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    if (argc < 2) {
        return usage_error("no command given", NULL);
    }
    const char *command = argv[1];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
            (i == 1 && strcmp(argv[i], "help") == 0)) {
            return print_help();
        }
    }
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        (void)printf("tidegate %s\n", TG_VERSION);
        return EXIT_SUCCESS;
    }
    bool is_check = strcmp(command, "check") == 0, is_health = strcmp(command, "health") == 0;
    if (!is_check && !is_health && strcmp(command, "serve") != 0) {
        return usage_error("unknown command", command);
    }
    int status = parse(argc - 2, argv + 2, is_check, &arguments);
    if (status != 0) {
        return status;
    }
    const struct tg_config_source source = {
        .path = arguments.file,
        .overrides = arguments.overrides,
        .environment = environ,
        .message = print_message,
    };
    if (is_health) {
        return tg_health_ask(&source);
    }
    return is_check ? check(&source) : tg_app_serve(&source);
}
