/* route_pattern_test.c - what a pattern, a host and a path may be; the form in which they compare. */
#include "http/route_pattern.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

START_TEST(patterns_that_are_fine)
{
    static const char *const fine[] = {"/",
                                       "/*",
                                       "/a",
                                       "/a/",
                                       "/a/b.html",
                                       "/static/*",
                                       "/users/{id}",
                                       "/users/{id}/posts/{post}",
                                       "/{a}/{b_2}/*",
                                       "/caf%c3%a9/%2A",
                                       "/function",
                                       "/functions/x",
                                       "/a:b@c;d=e,f!g$h&i'(j)+k~_-"};
    char why[ROUTE_WHY_MAX];

    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        ck_assert_msg(route_pattern_check(str_of(fine[i]), why) == 0, "%s: %s", fine[i], why);
}
END_TEST

START_TEST(patterns_that_are_refused_say_why)
{
    static const struct {
        const char *pattern, *why;
    } wrong[] = {
        {"", "begins with /"},
        {"a", "begins with /"},
        {"*", "begins with /"},
        {"/a//b", "an empty segment"},
        {"//", "an empty segment"},
        {"/a/{id", "\"{id\" is not closed"},
        {"/a/{id/x}", "\"{id\" is not closed"},
        {"/a/x{id}", "a parameter takes a whole segment"},
        {"/a/{id}x", "a parameter takes a whole segment"},
        {"/a/{id}{b}", "a parameter takes a whole segment"},
        {"/a/{}", "has no name"},
        {"/a/{1a}", "letters, digits"},
        {"/a/{a-b}", "letters, digits"},
        {"/a/{a*}", "letters, digits"},
        {"/{id}/x/{id}", "two parameters are called \"id\""},
        {"/a/id}", "a } without its {"},
        {"/*/b", "* is not the last segment"},
        {"/a/*/", "* is not the last segment"},
        {"/a*", "* is a segment of its own"},
        {"/a/**", "* is a segment of its own"},
        {"/a/%zz", "hexadecimal"},
        {"/a/%4", "hexadecimal"},
        {"/a/../b", ". or .."},
        {"/./b", ". or .."},
        {"/a/%2E%2e", ". or .."},
        {"/a/x%2f..%2fb", ". or .."},
        {"/a b", "escape it"},
        {"/a?b", "escape it"},
        {"/a#b", "escape it"},
        {"/caf\xc3\xa9", "escape it"},
        {"/function/x", "platform's own"},
        {"/%66unction/*", "platform's own"},
        {"/2015-03-31/functions", "platform's own"},
        {"/{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}", "longer than 64"},
        {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}", "more than 16"},
    };
    char why[ROUTE_WHY_MAX], many[2 * ROUTE_SEGMENTS_MAX + 8], big[ROUTE_PATTERN_MAX + 2];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        why[0] = '\0';
        ck_assert_msg(route_pattern_check(str_of(wrong[i].pattern), why) == -EINVAL, "%s is taken",
                      wrong[i].pattern);
        ck_assert_msg(strstr(why, wrong[i].why) != NULL, "%s: %s", wrong[i].pattern, why);
    }
    for (size_t i = 0; i < ROUTE_SEGMENTS_MAX; i++)
        memcpy(many + 2 * i, "/a", 2);
    ck_assert_int_eq(route_pattern_check((struct str){many, 2 * ROUTE_SEGMENTS_MAX}, why), 0);
    many[2 * ROUTE_SEGMENTS_MAX] = '/';
    ck_assert_int_eq(route_pattern_check((struct str){many, 2 * ROUTE_SEGMENTS_MAX + 1}, why),
                     -EINVAL);
    memset(big, 'a', sizeof(big));
    big[0] = '/';
    ck_assert_int_eq(route_pattern_check((struct str){big, ROUTE_PATTERN_MAX}, why), 0);
    ck_assert_int_eq(route_pattern_check((struct str){big, ROUTE_PATTERN_MAX + 1}, why), -EINVAL);
}
END_TEST

