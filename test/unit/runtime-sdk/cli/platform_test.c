/* platform.json there and back, the network's plan, tables, flags, URLs. */
#include "cli/api.h"
#include "cli/network.h"
#include "cli/platform.h"
#include "cli/table.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct platform three(void)
{
    struct platform p = {.node_count = 3,
                         .api = "http://127.0.0.1:7080",
                         .local_api = "http://127.0.0.1:7",
                         .bin = "/x/bin"};

    platform_id("/var/lib/rouse", p.id);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(p.nodes[i].name, sizeof(p.nodes[i].name), "node-%u", i + 1);
        snprintf(p.nodes[i].gateway, sizeof(p.nodes[i].gateway), "http://10.0.0.%u:8080", i);
    }
    return p;
}

START_TEST(there_and_back)
{
    struct platform p = three(), q;
    cleanup_buffer struct buffer b = {0};

    strcpy(p.nodes[1].pool, "small");
    strcpy(p.nodes[2].pool, "small");
    p.nodes[2].leaving = true;
    ck_assert_int_eq(platform_text(&p, &b), 0);
    ck_assert_int_eq(platform_parse((const char *)buffer_bytes(&b), buffer_size(&b), &q), 0);
    ck_assert_uint_eq(q.node_count, 3);
    ck_assert_str_eq(q.nodes[2].gateway, "http://10.0.0.2:8080");
    ck_assert_str_eq(q.api, p.api);
    ck_assert_str_eq(q.local_api, p.local_api);
    ck_assert_str_eq(q.id, p.id);
    ck_assert(!q.nodes[1].leaving && q.nodes[2].leaving);
}
END_TEST

START_TEST(damaged)
{
    static const char *const bad[] = {"",           "{}",   "[]",
                                      "{\"id\":1}", "null", "{\"id\":\"x\",\"nodes\":[]}"};
    struct platform p = three(), q = {.node_count = 99};
    cleanup_buffer struct buffer b = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(platform_parse(bad[i], strlen(bad[i]), &q) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(platform_text(&p, &b), 0);
    /* All of it or nothing: every shorter text is refused (the last two bytes are "}" and a
     * newline). */
    for (size_t n = 0; n < buffer_size(&b) - 2; n++)
        ck_assert_int_eq(platform_parse((const char *)buffer_bytes(&b), n, &q), -EINVAL);
    ck_assert_uint_eq(q.node_count, 99);
    /* A node's name becomes a file name. */
    snprintf(p.nodes[0].name, sizeof(p.nodes[0].name), "../x");
    buffer_clear(&b);
    ck_assert_int_eq(platform_text(&p, &b), 0);
    ck_assert_int_eq(platform_parse((const char *)buffer_bytes(&b), buffer_size(&b), &q), -EINVAL);
}
END_TEST

START_TEST(ids_and_networks)
{
    struct platform p = three(), q = three();
    char prefix[16], id[16];
    struct err e = {0};

    platform_id("/other", id);
    ck_assert_str_ne(p.id, id);
    ck_assert_uint_eq(strlen(p.id), 8);
    memcpy(q.id, id, sizeof(id));
    ck_assert_msg(network_plan(&p, prefix, &e) == 0, "%s", e.message);
    ck_assert_msg(network_plan(&q, prefix, &e) == 0, "%s", e.message);
    ck_assert_int_eq(strncmp(prefix, "10.", 3), 0);
    ck_assert_int_eq(prefix[strlen(prefix) - 1], '.');
    ck_assert_str_ne(p.bridge, q.bridge);
    ck_assert_str_ne(p.nodes[0].netns, q.nodes[0].netns);
    ck_assert_str_ne(p.nodes[0].netns, p.nodes[1].netns);
    ck_assert_uint_lt(strlen(p.bridge), 16);
}
END_TEST

/* ---- tables */
static void prints(struct table *t, const char *json, const char *want)
{
    struct json_object *o = json_tokener_parse(json);
    cleanup_buffer struct buffer b = {0};

    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(table_print(t, o, &b), 0);
    buffer_append(&b, "", 1);
    ck_assert_str_eq((const char *)buffer_bytes(&b), want);
    json_object_put(o);
}

#define COLUMNS                                                                                    \
    "\"kind\":\"Table\",\"columnDefinitions\":[{\"name\":\"Name\"},{\"name\":\"Ready\"},"          \
    "{\"name\":\"Memory\",\"priority\":1}]"
#define ROW(name, ready)                                                                           \
    "{\"cells\":[\"" name "\"," ready ",\"128Mi\"],\"object\":{\"metadata\":{\"namespace\":\"ns\"}}}"

START_TEST(tables)
{
    struct table plain = {0}, wide = {.wide = true, .namespaces = true};

    prints(&plain, "{" COLUMNS ",\"rows\":[]}", "");
    prints(&plain,
           "{" COLUMNS
           ",\"rows\":[" ROW("hello", "\"True\"") "," ROW("caf\xc3\xa9-long", "null") "]}",
           "NAME        READY\nhello       True\ncaf\xc3\xa9-long   <none>\n");
    /* The next object of a watch: no header again, the columns stay. */
    prints(&plain, "{\"kind\":\"Table\",\"rows\":[" ROW("a\\u001b[2J", "7") "]}", "a?[2J       7\n");
    prints(&wide, "{" COLUMNS ",\"rows\":[" ROW("hello", "true") "]}",
           "NAMESPACE   NAME    READY   MEMORY\nns          hello   true    128Mi\n");
}
END_TEST

START_TEST(no_table)
{
    struct json_object *o = json_tokener_parse("{\"kind\":\"Status\"}");
    struct table t = {0};
    cleanup_buffer struct buffer b = {0};

    ck_assert_int_eq(table_print(&t, o, &b), -EINVAL);
    ck_assert_int_eq(table_print(&t, NULL, &b), -EINVAL);
    json_object_put(o);
    o = json_tokener_parse("{" COLUMNS ",\"rows\":[1,{\"cells\":7},{\"cells\":[]}]}");
    ck_assert_int_eq(table_print(&t, o, &b), 0);
    json_object_put(o);
}
END_TEST

/* ---- flags */
static int parse_flags(char **argv, int argc, struct settings *s, struct arguments *a, bool *follow,
                       long *tail)
{
    const struct flag flags[] = {{"follow", 'f', FLAG_BOOL, follow},
                                 {"tail", 't', FLAG_NUMBER, tail}};
    static const struct command c = {"test", "", "", NULL};

    return flags_parse(&c, flags, 2, argc, argv, s, a);
}

#define WORDS(...)                                                                                 \
    ((char *[]){__VA_ARGS__}), (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *))
