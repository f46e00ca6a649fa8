#include "network/subnet.h"
#include "base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int subnet_parse(const char *text, struct subnet *ret)
{
    struct cidr c;
    uint32_t base;
    int r = strchr(text, '/') ? cidr_parse(text, strlen(text), &c) : -EINVAL;

    if (r == 0 && c.six)
        r = -EINVAL;
    if (r == 0 && (c.bits < 8 || c.bits > 30))
        r = -ERANGE;
    if (r < 0)
        return r == -EDOM ? -EINVAL : r;
    memcpy(&base, c.address, sizeof(base));
    *ret = (struct subnet){.base = ntohl(base), .bits = c.bits};
    return 0;
}

struct subnet subnet_default(uint32_t n)
{
    return (struct subnet){.base =
                               0x64400000u + ((n % SUBNET_DEFAULTS) << (32 - SUBNET_DEFAULT_BITS)),
                           .bits = SUBNET_DEFAULT_BITS};
}

void subnet_text(const struct subnet *s, char out[24])
{
    snprintf(out, 24, "%u.%u.%u.%u/%u", s->base >> 24, s->base >> 16 & 255, s->base >> 8 & 255,
             s->base & 255, s->bits);
}

uint32_t subnet_pairs(const struct subnet *s)
{
    return 1u << (31 - s->bits);
}

struct in_addr subnet_node(const struct subnet *s, uint32_t pair)
{
    return (struct in_addr){.s_addr = htonl(s->base + 2 * pair)};
}

struct in_addr subnet_instance(const struct subnet *s, uint32_t pair)
{
    return (struct in_addr){.s_addr = htonl(s->base + 2 * pair + 1)};
}

struct in6_addr subnet6_prefix(uint32_t id)
{
    struct in6_addr a = {.s6_addr = {0xfd, 0x72}};
    uint32_t n = htonl(id);

    memcpy(a.s6_addr + 2, &n, sizeof(n));
    return a;
}

static struct in6_addr at6(const struct in6_addr *prefix, uint32_t pair, uint32_t end)
{
    struct in6_addr a = *prefix;
    uint32_t n = htonl(2 * pair + end);

    memcpy(a.s6_addr + 12, &n, sizeof(n));
    return a;
}

struct in6_addr subnet6_node(const struct in6_addr *prefix, uint32_t pair)
{
    return at6(prefix, pair, 0);
}

struct in6_addr subnet6_instance(const struct in6_addr *prefix, uint32_t pair)
{
    return at6(prefix, pair, 1);
}
