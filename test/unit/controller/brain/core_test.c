/* Scenarios of the decision core: what happens, in order, and what it must have decided. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

static void busy(struct agent *a, const char *key)
{
    (void)a;
    load_reports(w, 1, key);
}

START_TEST(cold_start)
{
    struct agent *a;
    struct fake_instance *i;
    uint64_t t, slot;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    ck_assert_uint_eq(a->welcomes, 1);
    ck_assert(a->routes_full);
    apply_simple(w, KEY, "r1");
    ck_assert_str_eq(a->routed[0][0], KEY);
    ck_assert_uint_eq(a->count, 0);
    ck_assert_int_eq(w->status.conditions[0].status, CONDITION_TRUE);        /* Ready at zero */
    ck_assert_int_eq(w->status.conditions[1].status, CONDITION_FALSE);

    t = ticket(w, a, KEY);
    turn(w);                                                                 /* no time has gone by: no tick */
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 1);
    ck_assert_uint_eq(a->wanted, 1);
    ck_assert_ptr_null(answer_of(w, t));
    i = nth(a, STATE_PENDING, 0);
    ck_assert_str_eq(i->revision, "r1");
    tell(w, a, i, STATE_FETCHING);
    tell(w, a, i, STATE_CREATING);
    tell(w, a, i, STATE_INITIALIZING);
    tell(w, a, i, STATE_READY);
    slot = offer(w, a, i);
    settle(w);
    ck_assert_ptr_nonnull(answer_of(w, t));
    ck_assert(answer_of(w, t)->granted);
    ck_assert_uint_eq(answer_of(w, t)->slot, slot);
    ck_assert_str_eq(answer_of(w, t)->instance, i->id);
    ck_assert_uint_eq(a->wanted, 0);
    ck_assert_uint_eq(a->endpoint_count, 1);
    ck_assert_uint_eq(w->status.ready_instances, 1);

    /* Idle: it stays for idleTimeout, then it is unrouted, removed, stopped. */
    pass(w, S(55));
    ck_assert_uint_eq(a->endpoint_count, 1);
    pass(w, S(8));
    ck_assert_uint_eq(a->endpoint_count, 0);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    stop_drained(w, a);
    settle(w);
    ck_assert_uint_eq(counts(w, KEY).instances + counts(w, KEY).leaving, 0);
    pass(w, S(3));
    ck_assert_uint_eq(core_due(w->core), UINT64_MAX);                        /* nothing is ever due at zero */
    world_done(w);
}
END_TEST

START_TEST(busy_does_not_go_to_sleep)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    for (int s = 0; s < 200; s++) {
        busy(a, KEY);
        pass(w, S(1));
        ck_assert_uint_ge(count_in(a, STATE_READY), 1);
    }
    world_done(w);
}
END_TEST

START_TEST(crowd_from_zero)
{
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    b = join(w, 1, 4096 * MI);
    apply_simple(w, KEY, "r1");
    for (int i = 0; i < 20; i++)
        ticket(w, a, KEY);
    turn(w);
    ck_assert_uint_eq(a->count + b->count, 20);
    ck_assert_uint_ge(a->count, 5);
    ck_assert_uint_ge(b->count, 5);
    ck_assert_uint_eq(a->wanted, 20);
    ck_assert_uint_eq(b->wanted, 20);
    ck_assert_uint_le(a->desired_messages, 2);                               /* one decision for the crowd */
    ready_all(w, a);
    for (size_t i = 0; i < a->count; i++)
        offer(w, a, &a->instances[i]);
    settle(w);
    ck_assert_uint_eq(counts(w, KEY).waiting, 20 - a->count);
    for (size_t i = 0; i < a->count; i++)                                    /* in order */
        ck_assert_uint_eq(w->answers[i].ticket, i + 1);
    world_done(w);
}
END_TEST

