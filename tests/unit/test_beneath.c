#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "server/io/beneath.h"
#include "tests/unit/tree.h"

/* Every test runs both ways: with openat2, if the kernel has it, and by the walk. */
struct scene {
    struct tree tree;
    struct tg_beneath root;
};

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    char path[128];
    if (scene == NULL) {
        return -1;
    }
    tree_init(&scene->tree);
    tree_file(&scene->tree, "secret", "secret");
    tree_dir(&scene->tree, "root");
    tree_file(&scene->tree, "root/a.txt", "hello");
    tree_dir(&scene->tree, "root/sub");
    tree_dir(&scene->tree, "root/sub/deep");
    tree_file(&scene->tree, "root/sub/deep/b.txt", "deep");
    tree_file(&scene->tree, "root/with space", "1");
    tree_file(&scene->tree, "root/100%", "22");
    tree_file(&scene->tree, "root/gr\xc3\xbc\xc3\x9f", "333");
    tree_file(&scene->tree, "root/back\\slash", "4444");
    tree_file(&scene->tree, "root/...", "55555");
    (void)snprintf(path, sizeof path, "%s/root", scene->tree.path);
    if (tg_beneath_open_root(path, &scene->root) != TG_OK) {
        return -1;
    }
    *state = scene;
    return 0;
}

static int setup_walk(void **state)
{
    if (setup(state) != 0) {
        return -1;
    }
    ((struct scene *)*state)->root.kernel = false;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    tg_beneath_close_root(&scene->root);
    tree_free(&scene->tree);
    free(scene);
    return 0;
}

static enum tg_err try(const struct scene *scene, const char *name, struct tg_beneath_file *file)
{
    struct tg_beneath_file opened = {.fd = -1};
    enum tg_err err = tg_beneath_open(&scene->root, tg_slice_cstr(name), &opened);
    assert_true(err == TG_OK ? opened.fd >= 0 : opened.fd == -1);
    if (file != NULL) {
        *file = opened;
    }
    if (opened.fd >= 0) {
        assert_true((fcntl(opened.fd, F_GETFD) & FD_CLOEXEC) != 0);
        close(opened.fd);
    }
    return err;
}

static void files_and_directories_are_opened(void **state)
{
    struct tg_beneath_file file;
    static const struct {
        const char *name;
        size_t size;
    } files[] = {{"a.txt", 5}, {"sub/deep/b.txt", 4},     {"with space", 1},
                 {"100%", 2},  {"gr\xc3\xbc\xc3\x9f", 3}, {"back\\slash", 4},
                 {"...", 5}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_int_equal(try(*state, files[i].name, &file), TG_OK);
        assert_false(file.directory);
        assert_int_equal(file.size, files[i].size);
    }
    static const char *const directories[] = {"", "sub", "sub/deep"};
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        assert_int_equal(try(*state, directories[i], &file), TG_OK);
        assert_true(file.directory);
        assert_int_equal(file.size, 0);
    }
    const struct scene *scene = *state;
    tree_time(&scene->tree, "root/a.txt", 1700000000, 123456789);
    assert_int_equal(try(*state, "a.txt", &file), TG_OK);
    assert_int_equal(file.modified_s, 1700000000);
    assert_int_equal(file.modified_ns, 123456789);
    assert_true(file.inode != 0);
}

static void names_that_are_none_are_refused(void **state)
{
    static const char *const names[] = {
        "/",
        "/a.txt",
        "..",
        "../secret",
        "sub/..",
        "sub/../a.txt",
        "sub//deep",
        "sub/",
        "a.txt/",
        ".",
        "./a.txt",
        "sub/./deep",
        "//a.txt",
        "sub/deep/../..",
        "../root/a.txt",
        "../../etc/passwd",
        "/etc/passwd",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_false(tg_beneath_name_ok(tg_slice_cstr(names[i])));
        assert_int_equal(try(*state, names[i], NULL), TG_EINVAL);
    }
    const struct scene *scene = *state;
    struct tg_beneath_file file;
    assert_int_equal(tg_beneath_open(&scene->root, TG_LIT("a.txt\0"), &file), TG_EINVAL);
    assert_int_equal(tg_beneath_open(&scene->root, TG_LIT("a.txt\0/x"), &file), TG_EINVAL);
    char longest[5000];
    for (size_t i = 0; i < sizeof longest; i++) {
        longest[i] = i % 2 == 0 ? 'a' : '/';
    }
    assert_int_equal(tg_beneath_open(&scene->root, tg_slice_make(longest, 4097), &file), TG_EINVAL);
    assert_int_equal(tg_beneath_open(&scene->root, tg_slice_make(longest, 4095), &file), TG_ENOTFOUND);
    assert_false(tg_beneath_name_ok(TG_EMPTY));
}

static void what_is_not_there_is_not_found(void **state)
{
    char name[300];
    assert_int_equal(try(*state, "b.txt", NULL), TG_ENOTFOUND);
    assert_int_equal(try(*state, "none/b.txt", NULL), TG_ENOTFOUND);
    assert_int_equal(try(*state, "a.txt/b.txt", NULL), TG_ENOTFOUND);
    assert_int_equal(try(*state, "secret", NULL), TG_ENOTFOUND);
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(try(*state, name, NULL), TG_ENOTFOUND);
}

