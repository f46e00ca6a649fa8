/* serve_address.c - "tcp4://localhost:80?reuseport=true" to a socket address.
 *
 * Pure. Hosts are numbers or "localhost": a name service may block, and the
 * answer may differ from one loop to the next. */
#include "reactor/serve_address.h"
#include "reactor/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const struct scheme {
    const char *prefix;
    int family; /* AF_UNSPEC: either */
    bool datagram;
} schemes[] = {
    {"tcp://", AF_UNSPEC, false}, {"tcp4://", AF_INET, false}, {"tcp6://", AF_INET6, false},
    {"udp://", AF_UNSPEC, true},  {"udp4://", AF_INET, true},  {"udp6://", AF_INET6, true},
    {"unix://", AF_UNIX, false},
};

static int parse_query(const char *query, struct serve_address *a, const char **ret_why)
{
    if (!strncmp(query, "reuseport=", 10)) {
        const char *value = query + 10;

        a->reuseport = !strcmp(value, "true") || !strcmp(value, "1");
        if (a->reuseport || !strcmp(value, "false") || !strcmp(value, "0"))
            return 0;
    }
    *ret_why = "the only query is reuseport=true or reuseport=false";
    return -EINVAL;
}

/* The engine's own parser wants a number for a host: gives it one. */
static int parse_host(const struct scheme *s, const char *text, struct serve_address *a,
                      const char **ret_why)
{
    const char *colon = strrchr(text, ':'), *host = NULL;
    char numeric[sizeof(a->text) + 16];

    *ret_why = "HOST:PORT is wanted, the host a number, [an IPv6 number], localhost or nothing";
    if (!colon)
        return -EINVAL;
    if (colon == text) {
        host = s->family == AF_INET ? "0.0.0.0" : "[::]";
        a->any_family = s->family == AF_UNSPEC;
    } else if (!strncmp(text, "localhost:", 10) && colon == text + 9) {
        host = s->family == AF_INET6 ? "[::1]" : "127.0.0.1";
    }
    if (host)
        snprintf(numeric, sizeof(numeric), "tcp://%s%s", host, colon);
    else
        snprintf(numeric, sizeof(numeric), "tcp://%s", text);
    if (address_parse(numeric, &a->sa, &a->size) < 0)
        return -EINVAL;
    if (s->family != AF_UNSPEC && a->sa.ss_family != s->family) {
        *ret_why = "the host is of the other family";
        return -EINVAL;
    }
    a->v6only = s->family == AF_INET6;
    return 0;
}

int serve_address_parse(const char *text, struct serve_address *ret, const char **ret_why)
{
    struct serve_address a = {0};
    const struct scheme *s = schemes;
    const char *query = strrchr(text, '?'), *rest;
    size_t n = query ? (size_t)(query - text) : strlen(text);
    char bare[sizeof(a.text)];
    int r;

    *ret_why = "too long";
    if (n >= sizeof(bare))
        return -ENAMETOOLONG;
    memcpy(bare, text, n);
    bare[n] = '\0';
    while (s < schemes + sizeof(schemes) / sizeof(*schemes) &&
           strncmp(bare, s->prefix, strlen(s->prefix)) != 0)
        s++;
    *ret_why = "tcp://, tcp4://, tcp6://, udp://, udp4://, udp6:// or unix:// is wanted";
    if (s == schemes + sizeof(schemes) / sizeof(*schemes))
        return -EINVAL;
    rest = bare + strlen(s->prefix);
    a.datagram = s->datagram;
    if (query) {
        r = parse_query(query + 1, &a, ret_why);
        if (r < 0)
            return r;
    }
    if (s->family == AF_UNIX) {
        *ret_why = a.reuseport ? "a socket file has no port to share" : "an absolute path is wanted";
        r = a.reuseport ? -EINVAL : address_parse(bare, &a.sa, &a.size);
    } else {
        r = parse_host(s, rest, &a, ret_why);
    }
    if (r < 0)
        return r;
    serve_address_text(&a.sa, a.size, a.datagram, a.text);
    *ret = a;
    return 0;
}

void serve_address_any4(struct serve_address *a)
{
    in_port_t port = ((const struct sockaddr_in6 *)&a->sa)->sin6_port;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};

    memset(&a->sa, 0, sizeof(a->sa));
    memcpy(&a->sa, &in, sizeof(in));
    a->size = sizeof(in);
    a->any_family = false;
    serve_address_text(&a->sa, a->size, a->datagram, a->text);
}

int serve_address_bound(struct serve_address *a, int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &size) < 0)
        return -errno;
    a->sa = sa;
    a->size = size;
    serve_address_text(&a->sa, a->size, a->datagram, a->text);
    return 0;
}

void serve_address_text(const struct sockaddr_storage *sa, socklen_t size, bool datagram,
                        char out[128])
{
    address_text(sa, size, out);
    if (datagram && !strncmp(out, "tcp", 3))
        memcpy(out, "udp", 3);
}
