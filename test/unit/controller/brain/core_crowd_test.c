/* Many wait: how many instances that starts, whose slot a request gets, and what one function's crowd costs another. */
#include "world.h"

#define KEY   "default/f"
#define OTHER "default/other"

static struct world worlds, *w = &worlds;

static struct function *function_of(const char *key, uint32_t concurrency, uint32_t max)
{
    struct function *f = make_function(key, "r1");

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

    report_load(w, a, KEY, 1, 0); /* it did not end */
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
        report_load(w, a, KEY, 9, 0);
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

    report_load(w, a, KEY, 0.5, 500);
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

/* ---- fair between functions */

static void all_up_and_at_work(struct agent *a)
{
    struct fake_instance *i;

    while ((i = nth(a, STATE_PENDING, 0))) {
        tell(w, a, i, STATE_READY);
        offer(w, a, i);
    }
    settle(w);
}

/* A node of ten instances, and a crowd that has all of them and wants more. */
static struct agent *crowd_everywhere(void)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 1280 * MI);
    apply(w, NULL, function_of(KEY, 1, 100));
    apply(w, NULL, function_of(OTHER, 1, 100));
    for (int i = 0; i < 500; i++)
        ticket(w, a, KEY);
    settle(w);
    all_up_and_at_work(a);
    ck_assert_uint_eq(counts(w, KEY).ready, 10);
    return a;
}

/* Nobody freed a slot while it started, which says nothing of how long calls take. */
START_TEST(a_start_that_took_long)
{
    struct agent *a = one_at_work();

    ticket(w, a, KEY);
    pass(w, MS(250));
    ck_assert_uint_eq(pending(), 1);
    pass(w, S(1));
    ready_all(w, a);
    pass(w, MS(20));
    ck_assert_uint_eq(pending(), 0);
    ck_assert_uint_eq(count_in(a, STATE_READY), 2);
    world_done(w);
}
END_TEST

/* The one request of another function does not wait for the crowd's end: an instance of the crowd's finishes what it
 * has and makes way, and the room is not the crowd's again. */
START_TEST(a_crowd_makes_way)
{
    struct agent *a = crowd_everywhere();
    uint64_t t = ticket(w, a, OTHER);

    settle(w);
    pass(w, MS(10));
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    pass(w, MS(500));
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1); /* it has a call: no second one for the same */
    ticket(w, a, KEY);
    settle(w);
    stop_drained(w, a);
    ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(counts(w, OTHER).instances, 1);
    ck_assert_uint_eq(counts(w, KEY).instances, 9);
    all_up_and_at_work(a);
    ck_assert(answer_of(w, t)->granted);
    world_done(w);
}
END_TEST

/* Nobody holds enough to give to the first of those that wait: the next one asks for less. */
START_TEST(a_crowd_makes_way_for_the_smaller)
{
    struct function *large = function_of("default/large", 1, 100);
    struct agent *a = crowd_everywhere();

    large->memory = 1280 * MI;
    apply(w, NULL, large);
    ticket(w, a, "default/large");
    ticket(w, a, OTHER);
    settle(w);
    pass(w, MS(10));
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    stop_drained(w, a);
    settle(w);
    ck_assert_uint_eq(counts(w, OTHER).instances, 1);
    world_done(w);
}
END_TEST

/* Two crowds come to have the same, and there it ends. */
START_TEST(two_crowds_share)
{
    struct agent *a = crowd_everywhere();

    for (int i = 0; i < 500; i++)
        ticket(w, a, OTHER);
    for (int s = 0; s < 20; s++) {
        report_load(w, a, KEY, counts(w, KEY).ready, 0);
        report_load(w, a, OTHER, counts(w, OTHER).ready, 0);
        stop_drained(w, a);
        all_up_and_at_work(a);
        pass(w, MS(200));
        if (s < 5)
            continue;
        ck_assert_uint_eq(counts(w, KEY).instances, 5);
        ck_assert_uint_eq(counts(w, OTHER).instances, 5);
        ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);
    }
    world_done(w);
}
END_TEST

/* What becomes free goes to whoever has least, whoever asked first. */
START_TEST(room_goes_to_who_has_least)
{
    struct function *f = function_of(KEY, 1, 100), *large = function_of(OTHER, 1, 100);
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 1280 * MI);
    f->scaling.min = 20;
    apply(w, NULL, f);
    all_up_and_at_work(a);
    large->scaling.min = 2; /* nobody waits: nobody makes way */
    apply(w, NULL, large);
    ck_assert_uint_eq(counts(w, KEY).instances, 10);
    ck_assert_uint_eq(counts(w, OTHER).instances, 0);
    b = join(w, 1, 4 * 128 * MI);
    ck_assert_uint_eq(b->count, 4);
    ck_assert_uint_eq(counts(w, OTHER).instances, 2);
    ck_assert_uint_eq(counts(w, KEY).instances, 12);
    world_done(w);
}
END_TEST

/* All queues are full of one function's requests: another's gets a place, the newest of the crowd's pays for it, and is
 * told why. */
START_TEST(queue_space)
{
    struct core_config config = world_config();
    uint64_t first, last = 0, t;
    struct agent *a;

    config.queue_per_function = config.queue_total = 10000;
    world_init(w, &config);
    a = join(w, 0, 256 * 1024 * MI);
    apply(w, NULL, function_of(KEY, 1, 1));
    apply(w, NULL, function_of(OTHER, 1, 1));
    first = ticket(w, a, KEY);
    for (int i = 1; i < 10000; i++)
        last = ticket(w, a, KEY);
    ck_assert_uint_eq(w->answer_count, 0);
    t = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, t)->status, 503); /* max is not reached yet */
    t = ticket(w, a, OTHER);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(answer_of(w, last)->status, 503);
    ck_assert_str_eq(answer_of(w, last)->reason, "QueueFull");
    ck_assert_uint_gt(answer_of(w, last)->retry_after, 0);
    ck_assert_uint_eq(counts(w, KEY).waiting, 9999);
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 2);
    all_up_and_at_work(a);
    ck_assert(answer_of(w, t)->granted);
    ck_assert(answer_of(w, first)->granted);
    for (int i = 0; i < 2; i++) { /* there is room again: two were granted */
        t = ticket(w, a, KEY);
        ck_assert_ptr_null(answer_of(w, t));
    }
    t = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, t)->status, 429);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_crowd", single_flight, long_calls, short_calls, a_start_that_took_long,
          a_crowd_makes_way, a_crowd_makes_way_for_the_smaller, two_crowds_share,
          room_goes_to_who_has_least, queue_space)
