/* W3C Trace Context: what is passed on, what restarts the trace, and Lambda's form of it. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "http/forward.h"
#include "http/trace.h"
#include "unit.h"

#include <string.h>

#define ID     "0af7651916cd43dd8448eb211c80319c"
#define SPAN   "b7ad6b7169203331"
#define PARENT "00-" ID "-" SPAN "-01"

START_TEST(which_traceparent_is_one)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {PARENT, true},
        {"00-" ID "-" SPAN "-00", true},
        {"00-" ID "-" SPAN "-ff", true},
        {"01-" ID "-" SPAN "-01", true},
        {"cc-" ID "-" SPAN "-01-what-comes-later", true},
        {"cc-" ID "-" SPAN "-01what", false},
        {PARENT "-more", false},
        {PARENT "-", false},
        {"ff-" ID "-" SPAN "-01", false},
        {"", false},
        {"00-" ID "-" SPAN, false},
        {"00-" ID "-" SPAN "-1", false},
        {"0-" ID "-" SPAN "-001", false},
        {"00_" ID "-" SPAN "-01", false},
        {"00-" ID "_" SPAN "-01", false},
        {"00-" ID "-" SPAN "_01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
        {"00-" ID "-B7AD6B7169203331-01", false},
        {"00-" ID "-" SPAN "-0G", false},
        {"0g-" ID "-" SPAN "-01", false},
        {"00-00000000000000000000000000000000-" SPAN "-01", false},
        {"00-" ID "-0000000000000000-01", false},
        {" " PARENT, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(http_trace_parent_ok(str_of(rows[i].text)) == rows[i].ok, "%s", rows[i].text);
}
END_TEST

START_TEST(which_tracestate_is_one)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"", true},         {"a=1", true},         {"rojo=00f067aa0ba902b7,congo=t61r", true},
        {"a=1, b=2", true}, {"a=1 ,\tb=2", true},  {"a=1,,b=2", true},
        {"0k@v-x=z", true}, {"a=~!*()/", true},    {"a=b c", true},
        {"a", false},       {"=1", false},         {"a=", false},
        {"A=1", false},     {"a=1=2", false},      {"_a=1", false},
        {"a b=1", false},   {"a=\xc3\xa4", false}, {"a@b@c=1", false},
    };
    cleanup_buffer struct buffer many = {0};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(http_trace_state_ok(str_of(rows[i].text)) == rows[i].ok, "%s", rows[i].text);
    for (int i = 0; i < 32; i++)
        buffer_printf(&many, "k%d=v,", i);
    ck_assert(http_trace_state_ok((struct str){(char *)many.data, buffer_size(&many)}));
    buffer_puts(&many, "one=more");
    ck_assert(!http_trace_state_ok((struct str){(char *)many.data, buffer_size(&many)}));
    buffer_clear(&many);
    buffer_printf(&many, "a=%0257d", 1);
    ck_assert(!http_trace_state_ok((struct str){(char *)many.data, buffer_size(&many)}));
}
END_TEST

static const uint64_t random3[3] = {0x0123456789abcdef, 0, 0};
#define FRESH "00-0123456789abcdef0000000000000001-0000000000000001-01"

/* What goes to the next hop. */
static void check(const char *parent, const char *second, const char *state, const char *expected,
                  const char *on)
{
    struct http_head h = {.header_count = 1, .headers = {{STR("X"), STR("y")}}};
    struct http_forward f = {0};
    cleanup_buffer struct buffer b = {0};
    char trace[HTTP_TRACE_SIZE];

    if (parent)
        h.headers[h.header_count++] = (struct http_header){STR("TraceParent"), str_of(parent)};
    if (state)
        h.headers[h.header_count++] = (struct http_header){STR("tracestate"), str_of(state)};
    if (second)
        h.headers[h.header_count++] = (struct http_header){STR("traceparent"), str_of(second)};
    http_trace_of(&h, random3, trace);
    ck_assert_str_eq(trace, expected);
    ck_assert(http_trace_parent_ok(str_of(trace)));
    f.trace = trace;
    ck_assert_int_eq(http_forward_request(&b, &h, &f), 0);
    ck_assert_str_eq((char *)b.data, on);
}
#define FIRST "Host: localhost\r\nX: y\r\n"

START_TEST(a_trace_goes_on_or_begins_anew)
{
    check(PARENT, NULL, NULL, PARENT, FIRST "TraceParent: " PARENT "\r\n");
    check(PARENT, NULL, "a=1", PARENT, FIRST "TraceParent: " PARENT "\r\ntracestate: a=1\r\n");
    check(PARENT, NULL, "A=1", PARENT, FIRST "TraceParent: " PARENT "\r\n");
    check("01-" ID "-" SPAN "-01-x", NULL, NULL, "01-" ID "-" SPAN "-01",
          FIRST "TraceParent: 01-" ID "-" SPAN "-01-x\r\n");
    check(NULL, NULL, NULL, FRESH, FIRST "traceparent: " FRESH "\r\n");
    check("junk", NULL, "a=1", FRESH, FIRST "traceparent: " FRESH "\r\n");
    check(PARENT, PARENT, "a=1", FRESH, FIRST "traceparent: " FRESH "\r\n");
    check(NULL, NULL, "a=1", FRESH, FIRST "traceparent: " FRESH "\r\n");
}
END_TEST

START_TEST(as_lambda_runtimes_know_it)
{
    char out[HTTP_XRAY_SIZE];

    http_trace_xray(PARENT, out);
    ck_assert_str_eq(out,
                     "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1");
    http_trace_xray("00-" ID "-" SPAN "-0a", out);
    ck_assert_ptr_nonnull(strstr(out, "Sampled=0"));
    http_trace_xray("00-" ID "-" SPAN "-0b", out);
    ck_assert_ptr_nonnull(strstr(out, "Sampled=1"));
    http_trace_xray("00-" ID "-" SPAN "-10", out);
    ck_assert_ptr_nonnull(strstr(out, "Sampled=0"));
    http_trace_xray("", out);
    ck_assert_str_eq(out, "");
}
END_TEST

UNIT_MAIN("trace", which_traceparent_is_one, which_tracestate_is_one,
          a_trace_goes_on_or_begins_anew, as_lambda_runtimes_know_it)
