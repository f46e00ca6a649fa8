/* Frames: the golden bytes both ways, and everything the codec refuses. Runs in the project's root.
 */
#include "base/cleanup.h"
#include "base/hex.h"
#include "unit.h"
#include "wire/frame.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN  "proto/frames.golden"
#define TEXT(s) s, sizeof(s) - 1

/* What each golden line says, written down a second time. INVOKEs are in `invokes`. */
static const struct expected {
    const char *name;
    uint8_t type, flags;
    uint64_t id;
    const char *payload;
    size_t size;
} expected[] = {
    {"hello-runtime", 1, 0, 0, TEXT("{\"protocol\":1,\"runtime\":\"python3\",\"pid\":7}")},
    {"hello-http", 1, 0, 0, TEXT("{\"protocol\":1,\"runtime\":\"c\",\"http\":true}")},
    {"hello-fork", 1, 0, 0, TEXT("{\"protocol\":1,\"runtime\":\"python3\",\"pid\":9,\"fork\":13}")},
    {"hello-agent", 1, 0, 0,
     TEXT("{\"protocol\":1,\"function\":\"hello\",\"namespace\":\"default\",\"revision\":\"r1\","
          "\"handler\":\"index.handler\",\"concurrency\":1,\"timeout\":3000,"
          "\"memory\":134217728}")},
    {"hello-parked", 1, 0, 0,
     TEXT("{\"protocol\":1,\"runtime\":\"nodejs\",\"pid\":2,\"parked\":true}")},
    {"hello-agent-parked", 1, 0, 0,
     TEXT("{\"protocol\":1,\"function\":\"hello\",\"namespace\":\"default\",\"revision\":\"r1\","
          "\"handler\":\"index.handler\",\"concurrency\":1,\"timeout\":3000,"
          "\"memory\":134217728,\"environment\":{\"TZ\":\"UTC\",\"SAY\":\"\xc3\xa9\\n\"}}")},
    {"body", 3, 0, 0x0102030405060708, TEXT("[1,2")},
    {"body-fin", 3, 1, 0x0102030405060708, TEXT("]}")},
    {"end", 4, 0, 3, TEXT("")},
    {"response-json", 5, 1, 1, TEXT("{\"ok\":true}")},
    {"response-text", 5, 3, 1,
     TEXT("Gr\xc3\xbc\xc3\x9f"
          "e")},
    {"response-bytes", 5, 5, 1, TEXT("\0\xff\n\x80")},
    {"response-answer", 5, 9, 1, TEXT("{\"statusCode\":204}")},
    {"response-open", 5, 4, UINT64_MAX, TEXT("\x01")},
    {"error", 6, 0, 4,
     TEXT("{\"errorType\":\"ValueError\",\"errorMessage\":\"no \\\"x\\\"\","
          "\"stackTrace\":[\"line 1\",\"line 2\"]}")},
    {"error-fatal", 6, 16, 0,
     TEXT("{\"errorType\":\"Runtime.ImportModuleError\","
          "\"errorMessage\":\"No module named 'index'\",\"stackTrace\":[]}")},
    {"credit", 7, 0, 0, TEXT("\x08\0\0\0")},
    {"credit-body", 7, 0, 5, TEXT("\0\0\x01\0")},
    {"cancel", 8, 0, 6, TEXT("")},
    {"log", 10, 0, 1, TEXT("a line")},
    {"metric", 12, 0, 0, TEXT("\0\0\0\0\0\0\x29\x40queue_length")},
    {"fork", 11, 0, 13, TEXT("")},
    {"fork-child", 11, 0, 13, TEXT("{\"environment\":{\"ROUSE_INSTANCE\":\"i1\"}}")},
    {"response-http-open", 5, 32, 11,
     TEXT("{\"status\":200,\"headers\":[[\"content-type\",\"text/plain\"]]}")},
    {"response-http", 5, 33, 12, TEXT("{\"status\":204,\"headers\":[]}")},
    {"unknown", 200, 128, 10, TEXT("skip me")},
};

