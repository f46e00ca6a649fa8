/* subnet.h - a block of addresses cut into pairs: the node's end and the instance's end of each link.
 *
 * Pure. A pair is a /31 (RFC 3021) and a /127 (RFC 6164): even address the node's, odd the instance's. */
#pragma once
#include <netinet/in.h>
#include <stdint.h>

struct subnet {
    uint32_t base; /* host order, aligned */
    unsigned bits; /* prefix length, 8 to 30 */
};

#define SUBNET_DEFAULT_BITS 18
#define SUBNET_DEFAULTS     256u /* /18 blocks in 100.64.0.0/10 (RFC 6598) */

/* "100.64.0.0/16". -EINVAL: another shape, or host bits set; -ERANGE: not 8 to 30 bits. */
int subnet_parse(const char *text, struct subnet *ret);
/* Block `n` modulo SUBNET_DEFAULTS of the shared address space. */
struct subnet subnet_default(uint32_t n);
void subnet_text(const struct subnet *s, char out[24]);
uint32_t subnet_pairs(const struct subnet *s);
struct in_addr subnet_node(const struct subnet *s, uint32_t pair);
struct in_addr subnet_instance(const struct subnet *s, uint32_t pair);

/* The platform's own /64 of unique local addresses (RFC 4193), from the hash that its names carry. */
struct in6_addr subnet6_prefix(uint32_t id);
struct in6_addr subnet6_node(const struct in6_addr *prefix, uint32_t pair);
struct in6_addr subnet6_instance(const struct in6_addr *prefix, uint32_t pair);
