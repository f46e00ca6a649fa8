/* Slots, leases, and what the controller is told about them. */
#include "fixture.h"

static struct box *one_ready(uint32_t concurrency, uint32_t credit)
{
    const struct revision_options o = {.concurrency = concurrency};

    begin();
    ck_assert_int_eq(desire(&o, "i-1", "", 0), 0);
    return box_ready("i-1", credit);
}

static void expect_refused(int with)
{
    struct peer c;

    client_ask(&c, "refused", NULL);
    expect_answer(&c, "refused", NULL);
    ck_assert_int_eq(refusal, with);
}

static bool is_kept(void *user)
{
    (void)user;
    return kept != NULL;
}

START_TEST(slots_are_counted)
{
    struct peer c[3];
    struct box *b = one_ready(4, 2);
    int three = 3;

    expect_sent("slots=2");
    client_ask(&c[0], "A", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 1);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    client_ask(&c[1], "B", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 2);
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    expect_refused(-EAGAIN);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 2, "2");
    expect_answer(&c[1], "HTTP/1.1 200", NULL);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    client_ask(&c[2], "C", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 3);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 3, "3");
    expect_answer(&c[0], "HTTP/1.1 200", "\r\n\r\n1");
    expect_answer(&c[2], "HTTP/1.1 200", "\r\n\r\n3");
    wait_for(outcomes_are, &three);
    ck_assert(!outcome.cold);
    params.revision = "other";
    expect_refused(-ENOENT);
    end();
}
END_TEST

static void run_one(struct box *b, uint64_t id)
{
    struct peer c;

    client_ask(&c, "A", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), id);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, id, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
}

/* A request of this node's entry whose turn it is comes before what the activator wants. */
START_TEST(in_turn)
{
    struct peer c[2];
    struct box *b = one_ready(1, 1);

    client_ask(&c[0], "A", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 1);
    want_slots(1);
    keep_refused = true;
    client_ask(&c[1], "B", NULL);
    wait_for(is_kept, NULL);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    expect_answer(&c[0], "HTTP/1.1 200", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 2);
    sent[0] = '\0';
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 2, "2");
    expect_answer(&c[1], "HTTP/1.1 200", NULL);
    expect_sent("slot i-1 default/hello r1 100\n");
    end();
}
END_TEST

static unsigned wanted_too;

static unsigned soon(uint64_t within_ns)
{
    return pool_soon_free(pool, FUNCTION, "r1", within_ns, &wanted_too);
}

/* An hour is long enough for any of the test's invocations, a nanosecond for none. */
START_TEST(what_is_soon_free)
{
    const uint64_t hour = 3600 * NS_PER_S;
    struct box *b = one_ready(2, 2);
    struct peer c;

    ck_assert_uint_eq(soon(hour), 0); /* it is free */
    run_one(b, 1);
    client_ask(&c, "A", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 2);
    ck_assert_uint_eq(soon(hour), 0); /* the first one says nothing */
    run_one(b, 3);
    ck_assert_uint_ge(soon(hour), 1);
    ck_assert_uint_eq(soon(1), 0);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 2, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    ck_assert_uint_eq(soon(hour), 0);
    client_ask(&c, "A", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 4);
    want_slots(9);
    ck_assert_uint_ge(soon(hour), 1);
    ck_assert_uint_eq(wanted_too, 8); /* one is leased */
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 4, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    end();
}
END_TEST

START_TEST(a_free_slot_is_leased_at_once)
{
    struct peer c;
    struct box *b = one_ready(1, 1);

    want_slots(2);
    expect_sent("slot i-1 default/hello r1 100\n");
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    expect_refused(-EAGAIN);
    params.slot = last_slot + 1;
    expect_refused(-ESTALE);
    params.slot = last_slot;
    params.revision = "r2";
    expect_refused(-ESTALE);
    params.revision = "r1";
    client_ask(&c, "A", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 1);
    expect_refused(-ESTALE); /* a lease is used once */
    params.slot = 0;

    /* One more is wanted: it is leased as soon as the slot frees. */
    sent[0] = '\0';
    slot_frees = 0;
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    expect_sent("slot i-1 default/hello r1 100\n");
    ck_assert_int_eq(slot_frees, 0);
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    end();
}
END_TEST

