#include "invoke/namespace.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Where all of this process's threads are but for the moments in here: it never changes. Any thread
 * opens it, the first one wins. */
static _Atomic int home = -1;

static int open_home(void)
{
    int none = -1, fd;

    if (home >= 0)
        return 0;
    fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (!atomic_compare_exchange_strong(&home, &none, fd))
        close(fd);
    return 0;
}

static int go(int namespace_fd)
{
    return setns(namespace_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

int namespace_socket(int namespace_fd, int family, int type)
{
    int fd, r = open_home();

    if (r == 0)
        r = go(namespace_fd);
    if (r < 0)
        return r;
    fd = socket(family, type, 0);
    if (fd < 0)
        fd = -errno;
    r = go(home);
    if (r < 0) {
        log_error("cannot return from a sandbox's network: %s", strerror(-r));
        abort();
    }
    return fd;
}

int namespace_of_socket(int fd, int *ret)
{
    cleanup_fd int found = ioctl(fd, SIOCGSKNS);
    int probe;

    if (found < 0)
        return -errno;
    probe = namespace_socket(found, AF_INET, SOCK_STREAM | SOCK_CLOEXEC);
    if (probe < 0)
        return probe;
    close(probe);
    *ret = TAKE_FD(found);
    return 0;
}
