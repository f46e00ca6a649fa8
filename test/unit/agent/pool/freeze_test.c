/* Ready <-> Frozen, with runtimes made by hand and a freezer that writes down what it is asked for. */
#include "fixture.h"

static struct box *ready(const struct revision_options *o)
{
    freeze_after_ns = 20 * NS_PER_MS;
    begin();
    ck_assert_int_eq(desire(o, "i-1", "", 0), 0);
    return box_ready("i-1", o && o->concurrency ? o->concurrency : 1);
}

static struct box *frozen(const struct revision_options *o)
{
    struct box *b = ready(o);

    expect_sent("status i-1 Frozen  slots=");
    ck_assert_str_eq(freezes, "freeze i-1\n");
    sent[0] = freezes[0] = '\0';
    return b;
}

static void answer(struct box *b, uint64_t id)
{
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, id, "hi");
}

static bool was_stopped(void *user)
{
    return strstr(stops, user) != NULL;
}

static uint64_t pre_freeze_take(struct box *b)
{
    struct buffer payload = {0};
    struct frame f = frame_take(&b->rt, &payload);
    struct frame_hook h;

    ck_assert_int_eq(f.type, FRAME_HOOK);
    ck_assert_int_eq(frame_hook_parse(&f, &h), 0);
    ck_assert_int_eq(h.hook, HOOK_PRE_FREEZE);
    buffer_done(&payload);
    return f.id;
}

static bool after_a_while;
static void on_while(struct loop_timer *t)
{
    (void)t;
    after_a_while = true;
}
static bool is_over(void *user)
{
    (void)user;
    return after_a_while;
}
/* Several times as long as an idle instance has. */
static void let_time_pass(void)
{
    struct loop_timer t = {.fn = on_while};

    after_a_while = false;
    loop_timer_set(loop, &t, clock_monotonic_ns() + 5 * freeze_after_ns);
    wait_for(is_over, NULL);
}

START_TEST(idle_is_frozen_and_the_next_request_thaws)
{
    struct box *b = frozen(NULL);
    struct peer client;

    for (int round = 0; round < 3; round++) {
        uint64_t id;

        ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
        client_ask(&client, "req-1", NULL);
        id = invoke_take(b, NULL, 0);
        ck_assert_str_eq(freezes, "thaw i-1\n"); /* before the event went out */
        expect_sent("status i-1 Ready  slots=1");
        answer(b, id);
        expect_answer(&client, "200", "hi");
        expect_sent("status i-1 Frozen  slots=1");
        ck_assert_str_eq(freezes, "thaw i-1\nfreeze i-1\n");
        sent[0] = freezes[0] = '\0';
    }
    end();
    ck_assert_str_eq(freezes, "thaw i-1\n"); /* the pool's end leaves nothing frozen */
}
END_TEST

START_TEST(what_runs_is_not_frozen)
{
    const struct revision_options o = {.concurrency = 2, .timeout_ms = 60000};
    struct box *b = ready(&o);
    struct peer c[2];
    uint64_t first, second;

    client_ask(&c[0], "A", NULL);
    first = invoke_take(b, NULL, 0);
    client_ask(&c[1], "B", NULL);
    second = invoke_take(b, NULL, 0);
    answer(b, first);
    expect_answer(&c[0], "200", "hi");
    let_time_pass();
    ck_assert_str_eq(freezes, "");
    /* One whose client has left is the runtime's until it has ended. */
    peer_close(&c[1]);
    let_time_pass();
    ck_assert_str_eq(freezes, "");
    answer(b, second);
    expect_sent("status i-1 Frozen");
    end();
}
END_TEST

START_TEST(a_lease_is_claimed_from_a_frozen_one)
{
    struct box *b = frozen(NULL);
    struct peer c;
    uint64_t id;

    want_slots(1);
    expect_sent("slot i-1 default/hello r1 100\n");
    ck_assert_str_eq(freezes, ""); /* not every offer is taken up */
    params.slot = last_slot;
    client_ask(&c, "A", NULL);
    id = invoke_take(b, NULL, 0);
    ck_assert_str_eq(freezes, "thaw i-1\n");
    params.slot = 0;
    answer(b, id);
    expect_answer(&c, "200", "hi");
    expect_sent("status i-1 Frozen");
    end();
}
END_TEST

START_TEST(a_leased_slot_is_not_frozen)
{
    struct box *b;

    freeze_after_ns = 20 * NS_PER_MS; /* a lease has 100 */
    begin();
    want_slots(1);
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    b = box_ready("i-1", 1);
    expect_sent("slot i-1 default/hello r1 100\n");
    ck_assert(b->alive);
    expect_not_sent("Frozen");
    expect_sent("status i-1 Frozen");
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    end();
}
END_TEST

static bool is_kept(void *user)
{
    (void)user;
    return kept != NULL;
}

