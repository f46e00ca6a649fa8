/* address.c - "tcp://127.0.0.1:8080", "tcp://[::1]:8080", "unix:///path" to sockaddr and back.
 * Pure. */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static int parse_port(const char *s, in_port_t *ret)
{
    unsigned port = 0;

    if (!*s || strlen(s) > 5)
        return -EINVAL;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        port = port * 10 + (unsigned)(*s - '0');
    }
    if (port > 65535)
        return -EINVAL;
    *ret = htons((uint16_t)port);
    return 0;
}

static int parse_unix(const char *path, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);

    if (path[0] != '/')
        return -EINVAL;
    if (n >= sizeof(un.sun_path))
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path, n);
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, &un, sizeof(un));
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

static int parse_tcp(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    bool six = text[0] == '[';
    const char *host = text + six, *colon = strrchr(text, ':');
    char name[INET6_ADDRSTRLEN];
    in_port_t port;
    size_t n;

    if (!colon || colon < host + six || (six && colon[-1] != ']'))
        return -EINVAL;
    n = (size_t)(colon - host) - six;
    if (n >= sizeof(name) || parse_port(colon + 1, &port) < 0)
        return -EINVAL;
    memcpy(name, host, n);
    name[n] = '\0';
    memset(ret, 0, sizeof(*ret));
    if (six) {
        if (inet_pton(AF_INET6, name, &in6.sin6_addr) != 1)
            return -EINVAL;
        in6.sin6_port = port;
        memcpy(ret, &in6, sizeof(in6));
        *ret_size = sizeof(in6);
    } else {
        if (inet_pton(AF_INET, name, &in.sin_addr) != 1)
            return -EINVAL;
        in.sin_port = port;
        memcpy(ret, &in, sizeof(in));
        *ret_size = sizeof(in);
    }
    return 0;
}

int address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    if (!strncmp(text, "unix://", 7))
        return parse_unix(text + 7, ret, ret_size);
    if (!strncmp(text, "tcp://", 6))
        return parse_tcp(text + 6, ret, ret_size);
    return -EINVAL;
}

void address_text(const struct sockaddr_storage *sa, socklen_t size, char out[128])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(out, 128, "tcp://%s:%u", host, ntohs(in->sin_port));
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(out, 128, "tcp://[%s]:%u", host, ntohs(in6->sin6_port));
    } else if (sa->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
        size_t n = size > offsetof(struct sockaddr_un, sun_path)
                       ? size - offsetof(struct sockaddr_un, sun_path)
                       : 0;

        snprintf(out, 128, "unix://%.*s", (int)strnlen(un->sun_path, n), un->sun_path);
    } else {
        snprintf(out, 128, "unknown");
    }
}

static const struct sockaddr_in *four(const struct sockaddr_storage *sa)
{
    return sa->ss_family == AF_INET ? (const struct sockaddr_in *)sa : NULL;
}

static const struct sockaddr_in6 *six(const struct sockaddr_storage *sa)
{
    return sa->ss_family == AF_INET6 ? (const struct sockaddr_in6 *)sa : NULL;
}

bool address_is_local(const struct sockaddr_storage *sa)
{
    if (four(sa))
        return ntohl(four(sa)->sin_addr.s_addr) >> 24 == 127;
    return six(sa) ? IN6_IS_ADDR_LOOPBACK(&six(sa)->sin6_addr) : sa->ss_family == AF_UNIX;
}

bool address_is_any(const struct sockaddr_storage *sa)
{
    if (four(sa))
        return four(sa)->sin_addr.s_addr == htonl(INADDR_ANY);
    return six(sa) && IN6_IS_ADDR_UNSPECIFIED(&six(sa)->sin6_addr);
}