static bool slot_is_free(void *user)
{
    (void)user;
    return pool_has_slot(pool, FUNCTION, "r1");
}

START_TEST(a_lease_ends)
{
    uint64_t old;

    one_ready(1, 1);
    want_slots(1);
    expect_sent("slot i-1");
    old = last_slot;
    slot_frees = 0;
    wait_for(slot_is_free, NULL);
    ck_assert_int_eq(slot_frees, 1);
    params.slot = old;
    expect_refused(-ESTALE);

    /* Still wanted when it ends: leased again, with another id. */
    want_slots(2);
    ck_assert_uint_gt(last_slot, old);
    old = last_slot;
    sent[0] = '\0';
    expect_sent("slot i-1");
    ck_assert_uint_gt(last_slot, old);
    end();
}
END_TEST

START_TEST(wanted_before_it_is_there)
{
    const struct revision_options o = {.concurrency = 2};

    begin();
    want_slots(1);
    ck_assert_int_eq(desire(&o, "i-1", "", 0), 0);
    box_ready("i-1", 2);
    expect_sent("slot i-1");
    ck_assert(strstr(sent, "Ready") < strstr(sent, "slot i-1"));
    ck_assert(pool_has_slot(pool, FUNCTION, "r1")); /* only one was wanted */
    end();
}
END_TEST

START_TEST(an_absent_activator_wants_nothing)
{
    struct peer c;
    struct box *b = one_ready(1, 1);

    client_ask(&c, "A", NULL);
    invoke_take(b, NULL, 0);
    want_slots(5);
    expect_refused(-EAGAIN);
    away = true;
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    end();
}
END_TEST

/* It has forgotten them: who waits here would wait beside them until they are over. */
START_TEST(who_is_away_has_no_leases)
{
    one_ready(1, 1);
    want_slots(5);
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    params.slot = last_slot;
    slot_frees = 0;
    sent[0] = '\0';
    pool_away(pool); /* another one is there at once: it has not said what it wants */
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    ck_assert_int_eq(slot_frees, 1);
    expect_refused(-ESTALE);
    end();
}
END_TEST

START_TEST(no_longer_wanted)
{
    struct peer c;
    struct box *b = one_ready(2, 2);

    client_ask(&c, "A", NULL);
    invoke_take(b, NULL, 0);
    want_slots(3);
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    slot_frees = 0;
    want_slots(0);
    ck_assert_int_eq(slot_frees, 0); /* both are taken: one runs, one is leased */
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    ck_assert_int_eq(slot_frees, 1);
    end();
}
END_TEST

START_TEST(a_drain_revokes_leases)
{
    one_ready(1, 1);
    want_slots(1);
    params.slot = last_slot;
    ck_assert_int_eq(desire(NULL, "", "", 0), 0);
    ck_assert_str_eq(stops, "i-1 2000\n");
    expect_refused(-ESTALE);
    end();
}
END_TEST

START_TEST(a_lease_that_nobody_wants_ends_at_once)
{
    one_ready(1, 1);
    want_slots(5);
    expect_sent("slot i-1");
    slot_frees = 0;
    sent[0] = '\0';
    pool_slot_back(pool, last_slot + 1);
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    /* Nor any other slot. */
    pool_slot_back(pool, last_slot);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    ck_assert_int_eq(slot_frees, 1);
    expect_not_sent("slot i-1");
    pool_slot_back(pool, last_slot);
    end();
}
END_TEST

