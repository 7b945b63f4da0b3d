/* A directory of files for a test, made anew and taken away with all that is in it. Names are relative to it.
 */
#ifndef TG_TESTS_TREE_H
#define TG_TESTS_TREE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
    char path[64];
};

#define TREE_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            perror(#condition);                                                                              \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static inline void tree_init(struct tree *tree)
{
    (void)snprintf(tree->path, sizeof tree->path, "/tmp/tidegate-tree-XXXXXX");
    TREE_CHECK(mkdtemp(tree->path) != NULL);
}

static inline int tree_root(const struct tree *tree)
{
    int fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TREE_CHECK(fd >= 0);
    return fd;
}

static inline void tree_dir(const struct tree *tree, const char *name)
{
    int root = tree_root(tree);
    TREE_CHECK(mkdirat(root, name, 0755) == 0);
    close(root);
}

/* Makes the file or writes it anew. */
static inline void tree_bytes(const struct tree *tree, const char *name, const char *bytes, size_t len)
{
    int root = tree_root(tree);
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    TREE_CHECK(fd >= 0);
    TREE_CHECK(write(fd, bytes, len) == (ssize_t)len);
    close(fd);
    close(root);
}

static inline void tree_file(const struct tree *tree, const char *name, const char *text)
{
    tree_bytes(tree, name, text, strlen(text));
}

static inline void tree_link(const struct tree *tree, const char *target, const char *name)
{
    int root = tree_root(tree);
    TREE_CHECK(symlinkat(target, root, name) == 0);
    close(root);
}

static inline void tree_fifo(const struct tree *tree, const char *name)
{
    int root = tree_root(tree);
    TREE_CHECK(mkfifoat(root, name, 0644) == 0);
    close(root);
}

/* Sets the length; what is new is a hole. */
static inline void tree_resize(const struct tree *tree, const char *name, off_t len)
{
    int root = tree_root(tree);
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    TREE_CHECK(fd >= 0 && ftruncate(fd, len) == 0);
    close(fd);
    close(root);
}

static inline void tree_time(const struct tree *tree, const char *name, time_t seconds, long ns)
{
    int root = tree_root(tree);
    const struct timespec times[2] = {{.tv_sec = seconds, .tv_nsec = ns}, {.tv_sec = seconds, .tv_nsec = ns}};
    TREE_CHECK(utimensat(root, name, times, 0) == 0);
    close(root);
}

static inline void tree_empty(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    TREE_CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (entry->d_type == DT_DIR) {
            tree_empty(dirfd(dir), entry->d_name);
        }
        TREE_CHECK(unlinkat(dirfd(dir), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0) == 0);
    }
    closedir(dir);
}

static inline void tree_free(struct tree *tree)
{
    tree_empty(AT_FDCWD, tree->path);
    TREE_CHECK(rmdir(tree->path) == 0);
}

#endif
