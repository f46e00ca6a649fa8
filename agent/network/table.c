#include "network/table.h"
#include "base/address.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

enum { ELEMENT_MAX = INET6_ADDRSTRLEN + 16 };

/* What no function has business with: this machine, its links, many at once, and where clouds answer whoever is on
 * the machine with the machine's credentials (AWS, GCP and others on 169.254/16; Azure; Oracle; Alibaba). */
static const char *const never4[] = {"0.0.0.0/8",     "127.0.0.0/8", "169.254.0.0/16",
                                     "168.63.129.16", "192.0.0.192", "100.100.100.200",
                                     "224.0.0.0/3"};
static const char *const never6[] = {"::/128",   "::1",           "::ffff:0:0/96", "fe80::/10",
                                     "ff00::/8", "fd00:ec2::254", "fd20:ce::254"};

int network_table_run(struct buffer *commands, const char *what, struct err *e)
{
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    int r = buffer_append(commands, "", 1);

    if (!ctx || r < 0) {
        if (ctx)
            nft_ctx_free(ctx);
        return err_set(e, ENOMEM, "nftables: %s: out of memory", what);
    }
    nft_ctx_buffer_error(ctx);
    nft_ctx_buffer_output(ctx);
    if (nft_run_cmd_from_buffer(ctx, (const char *)buffer_bytes(commands))) {
        const char *said = nft_ctx_get_error_buffer(ctx);

        r = err_set(e, EPERM, "nftables: %s: %.*s", what, (int)strcspn(said, "\n"), said);
    }
    nft_ctx_free(ctx);
    return r;
}

/* "10.0.0.2 . 8081" of "tcp://10.0.0.2:8081". */
static bool port_element(const char *address, bool *ret_six, char out[ELEMENT_MAX])
{
    struct sockaddr_storage sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    char text[INET6_ADDRSTRLEN];
    unsigned port;
    socklen_t size;
    bool six;

    if (address_parse(address, &sa, &size) < 0 || sa.ss_family == AF_UNIX)
        return false;
    six = sa.ss_family == AF_INET6;
    memcpy(&in, &sa, sizeof(in));
    memcpy(&in6, &sa, sizeof(in6));
    port = ntohs(six ? in6.sin6_port : in.sin_port);
    if (!port || (six ? IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr)
                      : !in.sin_addr.s_addr || ntohl(in.sin_addr.s_addr) >> 24 == 127))
        return false;
    inet_ntop(six ? AF_INET6 : AF_INET, six ? (void *)&in6.sin6_addr : (void *)&in.sin_addr, text,
              sizeof(text));
    snprintf(out, ELEMENT_MAX, "%s . %u", text, port);
    *ret_six = six;
    return true;
}

/* ---- sets */
static int put_blocks(struct buffer *to, const char *set, bool six, const struct cidr *blocks,
                      size_t count)
{
    bool any = false;
    int r = buffer_printf(to, " set %s%d { type ipv%d_addr; flags interval; auto-merge;", set,
                          six ? 6 : 4, six ? 6 : 4);

    for (size_t i = 0; i < count && r == 0; i++) {
        char text[CIDR_TEXT_MAX];

        if (blocks[i].six != six)
            continue;
        cidr_text(&blocks[i], text);
        r = buffer_printf(to, "%s%s", any ? ", " : " elements = { ", text);
        any = true;
    }
    return r < 0 ? r : buffer_printf(to, "%s }\n", any ? " }" : "");
}

/* A gateway of NAT64 would lead to what is denied in IPv4: denied there, too. */
static int put_denied(struct buffer *to, const char *set, const struct cidr *blocks, size_t count)
{
    cleanup_free struct cidr *six = malloc((count + 1) * sizeof(*six));
    int r = six ? put_blocks(to, set, false, blocks, count) : -ENOMEM;

    for (size_t i = 0; i < count && six; i++)
        six[i] = blocks[i].six ? blocks[i] : cidr_nat64(&blocks[i]);
    return r < 0 ? r : put_blocks(to, set, true, six, count);
}

static int put_never(struct buffer *to)
{
    struct cidr all[ARRAY_LEN(never4) + ARRAY_LEN(never6)];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(never4); i++)
        cidr_parse(never4[i], strlen(never4[i]), &all[n++]);
    for (size_t i = 0; i < ARRAY_LEN(never6); i++)
        cidr_parse(never6[i], strlen(never6[i]), &all[n++]);
    return put_denied(to, "never", all, n);
}

