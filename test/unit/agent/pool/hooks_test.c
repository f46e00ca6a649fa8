/* Hooks around an instance's life, with runtimes made by hand. */
#include "fixture.h"

static bool none_left(void *user)
{
    (void)user;
    return pool_instances(pool) == 0;
}

static bool was_stopped(void *user)
{
    return strstr(stops, user) != NULL;
}

static uint64_t hook_take(struct box *b, enum frame_hook_kind kind, const char *name)
{
    struct buffer payload = {0};
    struct frame f = frame_take(&b->rt, &payload);
    struct frame_hook h;

    ck_assert_int_eq(frame_hook_parse(&f, &h), 0);
    ck_assert_int_eq(h.hook, kind);
    ck_assert_msg(h.name_size == strlen(name) && !memcmp(h.name, name, h.name_size), "%.*s",
                  (int)h.name_size, h.name);
    ck_assert_uint_gt(h.deadline_ms, clock_wall_ms() - 60000);
    buffer_done(&payload);
    return f.id;
}

/* An instance whose code is loaded. */
static struct box *loaded(const struct revision_options *o)
{
    struct box *b;

    begin();
    ck_assert_int_eq(desire(o, "i-1", "", 0), 0);
    b = box_start("i-1");
    peer_connect_unix(&b->rt, b->path);
    frame_hello(&b->rt);
    frame_send_credit(&b->rt, 1);
    return b;
}

START_TEST(ready_waits_for_the_initializer)
{
    const struct revision_options o = {.initializer = "index.init", .initializer_timeout_ms = 60000};
    struct box *b = loaded(&o);
    uint64_t id = hook_take(b, HOOK_INITIALIZER, "index.init");
    struct peer client;

    frame_send_credit(&b->rt, 1); /* says nothing new, and not that it is ready */
    frame_send_text(&b->rt, FRAME_LOG, 0, id, "warm");
    client_ask(&client, "req-0", NULL);
    expect_answer(&client, "503", "refused");
    expect_not_sent("Ready");
    frame_send(&b->rt, FRAME_END, 0, id, NULL, 0);
    expect_sent("status i-1 Ready  slots=1");
    ck_assert_uint_gt(last_phases.init, 0);
    client_ask(&client, "req-1", NULL);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, invoke_take(b, NULL, 0), "hi");
    expect_answer(&client, "200", "hi");
    /* Without a preStop the stop waits for nothing. */
    ck_assert_int_eq(desire(&o, "", "i-1", sequence), 0);
    ck_assert_str_eq(stops, "i-1 2000\n");
    box_exit(b, 0, 0, false);
    end();
}
END_TEST

START_TEST(an_initializer_that_fails)
{
    const struct revision_options o = {.initializer = "index.init", .initializer_timeout_ms = 60000};
    struct box *b = loaded(&o);
    uint64_t id = hook_take(b, HOOK_INITIALIZER, "index.init");

    ck_assert_int_eq(write(b->out, "connecting\n", 11), 11);
    frame_send_text(&b->rt, FRAME_ERROR, 0, id,
                    "{\"errorType\":\"DatabaseError\",\"errorMessage\":\"no route\"}");
    expect_sent("status i-1 Failed InitFailed");
    expect_text(last_message, "the initializer 'index.init' failed: DatabaseError: no route");
    expect_text(last_message, "connecting");
    ck_assert_str_eq(stops, "i-1 0\n");
    expect_not_sent("Ready");
    end();
}
END_TEST

START_TEST(an_initializer_that_is_late)
{
    const struct revision_options o = {.initializer = "index.init", .initializer_timeout_ms = 100};
    struct box *b = loaded(&o);
    uint64_t id = hook_take(b, HOOK_INITIALIZER, "index.init");

    expect_sent("status i-1 Failed InitializerTimeout");
    expect_text(last_message, "the initializer 'index.init' did not end within 0.1 s");
    frame_send(&b->rt, FRAME_END, 0, id, NULL, 0);
    box_exit(b, 0, 9, false);
    wait_for(none_left, NULL);
    expect_not_sent("Ready");
    end();
}
END_TEST