#define HTTP_HEAD                                                                                  \
    "{\"method\":\"GET\",\"path\":\"/a\",\"query\":\"\",\"scheme\":\"http\","                      \
    "\"protocol\":\"HTTP/1.1\",\"sourceIp\":\"127.0.0.1\",\"routeKey\":\"$default\","              \
    "\"headers\":[[\"host\",\"x\"]]}"
static const struct expected_invoke {
    const char *name;
    uint8_t flags;
    uint64_t id, deadline_ms;
    const char *request_id, *trace, *event;
} invokes[] = {
    {"invoke-fin", 1, 1, 1583348638390, "req-1", "Root=1", "{\"a\":1}"},
    {"invoke-empty", 1, 2, 0, "", "", ""},
    {"invoke-open", 0, 0x0102030405060708, UINT64_MAX, "\xc3\xa9", "", "{\"b\":"},
    {"invoke-http-open", 32, 11, 1583348638390, "req-1", "", HTTP_HEAD},
    {"invoke-http", 33, 12, 1583348638390, "req-1", "", HTTP_HEAD},
};

static const struct expected_hook {
    const char *name;
    uint64_t id;
    uint8_t hook;
    const char *hook_name;
} hooks[] = {
    {"hook-initializer", 7, HOOK_INITIALIZER, "index.init"},
    {"hook-pre-freeze", 8, HOOK_PRE_FREEZE, "index.freeze"},
    {"hook-pre-stop", 9, HOOK_PRE_STOP, "\xc3\xa9.stop"},
    {"hook-after-fork", 14, HOOK_AFTER_FORK, "index.after"},
};

struct line {
    char name[40];
    uint8_t bytes[1024];
    size_t size;
};

/* The next line that holds a frame; 0 at the end of the file. */
static int next_line(FILE *f, struct line *ret)
{
    char text[2600], digits[2200] = "";
    char *save, *word;

    while (fgets(text, sizeof(text), f)) {
        ck_assert_msg(strchr(text, '\n'), "a line is too long");
        word = strtok_r(text, " \n", &save);
        if (!word || word[0] == '#')
            continue;
        snprintf(ret->name, sizeof(ret->name), "%s", word);
        digits[0] = '\0';
        while ((word = strtok_r(NULL, " \n", &save)))
            strncat(digits, word, sizeof(digits) - strlen(digits) - 1);
        ret->size = strlen(digits) / 2;
        ck_assert_uint_le(ret->size, sizeof(ret->bytes));
        ck_assert_msg(!hex_decode(ret->bytes, digits, ret->size), "%s is not hex", ret->name);
        return 1;
    }
    return 0;
}

static void check_same(const struct line *l, const struct buffer *b)
{
    ck_assert_msg(buffer_size(b) == l->size && !memcmp(buffer_bytes(b), l->bytes, l->size),
                  "%s is encoded differently", l->name);
}

static void check_plain(const struct line *l, const struct expected *e)
{
    cleanup_buffer struct buffer b = {0};
    struct frame f;
    size_t size;

    ck_assert_msg(frame_parse(l->bytes, l->size, &f, &size) == 1, "%s", l->name);
    ck_assert_uint_eq(size, l->size);
    ck_assert_uint_eq(f.type, e->type);
    ck_assert_uint_eq(f.flags, e->flags);
    ck_assert_uint_eq(f.id, e->id);
    ck_assert_uint_eq(f.length, e->size);
    ck_assert_msg(!memcmp(f.payload, e->payload, e->size), "%s", l->name);
    ck_assert_int_eq(frame_append(&b, e->type, e->flags, e->id, e->payload, e->size), 0);
    check_same(l, &b);
}

