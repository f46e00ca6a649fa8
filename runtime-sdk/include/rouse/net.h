/* net.h - descriptors for tasks: calls that wait without a thread.
 *
 *     static void echo(void *arg)
 *     {
 *         int fd = (int)(intptr_t)arg;
 *         char data[4096];
 *         ssize_t n;
 *
 *         while ((n = rouse_read(fd, data, sizeof(data), rouse_after(10 * ROUSE_SECOND))) > 0)
 *             if (rouse_write(fd, data, (size_t)n, NULL, ROUSE_NEVER) < 0)
 *                 break;
 *         rouse_close(fd);
 *     }
 *     static void server(void *unused)
 *     {
 *         int fd, c;
 *
 *         if (rouse_listen("tcp://127.0.0.1:5000", 0, &fd) < 0)
 *             return;
 *         while ((c = rouse_accept(fd, ROUSE_NEVER)) >= 0)
 *             rouse_spawn(echo, (void *)(intptr_t)c);
 *         rouse_close(fd);
 *     }
 *
 * For tasks (see rouse/sched.h): on any other thread everything
 * that does not say otherwise returns -EPERM. Returns are 0 or a count,
 * or -errno; errno itself is not to be looked at. Deadlines are those of
 * rouse/sched.h: -ETIMEDOUT when one passed, -ECANCELED when the task's scope
 * was cancelled and the call had to wait.
 *
 * Sockets, pipes, eventfds, terminals and the like become non-blocking at their
 * first use here (O_NONBLOCK is of the open file, which dup(2) and fork(2)
 * share), and SIGPIPE is never raised for a socket. Files on a disk, and standard
 * input, output and error while they are in blocking mode, are read and written
 * with the thread blocked and declared so: those calls keep no deadline and are
 * not cancelled.
 *
 * At most one task reads a descriptor and one writes it at a time; others queue,
 * first in, first out, so what one call writes stays together. Close what was
 * used here with rouse_close(), never with close(2): who waits for it is told
 * (-EBADF), and the number may be another descriptor's a moment later. */
#pragma once
#include "rouse/sched.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bytes */

/* At least one byte and at most `size`; waits until there is one. 0: the end (or `size` is 0). */
ssize_t rouse_read(int fd, void *data, size_t size, int64_t deadline);
ssize_t rouse_readv(int fd, const struct iovec *iov, int n, int64_t deadline); /* n: 1 to 1024 */
/* All `size` bytes, or those there were before the end, which may be 0. On an error what was read is lost. */
ssize_t rouse_read_full(int fd, void *data, size_t size, int64_t deadline);
/* All bytes: 0, or the error. `written` (may be NULL) is set in any case: how many the kernel took. */
int rouse_write(int fd, const void *data, size_t size, size_t *written, int64_t deadline);
int rouse_writev(int fd, const struct iovec *iov, int n, size_t *written,
                 int64_t deadline); /* n: 1 to 64 */
/* recvmsg(2) and sendmsg(2), once: datagrams, flags, descriptors in control data. */
ssize_t rouse_recvmsg(int fd, struct msghdr *message, int flags, int64_t deadline);
ssize_t rouse_sendmsg(int fd, const struct msghdr *message, int flags, int64_t deadline);

/* Closes it, or, if another task's call on it is under way at this instant, has that one close it at its
 * end. Tasks that wait for it get -EBADF. -EBADF: it is not open. */
int rouse_close(int fd);

/* ---- sockets */

#define ROUSE_ADDRESS_MAX 128

/* Addresses as text: "tcp://127.0.0.1:80", "tcp://[::1]:80", "tcp://localhost:80", "unix:///path".
 * Listens; port 0 takes a free one (rouse_local_address()). Connections that it accepts have TCP_NODELAY. A Unix socket's path must not exist. `backlog` 0: the
 * system's greatest. Any thread. -EINVAL: no such address; and what socket(2), bind(2) and listen(2) say. */
int rouse_listen(const char *address, int backlog, int *ret_fd);
/* socket(2), non-blocking and close-on-exec. Any thread. */
int rouse_socket(int family, int type, int protocol);
/* A connection's descriptor (O_CLOEXEC). Ones that ended before they were accepted are passed over. -EMFILE,
 * -ENFILE, -ENOBUFS, -ENOMEM: it stays in the backlog; wait a little before trying again. */
int rouse_accept(int fd, int64_t deadline);
int rouse_connect(int fd, const struct sockaddr *address, socklen_t size, int64_t deadline);
/* A new connected stream. The host may be a name here; its addresses are tried in turn, families taking
 * turns (RFC 8305): the next one as soon as one fails, or beside it when it takes longer than 250 ms; the
 * first that connects is returned, with TCP_NODELAY. -EINVAL: no such address; as rouse_resolve(); else the
 * error of the last attempt. */
int rouse_dial(const char *address, int64_t deadline, int *ret_fd);
/* "tcp://127.0.0.1:80" of the socket's own end, and of the other one. Any thread. */
int rouse_local_address(int fd, char out[ROUSE_ADDRESS_MAX]);
int rouse_peer_address(int fd, char out[ROUSE_ADDRESS_MAX]);

struct rouse_address {
    socklen_t size;
    struct sockaddr_storage address;
};
/* The addresses of a host for TCP, in order of preference, at most `max`: returns how many. Numbers and
 * "localhost" are known; a name is getaddrinfo(3)'s, on a thread of its own (at most 16 at once, others
 * wait). At the deadline this returns, the look-up goes on to its end. -ENOENT: no such name; -EAGAIN: the
 * name service has no answer now; -EINVAL: longer than 253 bytes; -EIO: any other failure of it. */
int rouse_resolve(const char *host, uint16_t port, struct rouse_address *ret, size_t max,
                  int64_t deadline);

/* ---- for calls of your own */

/* These two are also for descriptors that a library opens and closes by itself; their mode is left alone.
 * poll(2) for tasks, 1 to 64 descriptors: sets each `revents`, returns how many are not 0. -ETIMEDOUT: none;
 * -EBADF: one was closed meanwhile. Descriptors that are negative are passed over. */
int rouse_poll(struct pollfd *fds, size_t n, int64_t deadline);
/* The same for one: POLLIN, POLLOUT and so on of `events`, and POLLERR, POLLHUP; or -errno. */
int rouse_wait_fd(int fd, short events, int64_t deadline);

#ifdef __cplusplus
}
#endif