START_TEST(an_end_can_be_told_again)
{
    struct box *b = one_ready(1, 1);

    box_exit(b, 3, 0, false);
    expect_sent("status i-1 Failed");
    sent[0] = '\0';
    pool_untold(pool, "i-1");
    expect_sent("status i-1 Failed");
    sent[0] = '\0';
    pool_untold(pool, "never-there");
    ck_assert_str_eq(sent, "");
    /* Away: the next Hello has it. */
    away = true;
    pool_untold(pool, "i-1");
    ck_assert_str_eq(sent, "");
    end();
}
END_TEST

START_TEST(hello_tells_all)
{
    Rouse__Control__V1__Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    struct peer c;
    struct box *b;

    begin();
    pool_hello(pool, &h);
    ck_assert_uint_eq(h.n_instances, 0);
    ck_assert_ptr_null(h.desired);
    pool_hello_done(pool, &h);
    ck_assert_int_eq(desire(NULL, "i-1 i-2", "", 0), 0);
    b = box_ready("i-1", 1);
    client_ask(&c, "A", NULL);
    invoke_take(b, NULL, 0);
    want_slots(3);
    pool_hello(pool, &h);
    ck_assert_uint_eq(h.n_instances, 2);
    ck_assert_uint_eq(h.desired->sequence, 1);
    for (size_t i = 0; i < 2; i++) {
        const Rouse__Control__V1__InstanceStatus *s = h.instances[i];

        if (strcmp(s->id, "i-1"))
            continue;
        ck_assert_uint_eq(s->state, STATE_READY);
        ck_assert_uint_eq(s->in_flight, 1);
        ck_assert_uint_eq(s->idle_since_ms, 0);
        ck_assert_uint_gt(s->ready_at_ms, 0);
        ck_assert_str_eq(s->function_key, FUNCTION);
    }
    pool_hello_done(pool, &h);
    /* What an earlier connection wanted is over. */
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    end();
}
END_TEST

START_TEST(load_is_reported)
{
    Rouse__Control__V1__Report m;
    struct peer c;
    struct box *b = one_ready(1, 1);

    client_ask(&c, "A", NULL);
    invoke_take(b, NULL, 0);
    report_load(the_report, clock_monotonic_ns(), &m);
    ck_assert_uint_eq(m.n_functions, 1);
    ck_assert_str_eq(m.functions[0]->function_key, FUNCTION);
    ck_assert_uint_eq(m.functions[0]->requests, 1);
    ck_assert_double_gt(m.functions[0]->concurrency, 0);
    ck_assert_uint_eq(m.n_instances, 1);
    ck_assert_uint_eq(m.instances[0]->cpu, 0); /* since when it used that is not known */
    ck_assert_uint_eq(m.instances[0]->memory, 1000);
    ck_assert_uint_eq(m.instances[0]->in_flight, 1);
    ck_assert_uint_eq(m.reserved->memory, 128u << 20);
    ck_assert_uint_eq(m.reserved->cpu, 500);
    report_load_done(&m);
    /* A rate since then, and what it is now; nothing where it cannot be read. */
    usage_cpu_ns += 100 * NS_PER_S;
    report_load(the_report, clock_monotonic_ns(), &m);
    ck_assert_uint_gt(m.instances[0]->cpu, 100);
    report_load_done(&m);
    report_load(the_report, clock_monotonic_ns(), &m);
    ck_assert_uint_eq(m.instances[0]->cpu, 0);
    ck_assert_uint_eq(m.instances[0]->memory, 1000);
    report_load_done(&m);
    usage_result = -EIO;
    report_load(the_report, clock_monotonic_ns(), &m);
    ck_assert_uint_eq(m.instances[0]->memory, 0);
    report_load_done(&m);
    usage_result = 0;
    end();
}
END_TEST

UNIT_MAIN("slots", slots_are_counted, in_turn, what_is_soon_free, a_free_slot_is_leased_at_once,
          a_lease_ends, wanted_before_it_is_there, an_absent_activator_wants_nothing,
          who_is_away_has_no_leases, no_longer_wanted, a_drain_revokes_leases,
          a_lease_that_nobody_wants_ends_at_once, an_end_can_be_told_again, hello_tells_all,
          load_is_reported)
