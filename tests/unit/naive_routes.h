/* The choice of a route as its definition reads (spec http-api.md 1.2), by trial of every route: what the
 * trie is held against. Shares no code with it. Texts are plain C strings without NULs. */
#ifndef TG_TESTS_NAIVE_ROUTES_H
#define TG_TESTS_NAIVE_ROUTES_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAIVE_SEGMENTS = 80, NAIVE_TEXT = 512 };

struct naive_path {
    char segments[NAIVE_SEGMENTS][NAIVE_TEXT]; /* decoded */
    int count;
    bool refused;
};

static int naive_digit(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) % 16 : -1;
}

/* Splits, then decodes. */
static void naive_split(const char *text, struct naive_path *path)
{
    char dotted[2 * NAIVE_TEXT];
    size_t length = 0;
    path->count = 0;
    path->refused = text[0] != '/';
    if (strcmp(text, "/") == 0) {
        return;
    }
    dotted[length++] = '/';
    for (const char *at = text + 1; !path->refused; at++) {
        char *to = path->segments[path->count++];
        while (*at != '/' && *at != '\0') {
            char c = *at++;
            if (c == '%' && naive_digit(at[0]) >= 0 && naive_digit(at[1]) >= 0) {
                c = (char)(naive_digit(at[0]) * 16 + naive_digit(at[1]));
                at += 2;
                path->refused = path->refused || c == '\0';
            }
            *to++ = c;
            dotted[length++] = c;
        }
        *to = '\0';
        dotted[length++] = '/';
        if (*at == '\0') {
            break;
        }
    }
    dotted[length] = '\0';
    path->refused = path->refused || strstr(dotted, "/../") != NULL;
}

/* 0: does not match; 1: matches with {name+}; 2: without. */
static int naive_fits(const struct naive_path *template, const struct naive_path *path, bool ignore_slash)
{
    int end = path->count;
    if (ignore_slash && end > 0 && path->segments[end - 1][0] == '\0') {
        end--;
    }
    for (int i = 0; i < template->count; i++) {
        const char *segment = template->segments[i];
        size_t len = strlen(segment);
        if (segment[0] == '{' && segment[len - 2] == '+') {
            return path->count > i ? 1 : 0;
        }
        if (i >= path->count || path->segments[i][0] == '\0' ||
            (segment[0] != '{' && strcmp(segment, path->segments[i]) != 0)) {
            return 0;
        }
    }
    return end == template->count ? 2 : 0;
}

static int naive_rank(const char *segment)
{
    return segment[0] != '{' ? 0 : segment[strlen(segment) - 2] == '+' ? 2 : 1;
}

/* Whether the key of path a and method a beats that of b; both fit. */
static bool naive_beats(const struct naive_path *a, bool a_any, int a_fit, const struct naive_path *b,
                        int b_fit)
{
    if (a_fit != b_fit) {
        return a_fit > b_fit;
    }
    for (int i = 0; i < a->count && i < b->count; i++) {
        int by = naive_rank(a->segments[i]) - naive_rank(b->segments[i]);
        if (by != 0) {
            return by < 0;
        }
    }
    return !a_any;
}

/* The index of the key for a request, or -1; keys as configured, each of them valid, no `$default`, literals
 * without encoded braces. *fit as of naive_fits. */
static int naive_match(const char *const *keys, size_t count, const char *method, const char *text,
                       bool ignore_slash, bool *refused)
{
    static struct naive_path path, template, best;
    static const char known[] = "|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|";
    char quoted[64];
    int found = -1, found_fit = 0;
    naive_split(text, &path);
    *refused = path.refused;
    (void)snprintf(quoted, sizeof quoted, "|%s|", method);
    if (path.refused || strchr(method, '|') != NULL || strstr(known, quoted) == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const char *space = strchr(keys[i], ' ');
        size_t len = (size_t)(space - keys[i]);
        bool any = strncmp(keys[i], "ANY ", 4) == 0;
        if (!any && (strlen(method) != len || strncmp(keys[i], method, len) != 0)) {
            continue;
        }
        naive_split(space + 1, &template);
        int fit = naive_fits(&template, &path, ignore_slash);
        if (fit > 0 && (found < 0 || naive_beats(&template, any, fit, &best, found_fit))) {
            found = (int)i;
            found_fit = fit;
            best = template;
        }
    }
    return found;
}

#endif