START_TEST(hosts)
{
    static const char *const fine[] = {"localhost", "api.example.com", "*.example.com",
                                       "a-b.c",     "10.1.2.3",        "xn--mnchen-3ya.de"};
    static const struct {
        const char *host, *why;
    } wrong[] = {{"", "a name"},
                 {"*", "*.example.com"},
                 {"*.", "followed by a name"},
                 {"a.*.b", "*.example.com"},
                 {"a*.b", "*.example.com"},
                 {"*.*.b", "*.example.com"},
                 {"API.com", "lower-case"},
                 {"a:80", "without a port"},
                 {"a..b", "empty label"},
                 {".a", "empty label"},
                 {"a.", "empty label"},
                 {"-a", "lower-case"},
                 {"a-.b", "ends with -"},
                 {"a_b", "lower-case"},
                 {"a/b", "lower-case"}};
    char why[ROUTE_WHY_MAX], label[65];

    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        ck_assert_msg(route_host_check(str_of(fine[i]), why) == 0, "%s: %s", fine[i], why);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(route_host_check(str_of(wrong[i].host), why) == -EINVAL, "%s is taken",
                      wrong[i].host);
        ck_assert_msg(strstr(why, wrong[i].why) != NULL, "%s: %s", wrong[i].host, why);
    }
    memset(label, 'a', sizeof(label));
    ck_assert_int_eq(route_host_check((struct str){label, 63}, why), 0);
    ck_assert_int_eq(route_host_check((struct str){label, 64}, why), -EINVAL);
}
END_TEST

START_TEST(host_headers_come_to_one_form)
{
    static const char *const pairs[][2] = {{"API.Example.COM:8080", "api.example.com"},
                                           {"a.", "a"},
                                           {"a.:80", "a"},
                                           {"[::1]:80", "[::1]:80"},
                                           {"", ""},
                                           {":80", ""},
                                           {"a\x01", ""},
                                           {"a\x03.b", ""}};
    char buffer[ROUTE_HOST_MAX], big[300];
    struct str s;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        s = route_host_canonical(str_of(pairs[i][0]), buffer);
        ck_assert_msg(str_eq(s, pairs[i][1]), "%s: %.*s", pairs[i][0], (int)s.n, s.at);
    }
    memset(big, 'a', sizeof(big));
    ck_assert_uint_eq(route_host_canonical((struct str){big, 253}, buffer).n, 253);
    ck_assert_uint_eq(route_host_canonical((struct str){big, 254}, buffer).n, 0);
}
END_TEST

