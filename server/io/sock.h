/* recv(2), send(2) and sendmsg(2) of a non-blocking socket, begun again when a signal interrupts them.
 *
 * libc's are points at which a thread can be cancelled: in a process with threads each costs two locked
 * instructions, and what they do right after the kernel is slow. Nothing here cancels a thread, so the
 * system calls are made as such, but under a sanitizer, which looks at what libc's are given. */
#ifndef TG_IO_SOCK_H
#define TG_IO_SOCK_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/base/err.h"
#include "server/base/slice.h"

#if defined(__SANITIZE_ADDRESS__)
#define TG_SOCK_LIBC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define TG_SOCK_LIBC 1
#endif
#endif

static inline ssize_t tg_sock_syscall_recv(int fd, void *space, size_t cap)
{
#ifdef TG_SOCK_LIBC
    return recv(fd, space, cap, 0);
#else
    return (ssize_t)syscall(SYS_recvfrom, fd, space, cap, 0, NULL, NULL);
#endif
}

static inline ssize_t tg_sock_syscall_send(int fd, const void *bytes, size_t len)
{
#ifdef TG_SOCK_LIBC
    return send(fd, bytes, len, MSG_NOSIGNAL);
#else
    return (ssize_t)syscall(SYS_sendto, fd, bytes, len, MSG_NOSIGNAL, NULL, 0);
#endif
}

static inline ssize_t tg_sock_syscall_sendmsg(int fd, const struct msghdr *message)
{
#ifdef TG_SOCK_LIBC
    return sendmsg(fd, message, MSG_NOSIGNAL);
#else
    return (ssize_t)syscall(SYS_sendmsg, fd, message, MSG_NOSIGNAL);
#endif
}

/* At least one byte on TG_OK. TG_EAGAIN: nothing now. TG_ECLOSED: the peer's end. TG_EIO. */
static inline enum tg_err tg_sock_recv(int fd, char *space, size_t cap, size_t *got)
{
    ssize_t len;
    do {
        len = tg_sock_syscall_recv(fd, space, cap);
    } while (len < 0 && errno == EINTR);
    if (len <= 0) {
        return len == 0 ? TG_ECLOSED : errno == EAGAIN ? TG_EAGAIN : TG_EIO;
    }
    *got = (size_t)len;
    return TG_OK;
}

static inline enum tg_err tg_sock_sent(ssize_t len, size_t *put)
{
    if (len < 0) {
        return errno == EAGAIN ? TG_EAGAIN : TG_EIO;
    }
    *put = (size_t)len;
    return TG_OK;
}

/* TG_EAGAIN: nothing now. TG_EIO. Raises no SIGPIPE. */
static inline enum tg_err tg_sock_send(int fd, struct tg_slice bytes, size_t *put)
{
    ssize_t len;
    do {
        len = tg_sock_syscall_send(fd, bytes.ptr, bytes.len);
    } while (len < 0 && errno == EINTR);
    return tg_sock_sent(len, put);
}

static inline enum tg_err tg_sock_sendmsg(int fd, const struct msghdr *message, size_t *put)
{
    ssize_t len;
    do {
        len = tg_sock_syscall_sendmsg(fd, message);
    } while (len < 0 && errno == EINTR);
    return tg_sock_sent(len, put);
}

#endif