START_TEST(grows_on_the_panic_window)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    for (int i = 0; i < 9; i++)
        ticket(w, a, KEY);                                                   /* one runs, nine wait */
    settle(w);
    ck_assert_uint_eq(a->count, 1);                                          /* something serves: the windows decide */
    for (int s = 0; s < 3; s++) {
        load_reports(w, 1, KEY);
        pass(w, S(1));
    }
    ck_assert_uint_ge(counts(w, KEY).instances, 10);
    ck_assert_uint_le(counts(w, KEY).instances, 15);
    world_done(w);
}
END_TEST

START_TEST(min_is_there_at_once_and_max_is_kept)
{
    struct agent *a;
    struct function *f = make_function(KEY, "r1", NULL, NULL);

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    f->scaling.min = 2;
    f->scaling.max = 3;
    apply(w, NULL, f);
    ck_assert_uint_eq(a->count, 2);
    ready_all(w, a);
    for (int i = 0; i < 50; i++)
        ticket(w, a, KEY);
    for (int s = 0; s < 10; s++) {
        load_reports(w, 2, KEY);
        pass(w, S(1));
        ready_all(w, a);
    }
    ck_assert_uint_eq(counts(w, KEY).instances, 3);
    pass(w, S(200));
    ck_assert_uint_eq(counts(w, KEY).instances, 2);
    world_done(w);
}
END_TEST

START_TEST(queue_full)
{
    struct core_config c = world_config();
    struct agent *a;
    struct function *f = make_function(KEY, "r1", NULL, NULL);
    uint64_t t;

    c.queue_per_function = 3;
    world_init(w, &c);
    a = join(w, 0, 4096 * MI);
    f->scaling.max = 1;
    apply(w, NULL, f);
    for (int i = 0; i < 3; i++)
        ticket(w, a, KEY);
    t = ticket(w, a, KEY);                                                   /* before there is an instance */
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    t = ticket(w, a, KEY);                                                   /* scaling.max is reached */
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 429);
    ck_assert_str_eq(answer_of(w, t)->reason, "QueueFull");
    ck_assert_uint_gt(answer_of(w, t)->retry_after, 0);
    world_done(w);
}
END_TEST

START_TEST(deadline)
{
    struct agent *a;
    uint64_t late, young, back;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    late = ticket(w, a, KEY);
    pass(w, S(10));
    young = ticket(w, a, KEY);
    back = ticket_on(w, a, KEY, NULL, NULL, 25000, 1);                       /* 5 s are left of its 30 */
    pass(w, S(6));
    ck_assert_str_eq(answer_of(w, back)->reason, "DeadlineExceeded");
    ck_assert_ptr_null(answer_of(w, late));
    pass(w, S(15));
    ck_assert_uint_eq(answer_of(w, late)->status, 503);
    ck_assert_str_eq(answer_of(w, late)->reason, "DeadlineExceeded");
    ck_assert_ptr_null(answer_of(w, young));
    pass(w, S(10));
    ck_assert_uint_eq(answer_of(w, young)->status, 503);
    ck_assert_uint_eq(w->answer_count, 3);
    world_done(w);
}
END_TEST

START_TEST(nowhere_to_go)
{
    struct agent *a;
    struct function *f = make_function(KEY, "r1", NULL, NULL), *g = make_function("default/huge", "r1", NULL, NULL);
    uint64_t t;

    world_init(w, NULL);
    apply(w, NULL, f);
    a = join(w, 0, 200 * MI);                                                /* room for one */
    ticket(w, a, KEY);
    ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(a->count, 1);
    pass(w, S(31));
    ck_assert_str_eq(w->answers[0].reason, "NoCapacity");
    g->memory = 300 * MI;                                                    /* fits on no node, ever */
    apply(w, NULL, g);
    t = ticket(w, a, "default/huge");
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    ck_assert_str_eq(answer_of(w, t)->reason, "NoCapacity");
    pass(w, S(1));
    ck_assert_str_eq(w->status_key, "default/huge");
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_TRUE);
    ck_assert_str_eq(w->status.conditions[2].reason, "NoCapacity");
    world_done(w);
}
END_TEST

