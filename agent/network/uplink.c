#include "network/uplink.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "network/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUTES_MAX    (1u << 20)
#define RTF_REJECT_   0x0200u /* linux/route.h, which fights with net/route.h */
#define RTF_UP_       0x0001u
#define SIX_MTU_LEAST 1280u

static int set_conf(const char *family, const char *link, const char *key, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, link, key);
    return file_poke(AT_FDCWD, path, value);
}

static long read_number(const char *path)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *text = NULL;

    if (file_read(AT_FDCWD, path, 64, &b) < 0)
        return -1;
    text = buffer_take_string(&b);
    return text ? strtol(text, NULL, 10) : -1;
}

int uplink_forward_six(const char *link)
{
    return set_conf("ipv6", link, "force_forwarding", "1");
}

/* Not from /sys: that of a node in a network namespace shows another's. */
static void take_mtu(struct uplink *u, const char *link)
{
    struct ifreq q = {0};
    cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", link);
    if (fd >= 0 && ioctl(fd, SIOCGIFMTU, &q) == 0 && q.ifr_mtu > 0 &&
        (!u->mtu || (unsigned)q.ifr_mtu < u->mtu))
        u->mtu = (unsigned)q.ifr_mtu;
}

static void take_four(struct uplink *u, const char *line)
{
    char link[IFNAMSIZ], to[9], mask[9];

    if (sscanf(line, "%15s %8s %*8s %*x %*u %*u %*u %8s", link, to, mask) != 3 ||
        strcmp(to, "00000000") || strcmp(mask, "00000000"))
        return;
    u->four = true;
    set_conf("ipv4", link, "forwarding", "1");
    take_mtu(u, link);
}

static void take_six(struct uplink *u, const char *line)
{
    char link[IFNAMSIZ], to[33], length[3];
    unsigned flags;

    if (sscanf(line, "%32s %2s %*s %*s %*s %*s %*s %*s %x %15s", to, length, &flags, link) != 4 ||
        strspn(to, "0") != 32 || strcmp(length, "00") || flags & RTF_REJECT_ ||
        !(flags & RTF_UP_) || !strcmp(link, "lo"))
        return;
    u->six = true;
    if (u->forced_six && uplink_forward_six(link) < 0)
        u->no_six = "the way out cannot be told to forward it";
    take_mtu(u, link);
}

static void each_line(const char *path, struct uplink *u,
                      void (*take)(struct uplink *u, const char *line))
{
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *text = NULL;
    char *rest, *line;

    if (file_read(AT_FDCWD, path, ROUTES_MAX, &b) < 0)
        return;
    text = rest = buffer_take_string(&b);
    while (rest && (line = strsep(&rest, "\n")))
        take(u, line);
}

/* Of addresses that any default route leads to; nothing is sent there. */
static void look(int *ret_link4, int *ret_link6)
{
    struct in_addr four;
    struct in6_addr six;
    struct rtnl nl;

    *ret_link4 = *ret_link6 = 0;
    inet_pton(AF_INET, "1.1.1.1", &four);
    inet_pton(AF_INET6, "2606:4700:4700::1111", &six);
    if (rtnl_init(&nl) < 0)
        return;
    *ret_link4 = rtnl_way_out(&nl, AF_INET, &four);
    *ret_link6 = rtnl_way_out(&nl, AF_INET6, &six);
    rtnl_done(&nl);
}

bool uplink_moved(const struct uplink *u)
{
    int link4, link6;

    look(&link4, &link6);
    return link4 != u->link4 || link6 != u->link6;
}

void uplink_open(struct uplink *u)
{
    bool global = read_number("/proc/sys/net/ipv6/conf/all/forwarding") == 1;

    *u = (struct uplink){
        .forced_six = !global && access("/proc/sys/net/ipv6/conf/all/force_forwarding", F_OK) == 0};
    each_line("/proc/net/route", u, take_four);
    each_line("/proc/net/ipv6_route", u, take_six);
    if (!global && !u->forced_six)
        u->no_six = "this kernel forwards it only with net.ipv6.conf.all.forwarding=1";
    else if (u->mtu && u->mtu < SIX_MTU_LEAST)
        u->no_six = "the way out takes packets of less than 1280 bytes";
    if (!u->six)
        u->no_six = NULL;
    u->six &= !u->no_six;
    look(&u->link4, &u->link6);
}
