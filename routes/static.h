/* A directory of files as a STATIC integration serves it (beyond the service's own kinds): its settings,
 * checked and copied, and the directory, held open. Immutable, counted: the model holds one reference, each
 * file being read another, so that a reload lets answers under way end. Serving itself is static_serve.h.
 *
 * What is served: regular files beneath the directory, by GET and HEAD, with a media type by extension, ETag,
 * Last-Modified, conditions (RFC 9110 section 13), byte ranges (section 14), an index document for
 * directories. Never a listing, never a file outside (server/io/beneath.h), dot files only when asked for.
 * A directory that is replaced by another of its name, or by a link that is set anew, is seen at the next
 * reload. */
#ifndef TG_ROUTES_STATIC_H
#define TG_ROUTES_STATIC_H

#include "server/base/strings.h"

struct tg_doc_node;

struct tg_static_settings {
    const struct tg_doc_node *where; /* the settings' place in the file; not looked at */
    struct tg_slice root;            /* the directory; required */
    struct tg_slice index_document;  /* a file's name; empty: index.html */
    /* A file beneath the root that answers for what does not exist: a page of errors (404), or the one page
     * of an application that routes in the browser (200). Empty: none. */
    struct tg_slice fallback;
    int fallback_status;           /* 200, or 400 to 599; 0: 200 */
    struct tg_slice cache_control; /* value of Cache-Control for files; empty: no such field */
    struct tg_string_map types;    /* extension, with or without its dot and in any case, to a media type */
    bool dot_files;                /* serve names that begin with a dot */
    bool precompressed;            /* serve FILE.br or FILE.gz, which lies beside FILE, to who accepts it */
    /* Leave the inode number out of the ETag: for several machines that serve copies with equal times. */
    bool shared_etags;
    bool allow_sniffing; /* leave X-Content-Type-Options: nosniff out */
};

struct tg_static;

/* Copies the settings and opens the directory; blocks, so at start and at reload only. On failure *why says
 * in a constant text what is wrong: TG_EINVAL (a setting), TG_ENOTFOUND, TG_EDENIED, TG_ELIMIT or TG_EIO (the
 * directory), TG_ENOMEM. */
enum tg_err tg_static_new(const struct tg_static_settings *settings, struct tg_static **out,
                          const char **why) TG_MUST_CHECK;
/* From any thread. */
struct tg_static *tg_static_ref(struct tg_static *files);
/* The last one closes the directory. NULL is allowed. */
void tg_static_unref(struct tg_static *files);

#endif
