/* network/table.h - the nftables table of a platform: its text, and how it is handed to the kernel. Launcher only.
 *
 *   forward      what comes from an instance: its own source address, not to other instances, not to what
 *                `denied` has; at most so many connections. To an instance: answers.
 *   denied       in order: the node's resolvers' port 53 passes, the platform's own ports do not, the
 *                operator's exceptions pass, what is never meant does not, the operator's ranges do not
 *   input        the node's own addresses: nothing but pings, and its resolver on loopback where it stands for
 *                all others
 *   output       the node's processes do not reach an instance, either
 *   postrouting  the node's address for the instance's
 *
 * What changes while the table lives are elements of sets: no rule is made anew. */
#pragma once
#include "base/buffer.h"
#include "base/cidr.h"
#include "base/error.h"
#include "network/names.h"
#include "network/resolv.h"
#include "network/subnet.h"

struct network_rules {
    const struct names *names;
    struct subnet subnet;
    bool six; /* instances have addresses below prefix6 */
    struct in6_addr prefix6;
    struct in_addr local_dns; /* what stands for the node's resolver on loopback */
    const struct cidr *deny, *allow;
    size_t deny_count, allow_count;
    const char *gateway; /* of this node, for instances too; NULL: not for them */
    unsigned flows;      /* connections of one instance; 0: not counted */
};
/* Pure. -ENOMEM */
int network_table_text(const struct network_rules *r, struct buffer *to);

/* Commands that make the sets of resolvers what `from` says. Pure. */
int network_table_resolvers(const struct names *names, const struct resolv *from,
                            struct in_addr instead, struct buffer *to);

/* The same for the platform's ports, from "tcp://ADDRESS:PORT", NULL at the end. Names, Unix sockets and loopback are
 * passed over. */
int network_table_ports(const struct names *names, const char *const *addresses, struct buffer *to);

/* Runs commands; *e has the first line of what nftables said. */
int network_table_run(struct buffer *commands, const char *what, struct err *e);