START_TEST(a_node_that_comes_gets_what_waits)
{
    struct agent *a;
    struct actions out = {0};

    world_init(w, NULL);
    apply_simple(w, KEY, "r1");
    core_ticket(w->core, w->now, &(struct core_ticket){.id = 77, .function_key = KEY}, &out);
    take_actions(w, &out);
    settle(w);
    pass(w, S(3));
    ck_assert_uint_eq(w->answer_count, 0);
    a = join(w, 0, 4096 * MI);
    ck_assert_uint_ge(a->count, 1);
    ck_assert_uint_eq(a->wanted, 1);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    ck_assert(answer_of(w, 77)->granted);
    world_done(w);
}
END_TEST

START_TEST(idle_ones_make_way)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 300 * MI);                                                /* room for two */
    apply_simple(w, "default/one", "r1");
    apply_simple(w, "default/two", "r1");
    apply_simple(w, "default/three", "r1");
    for (int i = 0; i < 2; i++) {
        AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
        Report r = ROUSE__CONTROL__V1__REPORT__INIT;
        Rouse__Control__V1__InstanceLoad l = ROUSE__CONTROL__V1__INSTANCE_LOAD__INIT, *all[] = {&l};
        struct fake_instance *in;

        ticket(w, a, i ? "default/two" : "default/one");
        settle(w);
        in = nth(a, STATE_PENDING, 0);
        tell(w, a, in, STATE_READY);
        offer(w, a, in);
        l.id = in->id;
        l.idle_since_ms = i ? 2000 : 3000;                                   /* two has been idle longest */
        r.instances = all;
        r.n_instances = 1;
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
        m.report = &r;
        send_message(w, a->peer, &m);
        settle(w);
    }
    t = ticket(w, a, "default/three");
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    ck_assert_str_eq(nth(a, STATE_DRAINING, 0)->key, "default/two");
    stop_drained(w, a);
    settle(w);
    ck_assert_str_eq(nth(a, STATE_PENDING, 0)->key, "default/three");
    ready_all(w, a);
    offer(w, a, &a->instances[a->count - 1]);
    ck_assert(answer_of(w, t)->granted);
    world_done(w);
}
END_TEST

START_TEST(update_at_zero)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    apply_simple(w, KEY, "r2");
    ck_assert_uint_eq(a->routed_count, 1);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_uint_eq(a->count, 0);
    ticket(w, a, KEY);
    settle(w);
    ck_assert_str_eq(nth(a, STATE_PENDING, 0)->revision, "r2");
    world_done(w);
}
END_TEST

START_TEST(update_under_load)
{
    struct agent *a;
    size_t old;

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    apply_simple(w, KEY, "r1");
    for (int i = 0; i < 4; i++)
        ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    for (size_t i = 0; i < 4; i++)
        offer(w, a, nth(a, STATE_READY, i));
    for (int s = 0; s < 4; s++) {
        load_reports(w, 2.5, KEY);
        pass(w, S(1));
        ready_all(w, a);
    }
    settle(w);
    stop_drained(w, a);
    old = count_in(a, STATE_READY);
    ck_assert_uint_ge(old, 4);
    apply_simple(w, KEY, "r2");
    ck_assert_str_eq(a->routed[0][1], "r1");
    ck_assert_uint_ge(count_in(a, STATE_PENDING), old);                      /* as many as the load needs */
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_READY);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r1");                                 /* one alone would be overrun */
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);
    a->silent = true;
    ready_all(w, a);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_uint_eq(a->endpoint_count, count_in(a, STATE_READY) - old);    /* the old ones are unrouted */
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);                       /* but nothing stops before the ack */
    for (int s = 0; s < 2; s++) {
        load_reports(w, 2.5, KEY);
        pass(w, S(1));
    }
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);
    a->silent = false;
    acks(w);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), old);
    for (size_t i = 0; i < a->count; i++)
        ck_assert_str_eq(a->instances[i].revision, a->instances[i].state == STATE_DRAINING ? "r1" : "r2");
    stop_drained(w, a);
    settle(w);
    ck_assert_str_eq(w->status.active_revision, "r2");
    world_done(w);
}
END_TEST

