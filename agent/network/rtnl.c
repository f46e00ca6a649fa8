#include "network/rtnl.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>

/* Locally administered; each link is a network of its own, so that one address does for all. */
static const uint8_t link_address[] = {0x02, 'r', 'o', 'u', 's', 'e'};

int rtnl_init(struct rtnl *n)
{
    n->count = 0;
    n->used = 0;
    n->sequence = 0;
    n->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
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

/* ---- requests: begun at the end of the buffer, which end_request() moves on */
static struct nlmsghdr *request(struct rtnl *n, int type, int flags, const char *step)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(n->buf + n->used);

    assert(n->count < RTNL_STEPS_MAX && n->used + 512 <= RTNL_BYTES_MAX);
    h->nlmsg_type = (uint16_t)type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++n->sequence;
    n->steps[n->count++] = step;
    return h;
}

static void end_request(struct rtnl *n, const struct nlmsghdr *h)
{
    n->used += (h->nlmsg_len + 3u) & ~3u; /* NLMSG_ALIGN, unsigned */
}

static struct nlmsghdr *link_request(struct rtnl *n, int type, int flags, struct ifinfomsg what,
                                     const char *step)
{
    struct nlmsghdr *h = request(n, type, flags, step);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

    *i = what;
    return h;
}

static void put_end(struct nlmsghdr *h, const struct rtnl_end *end, unsigned mtu)
{
    mnl_attr_put_strz(h, IFLA_IFNAME, end->name);
    mnl_attr_put(h, IFLA_ADDRESS, sizeof(link_address), link_address);
    /* The kernel's default is a queue for each cpu, allocated for every sandbox. */
    mnl_attr_put_u32(h, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(h, IFLA_NUM_RX_QUEUES, 1);
    if (mtu)
        mnl_attr_put_u32(h, IFLA_MTU, mtu);
}

static struct ifinfomsg end_of(int index)
{
    return (struct ifinfomsg){.ifi_index = index, .ifi_flags = IFF_NOARP, .ifi_change = IFF_NOARP};
}

void rtnl_veth(struct rtnl *n, struct rtnl_end here, struct rtnl_end there, unsigned mtu, pid_t pid)
{
    struct nlmsghdr *h = link_request(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, end_of(here.index),
                                      "make a veth pair");
    struct ifinfomsg other = end_of(there.index), *i;
    struct nlattr *info, *data, *peer;

    put_end(h, &here, mtu);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
    i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
    *i = other;
    put_end(h, &there, mtu);
    mnl_attr_put_u32(h, IFLA_NET_NS_PID, (uint32_t)pid);
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    end_request(n, h);
}

void rtnl_settings(struct rtnl *n, int index, const struct rtnl_setting *settings, size_t count)
{
    struct nlmsghdr *h =
        link_request(n, RTM_SETLINK, 0, (struct ifinfomsg){.ifi_index = index}, "its settings");
    struct nlattr *families = mnl_attr_nest_start(h, IFLA_AF_SPEC), *family, *conf;

    family = mnl_attr_nest_start(h, AF_INET);
    conf = mnl_attr_nest_start(h, IFLA_INET_CONF);
    for (size_t i = 0; i < count; i++)
        mnl_attr_put_u32(h, settings[i].number, settings[i].value);
    mnl_attr_nest_end(h, conf);
    mnl_attr_nest_end(h, family);
    family = mnl_attr_nest_start(h, AF_INET6);
    mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(h, family);
    mnl_attr_nest_end(h, families);
    end_request(n, h);
}

void rtnl_up(struct rtnl *n, int index)
{
    end_request(n, link_request(n, RTM_SETLINK, 0,
                                (struct ifinfomsg){
                                    .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP},
                                "set it up"));
}

void rtnl_delete(struct rtnl *n, int index, const char *name)
{
    struct nlmsghdr *h =
        link_request(n, RTM_DELLINK, 0, (struct ifinfomsg){.ifi_index = index}, "delete the link");

    if (name)
        mnl_attr_put_strz(h, IFLA_IFNAME, name);
    end_request(n, h);
}

static void put_address(struct rtnl *n, int index, int family, const void *address, size_t size,
                        unsigned bits)
{
    struct nlmsghdr *h = request(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "its address");
    struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));

    /* No duplicate address detection: the pair is this platform's alone, and it would cost a second. */
    *a = (struct ifaddrmsg){.ifa_family = (uint8_t)family,
                            .ifa_prefixlen = (uint8_t)bits,
                            .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
                            .ifa_index = (uint32_t)index};
    mnl_attr_put(h, IFA_LOCAL, size, address);
    mnl_attr_put(h, IFA_ADDRESS, size, address);
    end_request(n, h);
}