START_TEST(pre_freeze_comes_first_and_alone)
{
    const struct revision_options o = {.pre_freeze = "index.freeze"};
    struct box *b = ready(&o);
    uint64_t id = pre_freeze_take(b);
    struct peer c;

    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    frame_send(&b->rt, FRAME_END, 0, id, NULL, 0);
    expect_sent("status i-1 Frozen");
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));

    client_ask(&c, "A", NULL);
    answer(b, invoke_take(b, NULL, 0));
    expect_answer(&c, "200", "hi");
    sent[0] = freezes[0] = '\0';
    id = pre_freeze_take(b);
    keep_refused = true; /* it waits for a slot */
    client_ask(&c, "B", NULL);
    wait_for(is_kept, NULL);
    frame_send(&b->rt, FRAME_END, 0, id, NULL, 0);
    id = invoke_take(b, NULL, 0);
    ck_assert_str_eq(freezes, ""); /* not for a moment */
    answer(b, id);
    expect_answer(&c, "200", "hi");
    frame_send(&b->rt, FRAME_END, 0, pre_freeze_take(b), NULL, 0);
    expect_sent("status i-1 Frozen");
    end();
}
END_TEST

START_TEST(pre_freeze_that_fails_or_is_late)
{
    const struct revision_options o = {.pre_freeze = "index.freeze", .timeout_ms = 100};
    struct box *b = ready(&o);
    struct peer c;
    uint64_t id = pre_freeze_take(b), late;

    frame_send_text(&b->rt, FRAME_ERROR, 0, id,
                    "{\"errorType\":\"Runtime.NoSuchHook\",\"errorMessage\":\"no such\"}");
    expect_sent("status i-1 Frozen");
    client_ask(&c, "A", NULL);
    answer(b, invoke_take(b, NULL, 0));
    expect_answer(&c, "200", "hi");
    sent[0] = '\0';
    late = pre_freeze_take(b);
    expect_sent("status i-1 Frozen"); /* by its time, the function's */
    client_ask(&c, "B", NULL);
    id = invoke_take(b, NULL, 0);
    frame_send(&b->rt, FRAME_END, 0, late, NULL, 0); /* says nothing any more */
    answer(b, id);
    expect_answer(&c, "200", "hi");
    frame_send(&b->rt, FRAME_END, 0, pre_freeze_take(b), NULL, 0);
    end();
}
END_TEST

/* Its answer, late, is not taken for that of what the instance waits for by then. */
START_TEST(a_late_answer_while_it_drains)
{
    const struct revision_options o = {.pre_freeze = "index.freeze", .timeout_ms = 100};
    struct box *b;
    struct peer c;
    uint64_t late;

    drain_limit_ns = 50 * NS_PER_MS;
    b = ready(&o);
    late = pre_freeze_take(b);
    expect_sent("status i-1 Frozen");
    params.timeout_ms = 60000;
    client_ask(&c, "A", NULL);
    invoke_take(b, NULL, 0);
    ck_assert_int_eq(desire(&o, "", "", 0), 0);
    frame_send(&b->rt, FRAME_END, 0, late, NULL, 0);
    wait_for(was_stopped, (void *)"i-1 2000\n"); /* by the drain's limit */
    box_exit(b, 0, 15, false);
    expect_answer(&c, "502", NULL);
    end();
}
END_TEST

START_TEST(one_that_is_gone_is_not_frozen)
{
    struct box *b;
    struct peer c;

    freeze_result = -ENOENT;
    b = ready(NULL);
    let_time_pass();
    freeze_result = 0;
    client_ask(&c, "A", NULL);
    answer(b, invoke_take(b, NULL, 0));
    expect_answer(&c, "200", "hi");
    expect_sent("status i-1 Frozen"); /* that was no reason to give it up for all */
    end();
}
END_TEST

START_TEST(a_stop_during_pre_freeze)
{
    const struct revision_options o = {.pre_freeze = "index.freeze"};
    struct box *b = ready(&o);
    uint64_t id = pre_freeze_take(b);

    ck_assert_int_eq(desire(&o, "", "", 0), 0);
    ck_assert_str_eq(stops, "i-1 2000\n");
    frame_send(&b->rt, FRAME_END, 0, id, NULL, 0);
    let_time_pass();
    ck_assert_str_eq(freezes, "");
    box_exit(b, 0, 15, false);
    expect_sent("status i-1 Stopped Completed");
    end();
}
END_TEST

START_TEST(a_stop_thaws_first)
{
    const struct revision_options o = {.pre_stop = "index.stop"};
    struct box *b = frozen(&o);
    struct buffer payload = {0};
    struct frame f;

    ck_assert_int_eq(desire(&o, "", "", 0), 0);
    ck_assert_str_eq(freezes, "thaw i-1\n");
    expect_sent("status i-1 Draining");
    f = frame_take(&b->rt, &payload);
    ck_assert_int_eq(f.type, FRAME_HOOK);
    buffer_done(&payload);
    frame_send(&b->rt, FRAME_END, 0, f.id, NULL, 0);
    box_exit(b, 0, 15, false);
    expect_sent("status i-1 Stopped Completed");
    end();
}
END_TEST

