/* The file that a path stands for. Blocks; touches no loop. */
#include <limits.h>
#include <unistd.h>

#include "routes/static_private.h"

/* The name of a file in a directory, or of one with a suffix; TG_ENOTFOUND when it is longer than names may
 * be. */
static enum tg_err join(struct tg_slice left, struct tg_slice middle, struct tg_slice right,
                        char out[PATH_MAX], struct tg_slice *name)
{
    size_t len = 0;
    const struct tg_slice parts[] = {left, left.len > 0 ? middle : TG_EMPTY, right};
    if (left.len + middle.len + right.len >= PATH_MAX) {
        return TG_ENOTFOUND;
    }
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].len > 0) {
            memcpy(out + len, parts[i].ptr, parts[i].len);
            len += parts[i].len;
        }
    }
    *name = tg_slice_make(out, len);
    return TG_OK;
}

/* A regular file; a directory of that name is none. */
static enum tg_err open_file(const struct tg_static *files, struct tg_slice name, struct tg_beneath_file *out)
{
    struct tg_beneath_file file;
    enum tg_err err = tg_beneath_open(&files->root, name, &file);
    if (err == TG_OK && file.directory) {
        (void)close(file.fd);
        err = TG_ENOTFOUND;
    }
    if (err == TG_OK) {
        *out = file;
    }
    return err;
}

/* A file of the name, or else whether it is a directory. */
static enum tg_err open_name(const struct tg_static *files, struct tg_slice name, struct tg_beneath_file *out,
                             bool *directory)
{
    struct tg_beneath_file file;
    enum tg_err err = tg_beneath_open(&files->root, name, &file);
    *directory = err == TG_OK && file.directory;
    if (*directory) {
        (void)close(file.fd);
    } else if (err == TG_OK) {
        *out = file;
    }
    return err;
}

static enum tg_static_outcome outcome_of(enum tg_err err)
{
    switch (err) {
    case TG_ENOTFOUND:
    case TG_EINVAL:
        return TG_STATIC_MISSING;
    case TG_EDENIED:
        return TG_STATIC_DENIED;
    case TG_ELIMIT:
    case TG_ENOMEM:
        return TG_STATIC_BUSY;
    default:
        return TG_STATIC_BROKEN;
    }
}

/* *name is what was opened: the name itself, or the index document's. */
static enum tg_static_outcome search(const struct tg_static *files, const struct tg_static_wish *wish,
                                     char space[PATH_MAX], struct tg_slice *name,
                                     struct tg_beneath_file *file)
{
    struct tg_slice asked = wish->name, index;
    bool directory = false;
    *name = asked;
    enum tg_err err = join(asked, TG_LIT("/"), files->index, space, &index);
    if (wish->slash) {
        *name = index;
        err = err == TG_OK ? open_file(files, index, file) : err;
        return err == TG_OK ? TG_STATIC_FOUND : outcome_of(err);
    }
    enum tg_err opened = open_name(files, asked, file, &directory);
    if (opened != TG_OK) {
        return outcome_of(opened);
    }
    if (!directory) {
        return TG_STATIC_FOUND;
    }
    /* A directory shows itself by its index document alone. */
    err = err == TG_OK ? open_file(files, index, file) : err;
    if (err != TG_OK) {
        return outcome_of(err);
    }
    (void)close(file->fd);
    *file = (struct tg_beneath_file){.fd = -1};
    return TG_STATIC_DIRECTORY;
}

/* Puts the coded file that lies beside in the plain one's place. Which lies there changes nothing else. */
static void prefer_coded(const struct tg_static *files, const struct tg_static_wish *wish,
                         struct tg_slice name, struct tg_static_found *out)
{
    char space[PATH_MAX];
    for (size_t i = 0; i < wish->coding_count; i++) {
        struct tg_slice coded;
        struct tg_beneath_file file;
        if (join(name, TG_EMPTY, tg_static_coding_suffix(wish->codings[i]), space, &coded) == TG_OK &&
            open_file(files, coded, &file) == TG_OK) {
            (void)close(out->file.fd);
            out->file = file;
            out->coding = wish->codings[i];
            return;
        }
    }
}

void tg_static_find(const struct tg_static *files, const struct tg_static_wish *wish,
                    struct tg_static_found *out)
{
    char space[PATH_MAX];
    struct tg_slice name = TG_EMPTY;
    *out = (struct tg_static_found){.outcome = TG_STATIC_MISSING, .file = {.fd = -1}};
    if (!wish->missing) {
        out->outcome = search(files, wish, space, &name, &out->file);
    }
    if (out->outcome == TG_STATIC_MISSING && files->fallback.len > 0) {
        name = files->fallback;
        enum tg_err err = open_file(files, name, &out->file);
        out->outcome = err == TG_OK ? TG_STATIC_FALLBACK : outcome_of(err);
    }
    if (out->outcome == TG_STATIC_FOUND || out->outcome == TG_STATIC_FALLBACK) {
        out->type = tg_static_type(files, name);
        prefer_coded(files, wish, name, out);
    }
}
