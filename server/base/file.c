#include "server/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/buf.h"

static enum tg_err from_errno(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return TG_ENOTFOUND;
    case EACCES:
    case EPERM:
        return TG_EDENIED;
    case ENOMEM:
        return TG_ENOMEM;
    default:
        return TG_EIO;
    }
}

static enum tg_err read_all(int fd, struct tg_buf *buf)
{
    enum { STEP = 16384 };
    for (;;) {
        char *space = NULL;
        /* Less than a step may be left below the limit, and the end of the file still has to be seen. */
        size_t want = buf->limit - tg_buf_size(buf) < STEP ? buf->limit - tg_buf_size(buf) : STEP;
        if (want == 0) {
            return TG_ELIMIT;
        }
        enum tg_err err = tg_buf_reserve(buf, want, &space);
        if (err != TG_OK) {
            return err;
        }
        ssize_t got = read(fd, space, want);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 ? TG_OK : from_errno();
        }
        tg_buf_commit(buf, (size_t)got);
    }
}

enum tg_err tg_file_read(struct tg_arena *arena, struct tg_slice path, size_t max, struct tg_slice *out,
                         bool *world_readable)
{
    struct tg_slice name;
    enum tg_err err = tg_arena_copy(arena, path, &name);
    if (err != TG_OK) {
        return err;
    }
    int fd = open(name.ptr, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return from_errno();
    }
    struct stat info;
    struct tg_buf buf;
    tg_buf_init(&buf, max < SIZE_MAX ? max + 1 : max); /* one more, to tell a full file from one too long */
    err = fstat(fd, &info) == 0 ? read_all(fd, &buf) : from_errno();
    (void)close(fd);
    struct tg_slice text = TG_EMPTY;
    if (err == TG_OK) {
        err = tg_arena_copy(arena, tg_buf_slice(&buf), &text);
    }
    tg_buf_free(&buf);
    if (err != TG_OK) {
        return err;
    }
    if (world_readable != NULL) {
        *world_readable = S_ISREG(info.st_mode) && (info.st_mode & S_IROTH) != 0;
    }
    *out = text;
    return TG_OK;
}