#define W(s) ((char *)(uintptr_t)(s))

START_TEST(flags_taken)
{
    struct settings s = {0};
    struct arguments a;
    bool follow = false;
    long tail = -1;

    ck_assert_int_eq(parse_flags(WORDS(W("one"), W("-f"), W("--tail=7"), W("-n"), W("team"),
                                       W("--api"), W("http://x"), W("-"), W("--"), W("-t")),
                                 &s, &a, &follow, &tail),
                     -1);
    ck_assert(follow);
    ck_assert_int_eq(tail, 7);
    ck_assert_str_eq(s.ns, "team");
    ck_assert_str_eq(s.api, "http://x");
    ck_assert_uint_eq(a.count, 3);
    ck_assert_str_eq(a.positional[1], "-");
    ck_assert_str_eq(a.positional[2], "-t");
    ck_assert_int_eq(parse_flags(WORDS(W("--follow=false"), W("-ft9")), &s, &a, &follow, &tail), -1);
    ck_assert(follow);
    ck_assert_int_eq(tail, 9);
}
END_TEST

START_TEST(flags_refused)
{
    struct settings s = {0};
    struct arguments a;
    bool follow = false;
    long tail = -1;

    ck_assert_int_eq(parse_flags(WORDS(W("--bogus")), &s, &a, &follow, &tail), EXIT_USAGE);
    ck_assert_int_eq(parse_flags(WORDS(W("-x")), &s, &a, &follow, &tail), EXIT_USAGE);
    ck_assert_int_eq(parse_flags(WORDS(W("--tail")), &s, &a, &follow, &tail), EXIT_USAGE);
    ck_assert_int_eq(parse_flags(WORDS(W("--tail"), W("7x")), &s, &a, &follow, &tail), EXIT_USAGE);
    ck_assert_int_eq(parse_flags(WORDS(W("--tail=-1")), &s, &a, &follow, &tail), EXIT_USAGE);
    ck_assert_int_eq(parse_flags(WORDS(W("--follow=maybe")), &s, &a, &follow, &tail), EXIT_USAGE);
    ck_assert_int_eq(parse_flags(WORDS(W("--fol")), &s, &a, &follow, &tail), EXIT_USAGE);
    ck_assert_int_eq(parse_flags(WORDS(W("--help")), &s, &a, &follow, &tail), EXIT_DONE);
}
END_TEST

START_TEST(urls)
{
    const struct settings s = {.api = "http://h:1"};
    cleanup_buffer struct buffer b = {0};
    char *u;

    u = api_url(&s, resource_find("fn"), "a/b", "x y?");
    ck_assert_str_eq(u, "http://h:1/apis/rouse.dev/v1/namespaces/a%2Fb/functions/x%20y%3F");
    free(u);
    u = api_url(&s, resource_find("Nodes.rouse.dev"), "default", NULL);
    ck_assert_str_eq(u, "http://h:1/apis/rouse.dev/v1/nodes");
    free(u);
    ck_assert_ptr_null(resource_find("pods"));
    ck_assert_ptr_null(resource_find(""));
    ck_assert_int_eq(http_escape(&b, "a/\xc3\xa9~", true), 0);
    ck_assert_uint_eq(buffer_size(&b), 9);
    ck_assert_mem_eq(buffer_bytes(&b), "a/%C3%A9~", 9);
}
END_TEST

START_TEST(headers)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nX-A:  one \r\nrouse-request-id: r1\r\nX-Ab: no\r\n\r\n";
    struct http_response a = {0};
    char value[8];

    ck_assert(!http_header(&a, "X-A", value, sizeof(value)));
    ck_assert_int_eq(buffer_puts(&a.headers, text), 0);
    ck_assert(http_header(&a, "x-a", value, sizeof(value)));
    ck_assert_str_eq(value, "one");
    ck_assert(http_header(&a, "Rouse-Request-Id", value, sizeof(value)));
    ck_assert_str_eq(value, "r1");
    ck_assert(!http_header(&a, "X", value, sizeof(value)));
    http_response_done(&a);
}
END_TEST

UNIT_MAIN("platform", there_and_back, damaged, ids_and_networks, tables, no_table, flags_taken,
          flags_refused, urls, headers)