START_TEST(an_end_while_it_initializes)
{
    const struct revision_options o = {
        .initializer = "index.init", .initializer_timeout_ms = 60000, .pre_stop = "index.stop"};
    struct box *b = loaded(&o);

    hook_take(b, HOOK_INITIALIZER, "index.init");
    box_exit(b, 3, 0, false);
    expect_sent("status i-1 Failed Error slots=1 code=3");
    /* One that is not wanted any more was never ready: there is nothing for a preStop to undo. */
    ck_assert_int_eq(desire(&o, "i-2", "", 0), 0);
    b = box_start("i-2");
    peer_connect_unix(&b->rt, b->path);
    frame_hello(&b->rt);
    frame_send_credit(&b->rt, 1);
    hook_take(b, HOOK_INITIALIZER, "index.init");
    ck_assert_int_eq(desire(&o, "", "", 0), 0);
    ck_assert_ptr_nonnull(strstr(stops, "i-2 2000\n"));
    box_exit(b, 0, 15, false);
    expect_sent("status i-2 Stopped");
    end();
}
END_TEST

START_TEST(pre_stop_after_the_last_invocation)
{
    const struct revision_options o = {.pre_stop = "index.stop"};
    struct box *b = loaded(&o);
    struct peer client;
    uint64_t id;

    expect_sent("status i-1 Ready");
    client_ask(&client, "req-1", NULL);
    id = invoke_take(b, NULL, 0);
    ck_assert_int_eq(desire(&o, "", "", 0), 0);
    expect_sent("status i-1 Draining");
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, id, "last");
    expect_answer(&client, "200", "last");
    id = hook_take(b, HOOK_PRE_STOP, "index.stop"); /* nothing between them */
    ck_assert_str_eq(stops, "");
    frame_send(&b->rt, FRAME_END, 0, id, NULL, 0);
    wait_for(was_stopped, (void *)"i-1 2000\n");
    box_exit(b, 0, 15, false);
    expect_sent("status i-1 Stopped Completed");
    end();
}
END_TEST

START_TEST(pre_stop_that_fails_or_is_late)
{
    const struct revision_options o = {.pre_stop = "index.stop", .timeout_ms = 100};
    struct box *b = loaded(&o);
    uint64_t id;

    expect_sent("status i-1 Ready");
    ck_assert_int_eq(desire(&o, "i-2", "", 0), 0);
    id = hook_take(b, HOOK_PRE_STOP, "index.stop");
    frame_send_text(&b->rt, FRAME_ERROR, 0, id,
                    "{\"errorType\":\"Runtime.NoSuchHook\",\"errorMessage\":\"no such\"}");
    wait_for(was_stopped, (void *)"i-1 2000\n");
    box_exit(b, 0, 15, false);
    expect_sent("status i-1 Stopped Completed");

    b = box_ready("i-2", 1);
    ck_assert_int_eq(desire(&o, "", "", 0), 0);
    hook_take(b, HOOK_PRE_STOP, "index.stop");
    wait_for(was_stopped, (void *)"i-2 2000\n"); /* by its time, the function's */
    box_exit(b, 0, 15, false);
    expect_sent("status i-2 Stopped Completed");
    end();
}
END_TEST

static bool waited;

static void not_stopped_yet(struct loop_timer *t)
{
    (void)t;
    ck_assert_str_eq(stops, "");
    waited = true;
}

START_TEST(the_agents_end_calls_pre_stop)
{
    struct loop_timer early = {.fn = not_stopped_yet}; /* due before the hook's time, which begins later */
    const struct revision_options o = {.pre_stop = "index.stop", .timeout_ms = 100};
    struct box *b = loaded(&o), heard = {.rt = {.fd = dup(b->rt.fd)}};

    expect_sent("status i-1 Ready");
    loop_timer_set(loop, &early, clock_monotonic_ns() + 50 * NS_PER_MS);
    end();
    ck_assert(waited);
    hook_take(&heard, HOOK_PRE_STOP, "index.stop");
    ck_assert_str_eq(stops, "i-1 2000\n");
    peer_close(&heard.rt);
}
END_TEST

START_TEST(hooks_need_frames)
{
    static const char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
    const struct revision_options o = {.runtime = "provided", .pre_stop = "index.stop"};
    struct peer api;
    struct box *b;

    begin();
    ck_assert_int_eq(desire(&o, "i-1", "", 0), 0);
    b = box_start("i-1");
    peer_connect_tcp(&api, b->api_port);
    peer_send(&api, next, sizeof(next) - 1);
    expect_sent("status i-1 Failed InitFailed");
    expect_text(last_message, "spec.lifecycle: its runtime uses the Lambda Runtime API");
    peer_close(&api);
    end();
}
END_TEST

UNIT_MAIN("hooks", ready_waits_for_the_initializer, an_initializer_that_fails,
          an_initializer_that_is_late, an_end_while_it_initializes,
          pre_stop_after_the_last_invocation, pre_stop_that_fails_or_is_late,
          the_agents_end_calls_pre_stop, hooks_need_frames)