static void check_invoke(const struct line *l, const struct expected_invoke *e)
{
    struct frame_invoke out = {
        .deadline_ms = e->deadline_ms,
        .request_id = e->request_id,
        .request_id_size = (uint16_t)strlen(e->request_id),
        .trace = e->trace,
        .trace_size = (uint16_t)strlen(e->trace),
        .event = (const uint8_t *)e->event,
        .event_size = (uint32_t)strlen(e->event),
    };
    cleanup_buffer struct buffer b = {0};
    struct frame_invoke in;
    struct frame f;
    size_t size;

    ck_assert_msg(frame_parse(l->bytes, l->size, &f, &size) == 1, "%s", l->name);
    ck_assert_uint_eq(f.type, FRAME_INVOKE);
    ck_assert_uint_eq(f.flags, e->flags);
    ck_assert_uint_eq(f.id, e->id);
    ck_assert_int_eq(frame_invoke_parse(&f, &in), 0);
    ck_assert_uint_eq(in.deadline_ms, e->deadline_ms);
    ck_assert_uint_eq(in.request_id_size, out.request_id_size);
    ck_assert_uint_eq(in.trace_size, out.trace_size);
    ck_assert_uint_eq(in.event_size, out.event_size);
    ck_assert(!memcmp(in.request_id, out.request_id, out.request_id_size));
    ck_assert(!memcmp(in.trace, out.trace, out.trace_size));
    ck_assert(!memcmp(in.event, out.event, out.event_size));
    ck_assert_int_eq(frame_invoke_append(&b, e->flags, e->id, &out), 0);
    check_same(l, &b);
}

static void check_hook(const struct line *l, const struct expected_hook *e)
{
    struct frame_hook out = {1583348638390, e->hook, e->hook_name, (uint16_t)strlen(e->hook_name)};
    cleanup_buffer struct buffer b = {0};
    struct frame_hook in;
    struct frame f;
    size_t size;

    ck_assert_msg(frame_parse(l->bytes, l->size, &f, &size) == 1, "%s", l->name);
    ck_assert_uint_eq(f.type, FRAME_HOOK);
    ck_assert_uint_eq(f.id, e->id);
    ck_assert_int_eq(frame_hook_parse(&f, &in), 0);
    ck_assert_uint_eq(in.deadline_ms, out.deadline_ms);
    ck_assert_uint_eq(in.hook, e->hook);
    ck_assert_uint_eq(in.name_size, out.name_size);
    ck_assert(!memcmp(in.name, out.name, out.name_size));
    ck_assert_int_eq(frame_hook_append(&b, e->id, &out), 0);
    check_same(l, &b);
}

START_TEST(golden)
{
    struct line l;
    struct frame f;
    struct frame_invoke inv;
    struct frame_hook hook;
    size_t size, checked = 0, bad = 0;
    FILE *file = fopen(GOLDEN, "re");

    ck_assert_msg(file, "%s: %s", GOLDEN, strerror(errno));
    while (next_line(file, &l)) {
        if (!strncmp(l.name, "bad-", 4)) {
            int want = strstr(l.name, "length") ? -EMSGSIZE : -EBADMSG;

            ck_assert_msg(frame_parse(l.bytes, l.size, &f, &size) == want, "%s", l.name);
            bad++;
            continue;
        }
        if (!strncmp(l.name, "badinvoke-", 10)) {
            ck_assert_msg(frame_parse(l.bytes, l.size, &f, &size) == 1, "%s", l.name);
            ck_assert_msg(frame_invoke_parse(&f, &inv) == -EBADMSG, "%s", l.name);
            bad++;
            continue;
        }
        if (!strncmp(l.name, "badhook-", 8)) {
            ck_assert_msg(frame_parse(l.bytes, l.size, &f, &size) == 1, "%s", l.name);
            ck_assert_msg(frame_hook_parse(&f, &hook) == -EBADMSG, "%s", l.name);
            bad++;
            continue;
        }
        for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
            if (!strcmp(hooks[i].name, l.name)) {
                check_hook(&l, &hooks[i]);
                checked++;
            }
        }
        for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
            if (!strcmp(expected[i].name, l.name)) {
                check_plain(&l, &expected[i]);
                checked++;
            }
        }
        for (size_t i = 0; i < ARRAY_LEN(invokes); i++) {
            if (!strcmp(invokes[i].name, l.name)) {
                check_invoke(&l, &invokes[i]);
                checked++;
            }
        }
    }
    fclose(file);
    ck_assert_uint_eq(checked, ARRAY_LEN(expected) + ARRAY_LEN(invokes) + ARRAY_LEN(hooks));
    ck_assert_uint_eq(bad, 12);
}
END_TEST

