/* Reading a small file whole: configuration, secrets, certificates. It blocks: at start and at reload only,
 * never on behalf of a request. */
#ifndef TG_BASE_FILE_H
#define TG_BASE_FILE_H

#include "server/base/arena.h"

/* The content, NUL-terminated, in the arena; *world_readable (may be NULL): others than owner and group can
 * read it. TG_ENOTFOUND, TG_EDENIED, TG_ELIMIT past `max` bytes, TG_EIO (a directory, a failing disk),
 * TG_ENOMEM. `path` need not be NUL-terminated. */
enum tg_err tg_file_read(struct tg_arena *arena, struct tg_slice path, size_t max, struct tg_slice *out,
                         bool *world_readable) TG_MUST_CHECK;

#endif
