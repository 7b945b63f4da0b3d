/* A locator's configuration as lines of text, for tests:
 *
 *   http|ws ID [disabled] [root] [stages=A,B] [hosts=A,B]
 *   domain NAME
 *   map KEY API STAGE            of the domain above; KEY - is the empty one
 *   batches                      there are batch calls
 *
 * What is borrowed is in the arena and the text. An API's `api` is its own entry. */
#ifndef TG_TESTS_LOCATE_TEXT_H
#define TG_TESTS_LOCATE_TEXT_H

#include "routes/locate.h"

enum { LOCATE_TEXT_ITEMS = 64 };

struct locate_text {
    struct tg_locate_api apis[LOCATE_TEXT_ITEMS];
    struct tg_locate_domain domains[LOCATE_TEXT_ITEMS];
    struct tg_locate_mapping mappings[LOCATE_TEXT_ITEMS];
    struct tg_slice names[LOCATE_TEXT_ITEMS]; /* of stages and hosts */
    size_t mapping_count, name_count;
    struct tg_locate_config config;
};

static struct tg_strings locate_text_list(struct locate_text *text, struct tg_slice words)
{
    struct tg_strings list = {&text->names[text->name_count], 0};
    while (words.ptr != NULL && text->name_count < LOCATE_TEXT_ITEMS) {
        text->names[text->name_count++] = tg_slice_cut(words, ',', &words);
        list.count++;
    }
    return list;
}

static void locate_text_api(struct locate_text *text, bool is_http, struct tg_slice words)
{
    if (text->config.api_count == LOCATE_TEXT_ITEMS) {
        return;
    }
    struct tg_locate_api *api = &text->apis[text->config.api_count++];
    *api = (struct tg_locate_api){.api = api, .is_http = is_http, .api_id = tg_slice_cut(words, ' ', &words)};
    while (words.ptr != NULL) {
        struct tg_slice list, word = tg_slice_cut(words, ' ', &words), key = tg_slice_cut(word, '=', &list);
        if (tg_slice_eq(key, TG_LIT("stages"))) {
            api->stages = locate_text_list(text, list);
        } else if (tg_slice_eq(key, TG_LIT("hosts"))) {
            api->hosts = locate_text_list(text, list);
        } else {
            api->disable_execute_api_endpoint |= tg_slice_eq(key, TG_LIT("disabled"));
            api->serve_at_root |= tg_slice_eq(key, TG_LIT("root"));
        }
    }
}

static void locate_text_line(struct locate_text *text, struct tg_slice line)
{
    struct tg_slice words, verb = tg_slice_cut(line, ' ', &words);
    struct tg_locate_config *config = &text->config;
    if (tg_slice_eq(verb, TG_LIT("http")) || tg_slice_eq(verb, TG_LIT("ws"))) {
        locate_text_api(text, verb.len == 4, words);
    } else if (tg_slice_eq(verb, TG_LIT("domain")) && config->domain_count < LOCATE_TEXT_ITEMS) {
        text->domains[config->domain_count++] =
            (struct tg_locate_domain){.name = words, .mappings = &text->mappings[text->mapping_count]};
    } else if (tg_slice_eq(verb, TG_LIT("batches"))) {
        config->has_batches = true;
    } else if (tg_slice_eq(verb, TG_LIT("map")) && config->domain_count > 0 &&
               text->mapping_count < LOCATE_TEXT_ITEMS) {
        struct tg_locate_mapping *mapping = &text->mappings[text->mapping_count++];
        mapping->key = tg_slice_cut(words, ' ', &words);
        if (tg_slice_eq(mapping->key, TG_LIT("-"))) {
            mapping->key = TG_EMPTY;
        }
        mapping->api_id = tg_slice_cut(words, ' ', &mapping->stage);
        text->domains[config->domain_count - 1].mapping_count++;
    }
}

/* Reads lines up to an empty one; *lines is what follows it. NULL: out of memory. */
static const struct tg_locate_config *locate_text_read(struct tg_arena *arena, struct tg_slice *lines)
{
    struct locate_text *text = tg_arena_zalloc(arena, sizeof *text);
    if (text == NULL) {
        return NULL;
    }
    text->config.apis = text->apis;
    text->config.domains = text->domains;
    while (lines->ptr != NULL) {
        struct tg_slice line = tg_slice_cut(*lines, '\n', lines);
        if (line.len == 0) {
            break;
        }
        locate_text_line(text, line);
    }
    return &text->config;
}

#endif
