/* What `rouse run` shows: a line each, under the end of the request's id, in colour on demand. */
#include "local/console.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "unit.h"

static char *text;
static size_t size;
static struct console c;

static void begin(bool color)
{
    c = (struct console){.to = open_memstream(&text, &size), .color = color};
    ck_assert_ptr_nonnull(c.to);
}

static void expect(const char *what)
{
    fclose(c.to);
    ck_assert_str_eq(text, what);
    free(text);
}

static const char id[] = "00000000-1111-2222-3333-44445678abcd";

START_TEST(lines_are_under_their_id)
{
    begin(false);
    console_line(&c, id, "one", 3);
    console_line(&c, NULL, "of nobody", 9);
    console_line(&c, "short", "x", 1);
    console_line(&c, id, "", 0);
    console_error(&c, id, "first %d\n  second\n", 1);
    expect(
        "5678abcd one\n-        of nobody\nshort    x\n5678abcd \n5678abcd first 1\n5678abcd   second\n");
}
END_TEST

START_TEST(a_functions_error_with_its_trace)
{
    char type[] = "TypeError", message[] = "no", trace[] = "[\"  File a, line 1\\n\"]";
    const struct function_error e = {.type = type, .message = message, .trace = trace};

    begin(false);
    console_function_error(&c, id, &e);
    expect("5678abcd TypeError: no\n5678abcd   File a, line 1\n");
}
END_TEST

START_TEST(requests)
{
    begin(false);
    console_request(&c, id, STR("GET"), STR("/a?b"), 200, 1300 * NS_PER_US);
    c.no_requests = true;
    console_request(&c, id, STR("GET"), STR("/a?b"), 200, 0);
    console_note(&c, "%s", "a word");
    expect("5678abcd GET /a?b 200 1.3 ms\nrouse: a word\n");
    begin(true);
    console_request(&c, id, STR("GET"), STR("/"), 502, 2 * NS_PER_S);
    expect("\033[2m5678abcd\033[0m GET / \033[31m502\033[0m 2.00 s\n");
}
END_TEST

START_TEST(durations)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {{0, "0 us"},           {999999, "999 us"},   {NS_PER_MS, "1.0 ms"},
                {12345678, "12.3 ms"}, {NS_PER_S, "1.00 s"}, {61 * NS_PER_S, "61.00 s"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[24];

        console_duration(rows[i].ns, out);
        ck_assert_str_eq(out, rows[i].text);
    }
}
END_TEST

UNIT_MAIN("console", lines_are_under_their_id, a_functions_error_with_its_trace, requests, durations)
