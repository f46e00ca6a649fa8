/* Which name servers a sandbox is told of; addresses of links; what the table's texts are. */
#include "network/resolv.h"
#include "base/cleanup.h"
#include "network/table.h"
#include "unit.h"

#include <arpa/inet.h>
#include <string.h>

static struct in_addr instead;
static struct resolv got;

static void parse(const char *text, bool six)
{
    inet_pton(AF_INET, "100.64.0.1", &instead);
    resolv_parse(text, six, instead, &got);
}

START_TEST(servers_that_can_be_reached)
{
    parse("# the node's\nsearch example.com corp\nnameserver 127.0.0.53\nnameserver 10.0.0.2\n"
          "nameserver 0.0.0.0\noptions ndots:2\n",
          false);
    ck_assert_str_eq(got.text, "search example.com corp\nnameserver 10.0.0.2\noptions ndots:2\n");
    ck_assert_uint_eq(got.count4, 1);
    ck_assert_uint_eq(got.local.s_addr, 0);
    parse("nameserver 2001:db8::53\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver 10.0.0.2",
          true);
    ck_assert_str_eq(got.text, "nameserver 2001:db8::53\nnameserver 10.0.0.2\n");
    ck_assert_uint_eq(got.count6, 1);
    /* Without IPv6 it would only be waited for. */
    parse("nameserver 2001:db8::53\nnameserver 10.0.0.2\n", false);
    ck_assert_str_eq(got.text, "nameserver 10.0.0.2\n");
    parse("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
          false);
    ck_assert_uint_eq(got.count4, 3);
    ck_assert_ptr_null(strstr(got.text, "10.0.0.4"));
}
END_TEST

START_TEST(a_resolver_on_loopback)
{
    char text[16];

    parse("nameserver 127.0.0.1\nnameserver 127.0.0.2\nsearch lan\n", false);
    ck_assert_str_eq(got.text, "search lan\nnameserver 100.64.0.1\n");
    ck_assert_str_eq(inet_ntop(AF_INET, &got.local, text, sizeof(text)), "127.0.0.1");
    ck_assert_uint_eq(got.count4, 0);
    parse("nameserver ::1\nsearch lan\n", true);
    ck_assert_str_eq(got.text, "");
    parse("", true);
    ck_assert_str_eq(got.text, "");
}
END_TEST

START_TEST(lines_too_long)
{
    char text[6000] = "";

    for (int i = 0; i < 100; i++)
        strcat(text, "options aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n");
    strcat(text, "nameserver 10.0.0.2\n");
    parse(text, false);
    ck_assert_uint_lt(strlen(got.text), RESOLV_TEXT_MAX);
    ck_assert_int_eq(got.text[strlen(got.text) - 1], '\n');
    memset(text, 'x', 5000);
    strcpy(text + 5000, "\nnameserver 10.0.0.2\n");
    parse(text, false);
    ck_assert_str_eq(got.text, "nameserver 10.0.0.2\n");
}
END_TEST

START_TEST(addresses_of_links)
{
    struct in6_addr prefix = subnet6_prefix(0xdeadbeef), a;
    char text[INET6_ADDRSTRLEN];

    a = subnet6_node(&prefix, 3);
    ck_assert_str_eq(inet_ntop(AF_INET6, &a, text, sizeof(text)), "fd72:dead:beef::6");
    a = subnet6_instance(&prefix, 0x10000);
    ck_assert_str_eq(inet_ntop(AF_INET6, &a, text, sizeof(text)), "fd72:dead:beef::2:1");
}
END_TEST

START_TEST(elements)
{
    const char *const addresses[] = {
        "tcp://10.0.0.2:8081", "tcp://127.0.0.1:8080", "tcp://host:1",
        "unix:///run/x",       "tcp://0.0.0.0:80",     "tcp://10.0.0.3:0",
        "tcp://[fd00::2]:81",  "tcp://10.0.0.4:82",    NULL};
    const struct names names = {.table = "t"};
    cleanup_buffer struct buffer b = {0};

    ck_assert_int_eq(network_table_ports(&names, addresses, &b), 0);
    buffer_append(&b, "", 1);
    ck_assert_str_eq(
        (const char *)buffer_bytes(&b),
        "flush set inet t port4\nadd element inet t port4 { 10.0.0.2 . 8081, 10.0.0.4 . 82 }\n"
        "flush set inet t port6\nadd element inet t port6 { fd00::2 . 81 }\n");
    buffer_clear(&b);
    parse("nameserver 127.0.0.1\n", false);
    ck_assert_int_eq(network_table_resolvers(&names, &got, instead, &b), 0);
    buffer_append(&b, "", 1);
    ck_assert_ptr_nonnull(strstr((const char *)buffer_bytes(&b),
                                 "flush map inet t local_resolver\n"
                                 "add element inet t local_resolver { 100.64.0.1 : 127.0.0.1 }\n"));
}
END_TEST

UNIT_MAIN("resolv", servers_that_can_be_reached, a_resolver_on_loopback, lines_too_long,
          addresses_of_links, elements)
