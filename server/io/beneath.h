/* Opening what lies beneath a directory, with no way out of it: not by `..`, not by an absolute name, not by
 * a symbolic link. Where the kernel has openat2 (Linux 5.6) it holds the line itself: symbolic links that
 * stay inside are followed, those that lead out, absolute ones and /proc's magic ones do not exist. Elsewhere
 * (older kernels, sandboxes that refuse the call) the name is walked one component at a time and no symbolic
 * link is followed at all. Mount points beneath the directory belong to it.
 *
 * Calls block: on a thread of server/io/work.h, or at start. A root is used from any thread; it holds one
 * descriptor, and stays with the directory that it opened, also when that is renamed or replaced. */
#ifndef TG_IO_BENEATH_H
#define TG_IO_BENEATH_H

#include "server/base/slice.h"

struct tg_beneath {
    int fd;      /* -1: not open */
    bool kernel; /* by openat2; false: by the walk */
};

/* What was opened. The caller owns the descriptor. */
struct tg_beneath_file {
    int fd;
    bool directory; /* else a regular file */
    uint64_t size;  /* bytes; 0 for a directory */
    int64_t modified_s;
    int64_t modified_ns; /* of the second */
    uint64_t inode;
};

/* Opens the directory. TG_ENOTFOUND: there is none, or it is no directory; TG_EDENIED, TG_ELIMIT (no
 * descriptors left), TG_EIO, TG_ENOMEM. */
enum tg_err tg_beneath_open_root(const char *path, struct tg_beneath *out) TG_MUST_CHECK;
void tg_beneath_close_root(struct tg_beneath *root);

/* Whether a name can be opened at all: not empty, shorter than PATH_MAX, no NUL, components that are neither
 * empty nor `.` nor `..`, so no slash at an end. Every other byte is an ordinary one. */
bool tg_beneath_name_ok(struct tg_slice name);

/* Opens a regular file or a directory for reading; the empty name is the root itself. Never waits for
 * another process (a FIFO's writer) and never takes a terminal. TG_EINVAL: not tg_beneath_name_ok.
 * TG_ENOTFOUND: there is none, it leads out, or it is neither file nor directory. TG_EDENIED: not readable.
 * TG_ELIMIT: no descriptors left. TG_EIO, TG_ENOMEM. */
enum tg_err tg_beneath_open(const struct tg_beneath *root, struct tg_slice name,
                            struct tg_beneath_file *out) TG_MUST_CHECK;

#endif
