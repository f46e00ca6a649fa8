/* Blocks of addresses: what is taken, what is refused and as what, and what lies in them. */
#include "base/cidr.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

START_TEST(round_trips)
{
    static const char *const same[] = {
        "10.0.0.0/8",     "0.0.0.0/0", "192.0.2.1",     "255.255.255.254/31",
        "169.254.0.0/16", "::/0",      "fd00:ec2::254", "fe80::/10",
        "2001:db8::/32",  "::1",       "ffff::/17"};
    char text[CIDR_TEXT_MAX];
    struct cidr c;

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        ck_assert_int_eq(cidr_parse(same[i], strlen(same[i]), &c), 0);
        cidr_text(&c, text);
        ck_assert_str_eq(text, same[i]);
    }
    ck_assert_int_eq(cidr_parse("192.0.2.1/32", 12, &c), 0);
    cidr_text(&c, text);
    ck_assert_str_eq(text, "192.0.2.1");
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {{"", -EINVAL},
               {"10.0.0.0/", -EINVAL},
               {"10.0.0/8", -EINVAL},
               {"10.0.0.0/33", -ERANGE},
               {"::/129", -ERANGE},
               {"10.0.0.0/ 8", -EINVAL},
               {"10.0.0.0/+8", -EINVAL},
               {"10.0.0.0/0008", -EINVAL},
               {"/8", -EINVAL},
               {"10.0.0.1/8", -EDOM},
               {"fd00::1/64", -EDOM},
               {"fd00::%lo/64", -EINVAL},
               {"::ffff:0:0/95", -EDOM},
               {"example.com", -EINVAL},
               {"10.0.0.0/8/8", -EINVAL}};
    struct cidr c;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(cidr_parse(bad[i].text, strlen(bad[i].text), &c) == bad[i].code, "\"%s\"",
                      bad[i].text);
}
END_TEST

START_TEST(lists)
{
    struct cidr all[3];
    const char *bad;
    size_t n;

    ck_assert_int_eq(cidr_list_parse("10.0.0.0/8,fd00::/8", all, 3, &bad, &n), 2);
    ck_assert(!all[0].six && all[1].six);
    ck_assert_int_eq(cidr_list_parse("10.0.0.0/8,10.0.0.1/8", all, 3, &bad, &n), -EDOM);
    ck_assert_uint_eq(n, 10);
    ck_assert_int_eq(strncmp(bad, "10.0.0.1/8", n), 0);
    ck_assert_int_eq(cidr_list_parse("10.0.0.0/8,", all, 3, &bad, &n), -EINVAL);
    ck_assert_int_eq(cidr_list_parse("1.1.1.1,1.1.1.2,1.1.1.3", all, 3, &bad, &n), 3);
    ck_assert_int_eq(cidr_list_parse("1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4", all, 3, &bad, &n), -E2BIG);
    ck_assert_str_eq(bad, "1.1.1.4");
}
END_TEST

static bool has(const char *block, const char *address)
{
    uint8_t a[16];
    struct cidr c;

    ck_assert_int_eq(cidr_parse(block, strlen(block), &c), 0);
    ck_assert_int_eq(inet_pton(c.six ? AF_INET6 : AF_INET, address, a), 1);
    return cidr_has(&c, a);
}

START_TEST(what_lies_in_them)
{
    char text[CIDR_TEXT_MAX];
    struct cidr c;

    ck_assert(has("10.0.0.0/9", "10.127.255.255") && !has("10.0.0.0/9", "10.128.0.0"));
    ck_assert(has("0.0.0.0/0", "255.1.2.3") && !has("192.0.2.1", "192.0.2.0"));
    ck_assert(has("fe80::/10", "febf::1") && !has("fe80::/10", "fec0::1"));
    ck_assert_int_eq(cidr_parse("169.254.0.0/16", 14, &c), 0);
    c = cidr_nat64(&c);
    cidr_text(&c, text);
    ck_assert_str_eq(text, "64:ff9b::a9fe:0/112");
}
END_TEST

UNIT_MAIN("cidr", round_trips, refusals, lists, what_lies_in_them)
