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

int network_make(const struct platform *p, const char *prefix, struct err *e)
{
    cleanup_buffer struct buffer host = {0};
    int r;

    buffer_printf(&host, "link add %s type bridge\naddr add %s1/24 dev %s\nlink set %s up\n",
                  p->bridge, prefix, p->bridge, p->bridge);
    for (unsigned i = 0; i < p->node_count; i++) {
        const char *ns = p->nodes[i].netns;

        buffer_printf(&host, "netns add %s\nlink add rv%.8s-%u type veth peer name eth0 netns %s\n",
                      ns, p->id, i + 1, ns);
        buffer_printf(&host, "link set rv%.8s-%u master %s up\n", p->id, i + 1, p->bridge);
    }
    r = run_ip(NULL, &host, e);
    for (unsigned i = 0; i < p->node_count && r == 0; i++) {
        cleanup_buffer struct buffer inside = {0};

        buffer_printf(&inside,
                      "link set lo up\naddr add %s%u/24 dev eth0\nlink set eth0 up\nroute add "
                      "default via %s1\n",
                      prefix, 11 + i, prefix);
        r = run_ip(p->nodes[i].netns, &inside, e);
    }
    return r < 0 ? err_wrap(e, "making the nodes' network") : 0;
}

int network_remove(const struct platform *p, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < p->node_count; i++) {
        const char *ns = p->nodes[i].netns, *argv[] = {"ip", "netns", "del", ns, NULL};
        char path[128];

        snprintf(path, sizeof(path), "/run/netns/%s", ns);
        if (!*ns || access(path, F_OK) < 0)
            continue;
        if (process_run((char *const *)(uintptr_t)argv, NULL, e) < 0)
            r = -EIO;
    }
    /* A veth goes with its namespace, yet not at once: deleting this end is immediate. */
    for (unsigned i = 0; p->bridge[0] && i < p->node_count; i++) {
        char veth[32];
        const char *argv[] = {"ip", "link", "del", veth, NULL};

        snprintf(veth, sizeof(veth), "rv%.8s-%u", p->id, i + 1);
        if (if_nametoindex(veth))
            process_run((char *const *)(uintptr_t)argv, NULL, NULL);
    }
    if (p->bridge[0] && if_nametoindex(p->bridge)) {
        const char *argv[] = {"ip", "link", "del", p->bridge, NULL};

        if (process_run((char *const *)(uintptr_t)argv, NULL, e) < 0)
            r = -EIO;
    }
    return r;
}
