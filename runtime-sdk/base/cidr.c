#include "base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse_bits(const char *s, const char *end, unsigned most, uint8_t *ret)
{
    unsigned bits = 0;

    if (s == end || end - s > 3)
        return -EINVAL;
    for (; s < end; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        bits = bits * 10 + (unsigned)(*s - '0');
    }
    if (bits > most)
        return -ERANGE;
    *ret = (uint8_t)bits;
    return 0;
}

/* The byte of a mask of `bits` at `i`. */
static uint8_t mask_at(unsigned bits, unsigned i)
{
    if (bits >= 8 * (i + 1))
        return 0xff;
    return (uint8_t)(bits <= 8 * i ? 0 : 0xff00u >> (bits - 8 * i));
}

int cidr_parse(const char *text, size_t n, struct cidr *ret)
{
    const char *slash = memchr(text, '/', n), *end = text + n;
    size_t size = slash ? (size_t)(slash - text) : n;
    char address[INET6_ADDRSTRLEN];
    struct cidr c = {0};

    if (!size || size >= sizeof(address))
        return -EINVAL;
    memcpy(address, text, size);
    address[size] = '\0';
    c.six = strchr(address, ':');
    c.bits = c.six ? 128 : 32;
    if (inet_pton(c.six ? AF_INET6 : AF_INET, address, c.address) != 1)
        return -EINVAL;
    if (slash) {
        int r = parse_bits(slash + 1, end, c.bits, &c.bits);

        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < sizeof(c.address); i++)
        if (c.address[i] & (uint8_t)~mask_at(c.bits, i))
            return -EDOM;
    *ret = c;
    return 0;
}

int cidr_list_parse(const char *text, struct cidr *to, size_t room, const char **ret_bad,
                    size_t *ret_size)
{
    size_t count = 0;

    for (;;) {
        size_t n = strcspn(text, ",");
        int r = count < room ? cidr_parse(text, n, &to[count]) : -E2BIG;

        if (r < 0) {
            *ret_bad = text;
            *ret_size = n;
            return r;
        }
        count++;
        if (!text[n])
            return (int)count;
        text += n + 1;
    }
}

void cidr_text(const struct cidr *c, char out[CIDR_TEXT_MAX])
{
    char address[INET6_ADDRSTRLEN] = "";

    inet_ntop(c->six ? AF_INET6 : AF_INET, c->address, address, sizeof(address));
    if (c->bits == (c->six ? 128 : 32))
        snprintf(out, CIDR_TEXT_MAX, "%s", address);
    else
        snprintf(out, CIDR_TEXT_MAX, "%s/%u", address, c->bits);
}

bool cidr_has(const struct cidr *c, const void *address)
{
    const uint8_t *a = address;

    for (unsigned i = 0; i < (c->six ? 16u : 4u); i++)
        if ((a[i] ^ c->address[i]) & mask_at(c->bits, i))
            return false;
    return true;
}

struct cidr cidr_nat64(const struct cidr *c)
{
    struct cidr to = {.six = true, .bits = (uint8_t)(96 + c->bits), .address = {0, 0x64, 0xff, 0x9b}};

    memcpy(to.address + 12, c->address, 4);
    return to;
}
