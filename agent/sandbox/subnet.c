#include "sandbox/subnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int subnet_parse(const char *text, struct subnet *ret)
{
    char address[16];
    const char *slash = strchr(text, '/');
    struct in_addr a;
    unsigned long bits;
    char *end;

    if (!slash || (size_t)(slash - text) >= sizeof(address) || slash[1] < '0' || slash[1] > '9')
        return -EINVAL;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    bits = strtoul(slash + 1, &end, 10);
    if (*end || inet_pton(AF_INET, address, &a) != 1)
        return -EINVAL;
    if (bits < 8 || bits > 30)
        return -ERANGE;
    if (ntohl(a.s_addr) & (UINT32_MAX >> bits))
        return -EINVAL;
    *ret = (struct subnet){.base = ntohl(a.s_addr), .bits = (unsigned)bits};
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
