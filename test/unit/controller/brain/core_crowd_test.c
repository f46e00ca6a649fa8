/* Many wait: how many instances that starts, whose slot a request gets, and what one function's crowd costs another. */
#include "world.h"

#define KEY   "default/f"
#define OTHER "default/other"

static struct world worlds, *w = &worlds;

static struct function *function_of(const char *key, uint32_t concurrency, uint32_t max)
{
    struct function *f = make_function(key, "r1", NULL, NULL);

    f->concurrency = concurrency;
    f->scaling.max = max;
    return f;
}

static size_t granted(void)
{
    size_t n = 0;

    for (size_t i = 0; i < w->answer_count; i++)
        n += w->answers[i].granted;
    return n;
}

static uint32_t pending(void)
{
    size_t n = 0;

    for (int k = 0; k < AGENTS; k++)
        n += count_in(&w->agents[k], STATE_PENDING);
    return (uint32_t)n;
}

/* A second's report: so many calls began, and so many seconds of calls went by. */
static void report(struct agent *a, const char *key, double concurrency, uint64_t begun)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    Rouse__Control__V1__FunctionLoad f = ROUSE__CONTROL__V1__FUNCTION_LOAD__INIT, *functions[] = {&f};

    f.function_key = (char *)key;
    f.concurrency = concurrency;
    f.requests = begun;
    r.interval_ms = 1000;
    r.functions = functions;
    r.n_functions = 1;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
    m.report = &r;
    send_message(w, a->peer, &m);
}

/* One instance that took 100 ms to start and works, on the first of some agents. */
static struct agent *one_at_work(void)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 256 * 1024 * MI);
    apply(w, NULL, function_of(KEY, 1, 1000));
    ticket(w, a, KEY);
    settle(w);
    pass(w, MS(100));
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    settle(w);
    ck_assert_uint_eq(granted(), 1);
    return a;
}

/* A thousand requests are one flight of as many instances as their slots need, in however many turns they come, from
 * whichever entry; and whatever slot frees first is the oldest one's. */
START_TEST(single_flight)
{
    struct agent *all[3];
    uint64_t tickets[1000];

    world_init(w, NULL);
    for (int k = 0; k < 3; k++)
        all[k] = join(w, k, 256 * 1024 * MI);
    apply(w, NULL, function_of(KEY, 10, 1000));
    for (int i = 0; i < 1000; i++) {
        tickets[i] = ticket(w, all[i % 3], KEY);
        if (i >= 500)
            settle(w);
    }
    settle(w);
    pass(w, S(1));
    ck_assert_uint_eq(pending(), 100);
    ck_assert_uint_eq(counts(w, KEY).instances, 100);
    /* They are up one by one, here and there: each slot goes to the one that has waited longest. */
    for (int i = 0; i < 100; i++) {
        struct agent *at = all[i % 3];
        struct fake_instance *up = NULL;
        uint64_t slot;

        for (int k = 0; !up; k++)
            up = nth(at = all[(i + k) % 3], STATE_PENDING, 0);
        tell(w, at, up, STATE_READY);
        slot = offer(w, at, up);
        ck_assert_msg(answer_of(w, tickets[i]), "%d", i);
        ck_assert_uint_eq(answer_of(w, tickets[i])->slot, slot);
        ck_assert_str_eq(answer_of(w, tickets[i])->instance, up->id);
        ck_assert_uint_eq(granted(), (size_t)i + 1);
        settle(w);
    }
    ck_assert_uint_eq(counts(w, KEY).instances, 100);
    world_done(w);
}
END_TEST

/* All that serves is busy for long: those who wait get instances of their own before the next tick, once. */
START_TEST(long_calls)
{
    struct agent *a = one_at_work();

    report(a, KEY, 1, 0); /* it did not end */
    pass(w, S(1) + MS(1));
    for (int i = 0; i < 5; i++)
        ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(pending(), 0); /* a slot that is free would be told of by now */
    pass(w, MS(6));
    ck_assert_uint_eq(pending(), 5);
    for (int i = 0; i < 3; i++)
        ticket(w, a, KEY);
    pass(w, MS(20));
    ck_assert_uint_eq(pending(), 8);
    ready_all(w, a);
    for (size_t i = 1; i < 9; i++)
        offer(w, a, nth(a, STATE_READY, i));
    ck_assert_uint_eq(granted(), 9);
    for (int i = 0; i < 10; i++) { /* the windows have not seen them yet, but they stay */
        report(a, KEY, 9, 0);
        pass(w, S(1));
    }
    ck_assert_uint_eq(counts(w, KEY).ready, 9);
    world_done(w);
}
END_TEST

/* Calls of a millisecond: fifty that wait are through before another instance were up. */
START_TEST(short_calls)
{
    struct agent *a = one_at_work();

    report(a, KEY, 0.5, 500);
    for (int i = 0; i < 50; i++)
        ticket(w, a, KEY);
    for (int i = 0; i < 50; i++) {
        pass(w, MS(1));
        offer(w, a, nth(a, STATE_READY, 0));
    }
    settle(w);
    ck_assert_uint_eq(granted(), 51);
    ck_assert_uint_eq(pending(), 0);
    /* It is stuck, and somebody waits: an instance for that one, after two starts' time. */
    ticket(w, a, KEY);
    pass(w, MS(150));
    ck_assert_uint_eq(pending(), 0);
    pass(w, MS(60));
    ck_assert_uint_eq(pending(), 1);
    pass(w, MS(500));
    ck_assert_uint_eq(pending(), 1);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_crowd", single_flight, long_calls, short_calls)
