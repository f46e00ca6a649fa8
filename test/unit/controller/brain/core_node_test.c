/* Nodes that come, blink, get lost and come back, and a controller that restarts. */
#include "world.h"

#include <errno.h>

#define KEY "default/hello"

static struct world world, *w = &world;

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
    ck_assert_uint_eq(b->endpoint_count, 1); /* warm traffic goes on */
    t = ticket(w, b, KEY);
    settle(w);
    ck_assert_uint_eq(b->count, 0); /* it may be back in a moment */
    pass(w, S(1));
    ck_assert_uint_eq(b->count, 1); /* requests do not wait for a lease */
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

START_TEST(node_leaves)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Leaving leaving = ROUSE__CONTROL__V1__LEAVING__INIT;
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    b = join(w, 1, 4096 * MI);
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LEAVING;
    m.leaving = &leaving;
    send_message(w, a->peer, &m);
    settle(w);
    ticket(w, a, KEY);
    ticket(w, b, KEY);
    pass(w, S(3));
    ck_assert_uint_eq(a->count, 1); /* nothing new comes to it */
    ck_assert_uint_ge(b->count, 1);
    leave(w, a);
    ck_assert_uint_eq(b->endpoint_count, 0); /* its instances are gone at once, without the lease */
    ready_all(w, b);
    settle(w);
    ck_assert_uint_eq(b->endpoint_count, b->count);
    a = join(w, 0, 4096 * MI);
    pass(w, S(1));
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
    ck_assert(!a->routes_full); /* what differs, not everything */
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
    ck_assert(a->closed); /* the newest wins */
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
    ck_assert_uint_eq(counts(w, KEY).ready, 5); /* adopted */
    ck_assert_uint_eq(count_in(a, STATE_READY), 5);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1); /* its function is gone */
    ck_assert_uint_eq(a->endpoint_count, 6);           /* routes stay while others come back */
    pass(w, S(3));
    ck_assert(a->routes_full);
    ck_assert_uint_eq(a->routes_incarnation, 4712);
    ck_assert_uint_eq(a->endpoint_count, 5);
    ck_assert_uint_eq(count_in(a, STATE_READY), 5);
    pass(w, S(50)); /* panic of a restart: nothing shrinks */
    ck_assert_uint_eq(count_in(a, STATE_READY), 5);
    world_done(w);
}
END_TEST

static void apply_four(void)
{
    struct function *f = make_function(KEY, "r1");

    f->scaling.min = 4;
    apply(w, NULL, f);
}

