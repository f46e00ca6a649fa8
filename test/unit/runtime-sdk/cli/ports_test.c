/* Whether a port is found taken, and free again. */
#include "cli/ports.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(taken_and_free)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    char url[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(a.sin_port));
    ck_assert_int_eq(ports_free(url), -EADDRINUSE);
    close(fd);
    ck_assert_int_eq(ports_free(url), 0);
}
END_TEST

START_TEST(not_addresses)
{
    ck_assert_int_eq(ports_free("http://127.0.0.1"), -EINVAL);
    ck_assert_int_eq(ports_free("http://localhost:80"), -EINVAL);
    ck_assert_int_eq(ports_free("http://1.2.3:80"), -EINVAL);
    ck_assert_int_eq(ports_free(""), -EINVAL);
}
END_TEST

UNIT_MAIN("ports", taken_and_free, not_addresses)