static int put_sets(struct buffer *to, const struct network_rules *r)
{
    int e = put_never(to);

    if (e == 0)
        e = put_denied(to, "deny", r->deny, r->deny_count);
    if (e == 0)
        e = put_blocks(to, "allow", false, r->allow, r->allow_count);
    if (e == 0)
        e = put_blocks(to, "allow", true, r->allow, r->allow_count);
    if (e == 0)
        e = buffer_printf(to, " set resolver4 { type ipv4_addr; }\n set resolver6 { type ipv6_addr; }\n"
                              " set port4 { type ipv4_addr . inet_service; }\n"
                              " set port6 { type ipv6_addr . inet_service; }\n"
                              " map local_resolver { type ipv4_addr : ipv4_addr; }\n"
                              " set flows4 { type ipv4_addr; size 65535; flags dynamic; }\n"
                              " set flows6 { type ipv6_addr; size 65535; flags dynamic; }\n");
    return e;
}

/* ---- chains */
static int put_denied_chain(struct buffer *to)
{
    int e = buffer_printf(to, " chain denied {\n"
                              "  meta l4proto { tcp, udp } th dport 53 ip daddr @resolver4 return\n"
                              "  meta l4proto { tcp, udp } th dport 53 ip6 daddr @resolver6 return\n"
                              "  ip daddr . tcp dport @port4 drop\n"
                              "  ip6 daddr . tcp dport @port6 drop\n");

    for (int v = 4; v <= 6 && e == 0; v += 2) {
        const char *ip = v == 4 ? "ip" : "ip6";

        e = buffer_printf(to,
                          "  %s daddr @allow%d return\n  %s daddr @never%d drop\n"
                          "  %s daddr @deny%d drop\n",
                          ip, v, ip, v, ip, v);
    }
    return e < 0 ? e : buffer_printf(to, " }\n");
}

static int put_forward(struct buffer *to, const struct network_rules *r, const char *subnet,
                       const char *prefix6)
{
    const char *l = r->names->link;
    int e = buffer_printf(to,
                          " chain forward {\n"
                          "  type filter hook forward priority 0; policy accept;\n"
                          "  iifname \"%s*\" oifname \"%s*\" drop\n"
                          "  oifname \"%s*\" ct state established,related accept\n"
                          "  oifname \"%s*\" drop\n"
                          "  iifname \"%s*\" jump from_instance\n"
                          " }\n"
                          " chain from_instance {\n"
                          "  ip saddr != %s drop\n",
                          l, l, l, l, l, subnet);

    /* Of IPv4 the kernel checks the source by rp_filter; a socket with IPV6_FREEBIND takes any. */
    if (e == 0 && r->six)
        e = buffer_printf(to, "  ip6 saddr != %s/64 drop\n  fib saddr . iif oif 0 drop\n", prefix6);
    else if (e == 0)
        e = buffer_printf(to, "  meta nfproto ipv6 drop\n");
    if (e == 0)
        e = buffer_printf(to, "  jump denied\n");
    if (e == 0 && r->flows)
        e = buffer_printf(to,
                          "  ct state new add @flows4 { ip saddr ct count over %u } drop\n"
                          "  ct state new add @flows6 { ip6 saddr ct count over %u } drop\n",
                          r->flows, r->flows);
    return e < 0 ? e : buffer_printf(to, " }\n");
}

/* Of the address it listens at, or of any where it listens at all. */
static void gateway_rule(const struct network_rules *r, char *out, size_t size)
{
    const char *colon = r->gateway ? strrchr(r->gateway, ':') : NULL;
    char element[ELEMENT_MAX];
    bool six;

    *out = '\0';
    if (!colon || strncmp(r->gateway, "tcp://", 6) != 0)
        return;
    if (port_element(r->gateway, &six, element))
        snprintf(out, size, "  iifname \"%s*\" %s daddr . tcp dport { %s } accept\n",
                 r->names->link, six ? "ip6" : "ip", element);
    else if (!strncmp(r->gateway, "tcp://0.0.0.0:", 14) || !strncmp(r->gateway, "tcp://[::]:", 11))
        snprintf(out, size, "  iifname \"%s*\" tcp dport %s accept\n", r->names->link, colon + 1);
}

/* Neighbours are not asked for on these links, so that no other ICMPv6 is needed. */
static int put_node(struct buffer *to, const struct network_rules *r)
{
    const char *l = r->names->link;
    char gateway[160];

    gateway_rule(r, gateway, sizeof(gateway));
    return buffer_printf(to,
                         " chain to_resolver {\n"
                         "  ip daddr @resolver4 accept\n"
                         "  ip6 daddr @resolver6 accept\n"
                         "  ip daddr 127.0.0.0/8 ct status dnat accept\n"
                         " }\n"
                         " chain input {\n"
                         "  type filter hook input priority 0; policy accept;\n"
                         "  iifname \"%s*\" ct state established,related accept\n"
                         "  iifname \"%s*\" ip protocol icmp accept\n"
                         "  iifname \"%s*\" icmpv6 type echo-request accept\n"
                         "  iifname \"%s*\" meta l4proto { tcp, udp } th dport 53 jump to_resolver\n"
                         "%s"
                         "  iifname \"%s*\" drop\n"
                         " }\n"
                         " chain output {\n"
                         "  type filter hook output priority 0; policy accept;\n"
                         "  oifname \"%s*\" ct state established,related accept\n"
                         "  oifname \"%s*\" ip protocol icmp accept\n"
                         "  oifname \"%s*\" icmpv6 type echo-request accept\n"
                         "  oifname \"%s*\" drop\n"
                         " }\n",
                         l, l, l, l, gateway, l, l, l, l, l);
}