/* A process that was killed from outside: its init can only reap it when it is thawed. */
START_TEST(one_that_hangs_up_is_thawed)
{
    struct box *b = frozen(NULL);

    peer_close(&b->rt);
    expect_sent("status i-1 Ready");
    ck_assert_str_eq(freezes, "thaw i-1\n");
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    box_exit(b, 0, 9, true);
    expect_sent("status i-1 Failed OOMKilled");
    ck_assert_str_eq(freezes, "thaw i-1\n");
    end();
}
END_TEST

START_TEST(one_that_ends_while_it_is_frozen)
{
    struct box *b = frozen(NULL);

    box_exit(b, 0, 9, false);
    expect_sent("status i-1 Failed SIGKILL");
    end();
}
END_TEST

START_TEST(without_a_freezer_it_is_off)
{
    const struct revision_options o = {.pre_freeze = "index.freeze"};
    struct box *b;
    struct peer c;
    uint64_t id;

    freeze_result = -EOPNOTSUPP;
    b = ready(&o);
    frame_send(&b->rt, FRAME_END, 0, pre_freeze_take(b), NULL, 0);
    for (int k = 0; k < 2; k++) {
        client_ask(&c, "A", NULL);
        id = invoke_take(b, NULL, 0); /* no second hook */
        answer(b, id);
        expect_answer(&c, "200", "hi");
        freeze_result = 0; /* would work, but is not tried */
        let_time_pass();
    }
    ck_assert_str_eq(freezes, "");
    expect_not_sent("Frozen");
    end();
}
END_TEST

static void told(unsigned instances, unsigned functions)
{
    Rouse__Control__V1__Report m;

    report_load(the_report, clock_monotonic_ns(), &m);
    ck_assert_uint_eq(m.n_instances, instances);
    ck_assert_uint_eq(m.n_functions, functions);
    ck_assert_uint_eq(m.reserved->memory, 128u << 20);
    report_load_done(&m);
}

START_TEST(what_is_frozen_is_not_looked_at_again)
{
    Rouse__Control__V1__Hello hello = ROUSE__CONTROL__V1__HELLO__INIT;
    struct box *b = frozen(NULL);
    struct peer c;
    uint64_t id;

    told(1, 1); /* its memory */
    ck_assert_int_eq(usage_reads, 1);
    for (int k = 0; k < 5; k++)
        told(0, 0);
    ck_assert_int_eq(usage_reads, 1);
    pool_hello(pool, &hello); /* to a controller that does not know it */
    pool_hello_done(pool, &hello);
    told(1, 0);
    told(0, 0);
    ck_assert_int_eq(usage_reads, 1);
    client_ask(&c, "A", NULL);
    id = invoke_take(b, NULL, 0);
    told(1, 1);
    ck_assert_int_eq(usage_reads, 2);
    answer(b, id);
    expect_answer(&c, "200", "hi");
    end();
}
END_TEST

/* Of a frozen one there is no load: its status has what it said, and so has Hello. */
START_TEST(metrics_of_what_is_frozen)
{
    Rouse__Control__V1__Hello hello = ROUSE__CONTROL__V1__HELLO__INIT;
    uint8_t payload[FRAME_METRIC_MAX];
    struct box *b = ready(NULL);

    frame_send(&b->rt, FRAME_METRIC, 0, 0, payload, frame_metric_put(payload, "jobs", 4, 7));
    expect_sent("status i-1 Frozen  slots=");
    expect_sent("metric i-1 jobs 7\n");
    pool_hello(pool, &hello);
    ck_assert_uint_eq(hello.n_instances, 1);
    ck_assert_uint_eq(hello.instances[0]->n_metrics, 1);
    ck_assert_str_eq(hello.instances[0]->metrics[0]->name, "jobs");
    ck_assert_double_eq(hello.instances[0]->metrics[0]->value, 7);
    pool_hello_done(pool, &hello);
    end();
}
END_TEST

UNIT_MAIN("freeze", metrics_of_what_is_frozen, idle_is_frozen_and_the_next_request_thaws,
          what_runs_is_not_frozen, a_lease_is_claimed_from_a_frozen_one, a_leased_slot_is_not_frozen,
          pre_freeze_comes_first_and_alone, pre_freeze_that_fails_or_is_late,
          a_late_answer_while_it_drains, one_that_is_gone_is_not_frozen, a_stop_during_pre_freeze,
          a_stop_thaws_first, one_that_hangs_up_is_thawed, one_that_ends_while_it_is_frozen,
          without_a_freezer_it_is_off, what_is_frozen_is_not_looked_at_again)
