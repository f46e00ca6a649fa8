#include "sandbox/network.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define INSTANCE_LINK "eth0"
#define FLOWS_MAX                                                                                  \
    4096u /* of one instance at once, in the connection table that all of the node share */

/* ---- nftables */
static int nft_run(const char *commands, const char *what, struct err *e)
{
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    int r = 0;

    if (!ctx)
        return err_set(e, ENOMEM, "nftables: %s: no context", what);
    nft_ctx_buffer_error(ctx);
    nft_ctx_buffer_output(ctx);
    if (nft_run_cmd_from_buffer(ctx, commands)) {
        const char *said = nft_ctx_get_error_buffer(ctx);

        r = err_set(e, EPERM, "nftables: %s: %.*s", what, (int)strcspn(said, "\n"), said);
    }
    nft_ctx_free(ctx);
    return r;
}

static int make_table(const struct network *n, bool limit_flows, struct err *e)
{
    cleanup_buffer struct buffer b = {0};
    const char *t = n->names.table, *l = n->names.link;
    char subnet[24], flows[128] = "";
    int r;

    subnet_text(&n->subnet, subnet);
    if (limit_flows)
        snprintf(flows, sizeof(flows),
                 "  iifname \"%s*\" ct state new add @flows { ip saddr ct count over %u } drop\n",
                 l, FLOWS_MAX);
    r = buffer_printf(
        &b,
        "table inet %s {\n"
        " set flows { type ipv4_addr; size 65535; flags dynamic; }\n"
        " chain forward {\n"
        "  type filter hook forward priority 0; policy accept;\n"
        "  iifname \"%s*\" oifname \"%s*\" drop\n"
        "  oifname \"%s*\" ct state established,related accept\n"
        "  oifname \"%s*\" drop\n"
        "  iifname \"%s*\" meta nfproto ipv6 drop\n"
        "  iifname \"%s*\" ip saddr != %s drop\n"
        "  iifname \"%s*\" ip daddr { 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3, 100.100.100.200 } "
        "drop\n"
        "%s }\n"
        " chain input {\n"
        "  type filter hook input priority 0; policy accept;\n"
        "  iifname \"%s*\" ct state established,related accept\n"
        "  iifname \"%s*\" ip protocol icmp accept\n"
        "  iifname \"%s*\" drop\n"
        " }\n"
        " chain output {\n"
        "  type filter hook output priority 0; policy accept;\n"
        "  oifname \"%s*\" ct state established,related accept\n"
        "  oifname \"%s*\" ip protocol icmp accept\n"
        "  oifname \"%s*\" drop\n"
        " }\n"
        " chain postrouting {\n"
        "  type nat hook postrouting priority 100; policy accept;\n"
        "  ip saddr %s oifname != \"%s*\" masquerade\n"
        " }\n"
        "}\n",
        t, l, l, l, l, l, l, subnet, l, flows, l, l, l, l, l, l, subnet, l);
    if (r == 0)
        r = buffer_append(&b, "", 1);
    return r < 0 ? r : nft_run((const char *)buffer_bytes(&b), "make the table", e);
}

/* ---- which block of addresses */
/* An abstract socket lives as long as the launcher and is seen by all of the network namespace,
 * which is just the span in which two platforms must not use one block. -EADDRINUSE. */
