#include "cli/ports.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

int ports_free(const char *url)
{
    cleanup_fd int fd = -1;
    struct sockaddr_in a = {.sin_family = AF_INET};
    unsigned short port;
    char host[INET_ADDRSTRLEN];
    int one = 1;

    if (sscanf(url, "http://%15[0-9.]:%hu", host, &port) != 2 ||
        inet_pton(AF_INET, host, &a.sin_addr) != 1)
        return -EINVAL;
    a.sin_port = htons(port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* As the daemons do: connections of before, in TIME_WAIT, are nobody. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        return -errno;
    return bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

unsigned short ports_pick(void)
{
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    return ntohs(a.sin_port);
}
