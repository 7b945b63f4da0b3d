/* Error codes of every fallible function. A function that returns enum tg_err leaves its out-parameters
 * untouched on failure. The codes say what kind of thing went wrong; the words for users are made where the
 * error is handled. */
#ifndef TG_BASE_ERR_H
#define TG_BASE_ERR_H

#define TG_MUST_CHECK __attribute__((warn_unused_result))
/* What a function on a hot path seldom calls: inlined there, its registers and stack would be paid for each
 * time. */
#define TG_APART             __attribute__((noinline))
#define TG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* X(name, text): one row an error. */
#define TG_ERR_TABLE(X)                                                                                      \
    X(TG_OK, "ok")                                                                                           \
    X(TG_ENOMEM, "out of memory")                                                                            \
    X(TG_EINVAL, "invalid argument")                                                                         \
    X(TG_ESYNTAX, "malformed input")                                                                         \
    X(TG_ELIMIT, "limit exceeded")                                                                           \
    X(TG_EAGAIN, "not now, try again")                                                                       \
    X(TG_ENOTFOUND, "not found")                                                                             \
    X(TG_EEXIST, "exists already")                                                                           \
    X(TG_EDENIED, "not allowed")                                                                             \
    X(TG_EIO, "input/output error")                                                                          \
    X(TG_ECLOSED, "closed by the peer")                                                                      \
    X(TG_EREFUSED, "connection refused or unreachable")                                                      \
    X(TG_ETIMEOUT, "timed out")                                                                              \
    X(TG_EDNS, "name not resolved")                                                                          \
    X(TG_ETLS, "TLS failure")                                                                                \
    X(TG_EPROTO, "protocol violation")                                                                       \
    X(TG_EBUSY, "queue full")

enum tg_err {
#define X(name, text) name,
    TG_ERR_TABLE(X)
#undef X
};

/* The text of a code, a static string. */
const char *tg_err_text(enum tg_err err);

#endif
