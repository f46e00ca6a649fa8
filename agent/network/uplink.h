/* uplink.h - the node's way out, as far as instances use it: its interfaces with a default route. Launcher only. */
#pragma once
#include <stdbool.h>

struct uplink {
    bool four, six; /* there is a default route of this kind */
    bool forced_six; /* IPv6 is forwarded for single interfaces (Linux 6.17), not by the node's global switch */
    unsigned mtu;       /* the smallest of them; 0: not known */
    int link4, link6;   /* by which the world is reached: 0 for none */
    const char *no_six; /* why instances have no IPv6 though the node has; NULL */
};

/* Looks, and lets these interfaces forward: answers come in by them. They stay so, since others may rely on it
 * by the end. The node's global switches are not touched: where IPv6 would need that, instances have none. */
void uplink_open(struct uplink *u);
/* The ways out are not those that were found: it may be opened anew. Two questions to the kernel. */
bool uplink_moved(const struct uplink *u);
/* IPv6 of one more interface. -errno */
int uplink_forward_six(const char *link);