/* Every prefix of a stream of frames asks for more, and none reads past what is there. */
START_TEST(in_pieces)
{
    cleanup_buffer struct buffer b = {0};
    struct frame f;
    size_t size = 0;

    ck_assert_int_eq(frame_append(&b, FRAME_LOG, 0, 9, "line", 4), 0);
    for (size_t n = 0; n < buffer_size(&b); n++) {
        uint8_t *exact = malloc(n + 1);

        memcpy(exact, buffer_bytes(&b), n);
        ck_assert_int_eq(frame_parse(exact, n, &f, &size), 0);
        free(exact);
    }
    ck_assert_uint_eq(size, 0);
    ck_assert_int_eq(frame_append(&b, FRAME_END, 0, 9, NULL, 0), 0);
    ck_assert_int_eq(frame_parse(buffer_bytes(&b), buffer_size(&b), &f, &size), 1);
    ck_assert_uint_eq(size, 20);
    buffer_consume(&b, size);
    ck_assert_int_eq(frame_parse(buffer_bytes(&b), buffer_size(&b), &f, &size), 1);
    ck_assert_uint_eq(f.type, FRAME_END);
    ck_assert_uint_eq(size, 16);
}
END_TEST

START_TEST(limits)
{
    static uint8_t payload[FRAME_PAYLOAD_MAX + 1];
    static char text[65535];
    cleanup_buffer struct buffer b = {0}, small = {.limit = 20};
    struct frame_invoke inv = {.request_id = text,
                               .request_id_size = 65535,
                               .trace = text,
                               .trace_size = 65535,
                               .event = payload,
                               .event_size = FRAME_PAYLOAD_MAX - 16 - 2 * 65535};
    struct frame f;
    size_t size;

    ck_assert_int_eq(frame_append(&b, FRAME_BODY, 0, 1, payload, FRAME_PAYLOAD_MAX + 1), -EMSGSIZE);
    ck_assert_uint_eq(buffer_size(&b), 0);
    ck_assert_int_eq(frame_append(&b, FRAME_BODY, 0, 1, payload, FRAME_PAYLOAD_MAX), 0);
    ck_assert_int_eq(frame_parse(buffer_bytes(&b), buffer_size(&b), &f, &size), 1);
    ck_assert_uint_eq(f.length, FRAME_PAYLOAD_MAX);
    buffer_clear(&b);
    ck_assert_int_eq(frame_invoke_append(&b, 0, 1, &inv), 0);
    ck_assert_int_eq(frame_parse(buffer_bytes(&b), buffer_size(&b), &f, &size), 1);
    ck_assert_int_eq(frame_invoke_parse(&f, &inv), 0);
    ck_assert_uint_eq(inv.event_size, FRAME_PAYLOAD_MAX - 16 - 2 * 65535);
    inv.event_size++;
    ck_assert_int_eq(frame_invoke_append(&b, 0, 1, &inv), -EMSGSIZE);

    ck_assert_int_eq(frame_append(&small, FRAME_BODY, 0, 1, payload, 4), 0);
    ck_assert_int_eq(frame_append(&small, FRAME_END, 0, 1, NULL, 0), -ENOBUFS);
    ck_assert_uint_eq(buffer_size(&small), 20);
}
END_TEST

START_TEST(invoke_of_another_type)
{
    struct frame f = {
        .type = FRAME_BODY, .payload = (const uint8_t *)"0123456789012345", .length = 16};
    struct frame_invoke inv;

    ck_assert_int_eq(frame_invoke_parse(&f, &inv), -EBADMSG);
}
END_TEST

START_TEST(names)
{
    ck_assert_str_eq(frame_type_name(FRAME_HELLO), "HELLO");
    ck_assert_str_eq(frame_type_name(FRAME_INVOKE), "INVOKE");
    ck_assert_str_eq(frame_type_name(FRAME_LOG), "LOG");
    ck_assert_str_eq(frame_type_name(0), "?");
    ck_assert_str_eq(frame_type_name(FRAME_FORK), "FORK");
    ck_assert_str_eq(frame_type_name(FRAME_METRIC), "METRIC");
    ck_assert_str_eq(frame_type_name(13), "?");
    ck_assert_str_eq(frame_type_name(255), "?");
}
END_TEST

UNIT_MAIN("frame", golden, in_pieces, limits, invoke_of_another_type, names)
