/* network.h - egress: a veth pair for each sandbox that asks, and one nftables table for all.
 *
 * The node's end of a link is named `r<6 hex><pair>`, so that the rules match
 * by prefix: an instance reaches what lies beyond the node, and neither other
 * instances, nor the node's own addresses, nor link-local ones (cloud
 * metadata); and nobody reaches an instance by it, the node's own processes
 * neither: a server in it is the agent's alone, which comes another way. The node's interfaces with a default route are set to forward,
 * and stay so: others may rely on it by the end. Launcher only, but for
 * network_child(). */
#pragma once
#include "base/error.h"
#include "sandbox/idpool.h"
#include "sandbox/names.h"
#include "sandbox/subnet.h"
#include <stdbool.h>
#include <sys/types.h>

struct network {
    bool usable;
    bool flows_limited; /* the kernel can count an instance's connections */
    struct names names;
    struct subnet subnet;
    struct idpool pairs;
    int reservation; /* holds the subnet against other platforms in this network namespace */
};

/* Makes the table. `cidr` NULL: a free block, first tried the one the names' id points at. */
int network_init(struct network *n, const struct names *names, const char *cidr, struct err *e);
/* Removes the links and the table that carry this platform's names, whoever made them. */
int network_clean(const struct names *names, struct err *e);
void network_done(struct network *n);

struct network_link {
    uint32_t pair;
    struct in_addr node, instance;
};
/* Makes the pair, with `eth0` in the network namespace of `pid`. -ENOSPC. */
int network_link(struct network *n, pid_t pid, struct network_link *ret, struct err *e);
/* The kernel removes the link after the sandbox's last process. False: not yet, ask again. True: it
 * is gone and the pair is free. Removing it by hand would block the launcher for an RCU grace
 * period. */
bool network_unlinked(struct network *n, const struct network_link *l);

/* In the sandbox: loopback up and, unless `address` is NULL, eth0 with its address and default
 * route. */
int network_child(const struct in_addr *address, struct in_addr gateway, struct err *e);

/* The text of a resolv.conf for a sandbox: without servers on the node's loopback, which it cannot
 * reach. Pure. The number of servers left. */
int network_filter_resolv(const char *text, char *to, size_t size);
/* The node's, filtered; systemd-resolved's upstream list if nothing is left. "" if there is none.
 */
void network_resolv_conf(char *to, size_t size);
