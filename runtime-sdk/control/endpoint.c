#include "control/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse_port(const char *s)
{
    int port = 0;

    if (!*s || strlen(s) > 5)
        return -EINVAL;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        port = port * 10 + (*s - '0');
    }
    return port <= 65535 ? port : -EINVAL;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
    struct endpoint e = {.tls = strncmp(text, "tls://", 6) == 0};
    const char *host = text + 6, *end, *colon;

    if (!e.tls && strncmp(text, "tcp://", 6) != 0)
        return -EINVAL;
    if (*host == '[') {
        end = strchr(++host, ']');
        colon = end ? end + 1 : NULL;
    } else {
        end = colon = strchr(host, ':');
    }
    if (!colon || *colon != ':' || end == host || (size_t)(end - host) >= sizeof(e.host))
        return -EINVAL;
    if (memchr(host, '/', (size_t)(end - host)) || memchr(host, '@', (size_t)(end - host)))
        return -EINVAL;
    memcpy(e.host, host, (size_t)(end - host));
    e.port = parse_port(colon + 1);
    if (e.port < 0)
        return -EINVAL;
    *ret = e;
    return 0;
}

void endpoint_text(const struct endpoint *e, char out[128])
{
    bool v6 = strchr(e->host, ':') != NULL;

    snprintf(out, 128, "%s://%s%.100s%s:%d", e->tls ? "tls" : "tcp", v6 ? "[" : "", e->host,
             v6 ? "]" : "", e->port);
}
