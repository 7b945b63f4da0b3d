/* For tests of serving files: a directory with some of them, and what settings and answers are read with. */
#ifndef TG_TESTS_STATIC_SCENE_H
#define TG_TESTS_STATIC_SCENE_H

#include "routes/static_private.h"
#include "tests/unit/tree.h"

static const int64_t now_ms = 1767323045000; /* Fri, 02 Jan 2026 03:04:05 GMT */

struct scene {
    struct tree tree;
    struct tg_arena arena;
    struct tg_static_settings settings;
    struct tg_static *files;
    char root[128];
};

static inline int scene_setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (scene == NULL) {
        return -1;
    }
    tree_init(&scene->tree);
    tree_file(&scene->tree, "secret.txt", "secret");
    tree_dir(&scene->tree, "www");
    tree_file(&scene->tree, "www/index.html", "<html>");
    tree_file(&scene->tree, "www/.env", "PASSWORD=1");
    tree_file(&scene->tree, "www/app.js", "let a;");
    tree_file(&scene->tree, "www/app.js.gz", "gz");
    tree_file(&scene->tree, "www/app.js.br", "br!");
    tree_dir(&scene->tree, "www/docs");
    tree_file(&scene->tree, "www/docs/index.html", "docs");
    tree_dir(&scene->tree, "www/bare");
    tree_dir(&scene->tree, "www/odd");
    tree_dir(&scene->tree, "www/odd/index.html");
    (void)snprintf(scene->root, sizeof scene->root, "%s/www", scene->tree.path);
    scene->settings.root = tg_slice_cstr(scene->root);
    tg_arena_init(&scene->arena, NULL);
    *state = scene;
    return 0;
}

static inline int scene_teardown(void **state)
{
    struct scene *scene = *state;
    tg_static_unref(scene->files);
    tg_arena_reset(&scene->arena);
    tree_free(&scene->tree);
    free(scene);
    return 0;
}

static inline struct tg_static *open_files(struct scene *scene)
{
    const char *why = NULL;
    tg_static_unref(scene->files);
    scene->files = NULL;
    assert_int_equal(tg_static_new(&scene->settings, &scene->files, &why), TG_OK);
    return scene->files;
}

static inline void add(struct scene *scene, struct tg_headers *headers, const char *name, const char *value)
{
    assert_int_equal(tg_headers_add(headers, &scene->arena, tg_slice_cstr(name), tg_slice_cstr(value)),
                     TG_OK);
}

static inline const char *value_of(struct scene *scene, const struct tg_headers *headers, const char *name)
{
    const struct tg_header *field = tg_headers_first(headers, tg_slice_cstr(name));
    struct tg_slice text;
    if (field == NULL) {
        return "(none)";
    }
    assert_int_equal(tg_headers_count(headers, tg_slice_cstr(name)), 1);
    assert_int_equal(tg_arena_copy(&scene->arena, field->value, &text), TG_OK);
    return text.ptr;
}

#endif