START_TEST(update_of_an_idle_one_and_a_silent_agent)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    pass(w, S(10));
    a->silent = true;
    apply_simple(w, KEY, "r2");
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 1);
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_READY);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);
    pass(w, MS(3100));                                                       /* the wait for acks has a bound */
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    world_done(w);
}
END_TEST

START_TEST(a_ticket_waits_across_an_update)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_str_eq(a->wanted_revision, "r1");
    ck_assert_uint_eq(a->wanted, 1);
    apply_simple(w, KEY, "r2");
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_READY);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_str_eq(a->wanted_revision, "r2");                              /* the new one's slots are wanted now */
    ck_assert_uint_eq(a->wanted, 1);
    a->wanted = 0;
    offer(w, a, &a->instances[0]);                                           /* the old one's comes to nothing */
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(a->wanted, 1);                                         /* so it is asked for again */
    offer(w, a, nth(a, STATE_READY, 0));
    ck_assert_str_eq(answer_of(w, t)->revision, "r2");
    world_done(w);
}
END_TEST

START_TEST(update_that_fails_leaves_the_old_one)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    apply_simple(w, KEY, "r2");
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed", "SyntaxError: line 3");
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r1");
    ck_assert_uint_eq(a->endpoint_count, 1);
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_TRUE);
    ck_assert_str_eq(w->status.conditions[2].reason, "InitFailed");
    ck_assert_ptr_nonnull(strstr(w->status.conditions[2].message, "SyntaxError"));
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    offer(w, a, nth(a, STATE_READY, 0));
    ck_assert(answer_of(w, t)->granted);
    ck_assert_str_eq(answer_of(w, t)->revision, "r1");
    world_done(w);
}
END_TEST

START_TEST(deleted)
{
    struct agent *a, *b;
    struct function *f = make_function(KEY, "r1", "/hello", NULL), *mark = make_function(KEY, "r1", "/hello", NULL);
    uint64_t waiting, after;
    struct actions out = {0};

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    b = join(w, 1, 4096 * MI);
    apply(w, NULL, function_ref(f));
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    ready_all(w, b);
    offer(w, a->count ? a : b, a->count ? &a->instances[0] : &b->instances[0]);
    waiting = ticket(w, a, KEY);
    b->silent = true;
    mark->deleting = true;
    apply(w, f, mark);
    ck_assert_uint_eq(answer_of(w, waiting)->status, 404);
    after = ticket_on(w, a, NULL, "GET", "/hello", 0, 0);
    ck_assert_uint_eq(answer_of(w, after)->status, 404);
    after = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, after)->status, 404);
    ck_assert_uint_eq(a->routed_count + b->routed_count, 0);
    ck_assert_uint_eq(w->finalized_count, 0);                                /* b has not unrouted it yet */
    b->silent = false;
    acks(w);
    settle(w);
    ck_assert_uint_eq(w->finalized_count, 1);
    ck_assert_str_eq(w->finalized[0], KEY);
    core_function(w->core, w->now, f, NULL, &out);
    take_actions(w, &out);
    settle(w);
    ck_assert(!core_has_function(w->core, KEY));
    ck_assert_uint_eq(count_in(a, STATE_DRAINING) + count_in(b, STATE_DRAINING), 1);
    /* The same name again, while the old one drains. */
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_PENDING) + count_in(b, STATE_PENDING), 1);
    stop_drained(w, a);
    stop_drained(w, b);
    settle(w);
    ck_assert_uint_eq(counts(w, KEY).instances, 1);
    function_unref(f);
    world_done(w);
}
END_TEST

