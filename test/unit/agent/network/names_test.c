/* The pure small parts: names, number pools, subnets. */
#include "network/idpool.h"
#include "network/names.h"
#include "network/subnet.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

START_TEST(names_are_stable_and_short)
{
    struct names a, b, again;

    names_of("/var/lib/rouse", &a);
    names_of("/var/lib/rouse", &again);
    names_of("/var/lib/rouse2", &b);
    ck_assert_int_eq(memcmp(&a, &again, sizeof(a)), 0);
    ck_assert_str_ne(a.id, b.id);
    ck_assert_str_ne(a.link, b.link);
    ck_assert_uint_eq(strlen(a.id), 8);
    ck_assert_uint_eq(strlen(a.link), 7);
    ck_assert(!strncmp(a.cgroup, "rouse-", 6) && !strcmp(a.cgroup + 6, a.id));
    ck_assert(!strncmp(a.link + 1, a.id, 6));
    ck_assert_int_eq(names_init("/nowhere/at/all", &a), -ENOENT);
    /* FNV-1a of the empty string is its offset basis, folded. */
    names_of("", &a);
    ck_assert_str_eq(a.id, "4fd0bfc1");
}
END_TEST

START_TEST(pool_reuses_last)
{
    struct idpool p;
    uint32_t n, first;

    ck_assert_int_eq(idpool_init(&p, 70), 0);
    for (uint32_t i = 0; i < 70; i++) {
        ck_assert_int_eq(idpool_take(&p, &n), 0);
        ck_assert_uint_eq(n, i);
    }
    ck_assert_int_eq(idpool_take(&p, &n), -ENOSPC);
    idpool_give(&p, 65);
    idpool_give(&p, 3);
    ck_assert_int_eq(idpool_take(&p, &first), 0);
    ck_assert_uint_eq(first, 3);
    ck_assert_int_eq(idpool_take(&p, &n), 0);
    ck_assert_uint_eq(n, 65);
    ck_assert_int_eq(idpool_take(&p, &n), -ENOSPC);
    for (uint32_t i = 0; i < 70; i++)
        idpool_give(&p, i);
    ck_assert_int_eq(idpool_take(&p, &n), 0);
    ck_assert_uint_eq(n, 66);
    idpool_done(&p);
}
END_TEST

static const char *text_of(struct in_addr a)
{
    return inet_ntoa(a);
}

START_TEST(subnet_pairs_of_a_block)
{
    struct subnet s;
    char text[24];

    ck_assert_int_eq(subnet_parse("10.20.0.0/16", &s), 0);
    ck_assert_uint_eq(subnet_pairs(&s), 32768);
    ck_assert_str_eq(text_of(subnet_node(&s, 0)), "10.20.0.0");
    ck_assert_str_eq(text_of(subnet_instance(&s, 0)), "10.20.0.1");
    ck_assert_str_eq(text_of(subnet_instance(&s, 32767)), "10.20.255.255");
    subnet_text(&s, text);
    ck_assert_str_eq(text, "10.20.0.0/16");
    ck_assert_int_eq(subnet_parse("10.0.0.4/30", &s), 0);
    ck_assert_uint_eq(subnet_pairs(&s), 2);
}
END_TEST

START_TEST(subnet_refused)
{
    static const char *const bad[] = {
        "",      "10.0.0.0",     "10.0.0.0/",   "10.0.0.0/x",   "10.0.0/16", "10.0.0.1/16",
        "::/16", "10.0.0.0/16 ", "1.2.3.4.5/8", "10.0.0.0/-16", "/16"};
    struct subnet s;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(subnet_parse(bad[i], &s) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(subnet_parse("0.0.0.0/0", &s), -ERANGE);
    ck_assert_int_eq(subnet_parse("10.0.0.0/31", &s), -ERANGE);
}
END_TEST

START_TEST(subnet_defaults_do_not_overlap)
{
    for (uint32_t i = 0; i < SUBNET_DEFAULTS; i++) {
        struct subnet s = subnet_default(i);

        ck_assert_uint_eq(s.base & (UINT32_MAX >> s.bits), 0);
        ck_assert_uint_eq(s.base >> 22, 0x64400000u >> 22);
        ck_assert(i == 0 || s.base == subnet_default(i - 1).base + (1u << (32 - s.bits)));
    }
    ck_assert_uint_eq(subnet_default(SUBNET_DEFAULTS).base, subnet_default(0).base);
}
END_TEST

UNIT_MAIN("names", names_are_stable_and_short, pool_reuses_last, subnet_pairs_of_a_block,
          subnet_refused, subnet_defaults_do_not_overlap)
