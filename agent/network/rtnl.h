/* rtnl.h - the few rtnetlink requests that links of sandboxes need, gathered and sent in one go, over libmnl.
 *
 * A `struct rtnl` is one socket, in the network namespace it was opened in.
 * Requests are appended with the interfaces' indices, which their maker chose:
 * nothing is looked up. rtnl_commit() sends them all at once and takes the
 * kernel's answers, which are there when the send returns. */
#pragma once
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RTNL_STEPS_MAX 12
#define RTNL_BYTES_MAX 2048

struct mnl_socket;
struct nlmsghdr;
struct rtnl {
    struct mnl_socket *socket;
    uint32_t sequence; /* of the last request */
    unsigned count;
    size_t used;
    const char *steps[RTNL_STEPS_MAX];
    _Alignas(4) char buf[RTNL_BYTES_MAX];
};

int rtnl_init(struct rtnl *n); /* -errno */
void rtnl_done(struct rtnl *n);

struct rtnl_end {
    const char *name;
    int index; /* 0: the kernel's choice */
};
/* A veth pair, both ends down, with one queue, the same MAC address and no neighbour protocol: what one end
 * sends is for the other. `there` in the network namespace of `pid`. `mtu` 0: the kernel's. */
void rtnl_veth(struct rtnl *n, struct rtnl_end here, struct rtnl_end there, unsigned mtu, pid_t pid);
/* IPv4 settings by the kernel's number (IPV4_DEVCONF_*). */
struct rtnl_setting {
    uint16_t number;
    uint32_t value;
};
/* Its IPv4 settings; and it gets no IPv6 address by itself. */
void rtnl_settings(struct rtnl *n, int index, const struct rtnl_setting *settings, size_t count);
void rtnl_up(struct rtnl *n, int index);
void rtnl_address(struct rtnl *n, int index, struct in_addr address, unsigned bits);
void rtnl_address6(struct rtnl *n, int index, const struct in6_addr *address, unsigned bits);
void rtnl_default_route(struct rtnl *n, int index, struct in_addr gateway);
void rtnl_default_route6(struct rtnl *n, int index, const struct in6_addr *gateway);
/* By its name, or by its index where `name` is NULL. */
void rtnl_delete(struct rtnl *n, int index, const char *name);

/* By which interface a packet to `address` (of 4 or 16 bytes) would leave; 0: there is no way. Asked at once. */
int rtnl_way_out(struct rtnl *n, int family, const void *address);

/* Sends what was gathered. All of it is tried: 0, or the first error, with *ret_step the request it was of. */
int rtnl_commit(struct rtnl *n, const char **ret_step);
