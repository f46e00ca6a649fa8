#include "network/network.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "network/rtnl.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_EVERY_NS (2 * NS_PER_S)
#define FLOWS_MAX                                                                                  \
    4096u /* of one instance at once, in the connection table that all of the node share */

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

/* ---- the table */
static int make_table(const struct network *n, const struct network_config *c, unsigned flows,
                      struct err *e)
{
    const struct network_rules rules = {.names = &n->names,
                                        .subnet = n->subnet,
                                        .six = n->sources,
                                        .prefix6 = n->prefix6,
                                        .local_dns = n->local_dns,
                                        .deny = c->deny,
                                        .allow = c->allow,
                                        .deny_count = c->deny_count,
                                        .allow_count = c->allow_count,
                                        .gateway = c->gateway,
                                        .flows = flows};
    cleanup_buffer struct buffer b = {0};
    int r = network_table_text(&rules, &b);

    return r < 0 ? err_errno(e, -r, "nftables") : network_table_run(&b, "make the table", e);
}

/* Older kernels may lack the count of connections, or what IPv6's sources are checked by: instances then have no
 * IPv6. The rest of the rules is what must be. */
static int make_best_table(struct network *n, const struct network_config *c, struct err *e)
{
    n->sources = true;
    n->flows_limited = true;
    if (make_table(n, c, FLOWS_MAX, NULL) == 0)
        return 0;
    n->sources = false;
    if (make_table(n, c, FLOWS_MAX, NULL) == 0)
        return 0;
    n->flows_limited = false;
    return make_table(n, c, 0, e);
}

/* ---- name servers */
#define RESOLV_CONF "/etc/resolv.conf"

static int learn_resolvers(struct network *n, struct err *e)
{
    cleanup_buffer struct buffer b = {0};
    int r = network_table_resolvers(&n->names, &n->resolv, n->local_dns, &b);

    return r < 0 ? err_errno(e, -r, "nftables") : network_table_run(&b, "name servers", e);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whoever changes it writes or replaces it. */
static void learn_resolv_conf(struct network *n)
{
    struct resolv now;
    struct stat st;

    if (stat(RESOLV_CONF, &st) < 0 ||
        (same_time(&st.st_mtim, &n->resolv_time[0]) && same_time(&st.st_ctim, &n->resolv_time[1]) &&
         n->resolv_six == n->six))
        return;
    n->resolv_time[0] = st.st_mtim;
    n->resolv_time[1] = st.st_ctim;
    n->resolv_six = n->six;
    resolv_read(n->six, n->local_dns, &now);
    if (!memcmp(&now, &n->resolv, sizeof(now)))
        return;
    n->resolv = now;
    learn_resolvers(n, NULL);
}

const char *network_resolv_conf(const struct network *n)
{
    return n->resolv.text;
}

void network_settle(struct network *n)
{
    while (n->update > 0 && waitpid(n->update, NULL, 0) < 0 && errno == EINTR)
        ;
    n->update = 0;
}

/* In a process of its own: a thousand nodes' take tens of milliseconds, for which no start waits. */
void network_ports(struct network *n, const char *const *addresses)
{
    cleanup_buffer struct buffer b = {0};
    struct err e = {0};
    int r;

    if (!n->usable)
        return;
    /* In their order; the one before has ended long ago, or soon will. */
    network_settle(n);
    n->update = fork();
    if (n->update > 0)
        return;
    r = network_table_ports(&n->names, addresses, &b);
    if (r == 0)
        r = network_table_run(&b, "ports of the platform", &e);
    if (r < 0)
        log_warn("instances may reach the platform's ports: %s", e.message);
    /* Without a process for it, it was done here. */
    if (n->update == 0)
        _exit(0);
}

/* ---- the way out */
/* That a link can be made is told at the start, or every sandbox would fail of it. */
static int find_way_out(struct network *n, struct err *e)
{
    uplink_open(&n->uplink);
    n->looked_at = clock_monotonic_ns();
    if (n->uplink.six && !n->sources)
        n->uplink.no_six = "the kernel has no nft_fib";
    n->six = n->uplink.six && n->sources;
    if (n->six && network_probe(n, NULL) == 0)
        return 0;
    if (n->six)
        n->uplink.no_six = "a link cannot have its addresses";
    n->six = false;
    return network_probe(n, e);
}

void network_refresh(struct network *n)
{
    uint64_t now = clock_monotonic_ns();

    if (!n->usable || now - n->looked_at < LOOK_EVERY_NS)
        return;
    n->looked_at = now;
    /* Links that are there stay as they are. */
    if (uplink_moved(&n->uplink))
        find_way_out(n, NULL);
    learn_resolv_conf(n);
}

/* ---- the platform's share */
int network_init(struct network *n, const struct names *names, const struct network_config *c,
                 struct err *e)
{
    uint32_t none;
    int r;

    *n = (struct network){.names = *names, .reservation = -1};
    r = choose_subnet(n, c->subnet, e);
    if (r == 0 && (r = idpool_init(&n->pairs, subnet_pairs(&n->subnet))) < 0)
        err_errno(e, -r, "addresses for instances");
    if (r == 0) {
        idpool_take(&n->pairs, &none);
        n->local_dns = subnet_instance(&n->subnet, none);
        n->prefix6 = subnet6_prefix((uint32_t)strtoul(names->id, NULL, 16));
        r = make_best_table(n, c, e);
    }
    if (r == 0)
        r = find_way_out(n, e);
    if (r < 0) {
        network_done(n);
        return r;
    }
    n->usable = true;
    learn_resolv_conf(n);
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
        if (r == 0) {
            rtnl_delete(&nl, (int)i->if_index, NULL);
            r = rtnl_commit(&nl, NULL);
        }
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
    cleanup_buffer struct buffer b = {0};
    int r = remove_links(names, e);
    int t;

    /* Deleting what is absent is an error, making what is there is none. */
    t = buffer_printf(&b, "add table inet %s\ndelete table inet %s\n", names->table, names->table);
    if (t == 0)
        t = network_table_run(&b, "remove the table", r < 0 ? NULL : e);
    return r < 0 ? r : t;
}

void network_done(struct network *n)
{
    network_settle(n);
    if (n->reservation >= 0)
        close(n->reservation);
    idpool_done(&n->pairs);
    *n = (struct network){.reservation = -1};
}
