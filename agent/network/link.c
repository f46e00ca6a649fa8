/* network/link.c - one sandbox's link: made from outside, set up inside, gone with its last process. */
#include "network/network.h"
#include "network/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <stdio.h>
#include <unistd.h>

#define INSIDE_NAME  "eth0"
#define INSIDE_INDEX 64 /* past those that the kernel may put into a new namespace: tunnels */
#define LOOPBACK     1

/* Of its own in the whole network namespace, as its address is: no link has to be looked up. */
static int index_of(const struct network_link *l)
{
    return (int)(ntohl(l->node.s_addr) >> 1);
}

static struct network_link link_of(const struct network *n, uint32_t pair)
{
    struct network_link l = {.pair = pair,
                             .six = n->six,
                             .forced_six = n->six && n->uplink.forced_six,
                             .local_dns = n->resolv.local.s_addr != 0,
                             .mtu = n->uplink.mtu,
                             .node = subnet_node(&n->subnet, pair),
                             .instance = subnet_instance(&n->subnet, pair),
                             .node6 = subnet6_node(&n->prefix6, pair),
                             .instance6 = subnet6_instance(&n->prefix6, pair)};

    snprintf(l.name, sizeof(l.name), "%s%x", n->names.link, pair & 0xffffff);
    return l;
}

int network_take(struct network *n, struct network_link *ret, struct err *e)
{
    uint32_t pair;
    int r = idpool_take(&n->pairs, &pair);

    if (r < 0)
        return err_set(e, -r, "network: all %u addresses for instances are in use",
                       n->pairs.size - 1);
    *ret = link_of(n, pair);
    return 0;
}

static void gather(struct rtnl *nl, const struct network_link *l, struct rtnl_end inside, pid_t pid)
{
    /* Strict: an instance cannot send with another's address. To the node's loopback go its queries for names
     * alone, as the table turns them. */
    const struct rtnl_setting settings[] = {{IPV4_DEVCONF_FORWARDING, 1},
                                            {IPV4_DEVCONF_RP_FILTER, 1},
                                            {IPV4_DEVCONF_ROUTE_LOCALNET, l->local_dns}};
    int index = index_of(l);

    rtnl_veth(nl, (struct rtnl_end){l->name, index}, inside, l->mtu, pid);
    rtnl_settings(nl, index, settings, sizeof(settings) / sizeof(settings[0]));
    rtnl_address(nl, index, l->node, 31);
    if (l->six)
        rtnl_address6(nl, index, &l->node6, 127);
    rtnl_up(nl, index);
}

static int make(const struct network_link *l, struct rtnl_end inside, pid_t pid, bool keep,
                struct err *e)
{
    const char *step;
    struct rtnl nl;
    int r = rtnl_init(&nl);

    if (r < 0)
        return err_errno(e, -r, "network: rtnetlink");
    gather(&nl, l, inside, pid);
    r = rtnl_commit(&nl, &step);
    if (r < 0)
        err_errno(e, -r, "network: link %s: %s", l->name, step);
    if (r == 0 && l->forced_six && (r = uplink_forward_six(l->name)) < 0)
        err_errno(e, -r, "network: force_forwarding of %s", l->name);
    if (r < 0 || !keep) {
        rtnl_delete(&nl, 0, l->name);
        rtnl_commit(&nl, NULL);
    }
    rtnl_done(&nl);
    return r;
}

int network_link_make(const struct network_link *l, pid_t pid, struct err *e)
{
    return make(l, (struct rtnl_end){INSIDE_NAME, INSIDE_INDEX}, pid, true, e);
}

int network_probe(const struct network *n, struct err *e)
{
    struct network_link l = link_of(n, 0), there = link_of(n, 0xffffff);

    return make(&l, (struct rtnl_end){there.name, 0}, getpid(), false, e);
}

bool network_unlinked(struct network *n, const struct network_link *l)
{
    if (if_nametoindex(l->name))
        return false;
    idpool_give(&n->pairs, l->pair);
    return true;
}

int network_child(const struct network_link *l, struct err *e)
{
    const char *step;
    struct rtnl nl;
    int r = rtnl_init(&nl);

    if (r < 0)
        return err_errno(e, -r, "network: rtnetlink in the sandbox");
    rtnl_up(&nl, LOOPBACK);
    if (l) {
        rtnl_settings(&nl, INSIDE_INDEX, NULL, 0);
        rtnl_address(&nl, INSIDE_INDEX, l->instance, 31);
        if (l->six)
            rtnl_address6(&nl, INSIDE_INDEX, &l->instance6, 127);
        rtnl_up(&nl, INSIDE_INDEX);
        rtnl_default_route(&nl, INSIDE_INDEX, l->node);
        if (l->six)
            rtnl_default_route6(&nl, INSIDE_INDEX, &l->node6);
    }
    r = rtnl_commit(&nl, &step);
    if (r < 0)
        err_errno(e, -r, "network: loopback and eth0 in the sandbox: %s", step);
    rtnl_done(&nl);
    return r;
}