START_TEST(deleted_while_an_agent_is_deaf)
{
    struct agent *a;
    struct function *mark = make_function(KEY, "r1", NULL, NULL);

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    a->silent = true;
    mark->deleting = true;
    apply(w, NULL, mark);
    pass(w, S(9));
    ck_assert_uint_eq(w->finalized_count, 0);
    pass(w, S(2));
    ck_assert_uint_eq(w->finalized_count, 1);
    world_done(w);
}
END_TEST

START_TEST(node_lost)
{
    struct agent *a, *b;
    uint64_t t;
    char id[64];

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    strcpy(id, a->instances[0].id);
    b = join(w, 1, 4096 * MI);
    ck_assert_uint_eq(b->endpoint_count, 1);
    leave(w, a);
    pass(w, MS(500));
    ck_assert_uint_eq(b->endpoint_count, 1);                                 /* warm traffic goes on */
    t = ticket(w, b, KEY);
    settle(w);
    ck_assert_uint_eq(b->count, 0);                                          /* it may be back in a moment */
    pass(w, S(1));
    ck_assert_uint_eq(b->count, 1);                                          /* requests do not wait for a lease */
    ready_all(w, b);
    offer(w, b, &b->instances[0]);
    ck_assert(answer_of(w, t)->granted);
    settle(w);
    ck_assert_uint_eq(b->endpoint_count, 2);
    pass(w, S(10));
    ck_assert_uint_eq(b->endpoint_count, 1);
    ck_assert_str_ne(b->endpoints[0], id);
    ck_assert_uint_eq(counts(w, KEY).instances, 1);
    /* It comes back with an instance nobody counts on any more: adopted or drained, never both. */
    join(w, 0, 0);
    pass(w, S(5));
    ck_assert_uint_ge(counts(w, KEY).ready, 1);
    world_done(w);
}
END_TEST

START_TEST(node_blinks)
{
    struct agent *a;
    unsigned desired, routes;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    settle(w);
    desired = a->desired_messages;
    routes = a->routes_messages;
    leave(w, a);
    apply_simple(w, "default/other", "r1");
    join(w, 0, 0);
    ck_assert_uint_eq(counts(w, KEY).ready, 1);
    ck_assert_uint_eq(a->routes_messages, routes + 1);
    ck_assert(!a->routes_full);                                              /* what differs, not everything */
    ck_assert_uint_eq(a->routed_count, 2);
    ck_assert_uint_le(a->desired_messages, desired + 1);
    ck_assert_uint_eq(count_in(a, STATE_READY), 1);
    world_done(w);
}
END_TEST

START_TEST(agent_comes_back_empty)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    settle(w);
    leave(w, a);
    a->count = 0;
    a->incarnation++;
    a->desired = a->routes = 0;
    join(w, 0, 0);
    ck_assert(a->routes_full);
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 1);
    ck_assert_uint_eq(a->endpoint_count, 0);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    ck_assert(answer_of(w, t)->granted);
    world_done(w);
}
END_TEST

START_TEST(name_taken_over)
{
    struct agent *a, *twin;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    twin = &w->agents[1];
    *twin = (struct agent){.incarnation = 555, .memory = 4096 * MI};
    strcpy(twin->name, a->name);
    twin->peer = ++w->next_peer;
    hello_of(w, twin);
    ck_assert(a->closed);                                                    /* the newest wins */
    ck_assert(!twin->closed);
    ck_assert_uint_eq(twin->welcomes, 1);
    strcpy(twin->name, "Not A Name");
    twin->peer = ++w->next_peer;
    hello_of(w, twin);
    ck_assert_uint_eq(twin->rejects, 1);
    ck_assert(twin->closed);
    world_done(w);
}
END_TEST