static int reserve(const struct subnet *s)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[24];
    int n;

    if (fd < 0)
        return -errno;
    subnet_text(s, text);
    n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "rouse-subnet-%s", text);
    if (bind(fd, (struct sockaddr *)&at,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int choose_subnet(struct network *n, const char *cidr, struct err *e)
{
    uint32_t first = (uint32_t)strtoul(n->names.id, NULL, 16);
    int r;

    if (cidr) {
        r = subnet_parse(cidr, &n->subnet);
        if (r < 0)
            return err_errno(e, -r, "instance subnet %s (a block such as 100.64.0.0/18)", cidr);
        n->reservation = reserve(&n->subnet);
        return n->reservation < 0 ? err_errno(e, -n->reservation, "instance subnet %s", cidr) : 0;
    }
    for (uint32_t i = 0; i < SUBNET_DEFAULTS; i++) {
        n->subnet = subnet_default(first + i);
        n->reservation = reserve(&n->subnet);
        if (n->reservation != -EADDRINUSE)
            return n->reservation < 0 ? err_errno(e, -n->reservation, "reserve addresses") : 0;
    }
    return err_set(e, EADDRINUSE, "every block of 100.64.0.0/10 is in use by another platform");
}

/* ---- forwarding: per interface, never the node's global switch */
static int set_conf(const char *family, const char *link, const char *key, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, link, key);
    return file_poke(AT_FDCWD, path, value);
}

/* Answers come in by the interfaces with a default route: those must forward too. */
static void forward_uplinks(void)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *text = NULL;
    char *rest, *line;

    if (file_read(AT_FDCWD, "/proc/net/route", 1u << 20, &b) < 0)
        return;
    text = rest = buffer_take_string(&b);
    while (rest && (line = strsep(&rest, "\n"))) {
        char link[IFNAMSIZ], to[9], gateway[9];
        unsigned flags, ref, use, metric;
        char mask[9];

        if (sscanf(line, "%15s %8s %8s %x %u %u %u %8s", link, to, gateway, &flags, &ref, &use,
                   &metric, mask) == 8 &&
            !strcmp(to, "00000000") && !strcmp(mask, "00000000"))
            set_conf("ipv4", link, "forwarding", "1");
    }
}

/* ---- the platform's share */
static void link_name(const struct network *n, uint32_t pair, char name[IFNAMSIZ])
{
    snprintf(name, IFNAMSIZ, "%s%x", n->names.link, pair & 0xffffff);
}

/* A link can be made and set up: told at the start, or every sandbox would fail of it. */
static int probe_link(const struct network *n, struct err *e)
{
    char name[IFNAMSIZ], peer[IFNAMSIZ];
    struct rtnl nl;
    int r = rtnl_init(&nl);

    if (r < 0)
        return err_errno(e, -r, "rtnetlink");
    link_name(n, 0xfffffe, name);
    link_name(n, 0xffffff, peer);
    r = rtnl_veth(&nl, name, peer, getpid());
    if (r < 0)
        err_errno(e, -r, "make a veth pair");
    if (r == 0) {
        r = set_conf("ipv4", name, "forwarding", "1");
        if (r < 0)
            err_errno(e, -r, "write to /proc/sys/net/ipv4/conf/%s/forwarding", name);
        rtnl_delete(&nl, name);
    }
    rtnl_done(&nl);
    return r;
}

int network_init(struct network *n, const struct names *names, const char *cidr, struct err *e)
{
    int r;

    *n = (struct network){.names = *names, .reservation = -1};
    r = choose_subnet(n, cidr, e);
    if (r == 0)
        r = idpool_init(&n->pairs, subnet_pairs(&n->subnet));
    if (r == 0)
        r = probe_link(n, e);
    /* Older kernels may lack the count; the rest of the rules is what must be. */
    if (r == 0)
        n->flows_limited = make_table(n, true, NULL) == 0;
    if (r == 0 && !n->flows_limited)
        r = make_table(n, false, e);
    if (r < 0) {
        network_done(n);
        return r;
    }
    forward_uplinks();
    n->usable = true;
    return 0;
}

static bool is_ours(const char *link, const struct names *names)
{
    size_t n = strlen(names->link);

    return !strncmp(link, names->link, n) && link[n] &&
           strspn(link + n, "0123456789abcdef") == strlen(link + n);
}

static int remove_links(const struct names *names, struct err *e)
{
    struct if_nameindex *all = if_nameindex();
    struct rtnl nl = {0};
    int r = 0;

    for (struct if_nameindex *i = all; i && i->if_index && r == 0; i++) {
        if (!is_ours(i->if_name, names))
            continue;
        if (!nl.socket)
            r = rtnl_init(&nl);
        if (r == 0)
            r = rtnl_delete(&nl, i->if_name);
        /* Its sandbox's namespace may just be going. */
        r = r == -ENODEV ? 0 : r;
        if (r < 0)
            err_errno(e, -r, "remove the link %s", i->if_name);
    }
    if_freenameindex(all);
    rtnl_done(&nl);
    return r;
}