/* What has a minimum is on nodes that have not told of it yet: nothing is started for it before they could have. */
START_TEST(controller_restarts_before_its_nodes)
{
    struct core_config c = world_config();
    struct agent *a, *b;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    b = join(w, 1, 4096 * MI);
    apply_four();
    settle(w);
    ready_all(w, a);
    ready_all(w, b);
    settle(w);
    ck_assert_uint_eq(a->count, 2);
    ck_assert_uint_eq(b->count, 2);
    core_free(w->core);

    c.incarnation = 4712;
    c.adopt_ns = S(2);
    ck_assert_int_eq(core_new(&c, w->now, &w->core), 0);
    apply_four();
    join(w, 0, 0);
    settle(w);
    ck_assert_uint_eq(a->count, 2);
    join(w, 1, 0);
    pass(w, S(1));
    apply_simple(w, "default/new", "r1"); /* nobody can have this one already */
    ticket(w, a, "default/new");
    settle(w);
    ck_assert_uint_eq(a->count + b->count, 5);
    pass(w, S(3));
    ck_assert_uint_eq(counts(w, KEY).ready, 4);
    ck_assert_uint_eq(counts(w, KEY).instances, 4);
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
    apply_simple(w, KEY, "r2"); /* what the store has */
    join(w, 0, 0);
    ck_assert_uint_eq(count_in(a, STATE_READY), 1); /* the old revision goes on serving */
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

START_TEST(nodes_know_where_the_others_listen)
{
    struct agent *a, *b, *c;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    ck_assert_uint_eq(a->sibling_count, 0);
    b = join(w, 1, 4096 * MI);
    c = join(w, 2, 4096 * MI);
    ck_assert_uint_eq(a->sibling_count, 2);
    ck_assert_uint_eq(c->sibling_count, 2);
    ck_assert_str_eq(a->siblings[sibling_of(a, b->name)][1], "tcp://127.0.0.1:8081");
    leave(w, b);
    ck_assert_uint_eq(a->sibling_count, 2); /* it may be back */
    leave(w, a);
    join(w, 0, 4096 * MI);
    ck_assert_uint_eq(a->sibling_count, 2);
    pass(w, S(3700));
    ck_assert_uint_eq(a->sibling_count, 1);
    ck_assert_uint_eq(sibling_of(a, b->name), 1);
    ck_assert_uint_eq(c->sibling_count, 1);
    world_done(w);
}
END_TEST

static int delete_node(const char *name, bool dry_run)
{
    struct actions out = {0};
    int r = core_node_delete(w->core, w->now, name, dry_run, &out);

    take_actions(w, &out);
    settle(w);
    return r;
}

/* Nobody waits for it any more: its instance is replaced, and the others do not know it. */
START_TEST(a_silent_node_is_deleted)
{
    struct agent *a, *b;
    struct function *f = make_function(KEY, "r1");

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    f->scaling.min = 1;
    apply(w, NULL, f);
    ready_all(w, a);
    b = join(w, 1, 4096 * MI);
    ck_assert_uint_eq(b->sibling_count, 1);
    ck_assert_int_eq(delete_node(a->name, false), -EBUSY);
    ck_assert_uint_eq(b->endpoint_count, 1);
    leave(w, a);
    ck_assert_int_eq(delete_node(a->name, true), 0);
    ck_assert_uint_eq(b->count, 0);
    ck_assert_int_eq(delete_node(a->name, false), 0);
    ck_assert_uint_eq(b->count, 1);
    ck_assert_uint_eq(b->endpoint_count, 0);
    ck_assert_uint_eq(b->sibling_count, 0);
    ck_assert_int_eq(delete_node(a->name, false), -ENOENT);
    join(w, 0, 4096 * MI); /* and comes back as a new one */
    pass(w, S(3));
    ck_assert_uint_eq(b->sibling_count, 1);
    ck_assert_uint_eq(counts(w, KEY).instances, 1);
    world_done(w);
}
END_TEST

/* A failed instance is shown for a while, but not longer than its node is there: it is looked at at each tick. */
START_TEST(what_failed_goes_with_its_node)
{
    struct agent *a;
    struct function *f = make_function(KEY, "r1");
    unsigned gone;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    f->scaling.min = 1;
    f->scaling.metrics = calloc(1, sizeof(*f->scaling.metrics));
    f->scaling.metrics[0] = (struct autoscaler_metric){METRIC_CPU, {HPA_AVERAGE, 100, 0}, NULL};
    f->scaling.metric_count = 1;
    apply(w, NULL, f);
    tell_why(w, a, nth(a, STATE_PENDING, 0), STATE_FAILED, "SandboxFailed", "no more of them");
    leave(w, a);
    join(w, 1, 4096 * MI); /* it runs there now, and is looked for on both */
    pass(w, S(4));
    gone = w->unpublished;
    ck_assert_int_eq(delete_node(a->name, false), 0);
    ck_assert_uint_ge(w->unpublished, gone + 2);
    pass(w, S(40));
    ck_assert_uint_eq(counts(w, KEY).instances, 1);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_node", what_failed_goes_with_its_node, a_silent_node_is_deleted,
          a_node_that_comes_gets_what_waits, node_lost, node_leaves, node_blinks,
          agent_comes_back_empty, name_taken_over, controller_restarts,
          controller_restarts_before_its_nodes, controller_restarts_in_an_update, entry_gone,
          nodes_know_where_the_others_listen)