/* Loopback's resolver answers loopback: so the query comes from there. */
static int put_nat(struct buffer *to, const struct network_rules *r, const char *subnet,
                   const char *prefix6)
{
    const char *l = r->names->link;
    char dns[INET_ADDRSTRLEN];
    int e;

    inet_ntop(AF_INET, &r->local_dns, dns, sizeof(dns));
    e = buffer_printf(to,
                      " chain prerouting {\n"
                      "  type nat hook prerouting priority -100; policy accept;\n"
                      "  iifname \"%s*\" ip daddr %s meta l4proto { tcp, udp } th dport 53 "
                      "dnat ip to ip daddr map @local_resolver\n"
                      " }\n"
                      " chain local_dns {\n"
                      "  type nat hook input priority 100; policy accept;\n"
                      "  iifname \"%s*\" ct status dnat snat ip to 127.0.0.1\n"
                      " }\n"
                      " chain postrouting {\n"
                      "  type nat hook postrouting priority 100; policy accept;\n"
                      "  ip saddr %s oifname != \"%s*\" masquerade\n",
                      l, dns, l, subnet, l);
    if (e == 0 && r->six)
        e = buffer_printf(to, "  ip6 saddr %s/64 oifname != \"%s*\" masquerade\n", prefix6, l);
    return e < 0 ? e : buffer_printf(to, " }\n");
}

int network_table_text(const struct network_rules *r, struct buffer *to)
{
    char subnet[24], prefix6[INET6_ADDRSTRLEN];
    int e = buffer_printf(to, "table inet %s {\n", r->names->table);

    subnet_text(&r->subnet, subnet);
    inet_ntop(AF_INET6, &r->prefix6, prefix6, sizeof(prefix6));
    if (e == 0)
        e = put_sets(to, r);
    if (e == 0)
        e = put_denied_chain(to);
    if (e == 0)
        e = put_forward(to, r, subnet, prefix6);
    if (e == 0)
        e = put_node(to, r);
    if (e == 0)
        e = put_nat(to, r, subnet, prefix6);
    return e < 0 ? e : buffer_printf(to, "}\n");
}

/* ---- elements that change */
static int put_elements(struct buffer *to, const char *table, const char *set, int family,
                        const void *addresses, size_t size, unsigned count)
{
    int e = buffer_printf(to, "flush set inet %s %s\n", table, set);

    for (unsigned i = 0; i < count && e == 0; i++) {
        char text[INET6_ADDRSTRLEN];

        inet_ntop(family, (const uint8_t *)addresses + i * size, text, sizeof(text));
        e = buffer_printf(to, "add element inet %s %s { %s }\n", table, set, text);
    }
    return e;
}

int network_table_resolvers(const struct names *names, const struct resolv *from,
                            struct in_addr instead, struct buffer *to)
{
    const char *t = names->table;
    char local[INET_ADDRSTRLEN], stands_for[INET_ADDRSTRLEN];
    int e =
        put_elements(to, t, "resolver4", AF_INET, from->four, sizeof(from->four[0]), from->count4);

    if (e == 0)
        e = put_elements(to, t, "resolver6", AF_INET6, from->six, sizeof(from->six[0]), from->count6);
    if (e == 0)
        e = buffer_printf(to, "flush map inet %s local_resolver\n", t);
    if (e < 0 || !from->local.s_addr)
        return e;
    inet_ntop(AF_INET, &from->local, local, sizeof(local));
    inet_ntop(AF_INET, &instead, stands_for, sizeof(stands_for));
    return buffer_printf(to, "add element inet %s local_resolver { %s : %s }\n", t, stands_for,
                         local);
}

static int put_ports(struct buffer *to, const struct names *names, bool six,
                     const char *const *addresses)
{
    int version = six ? 6 : 4;
    int e = buffer_printf(to, "flush set inet %s port%d\n", names->table, version);
    bool any = false;

    for (size_t i = 0; addresses[i] && e == 0; i++) {
        char element[ELEMENT_MAX];
        bool is_six;

        if (!port_element(addresses[i], &is_six, element) || is_six != six)
            continue;
        if (!any)
            e = buffer_printf(to, "add element inet %s port%d { %s", names->table, version, element);
        else
            e = buffer_printf(to, ", %s", element);
        any = true;
    }
    return e < 0 || !any ? e : buffer_printf(to, " }\n");
}

int network_table_ports(const struct names *names, const char *const *addresses, struct buffer *to)
{
    int e = put_ports(to, names, false, addresses);

    return e < 0 ? e : put_ports(to, names, true, addresses);
}
