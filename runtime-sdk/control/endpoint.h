/* endpoint.h - "tcp://host:port", "tcp://[::1]:port" and "tls://host:port" into their parts. Pure.
 */
#pragma once
#include <stdbool.h>

struct endpoint {
    char host[256]; /* a name, IPv4, or IPv6 without its brackets */
    int port;       /* 0 to 65535 */
    bool tls;
};

int endpoint_parse(const char *text, struct endpoint *ret); /* -EINVAL */
/* Back to text; `out` holds 128 bytes and cuts what is longer. */
void endpoint_text(const struct endpoint *e, char out[128]);
