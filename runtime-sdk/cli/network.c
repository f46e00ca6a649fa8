#include "cli/network.h"
#include "cli/process.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODE_NUMBER_MAX = 240 };

static bool taken(struct ifaddrs *all, const char *prefix)
{
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        char text[INET_ADDRSTRLEN];
        struct sockaddr_in sa;

        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(&sa, i->ifa_addr, sizeof(sa));
        if (inet_ntop(AF_INET, &sa.sin_addr, text, sizeof(text)) &&
            strncmp(text, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

int network_plan(struct platform *p, char ret_prefix[16], struct err *e)
{
    unsigned long at = strtoul(p->id, NULL, 16);
    struct ifaddrs *all;
    char id[sizeof(p->id)];
    int r = -EADDRNOTAVAIL;

    if (getifaddrs(&all) < 0)
        return err_errno(e, errno, "network addresses");
    for (unsigned i = 0; i < 64 && r < 0; i++, at++) {
        snprintf(ret_prefix, 16, "10.%lu.%lu.", 64 + at / 256 % 64, at % 256);
        r = taken(all, ret_prefix) ? -EADDRNOTAVAIL : 0;
    }
    freeifaddrs(all);
    if (r < 0)
        return err_set(e, EADDRNOTAVAIL, "no free network of 64 tried; the last one was %s0/24",
                       ret_prefix);
    memcpy(id, p->id, sizeof(id));
    snprintf(p->bridge, sizeof(p->bridge), "rb%.8s", id);
    for (unsigned i = 0; i < p->node_count; i++)
        snprintf(p->nodes[i].netns, sizeof(p->nodes[i].netns), "rouse-%.8s-%u", id, i + 1);
    return 0;
}

static int run_ip(const char *netns, const struct buffer *batch, struct err *e)
{
    cleanup_free char *text = strndup((const char *)buffer_bytes(batch), buffer_size(batch));
    const char *in_ns[] = {"ip", "-n", netns, "-batch", "-", NULL},
               *here[] = {"ip", "-batch", "-", NULL};

    if (!text)
        return err_errno(e, ENOMEM, "network");
    return process_run((char *const *)(uintptr_t)(netns ? in_ns : here), text, e);
}

/* Node N has the namespace rouse-ID-N, the link rvID-N and the address .(10 + N). */
static unsigned number_of(const struct platform_node *n)
{
    const char *dash = strrchr(n->netns, '-');

    return dash ? (unsigned)strtoul(dash + 1, NULL, 10) : 0;
}

static void veth_of(const struct platform *p, const struct platform_node *n, char out[32])
{
    snprintf(out, 32, "rv%.8s-%u", p->id, number_of(n));
}

/* Addresses come again with another node, and a bridge takes the lowest of its links' unless it was given one: with the
 * same hardware address behind each of them, always, nobody sends to one that is gone until it notices. */
static void hardware_of(const struct platform *p, unsigned host, char out[18])
{
    snprintf(out, 18, "02:%.2s:%.2s:%.2s:%.2s:%02x", p->id, p->id + 2, p->id + 4, p->id + 6,
             host & 0xff);
}

static int make_node(const struct platform *p, const struct platform_node *n, const char *prefix,
                     struct err *e)
{
    cleanup_buffer struct buffer host = {0}, inside = {0};
    char veth[32], hardware[18];
    int r;

    veth_of(p, n, veth);
    hardware_of(p, 10 + number_of(n), hardware);
    buffer_printf(&host, "netns add %s\nlink add %s type veth peer name eth0 address %s netns %s\n",
                  n->netns, veth, hardware, n->netns);
    buffer_printf(&host, "link set %s master %s up\n", veth, p->bridge);
    buffer_printf(&inside,
                  "link set lo up\naddr add %s%u/24 dev eth0\nlink set eth0 up\nroute add "
                  "default via %s1\n",
                  prefix, 10 + number_of(n), prefix);
    r = run_ip(NULL, &host, e);
    return r < 0 ? r : run_ip(n->netns, &inside, e);
}

int network_make(const struct platform *p, const char *prefix, struct err *e)
{
    cleanup_buffer struct buffer host = {0};
    char hardware[18];
    int r;

    hardware_of(p, 1, hardware);
    buffer_printf(&host,
                  "link add %s address %s type bridge\naddr add %s1/24 dev %s\nlink set %s up\n",
                  p->bridge, hardware, prefix, p->bridge, p->bridge);
    r = run_ip(NULL, &host, e);
    for (unsigned i = 0; i < p->node_count && r == 0; i++)
        r = make_node(p, &p->nodes[i], prefix, e);
    return r < 0 ? err_wrap(e, "making the nodes' network") : 0;
}

static bool number_taken(const struct platform *p, unsigned number)
{
    for (unsigned i = 0; i < p->node_count; i++)
        if (number_of(&p->nodes[i]) == number)
            return true;
    return false;
}

/* "10.x.y." of "http://10.x.y.1:7080". */
static int prefix_of(const struct platform *p, char out[16])
{
    const char *host = strstr(p->api, "//"), *dot = host ? strchr(host, ':') : NULL;

    while (dot && dot > host && dot[-1] != '.')
        dot--;
    if (!p->bridge[0] || !dot || dot - host - 2 >= 16)
        return -EINVAL;
    snprintf(out, 16, "%.*s", (int)(dot - host - 2), host + 2);
    return 0;
}

static void url_like(char out[URL_MAX], const char *prefix, unsigned number, const char *other)
{
    snprintf(out, URL_MAX, "http://%s%u%s", prefix, 10 + number, strrchr(other, ':'));
}

int network_place(const struct platform *p, struct platform_node *n, struct err *e)
{
    const struct platform_node *like = &p->nodes[0];
    unsigned number = 1;
    char prefix[16], id[sizeof(p->id)];

    if (prefix_of(p, prefix) < 0)
        return err_set(e, EINVAL,
                       "the platform has no network of its own: `rouse up --bridge` makes one");
    while (number <= NODE_NUMBER_MAX && number_taken(p, number))
        number++;
    if (number > NODE_NUMBER_MAX)
        return err_set(e, EADDRNOTAVAIL, "all %d addresses of the platform's network are taken",
                       NODE_NUMBER_MAX);
    memcpy(id, p->id, sizeof(id));
    snprintf(n->netns, sizeof(n->netns), "rouse-%.8s-%u", id, number);
    url_like(n->gateway, prefix, number, like->gateway);
    url_like(n->peer, prefix, number, like->peer);
    url_like(n->metrics, prefix, number, like->metrics);
    return 0;
}

static int drop_netns(const struct platform_node *n, struct err *e)
{
    const char *argv[] = {"ip", "netns", "del", n->netns, NULL};
    char path[128];

    snprintf(path, sizeof(path), "/run/netns/%s", n->netns);
    if (!n->netns[0] || access(path, F_OK) < 0)
        return 0;
    return process_run((char *const *)(uintptr_t)argv, NULL, e);
}

/* A veth goes with its namespace, yet not at once: deleting this end is immediate. */
static void drop_veth(const struct platform *p, const struct platform_node *n)
{
    char veth[32];
    const char *argv[] = {"ip", "link", "del", veth, NULL};

    veth_of(p, n, veth);
    if (if_nametoindex(veth))
        process_run((char *const *)(uintptr_t)argv, NULL, NULL);
}

void network_drop(const struct platform *p, const struct platform_node *n)
{
    struct err e = {0};

    drop_netns(n, &e);
    drop_veth(p, n);
}

int network_add(const struct platform *p, const struct platform_node *n, struct err *e)
{
    char prefix[16];
    int r = prefix_of(p, prefix);

    if (r < 0)
        return err_set(e, EINVAL, "the platform has no network of its own");
    network_drop(p, n);
    r = make_node(p, n, prefix, e);
    if (r < 0)
        network_drop(p, n);
    return r < 0 ? err_wrap(e, "making the network of %s", n->name) : 0;
}

int network_remove(const struct platform *p, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < p->node_count; i++)
        if (drop_netns(&p->nodes[i], e) < 0)
            r = -EIO;
    for (unsigned i = 0; p->bridge[0] && i < p->node_count; i++)
        drop_veth(p, &p->nodes[i]);
    if (p->bridge[0] && if_nametoindex(p->bridge)) {
        const char *argv[] = {"ip", "link", "del", p->bridge, NULL};

        if (process_run((char *const *)(uintptr_t)argv, NULL, e) < 0)
            r = -EIO;
    }
    return r;
}