int network_clean(const struct names *names, struct err *e)
{
    char commands[96];
    int r = remove_links(names, e);
    int t;

    /* Deleting what is absent is an error, making what is there is none. */
    snprintf(commands, sizeof(commands), "add table inet %s\ndelete table inet %s\n", names->table,
             names->table);
    t = nft_run(commands, "remove the table", r < 0 ? NULL : e);
    return r < 0 ? r : t;
}

void network_done(struct network *n)
{
    if (n->reservation >= 0)
        close(n->reservation);
    idpool_done(&n->pairs);
    *n = (struct network){.reservation = -1};
}

/* ---- one sandbox's link */
static int link_make(struct rtnl *nl, const char *name, pid_t pid, const struct network_link *l,
                     struct err *e)
{
    int r = rtnl_veth(nl, name, INSTANCE_LINK, pid);

    if (r < 0)
        return err_errno(e, -r, "network: make the link %s", name);
    /* IPv4 only: no link-local addresses, which the rules would have to follow. */
    set_conf("ipv6", name, "disable_ipv6", "1");
    /* Strict: an instance cannot send with another's address. */
    r = set_conf("ipv4", name, "rp_filter", "1");
    if (r < 0)
        return err_errno(e, -r, "network: rp_filter of %s", name);
    r = set_conf("ipv4", name, "forwarding", "1");
    if (r < 0)
        return err_errno(e, -r, "network: forwarding of %s", name);
    r = rtnl_address(nl, name, l->node, 31);
    if (r < 0)
        return err_errno(e, -r, "network: address of %s", name);
    r = rtnl_up(nl, name);
    return r < 0 ? err_errno(e, -r, "network: set %s up", name) : 0;
}

int network_link(struct network *n, pid_t pid, struct network_link *ret, struct err *e)
{
    struct network_link l;
    struct rtnl nl;
    char name[IFNAMSIZ];
    int r = idpool_take(&n->pairs, &l.pair);

    if (r < 0)
        return err_set(e, -r, "network: all %u addresses for instances are in use", n->pairs.size);
    l.node = subnet_node(&n->subnet, l.pair);
    l.instance = subnet_instance(&n->subnet, l.pair);
    link_name(n, l.pair, name);
    r = rtnl_init(&nl);
    if (r < 0) {
        err_errno(e, -r, "network: rtnetlink");
    } else {
        r = link_make(&nl, name, pid, &l, e);
        if (r < 0)
            rtnl_delete(&nl, name);
        rtnl_done(&nl);
    }
    if (r < 0) {
        idpool_give(&n->pairs, l.pair);
        return r;
    }
    *ret = l;
    return 0;
}

bool network_unlinked(struct network *n, const struct network_link *l)
{
    char name[IFNAMSIZ];

    link_name(n, l->pair, name);
    if (if_nametoindex(name))
        return false;
    idpool_give(&n->pairs, l->pair);
    return true;
}

int network_child(const struct in_addr *address, struct in_addr gateway, struct err *e)
{
    struct rtnl nl;
    int r = rtnl_init(&nl);

    if (r < 0)
        return err_errno(e, -r, "network: rtnetlink in the sandbox");
    r = rtnl_up(&nl, "lo");
    if (r < 0)
        err_errno(e, -r, "network: set loopback up");
    if (r == 0 && address) {
        set_conf("ipv6", INSTANCE_LINK, "disable_ipv6", "1");
        r = rtnl_address(&nl, INSTANCE_LINK, *address, 31);
        if (r == 0)
            r = rtnl_up(&nl, INSTANCE_LINK);
        if (r == 0)
            r = rtnl_default_route(&nl, gateway);
        if (r < 0)
            err_errno(e, -r, "network: address and route of %s", INSTANCE_LINK);
    }
    rtnl_done(&nl);
    return r;
}