START_TEST(paths_come_to_one_form)
{
    static const struct {
        const char *path, *canonical; /* NULL: no route may have it */
    } cases[] = {
        {"/a/b", "/a/b"},
        {"/%61%2Db%7E", "/a-b~"},
        {"/a%2fb", "/a%2Fb"},
        {"/a%2Fb", "/a%2Fb"},
        {"/%C3%a9", "/%C3%A9"},
        {"/%252e%252e", "/%252e%252e"},
        {"/%25%32%65", "/%252e"},
        {"//", "//"},
        {"/a//b/", "/a//b/"},
        {"/...", "/..."},
        {"/.a/b..", "/.a/b.."},
        {"/.well-known/x", "/.well-known/x"},
        {"/a+b", "/a+b"},
        {"", NULL},
        {"*", NULL},
        {"a", NULL},
        {"/..", NULL},
        {"/.", NULL},
        {"/a/../b", NULL},
        {"/a/./b", NULL},
        {"/a/%2e%2E/b", NULL},
        {"/a/.%2e", NULL},
        {"/a/..%2fb", NULL},
        {"/a/b%2F..", NULL},
        {"/a/b%5c..%5cc", NULL},
        {"/a\\..\\b", NULL},
        {"/%", NULL},
        {"/%4", NULL},
        {"/%zz", NULL},
        {"/%%34%31", NULL},
        {"/a\x01", NULL},
        {"/\x02", NULL},
        {"/a b", NULL},
        {"/\x7f", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char buffer[64];
        struct str s;
        int r = route_path_canonical(str_of(cases[i].path), buffer, &s);

        if (!cases[i].canonical) {
            ck_assert_msg(r == -EINVAL, "%s is taken", cases[i].path);
            continue;
        }
        ck_assert_msg(r == 0 && str_eq(s, cases[i].canonical), "%s", cases[i].path);
    }
}
END_TEST

static void check_same(const char *a, const char *b, bool same)
{
    char one[ROUTE_KEY_MAX], two[ROUTE_KEY_MAX];
    int n = route_key(STR(""), str_of(a), one), m = route_key(STR(""), str_of(b), two);

    ck_assert_int_gt(n, 0);
    ck_assert_int_gt(m, 0);
    ck_assert_msg((n == m && !memcmp(one, two, (size_t)n)) == same, "%s and %s", a, b);
}

START_TEST(identity)
{
    char one[ROUTE_KEY_MAX], two[ROUTE_KEY_MAX];

    check_same("/users/{id}", "/users/{name}", true);
    check_same("/%61", "/a", true);
    check_same("/%c3%a9", "/%C3%A9", true);
    check_same("/users/{id}", "/users/id", false);
    check_same("/users/{id}", "/users/{id}/", false);
    check_same("/users/*", "/users/{a}", false);
    check_same("/users/*", "/users/", false);
    check_same("/users/%2A", "/users/*", false);
    ck_assert_int_gt(route_key(STR("a.b"), STR("/x"), one), 0);
    ck_assert_int_gt(route_key(STR("*.b"), STR("/x"), two), 0);
    ck_assert_int_ne(memcmp(one, two, 5), 0);
    ck_assert_int_eq(route_key(STR("A"), STR("/x"), one), -EINVAL);
    ck_assert_int_eq(route_key(STR("a"), STR("x"), one), -EINVAL);
}
END_TEST

START_TEST(parameters_are_views_of_what_was_sent)
{
    static const char path[] = "/users/a%2Fb/posts/%C3%A9/and/more";
    struct route_param p[ROUTE_PARAMS_MAX];

    ck_assert_uint_eq(route_params(STR("/users/{id}/posts/{post}/*"), str_of(path), p), 2);
    ck_assert(str_eq(p[0].name, "id") && str_eq(p[0].value, "a%2Fb"));
    ck_assert(str_eq(p[1].name, "post") && str_eq(p[1].value, "%C3%A9"));
    ck_assert_ptr_eq(p[0].value.at, path + 7);
    ck_assert_uint_eq(route_params(STR("/users/x"), STR("/users/x"), p), 0);
    ck_assert_uint_eq(route_params(STR("/*"), STR("/users/x"), p), 0);
    ck_assert_uint_eq(route_params(STR("/{a}/{b}"), STR("/x"), p),
                      1); /* no match of it: still in bounds */
}
END_TEST

START_TEST(methods)
{
    char text[ROUTE_METHODS_TEXT];

    route_methods_text(route_method(STR("POST")) | route_method(STR("GET")), text);
    ck_assert_str_eq(text, "GET, POST");
    route_methods_text(ROUTE_METHODS_ALL, text);
    ck_assert_str_eq(text, "");
    route_methods_text(0x7f, text);
    ck_assert_str_eq(text, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    ck_assert_uint_eq(route_method(STR("get")), route_method(STR("BREW")));
    ck_assert_uint_ne(route_method(STR("get")), route_method(STR("GET")));
}
END_TEST

UNIT_MAIN("route_pattern", patterns_that_are_fine, patterns_that_are_refused_say_why, hosts,
          host_headers_come_to_one_form, paths_come_to_one_form, identity,
          parameters_are_views_of_what_was_sent, methods)
