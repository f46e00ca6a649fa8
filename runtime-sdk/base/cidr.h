/* cidr.h - blocks of IPv4 and IPv6 addresses as text: "10.0.0.0/8", "fd00::/8", "192.0.2.1" (one address). Pure. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIDR_TEXT_MAX 52

struct cidr {
    bool six;
    uint8_t bits;        /* prefix length: 0 to 32, or to 128 */
    uint8_t address[16]; /* network order, the first 4 of IPv4; no bits beyond the prefix */
};

/* The first `n` bytes. -EINVAL: another shape; -ERANGE: the prefix length; -EDOM: bits set beyond it. */
int cidr_parse(const char *text, size_t n, struct cidr *ret);
/* A list separated by commas: how many, at most `room`. -EINVAL, -ERANGE and -EDOM as above, with *ret_bad and
 * *ret_size the entry; -E2BIG: over `room`. */
int cidr_list_parse(const char *text, struct cidr *to, size_t room, const char **ret_bad,
                    size_t *ret_size);
/* A single address without its "/32" or "/128". */
void cidr_text(const struct cidr *c, char out[CIDR_TEXT_MAX]);
/* `address` is 4 or 16 bytes, by the block's family. */
bool cidr_has(const struct cidr *c, const void *address);
/* Where NAT64 (RFC 6052) puts an IPv4 block: below 64:ff9b::/96. */
struct cidr cidr_nat64(const struct cidr *c);
