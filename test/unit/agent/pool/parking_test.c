/* Interpreters that were started before their function was known. */
#include "fixture.h"
#include "invoke/environment.h"
#include "pool/internal.h"

static const struct {
    enum runtime_park park;
    const char *text; /* in the environment, beside HOME */
    bool suits;
} rows[] = {
    {RUNTIME_PARK_INTERPRETER, "GREETING=hi", true},
    {RUNTIME_PARK_ZYGOTE, "GREETING=hi", true},
    {RUNTIME_PARK_NONE, "GREETING=hi", false},
    {RUNTIME_PARK_ZYGOTE, "TZ=Asia/Kolkata", true},
    {RUNTIME_PARK_ZYGOTE, "PATH=/elsewhere", true},
    {RUNTIME_PARK_ZYGOTE, "LANG=C.UTF-8", true}, /* the Runtime's own */
    {RUNTIME_PARK_ZYGOTE, "LANG=de_DE", false},
    {RUNTIME_PARK_ZYGOTE, "LANGUAGE=de", false},
    {RUNTIME_PARK_ZYGOTE, "LC_ALL=C", false},
    {RUNTIME_PARK_ZYGOTE, "PYTHONPATH=/x", false},
    {RUNTIME_PARK_INTERPRETER, "NODE_OPTIONS=--no-opt", false},
    {RUNTIME_PARK_INTERPRETER, "NODEOPTIONS=1", true},
    {RUNTIME_PARK_INTERPRETER, "UV_THREADPOOL_SIZE=9", false},
    {RUNTIME_PARK_ZYGOTE, "LD_PRELOAD=/var/task/a.so", false},
    {RUNTIME_PARK_ZYGOTE, "MALLOC_ARENA_MAX=1", false},
    {RUNTIME_PARK_ZYGOTE, "GLIBC_TUNABLES=x", false},
    {RUNTIME_PARK_ZYGOTE, "OPENSSL_CONF=/x", false},
    {RUNTIME_PARK_ZYGOTE, "SSL_CERT_FILE=/x", false},
};

START_TEST(environments)
{
    char *env[] = {(char *)"LANG=C.UTF-8", NULL};
    struct runtime r = {.park = rows[_i].park, .env = env};
    struct environment e = {0};

    environment_set_text(&e, "HOME=/tmp");
    environment_set_text(&e, rows[_i].text);
    ck_assert_int_eq(environment_finish(&e), 0);
    ck_assert_msg(parking_suits(&r, &e) == rows[_i].suits, "%s", rows[_i].text);
    environment_done(&e);
}
END_TEST

START_TEST(too_large)
{
    char *env[] = {NULL}, *text = malloc(LINK_ENVIRONMENT_MAX + 1);
    struct runtime r = {.park = RUNTIME_PARK_ZYGOTE, .env = env};

    for (size_t over = 0; over < 2; over++) {
        struct environment e = {0};

        memset(text, 'x', LINK_ENVIRONMENT_MAX);
        memcpy(text, "A=", 2);
        text[LINK_ENVIRONMENT_MAX - 1 + over] = '\0';
        environment_set_text(&e, text);
        ck_assert(parking_suits(&r, &e) == !over);
        environment_done(&e);
    }
    free(text);
}
END_TEST

START_TEST(its_hello_brings_the_environment)
{
    struct buffer m = {0};
    struct peer c;
    struct box *b;
    struct frame f;

    begin();
    ck_assert_int_eq(
        desire(&(struct revision_options){.runtime = "nodejs", .lang = "rt"}, "i-1", "", 0), 0);
    b = box_start("i-1");
    expect_text(created, "ahead argv=/bin/run\nahead RT=1\nahead LANG=rt\nahead ROUSE_PARKED=1\n");
    peer_connect_unix(&b->rt, b->path);
    frame_send_text(&b->rt, FRAME_HELLO, 0, 0, "{\"protocol\":1,\"parked\":true}");
    f = frame_take(&b->rt, &m);
    ck_assert_int_eq(f.type, FRAME_HELLO);
    expect_text((const char *)f.payload, "\"GREETING\":\"hi\"");
    expect_text((const char *)f.payload, "\"ROUSE_INSTANCE\":\"i-1\"");
    expect_text((const char *)f.payload, "\"LANG\":\"rt\"");
    expect_text((const char *)f.payload, "\"_HANDLER\":\"index.handler\"");
    expect_no_text((const char *)f.payload, "ROUSE_PARKED");
    frame_send_credit(&b->rt, 1);
    expect_sent("status i-1 Ready  slots=1");
    client_ask(&c, "req-1", NULL);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, invoke_take(b, NULL, 0), "hi");
    expect_answer(&c, "200", "hi");
    buffer_done(&m);
    end();
}
END_TEST

/* One that says it is not: it would run without its environment. */
START_TEST(one_that_was_not_parked)
{
    struct box *b;

    begin();
    ck_assert_int_eq(
        desire(&(struct revision_options){.runtime = "nodejs", .lang = "rt"}, "i-1", "", 0), 0);
    b = box_start("i-1");
    peer_connect_unix(&b->rt, b->path);
    frame_send_text(&b->rt, FRAME_HELLO, 0, 0, "{\"protocol\":1}");
    expect_sent("status i-1 Failed");
    expect_text(last_message, "a HELLO that is not parked");
    end();
}
END_TEST

START_TEST(started_with_its_environment)
{
    struct box *b;

    begin();
    /* Its LANG is not the Runtime's. */
    ck_assert_int_eq(desire(&(struct revision_options){.runtime = "nodejs"}, "i-1", "", 0), 0);
    b = box_ready("i-1", 1);
    expect_no_text(created, "ahead ");
    expect_text(created, "LANG=user\n");
    ck_assert_ptr_nonnull(b);
    end();
}
END_TEST

START_TEST(a_program_with_a_port_is_started_itself)
{
    begin();
    ck_assert_int_eq(desire(
                         &(struct revision_options){
                             .runtime = "nodejs", .lang = "rt", .port = 8080, .handler = "run"},
                         "i-1", "", 0),
                     0);
    box_start("i-1");
    expect_no_text(created, "ahead ");
    end();
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *t = unit_case("parking", &r);

    tcase_add_loop_test(t, environments, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, too_large);
    tcase_add_test(t, its_hello_brings_the_environment);
    tcase_add_test(t, one_that_was_not_parked);
    tcase_add_test(t, started_with_its_environment);
    tcase_add_test(t, a_program_with_a_port_is_started_itself);
    return unit_run(r);
}