START_TEST(controller_restarts)
{
    struct core_config c = world_config();
    struct agent *a;
    size_t had;

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    apply_simple(w, KEY, "r1");
    apply_simple(w, "default/dropped", "r1");
    for (int i = 0; i < 5; i++)
        ticket(w, a, KEY);
    ticket(w, a, "default/dropped");
    settle(w);
    ready_all(w, a);
    settle(w);
    had = count_in(a, STATE_READY);
    ck_assert_uint_eq(had, 6);
    core_free(w->core);

    c.incarnation = 4712;
    c.adopt_ns = S(2);
    w->now += S(1);
    ck_assert_int_eq(core_new(&c, w->now, &w->core), 0);
    apply_simple(w, KEY, "r1");
    join(w, 0, 0);
    ck_assert_uint_eq(counts(w, KEY).ready, 5);                              /* adopted */
    ck_assert_uint_eq(count_in(a, STATE_READY), 5);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);                       /* its function is gone */
    ck_assert_uint_eq(a->endpoint_count, 6);                                 /* routes stay while others come back */
    pass(w, S(3));
    ck_assert(a->routes_full);
    ck_assert_uint_eq(a->routes_incarnation, 4712);
    ck_assert_uint_eq(a->endpoint_count, 5);
    ck_assert_uint_eq(count_in(a, STATE_READY), 5);
    pass(w, S(50));                                                          /* panic of a restart: nothing shrinks */
    ck_assert_uint_eq(count_in(a, STATE_READY), 5);
    world_done(w);
}
END_TEST

START_TEST(controller_restarts_in_an_update)
{
    struct core_config c = world_config();
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    settle(w);
    core_free(w->core);
    c.incarnation = 4712;
    c.adopt_ns = S(2);
    ck_assert_int_eq(core_new(&c, w->now, &w->core), 0);
    apply_simple(w, KEY, "r2");                                              /* what the store has */
    join(w, 0, 0);
    ck_assert_uint_eq(count_in(a, STATE_READY), 1);                          /* the old revision goes on serving */
    pass(w, S(3));
    ck_assert_str_eq(a->routed[0][1], "r1");
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 1);
    ck_assert_str_eq(nth(a, STATE_PENDING, 0)->revision, "r2");
    ready_all(w, a);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    world_done(w);
}
END_TEST

START_TEST(entry_gone)
{
    struct agent *a, *b;
    uint64_t lost, kept;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    b = join(w, 1, 4096 * MI);
    apply_simple(w, KEY, "r1");
    lost = ticket(w, a, KEY);
    kept = ticket(w, b, KEY);
    settle(w);
    leave(w, a);
    ck_assert_uint_eq(counts(w, KEY).waiting, 1);
    ready_all(w, b);
    pass(w, S(2));
    ready_all(w, b);
    ck_assert_uint_ge(b->count, 1);
    offer(w, b, &b->instances[0]);
    ck_assert(answer_of(w, kept)->granted);
    ck_assert_ptr_null(answer_of(w, lost));
    world_done(w);
}
END_TEST

START_TEST(client_gone)
{
    struct agent *a;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    TicketGone g = ROUSE__CONTROL__V1__TICKET_GONE__INIT;
    uint64_t ids[2], second;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ids[0] = ticket(w, a, KEY);
    ids[1] = 999;
    second = ticket(w, a, KEY);
    settle(w);
    g.ids = ids;
    g.n_ids = 2;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE;
    m.ticket_gone = &g;
    send_message(w, a->peer, &m);
    settle(w);
    ck_assert_uint_eq(a->wanted, 1);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    ck_assert(answer_of(w, second)->granted);
    ck_assert_ptr_null(answer_of(w, ids[0]));
    world_done(w);
}
END_TEST

