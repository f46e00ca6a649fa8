/* namespace.h - sockets inside a sandbox's network, made from outside.
 *
 * A thread is in one network namespace, and a socket stays in the one where it
 * was made: so a thread goes there for one socket(2) and comes back. Whoever
 * cannot come back is lost: everything it opened from then on would be the
 * sandbox's, so that aborts. Any thread; needs CAP_SYS_ADMIN. */
#pragma once

/* A descriptor of the namespace in which that socket was made, and proof that this process may enter
 * it. -EPERM: it may not. The caller closes it; the namespace lives as long. */
int namespace_of_socket(int fd, int *ret);
/* As socket(2) in there: the descriptor, or -errno. */
int namespace_socket(int namespace_fd, int family, int type);
