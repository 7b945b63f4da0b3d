#include "server/io/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    FILE_FLAGS = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
    STEP_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    RACES_MAX = 8 /* renames elsewhere may make openat2 unsure of `..` in a link; it says so */
};

static enum tg_err from_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* openat2: leads out */
    case ENAMETOOLONG:
    case ENXIO: /* a socket, a device without a driver */
    case ENODEV:
        return TG_ENOTFOUND;
    case EACCES:
    case EPERM:
        return TG_EDENIED;
    case EMFILE:
    case ENFILE:
        return TG_ELIMIT;
    case ENOMEM:
        return TG_ENOMEM;
    default:
        return TG_EIO;
    }
}

static int open_by_kernel(int root, const char *name, int flags)
{
    struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    for (int races = 0;; races++) {
        long fd = syscall(SYS_openat2, root, name, &how, sizeof how);
        if (fd >= 0) {
            return (int)fd;
        }
        if (errno != EINTR && (errno != EAGAIN || races == RACES_MAX)) {
            return -1;
        }
    }
}

static int open_step(int at, const char *name, int flags)
{
    int fd;
    do {
        fd = openat(at, name, flags);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Cuts `name` at its slashes. */
static int open_by_walk(int root, char *name)
{
    int at = root;
    for (char *slash; (slash = strchr(name, '/')) != NULL; name = slash + 1) {
        *slash = '\0';
        int next = open_step(at, name, STEP_FLAGS);
        int saved = errno;
        if (at != root) {
            (void)close(at);
        }
        if (next < 0) {
            errno = saved;
            return -1;
        }
        at = next;
    }
    int fd = open_step(at, name, FILE_FLAGS | O_NOFOLLOW);
    int saved = errno;
    if (at != root) {
        (void)close(at);
    }
    errno = saved;
    return fd;
}

enum tg_err tg_beneath_open_root(const char *path, struct tg_beneath *out)
{
    int fd = open_step(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return from_errno(errno);
    }
    /* Asked once: old sandboxes refuse the call with other errors than ENOSYS. */
    int probe = open_by_kernel(fd, ".", O_PATH | O_CLOEXEC);
    if (probe >= 0) {
        (void)close(probe);
    }
    *out = (struct tg_beneath){.fd = fd, .kernel = probe >= 0};
    return TG_OK;
}

void tg_beneath_close_root(struct tg_beneath *root)
{
    if (root->fd >= 0) {
        (void)close(root->fd);
        root->fd = -1;
    }
}

bool tg_beneath_name_ok(struct tg_slice name)
{
    if (name.len == 0 || name.len >= PATH_MAX || memchr(name.ptr, '\0', name.len) != NULL) {
        return false;
    }
    for (size_t at = 0; at <= name.len;) {
        struct tg_slice rest = tg_slice_from(name, at);
        struct tg_slice part = tg_slice_head(rest, tg_slice_find(rest, '/'));
        if (part.len == 0 || tg_slice_eq(part, TG_LIT(".")) || tg_slice_eq(part, TG_LIT(".."))) {
            return false;
        }
        at += part.len + 1;
    }
    return true;
}

enum tg_err tg_beneath_open(const struct tg_beneath *root, struct tg_slice name, struct tg_beneath_file *out)
{
    char text[PATH_MAX] = ".";
    struct stat info;
    if (name.len > 0) {
        if (!tg_beneath_name_ok(name)) {
            return TG_EINVAL;
        }
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
    }
    int fd = root->kernel ? open_by_kernel(root->fd, text, FILE_FLAGS) : open_by_walk(root->fd, text);
    if (fd < 0) {
        return from_errno(errno);
    }
    enum tg_err err = fstat(fd, &info) == 0 ? TG_OK : from_errno(errno);
    if (err == TG_OK && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        err = TG_ENOTFOUND;
    }
    if (err != TG_OK) {
        (void)close(fd);
        return err;
    }
    *out = (struct tg_beneath_file){
        .fd = fd,
        .directory = S_ISDIR(info.st_mode),
        .size = S_ISREG(info.st_mode) && info.st_size > 0 ? (uint64_t)info.st_size : 0,
        .modified_s = info.st_mtim.tv_sec,
        .modified_ns = info.st_mtim.tv_nsec,
        .inode = info.st_ino,
    };
    return TG_OK;
}
