/* serve_address.h - the addresses of rouse/reactor.h: parsed, bound, as text. */
#pragma once
#include <stdbool.h>
#include <sys/socket.h>

struct serve_address {
    bool datagram, reuseport;
    bool v6only;
    bool any_family; /* no family and no host was named: IPv4 alone will do where there is no IPv6 */
    struct sockaddr_storage sa;
    socklen_t size;
    char text[128]; /* without the query; once bound, with the port it got */
};

/* -EINVAL: the shape, a host that is no number, a family that does not fit, an unknown query;
 * then *ret_why is a static text. */
int serve_address_parse(const char *text, struct serve_address *ret, const char **ret_why);
void serve_address_any4(struct serve_address *a); /* to all IPv4 addresses, same port */
/* Takes over a bound socket's address, which has the port. */
int serve_address_bound(struct serve_address *a, int fd);
void serve_address_text(const struct sockaddr_storage *sa, socklen_t size, bool datagram,
                        char out[128]);
