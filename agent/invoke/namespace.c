#include "invoke/namespace.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Where all of this process's threads are but for the moments in here: it never changes. */
static pthread_once_t home_once = PTHREAD_ONCE_INIT;
static int home = -1;

static void open_home(void)
{
    home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int go(int namespace_fd)
{
    return setns(namespace_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

int namespace_socket(int namespace_fd, int family, int type)
{
    int fd, r;

    pthread_once(&home_once, open_home);
    if (home < 0)
        return -EMFILE;
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