static void links_do_not_lead_out(void **state)
{
    const struct scene *scene = *state;
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/root/a.txt", scene->tree.path);
    tree_link(&scene->tree, "../secret", "root/up");
    tree_link(&scene->tree, "../../secret", "root/sub/upup");
    tree_link(&scene->tree, "..", "root/parent");
    tree_link(&scene->tree, "/etc/passwd", "root/passwd");
    tree_link(&scene->tree, "/etc", "root/etc");
    tree_link(&scene->tree, absolute, "root/absolute"); /* inside, but told from the root of the world */
    tree_link(&scene->tree, "/proc/self/root", "root/magic");
    tree_link(&scene->tree, "loop", "root/loop");
    tree_link(&scene->tree, "nowhere", "root/dangling");
    static const char *const names[] = {
        "up",  "sub/upup", "parent/secret", "parent/root/a.txt", "parent", "passwd", "etc/passwd",
        "etc", "absolute", "magic",         "magic/etc/passwd",  "loop",   "loop/a", "dangling"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(try(*state, names[i], NULL), TG_ENOTFOUND);
    }
}

static void links_inside_are_followed_by_the_kernel_alone(void **state)
{
    const struct scene *scene = *state;
    struct tg_beneath_file file;
    tree_link(&scene->tree, "a.txt", "root/again");
    tree_link(&scene->tree, "sub/deep", "root/short");
    tree_link(&scene->tree, "../../a.txt", "root/sub/deep/back");
    static const struct {
        const char *name;
        size_t size;
    } files[] = {{"again", 5}, {"short/b.txt", 4}, {"sub/deep/back", 5}, {"short/back", 5}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        enum tg_err err = try(*state, files[i].name, &file);
        assert_int_equal(err, scene->root.kernel ? TG_OK : TG_ENOTFOUND);
        if (err == TG_OK) {
            assert_int_equal(file.size, files[i].size);
        }
    }
}

/* A FIFO without a writer would hold an ordinary open for ever. */
static void what_is_no_file_does_not_exist(void **state)
{
    const struct scene *scene = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    tree_fifo(&scene->tree, "root/fifo");
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/root/socket", scene->tree.path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    assert_int_equal(try(*state, "fifo", NULL), TG_ENOTFOUND);
    assert_int_equal(try(*state, "socket", NULL), TG_ENOTFOUND);
    close(fd);
}

/* The superuser reads everything, so it becomes somebody else for a moment. */
static void what_may_not_be_read_is_denied(void **state)
{
    const struct scene *scene = *state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/root/a.txt", scene->tree.path);
    TREE_CHECK(chmod(path, 0) == 0);
    bool mighty = geteuid() == 0;
    assert_int_equal(mighty ? seteuid(65534) : 0, 0);
    enum tg_err err = try(*state, "a.txt", NULL);
    assert_int_equal(mighty ? seteuid(0) : 0, 0);
    assert_int_equal(err, TG_EDENIED);
}

static void descriptors_that_are_out_are_told(void **state)
{
    struct rlimit saved;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
    int next = open("/dev/null", O_RDONLY);
    close(next);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = saved.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum tg_err err = try(*state, "a.txt", NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
    assert_int_equal(err, TG_ELIMIT);
    assert_int_equal(try(*state, "a.txt", NULL), TG_OK);
}

static void a_walk_leaves_no_descriptor_behind(void **state)
{
    int before = open("/dev/null", O_RDONLY);
    close(before);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(try(*state, "sub/deep/b.txt", NULL), TG_OK);
        assert_int_equal(try(*state, "sub/deep/none", NULL), TG_ENOTFOUND);
        assert_int_equal(try(*state, "sub/none/b", NULL), TG_ENOTFOUND);
        assert_int_equal(try(*state, "sub/deep/b.txt/x/y", NULL), TG_ENOTFOUND);
    }
    int after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(after, before);
}

/* The root is the directory that was opened, whatever becomes of its name. */
static void a_root_that_is_renamed_stays(void **state)
{
    const struct scene *scene = *state;
    char old[128], new[128];
    (void)snprintf(old, sizeof old, "%s/root", scene->tree.path);
    (void)snprintf(new, sizeof new, "%s/moved", scene->tree.path);
    assert_int_equal(rename(old, new), 0);
    tree_link(&scene->tree, "/etc", "root");
    assert_int_equal(try(*state, "a.txt", NULL), TG_OK);
    assert_int_equal(try(*state, "passwd", NULL), TG_ENOTFOUND);
}

static void a_root_must_be_a_directory(void **state)
{
    const struct scene *scene = *state;
    struct tg_beneath root = {.fd = -2};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/secret", scene->tree.path);
    assert_int_equal(tg_beneath_open_root(path, &root), TG_ENOTFOUND);
    (void)snprintf(path, sizeof path, "%s/none", scene->tree.path);
    assert_int_equal(tg_beneath_open_root(path, &root), TG_ENOTFOUND);
    assert_int_equal(root.fd, -2);
}

int main(void)
{
#define BOTH(name)                                                                                           \
    {#name, name, setup, teardown, NULL},                                                                    \
    {                                                                                                        \
#name " by the walk", name, setup_walk, teardown, NULL                                               \
    }
    const struct CMUnitTest tests[] = {
        BOTH(files_and_directories_are_opened),
        BOTH(names_that_are_none_are_refused),
        BOTH(what_is_not_there_is_not_found),
        BOTH(links_do_not_lead_out),
        BOTH(links_inside_are_followed_by_the_kernel_alone),
        BOTH(what_is_no_file_does_not_exist),
        BOTH(what_may_not_be_read_is_denied),
        BOTH(descriptors_that_are_out_are_told),
        BOTH(a_walk_leaves_no_descriptor_behind),
        BOTH(a_root_that_is_renamed_stays),
        BOTH(a_root_must_be_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
