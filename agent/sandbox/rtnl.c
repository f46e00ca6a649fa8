#include "sandbox/rtnl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

int rtnl_init(struct rtnl *n)
{
    *n = (struct rtnl){.socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC)};
    if (!n->socket)
        return -errno;
    if (mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int r = -errno;

        rtnl_done(n);
        return r;
    }
    return 0;
}

void rtnl_done(struct rtnl *n)
{
    if (n->socket)
        mnl_socket_close(n->socket);
    n->socket = NULL;
}

static struct nlmsghdr *request(struct rtnl *n, char *buf, int type, int flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

    h->nlmsg_type = (uint16_t)type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    h->nlmsg_seq = ++n->sequence;
    return h;
}

static int talk(struct rtnl *n, const struct nlmsghdr *h)
{
    char buf[8192];
    ssize_t got;

    if (mnl_socket_sendto(n->socket, h, h->nlmsg_len) < 0)
        return -errno;
    got = mnl_socket_recvfrom(n->socket, buf, sizeof(buf));
    if (got < 0)
        return -errno;
    if (mnl_cb_run(buf, (size_t)got, n->sequence, mnl_socket_get_portid(n->socket), NULL, NULL) < 0)
        return -errno;
    return 0;
}

int rtnl_veth(struct rtnl *n, const char *name, const char *peer, pid_t pid)
{
    char buf[1024];
    struct nlmsghdr *h = request(n, buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
    struct nlattr *info, *data, *other;

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    other = mnl_attr_nest_start(h, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, peer);
    mnl_attr_put_u32(h, IFLA_NET_NS_PID, (uint32_t)pid);
    mnl_attr_nest_end(h, other);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    return talk(n, h);
}

int rtnl_delete(struct rtnl *n, const char *name)
{
    char buf[256];
    struct nlmsghdr *h = request(n, buf, RTM_DELLINK, 0);

    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return talk(n, h);
}

int rtnl_up(struct rtnl *n, const char *name)
{
    char buf[256];
    struct nlmsghdr *h = request(n, buf, RTM_NEWLINK, 0);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

    i->ifi_flags = i->ifi_change = IFF_UP;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return talk(n, h);
}

int rtnl_address(struct rtnl *n, const char *name, struct in_addr address, unsigned bits)
{
    char buf[256];
    struct nlmsghdr *h = request(n, buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));

    a->ifa_family = AF_INET;
    a->ifa_prefixlen = (uint8_t)bits;
    a->ifa_index = if_nametoindex(name);
    if (!a->ifa_index)
        return -errno;
    mnl_attr_put_u32(h, IFA_LOCAL, address.s_addr);
    mnl_attr_put_u32(h, IFA_ADDRESS, address.s_addr);
    return talk(n, h);
}

int rtnl_default_route(struct rtnl *n, struct in_addr gateway)
{
    char buf[256];
    struct nlmsghdr *h = request(n, buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    *r = (struct rtmsg){.rtm_family = AF_INET,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_STATIC,
                        .rtm_scope = RT_SCOPE_UNIVERSE,
                        .rtm_type = RTN_UNICAST};
    mnl_attr_put_u32(h, RTA_GATEWAY, gateway.s_addr);
    return talk(n, h);
}
