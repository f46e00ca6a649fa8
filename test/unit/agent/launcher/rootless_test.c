/* What an agent without root finds and says: ranges of ids, and its one warning. */
#include "launcher/rootless.h"
#include "unit.h"

#include <string.h>

START_TEST(ranges_of_ids)
{
    static const char text[] =
        "# ids\nann:1000:10\nbob:100000:65536\n\nbob:200000:65536\n1007:300000:4\n"
        "eve:0:65536\neve:x:1\neve:5:1\neve:4294967295:65536\neve:77:88\n";
    unsigned base = 0, count = 0;

    ck_assert(rootless_subids(text, "bob", 1, &base, &count));
    ck_assert_uint_eq(base, 100000);
    ck_assert_uint_eq(count, 65536);
    ck_assert(rootless_subids(text, "ida", 1007, &base, &count));
    ck_assert_uint_eq(base, 300000);
    ck_assert(!rootless_subids(text, "bo", 2, &base, &count));
    ck_assert(!rootless_subids(text, "bobby", 100, &base, &count));
    ck_assert(!rootless_subids("bob:100000", "bob", 1, &base, &count));
    /* Those that are none, or too small for a single box, are passed over. */
    ck_assert(rootless_subids(text, "eve", 1, &base, &count));
    ck_assert_uint_eq(base, 77);
}
END_TEST

START_TEST(one_line)
{
    const unsigned all = 1u << CGROUP_MEMORY | 1u << CGROUP_CPU | 1u << CGROUP_PIDS;
    char text[256];

    rootless_text(0, false, false, text, sizeof(text));
    ck_assert_str_eq(
        text, "not root: instances have no memory limit, no cpu limit, no limit of processes, "
              "no network beyond loopback, no functions with a port, no user ids of their own");
    rootless_text(0, false, true, text, sizeof(text));
    ck_assert_ptr_null(strstr(text, "processes"));
    rootless_text(all, true, false, text, sizeof(text));
    ck_assert_str_eq(
        text, "not root: instances have no network beyond loopback, no functions with a port");
    rootless_text(0, false, false, text, 40);
    ck_assert_uint_eq(strlen(text), 39);
}
END_TEST

UNIT_MAIN("rootless", ranges_of_ids, one_line)