void rtnl_address(struct rtnl *n, int index, struct in_addr address, unsigned bits)
{
    put_address(n, index, AF_INET, &address, sizeof(address), bits);
}

void rtnl_address6(struct rtnl *n, int index, const struct in6_addr *address, unsigned bits)
{
    put_address(n, index, AF_INET6, address, sizeof(*address), bits);
}

static void put_default(struct rtnl *n, int index, int family, const void *gateway, size_t size)
{
    struct nlmsghdr *h = request(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "the default route");
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    *r = (struct rtmsg){.rtm_family = (uint8_t)family,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_STATIC,
                        .rtm_scope = RT_SCOPE_UNIVERSE,
                        .rtm_type = RTN_UNICAST};
    mnl_attr_put(h, RTA_GATEWAY, size, gateway);
    mnl_attr_put_u32(h, RTA_OIF, (uint32_t)index);
    end_request(n, h);
}

void rtnl_default_route(struct rtnl *n, int index, struct in_addr gateway)
{
    put_default(n, index, AF_INET, &gateway, sizeof(gateway));
}

void rtnl_default_route6(struct rtnl *n, int index, const struct in6_addr *gateway)
{
    put_default(n, index, AF_INET6, gateway, sizeof(*gateway));
}

/* ---- a question */
static int on_oif(const struct nlattr *a, void *user)
{
    if (mnl_attr_get_type(a) == RTA_OIF)
        *(int *)user = (int)mnl_attr_get_u32(a);
    return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *h, void *user)
{
    return mnl_attr_parse(h, sizeof(struct rtmsg), on_oif, user);
}

int rtnl_way_out(struct rtnl *n, int family, const void *address)
{
    size_t size = family == AF_INET6 ? 16 : 4;
    struct nlmsghdr *h = request(n, RTM_GETROUTE, 0, "a route");
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    char buf[8192];
    ssize_t got = -1;
    int index = 0;

    *m = (struct rtmsg){.rtm_family = (uint8_t)family, .rtm_dst_len = (uint8_t)(8 * size)};
    mnl_attr_put(h, RTA_DST, size, address);
    n->count--;
    if (mnl_socket_sendto(n->socket, h, h->nlmsg_len) >= 0)
        got = mnl_socket_recvfrom(n->socket, buf, sizeof(buf));
    /* An error is an answer, too. */
    if (got < 0 || mnl_cb_run(buf, (size_t)got, n->sequence, mnl_socket_get_portid(n->socket),
                              on_route, &index) < 0)
        return 0;
    return index;
}

/* ---- all at once */
struct answers {
    uint32_t first, last;
    const char *const *steps;
    const char *failed;
    int error;
    bool ended;
};

static int on_error(const struct nlmsghdr *h, void *user)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
    struct answers *a = user;

    if (h->nlmsg_seq < a->first || h->nlmsg_seq > a->last)
        return MNL_CB_OK;
    if (e->error && !a->error) {
        a->error = e->error;
        a->failed = a->steps[h->nlmsg_seq - a->first];
    }
    a->ended |= h->nlmsg_seq == a->last;
    return MNL_CB_OK;
}

int rtnl_commit(struct rtnl *n, const char **ret_step)
{
    mnl_cb_t control[NLMSG_MIN_TYPE] = {[NLMSG_ERROR] = on_error};
    struct answers a = {.first = n->sequence - n->count + 1, .last = n->sequence, .steps = n->steps};
    struct nlmsghdr *last = (struct nlmsghdr *)(void *)n->buf;
    int size = (int)n->used, r = 0;

    a.failed = n->count ? n->steps[0] : "";
    /* Errors are always answered; the last request is answered in any case. */
    for (unsigned i = 1; i < n->count; i++)
        last = mnl_nlmsg_next(last, &size);
    last->nlmsg_flags |= NLM_F_ACK;
    if (n->count && mnl_socket_sendto(n->socket, n->buf, n->used) < 0)
        r = -errno;
    while (r == 0 && n->count && !a.ended) {
        char buf[8192];
        ssize_t got = mnl_socket_recvfrom(n->socket, buf, sizeof(buf));

        if (got < 0)
            r = -errno;
        else if (mnl_cb_run2(buf, (size_t)got, 0, mnl_socket_get_portid(n->socket), NULL, &a,
                             control, NLMSG_MIN_TYPE) < 0)
            r = -errno;
    }
    n->count = 0;
    n->used = 0;
    r = a.error ? a.error : r;
    if (r < 0 && ret_step)
        *ret_step = a.failed;
    return r;
}
