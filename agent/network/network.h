/* network.h - egress: a veth pair for each sandbox that asks, and one nftables table for all.
 *
 * The node's end of a link is named `r<6 hex><pair>`, so that the rules
 * (network/table.h) match by prefix: an instance reaches what lies beyond the
 * node, and neither other instances, nor the node's own addresses, nor what is
 * denied; and nobody reaches an instance by it, the node's own processes
 * neither: a server in it is the agent's alone, which comes another way.
 *
 * IPv6 is there when the node has a default route for it and can forward it
 * without a change to the rest of the node; else an instance has no address of
 * it, so that nothing waits for what will not come.
 *
 * network.c has the platform's share: launcher only. network/link.c has a
 * sandbox's: network_link_make() in whatever process makes the sandbox,
 * network_child() inside. */
#pragma once
#include "base/cidr.h"
#include "base/error.h"
#include "network/idpool.h"
#include "network/names.h"
#include "network/table.h"
#include "network/resolv.h"
#include "network/subnet.h"
#include "network/uplink.h"
#include <stdbool.h>
#include <net/if.h>
#include <sys/types.h>
#include <time.h>

struct network_config {
    const char *subnet; /* IPv4 block for links, e.g. "100.64.0.0/16"; NULL: derived from state_dir */
    const struct cidr *deny, *allow; /* what instances may not reach, and exceptions */
    size_t deny_count, allow_count;
    const char *gateway; /* this node's, which instances may reach; NULL: they may not */
};

struct network {
    bool usable;
    bool flows_limited; /* the kernel can count an instance's connections */
    bool sources;       /* the kernel can check IPv6's, without which there is none */
    bool six;           /* links have IPv6 */
    struct names names;
    struct subnet subnet;
    struct in6_addr prefix6;
    struct uplink uplink;
    struct in_addr local_dns; /* of the pair 0, which no link has */
    struct resolv resolv;
    struct timespec resolv_time[2];
    bool resolv_six;
    uint64_t looked_at;
    pid_t update; /* is at the sets; 0: nobody */
    struct idpool pairs;
    int reservation; /* holds the subnet against other platforms in this network namespace */
};

/* Makes the table. What `c` points to is read here alone. */
int network_init(struct network *n, const struct names *names, const struct network_config *c,
                 struct err *e);
/* Removes the links and the table that carry this platform's names, whoever made them. */
int network_clean(const struct names *names, struct err *e);
void network_done(struct network *n);

/* Before a sandbox is made: a default route that has come, gone or moved, and a resolv.conf that has changed, are
 * noticed, with a look at most every 2 s. */
void network_refresh(struct network *n);
/* The resolv.conf of sandboxes, "" for none. */
const char *network_resolv_conf(const struct network *n);
/* Where the platform's own processes listen, all of them: instances do not get there. */
void network_ports(struct network *n, const char *const *addresses);
/* Waits for the last network_ports() to have taken effect. */
void network_settle(struct network *n);

struct network_link { /* all that is to be known of it: plain data, which crosses between processes */
    uint32_t pair;
    char name[IFNAMSIZ]; /* the node's end */
    bool six, forced_six, local_dns;
    unsigned mtu; /* 0: the kernel's */
    struct in_addr node, instance;
    struct in6_addr node6, instance6;
};
/* Addresses and a name for a link to be made. -ENOSPC. network_unlinked() gives them back, made or not. */
int network_take(struct network *n, struct network_link *ret, struct err *e);
/* Makes it, with `eth0` in the network namespace of `pid`: in one rtnetlink send. Nothing of it is left after a
 * failure. Any process in the node's network namespace. */
int network_link_make(const struct network_link *l, pid_t pid, struct err *e);
/* Makes a link with both ends here and removes it. */
int network_probe(const struct network *n, struct err *e);
/* The kernel removes the link after the sandbox's last process. False: not yet, ask again. True: it
 * is gone and the pair is free. Removing it by hand would block the launcher for an RCU grace
 * period. */
bool network_unlinked(struct network *n, const struct network_link *l);

/* In the sandbox: loopback up and, unless `link` is NULL, eth0 with its addresses and default routes. */
int network_child(const struct network_link *link, struct err *e);