START_TEST(refused_by_the_owner_and_back)
{
    struct agent *a;
    uint64_t first, second, again;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    first = ticket(w, a, KEY);
    settle(w);
    w->now += MS(10);
    second = ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    ck_assert(answer_of(w, first)->granted);
    w->now += MS(10);
    again = ticket_on(w, a, KEY, NULL, NULL, 20, 1);                         /* older than `second` */
    settle(w);
    offer(w, a, &a->instances[0]);
    ck_assert_ptr_null(answer_of(w, second));
    ck_assert(answer_of(w, again)->granted);
    offer(w, a, &a->instances[0]);
    ck_assert(answer_of(w, second)->granted);
    world_done(w);
}
END_TEST

START_TEST(slot_in_hand)
{
    struct agent *a;
    uint64_t t, slot;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    slot = offer(w, a, &a->instances[0]);                                    /* nobody waits: kept */
    settle(w);
    t = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, t)->slot, slot);
    offer(w, a, &a->instances[0]);
    settle(w);
    w->now += MS(60);                                                        /* its lease is as good as over */
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(a->wanted, 1);
    world_done(w);
}
END_TEST

START_TEST(init_fails)
{
    struct agent *a;
    uint64_t t, after;
    struct function *fixed;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    t = ticket(w, a, KEY);
    settle(w);
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed",
             "SyntaxError: invalid \xff syntax \xc3\xa9");
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 502);                         /* at once */
    ck_assert_str_eq(answer_of(w, t)->reason, "InitFailed");
    after = ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(answer_of(w, after)->status, 503);
    ck_assert_str_eq(answer_of(w, after)->reason, "CrashLoop");
    ck_assert_uint_eq(answer_of(w, after)->retry_after, 10);
    ck_assert_ptr_nonnull(strstr(answer_of(w, after)->message, "InitFailed"));
    ck_assert_ptr_null(strstr(answer_of(w, after)->message, "SyntaxError"));     /* not for the public */
    ck_assert_ptr_null(strstr(answer_of(w, t)->message, "SyntaxError"));
    ck_assert_str_eq(w->status.conditions[2].message, "SyntaxError: invalid ? syntax \xc3\xa9");
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_TRUE);
    pass(w, S(11));
    ck_assert_uint_eq(a->count, 0);                                          /* nobody asks: no try */
    for (int i = 0; i < 5; i++)
        ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(a->count, 1);                                          /* one try for all of them */
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed", "again");
    settle(w);
    after = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, after)->retry_after, 20);                 /* doubled */
    fixed = make_function(KEY, "r2", NULL, NULL);
    apply(w, NULL, fixed);                                                   /* a new revision starts afresh */
    after = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, after));
    ck_assert_uint_eq(a->count, 1);
    ready_all(w, a);
    settle(w);
    pass(w, S(1));
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_FALSE);
    world_done(w);
}
END_TEST

START_TEST(sandbox_fails_three_times)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    t = ticket(w, a, KEY);
    settle(w);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(answer_of(w, t));
        ck_assert_uint_eq(a->count, 1);
        tell(w, a, nth(a, STATE_PENDING, 0), STATE_CREATING);
        tell_why(w, a, nth(a, STATE_CREATING, 0), STATE_FAILED, "SandboxFailed", "mount: no");
        settle(w);
    }
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    ck_assert_str_eq(answer_of(w, t)->reason, "CrashLoop");
    ck_assert_uint_eq(a->count, 0);
    world_done(w);
}
END_TEST

START_TEST(dies_while_it_serves)
{
    struct agent *a;
    uint64_t t = 0;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    for (int i = 0; i < 5; i++) {
        t = ticket(w, a, KEY);
        settle(w);
        ck_assert_msg(a->count == 1, "%d", i);
        ready_all(w, a);
        offer(w, a, &a->instances[0]);
        ck_assert(answer_of(w, t)->granted);
        tell_why(w, a, &a->instances[0], STATE_FAILED, "OOMKilled", "");
        settle(w);
    }
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_str_eq(answer_of(w, t)->reason, "CrashLoop");
    world_done(w);
}
END_TEST

