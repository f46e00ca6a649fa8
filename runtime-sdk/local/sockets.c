#include "local/sockets.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { BACKLOG = 128 };

int sockets_listen_unix(const char *path, int *ret, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    cleanup_fd int fd = -1;

    if (strlen(path) >= sizeof(a.sun_path))
        return err_set(e, ENAMETOOLONG,
                       "%s: too long for a socket (%zu bytes at most); set TMPDIR to a shorter one",
                       path, sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(e, errno, "%s", path);
    *ret = TAKE_FD(fd);
    return 0;
}

static int bind_loopback(uint16_t port, int *ret)
{
    const struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    *ret = TAKE_FD(fd);
    return 0;
}

int sockets_listen_loopback(char ret_address[64], int *ret, struct err *e)
{
    struct sockaddr_in a;
    socklen_t size = sizeof(a);
    int r = bind_loopback(0, ret);

    if (r < 0)
        return err_errno(e, -r, "127.0.0.1");
    if (getsockname(*ret, (struct sockaddr *)&a, &size) < 0)
        a.sin_port = 0;
    snprintf(ret_address, 64, "127.0.0.1:%u", ntohs(a.sin_port));
    return 0;
}

int sockets_port_free(uint16_t port)
{
    int fd, r = bind_loopback(port, &fd);

    if (r == 0)
        close(fd);
    return r;
}