START_TEST(paths)
{
    struct agent *a;
    struct function *old, *young = make_function("default/young", "r1", "/p", NULL);
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    young->created_ms = 2000;
    apply(w, NULL, young);
    ck_assert_int_eq(w->status.conditions[0].status, CONDITION_TRUE);
    old = make_function("default/old", "r1", "/p", "POST");
    apply(w, NULL, function_ref(old));                                       /* the older function wins */
    pass(w, MS(200));
    t = ticket_on(w, a, NULL, "POST", "/p?x=1", 0, 0);
    settle(w);
    ck_assert_str_eq(a->instances[0].key, "default/old");
    ck_assert_ptr_null(answer_of(w, t));
    t = ticket_on(w, a, NULL, "GET", "/p", 0, 0);                            /* young's trigger lost as a whole */
    ck_assert_uint_eq(answer_of(w, t)->status, 405);
    ck_assert_str_eq(answer_of(w, t)->allow, "POST");
    t = ticket_on(w, a, NULL, "GET", "/q", 0, 0);
    ck_assert_uint_eq(answer_of(w, t)->status, 404);
    t = ticket_on(w, a, NULL, "GET", "/function/default/young/x", 0, 0);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_str_eq(a->instances[1].key, "default/young");
    /* The winner goes: the other has its path again. */
    {
        struct function *mark = make_function("default/old", "r1", "/p", "POST");

        mark->deleting = true;
        apply(w, old, mark);
    }
    pass(w, MS(200));
    t = ticket_on(w, a, NULL, "GET", "/p", 0, 0);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    function_unref(old);
    world_done(w);
}
END_TEST

START_TEST(conflict_is_said)
{
    struct function *loser = make_function("default/b", "r1", "/p", "GET");

    world_init(w, NULL);
    apply(w, NULL, make_function("default/a", "r1", "/p", NULL));
    apply(w, NULL, loser);
    ck_assert_str_eq(w->status_key, "default/b");
    ck_assert_int_eq(w->status.conditions[3].status, CONDITION_TRUE);
    ck_assert_ptr_nonnull(strstr(w->status.conditions[3].message, "default/a"));
    ck_assert_int_eq(w->status.conditions[0].status, CONDITION_FALSE);
    ck_assert_str_eq(w->status.conditions[0].reason, "RouteConflict");
    world_done(w);
}
END_TEST

START_TEST(figures)
{
    struct agent *a;
    struct buffer b = {0};
    char *text;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    ticket(w, a, "default/none");
    settle(w);
    core_metrics(w->core, w->now, &b);
    text = buffer_take_string(&b);
    ck_assert_ptr_nonnull(strstr(text, "rouse_autoscaler_requested_instances{namespace=\"default\",function=\"hello\",revision=\"r1\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nrouse_activator_tickets 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "rouse_activator_refused_total{reason=\"NotFound\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "rouse_nodes{state=\"Ready\"} 1\n"));
    free(text);
    world_done(w);
}
END_TEST

UNIT_MAIN("core", cold_start, busy_does_not_go_to_sleep, crowd_from_zero, grows_on_the_panic_window,
          min_is_there_at_once_and_max_is_kept, queue_full, deadline, nowhere_to_go, a_node_that_comes_gets_what_waits,
          idle_ones_make_way, update_at_zero, update_under_load, update_of_an_idle_one_and_a_silent_agent,
          a_ticket_waits_across_an_update, update_that_fails_leaves_the_old_one, deleted, deleted_while_an_agent_is_deaf, node_lost, node_blinks,
          agent_comes_back_empty, name_taken_over, controller_restarts, controller_restarts_in_an_update, entry_gone,
          client_gone, refused_by_the_owner_and_back, slot_in_hand, init_fails, sandbox_fails_three_times,
          dies_while_it_serves, paths, conflict_is_said, figures)
