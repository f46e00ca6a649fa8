/* Node pools in the core: what waits gets a node, what is little used is emptied and given back. */
#include "world.h"

#include <errno.h>

#define KEY "default/hello"

static struct world world, *w = &world;

static struct pool_spec *spec_of(uint32_t min, uint64_t memory)
{
    struct pool_spec *s = calloc(1, sizeof(*s));

    s->refs = 1;
    strcpy(s->name, "p");
    s->generation = 3;
    s->min = min;
    s->max = 4;
    s->template.memory = memory;
    s->template.architecture = strdup("");
    s->template.cpu = 256000;
    s->up.utilization = 80;
    s->up.window_ns = S(30);
    s->up.provision_timeout_ns = S(900);
    s->up.backoff_ns = S(300);
    s->up.backoff_max_ns = S(1800);
    s->up.backoff_reset_ns = S(10800);
    s->down.threshold = 50;
    s->down.after_ns = S(60);
    s->down.delay_after_add_ns = S(60);
    s->down.drain_timeout_ns = S(600);
    s->down.unready_after_ns = S(1200);
    return s;
}

static void set_pool(struct pool_spec *s)
{
    struct actions out = {0};

    core_pool(w->core, w->now, NULL, s, &out);
    take_actions(w, &out);
    pool_spec_unref(s);
    pass(w, S(2));
}

static void answer(enum provider_verb verb, const char *node, int error)
{
    struct provider_answer a = {.verb = verb, .pool = "p", .error = error};
    struct actions out = {0};

    snprintf(a.node, sizeof(a.node), "%s", node);
    core_provider(w->core, w->now, &a, &out);
    take_actions(w, &out);
    settle(w);
}

static size_t asked(enum provider_verb verb)
{
    size_t n = 0;

    for (size_t i = 0; i < w->asked_count; i++)
        n += w->asked[i].verb == verb;
    return n;
}

static const char *last_asked(enum provider_verb verb)
{
    const char *node = NULL;

    for (size_t i = 0; i < w->asked_count; i++)
        if (w->asked[i].verb == verb)
            node = w->asked[i].node;
    ck_assert_ptr_nonnull(node);
    return node;
}

static struct agent *come(int at, const char *name, uint64_t memory)
{
    struct agent *a = &w->agents[at];

    snprintf(a->name, sizeof(a->name), "%.15s", name);
    a->incarnation = 100 + (uint64_t)at;
    a->memory = memory;
    return join(w, at, memory);
}

static void knock(uint64_t id)
{
    struct actions out = {0};

    core_ticket(w->core, w->now, &(struct core_ticket){.id = id, .function_key = KEY}, &out);
    take_actions(w, &out);
    settle(w);
}

START_TEST(a_request_gets_the_first_node_of_all)
{
    struct agent *a;

    world_init(w, NULL);
    set_pool(spec_of(0, 4096 * MI));
    ck_assert_uint_eq(asked(PROVIDER_LIST), 1);
    apply_simple(w, KEY, "r1");
    knock(77);
    pass(w, S(3));
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 0); /* who knows what there is already */
    answer(PROVIDER_LIST, "", 0);
    pass(w, S(1));
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 1);
    ck_assert_uint_eq(noted(w, " NodeCreating: node "), 1);
    ck_assert(in_metrics(w, "rouse_pool_decisions_total{reason=\"Pending\"} 1\n"));
    ck_assert(in_metrics(w, "rouse_pool_decisions_total{reason=\"BelowMin\"} 0\n"));
    ck_assert(in_metrics(w, "rouse_pool_decisions_total{reason=\"NoProvider\"} 0\n"));
    ck_assert(!in_metrics(w, "reason=\"GivenUp\"")); /* a pool's, not a node's */
    ck_assert_ptr_nonnull(strstr(w->object_status, "\"nodes\":1,\"ready\":0,\"desired\":1"));
    ck_assert_ptr_nonnull(strstr(w->object_status, "\"observedGeneration\":3"));
    answer(PROVIDER_CREATE, last_asked(PROVIDER_CREATE), 0);
    pass(w, S(3));
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 1);
    a = come(0, last_asked(PROVIDER_CREATE), 4096 * MI);
    ck_assert_uint_ge(a->count, 1);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    ck_assert(answer_of(w, 77)->granted);
    pass(w, S(2));
    ck_assert_ptr_nonnull(strstr(w->object_status, "\"nodes\":1,\"ready\":1,\"desired\":1"));
    world_done(w);
}
END_TEST

START_TEST(what_only_a_new_node_could_take_is_not_refused)
{
    world_init(w, NULL);
    join(w, 0, 64 * MI);
    apply_simple(w, KEY, "r1"); /* 128 MiB */
    knock(1);
    ck_assert_uint_eq(answer_of(w, 1)->status, 503);
    set_pool(spec_of(0, 4096 * MI));
    answer(PROVIDER_LIST, "", 0);
    knock(2);
    pass(w, S(2));
    ck_assert_uint_eq(w->answer_count, 1);
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 1);
    world_done(w);
    /* ... unless the pool's are as small. */
    world_init(w, NULL);
    join(w, 0, 64 * MI);
    set_pool(spec_of(0, 64 * MI));
    answer(PROVIDER_LIST, "", 0);
    apply_simple(w, KEY, "r1");
    knock(3);
    pass(w, S(2));
    ck_assert_uint_eq(answer_of(w, 3)->status, 503);
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 0);
    world_done(w);
}
END_TEST

START_TEST(a_little_used_node_is_emptied_and_given_back)
{
    struct function *f;
    struct agent *a, *b;

    world_init(w, NULL);
    set_pool(spec_of(1, 4096 * MI));
    answer(PROVIDER_LIST, "", 0);
    pass(w, S(2));
    a = come(0, last_asked(PROVIDER_CREATE), 4096 * MI);
    f = make_function(KEY, "r1");
    f->scaling.min = 2;
    apply(w, NULL, f);
    ready_all(w, a);
    ck_assert_uint_eq(count_in(a, STATE_READY), 2);
    pass(w, S(130));
    ck_assert_uint_eq(asked(PROVIDER_DELETE), 0); /* min */
    set_pool(spec_of(0, 4096 * MI));
    pass(w, S(70));
    ck_assert(!a->cordoned);        /* it fits nowhere else */
    b = come(1, "other", 256 * MI); /* for these two and no third, which nobody asked for */
    pass(w, S(3));
    ck_assert(a->cordoned);
    ck_assert_uint_eq(count_in(a, STATE_READY), 2); /* the others first */
    ready_all(w, b);
    settle(w);
    pass(w, S(5));
    stop_drained(w, a);
    pass(w, S(40));
    ck_assert_uint_eq(asked(PROVIDER_DELETE), 1);
    ck_assert_str_eq(last_asked(PROVIDER_DELETE), a->name);
    ck_assert_uint_eq(count_in(b, STATE_READY), 2);
    answer(PROVIDER_DELETE, a->name, 0);
    leave(w, a);
    settle(w);
    ck_assert_uint_eq(counts(w, KEY).ready, 2);
    pass(w, S(3));
    ck_assert_ptr_nonnull(strstr(w->object_status, "\"nodes\":0,\"ready\":0,\"desired\":0"));
    world_done(w);
}
END_TEST

/* A node is made where its label is asked for, and not for those who do not tolerate its taint. */
START_TEST(labels_and_taints_of_the_template_count)
{
    static struct trait label = {"size", "large"}, taint = {"only", "gpu"};
    struct pool_spec *s = spec_of(0, 4096 * MI);
    struct function *f = make_function(KEY, "r1");

    s->template.labels = calloc(1, sizeof(struct trait));
    s->template.labels[0] = (struct trait){strdup(label.key), strdup(label.value)};
    s->template.label_count = 1;
    s->template.taints = calloc(1, sizeof(struct trait));
    s->template.taints[0] = (struct trait){strdup(taint.key), strdup(taint.value)};
    s->template.taint_count = 1;
    f->placement.selector = calloc(1, sizeof(struct trait));
    f->placement.selector[0] = (struct trait){strdup(label.key), strdup(label.value)};
    f->placement.selector_count = 1;
    f->scaling.min = 1;
    world_init(w, NULL);
    join(w, 0, 4096 * MI);
    set_pool(s);
    answer(PROVIDER_LIST, "", 0);
    apply(w, NULL, f);
    pass(w, S(5));
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 0);
    f = make_function("default/other", "r1");
    f->placement.selector = calloc(1, sizeof(struct trait));
    f->placement.selector[0] = (struct trait){strdup(label.key), strdup(label.value)};
    f->placement.selector_count = 1;
    f->placement.tolerations = calloc(1, sizeof(struct toleration));
    f->placement.tolerations[0] = (struct toleration){strdup("only"), strdup(""), true};
    f->placement.toleration_count = 1;
    f->scaling.min = 1;
    apply(w, NULL, f);
    pass(w, S(5));
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 1);
    world_done(w);
}
END_TEST

START_TEST(a_deleted_pool_is_finalised_when_its_nodes_are_gone)
{
    struct pool_spec *s = spec_of(1, 4096 * MI);

    world_init(w, NULL);
    set_pool(spec_of(1, 4096 * MI));
    answer(PROVIDER_LIST, "", 0);
    pass(w, S(2));
    come(0, last_asked(PROVIDER_CREATE), 4096 * MI);
    s->deleting = true;
    set_pool(s);
    pass(w, S(3));
    ck_assert_uint_eq(asked(PROVIDER_DELETE), 1);
    ck_assert_uint_eq(w->finalized_count, 0);
    answer(PROVIDER_DELETE, last_asked(PROVIDER_DELETE), 0);
    pass(w, S(2));
    ck_assert_uint_ge(w->finalized_count, 1);
    ck_assert_str_eq(w->finalized[0], "p");
    world_done(w);
}
END_TEST

START_TEST(a_restarted_controller_takes_over_what_there_is)
{
    struct core_config config = world_config();
    struct provider_answer had = {.verb = PROVIDER_LIST, .pool = "p", .node_count = 2};
    char names[2][64] = {"p-00001", "p-00002"};
    struct actions out = {0};

    config.adopt_ns = S(2);
    world_init(w, &config);
    set_pool(spec_of(2, 4096 * MI));
    come(0, "p-00001", 4096 * MI);
    had.nodes = names;
    pass(w, S(1));
    core_provider(w->core, w->now, &had, &out);
    take_actions(w, &out);
    pass(w, S(5));
    ck_assert_uint_eq(asked(PROVIDER_CREATE), 0); /* the second is on its way, for all that is known */
    ck_assert_ptr_nonnull(strstr(w->object_status, "\"nodes\":2,\"ready\":1,\"desired\":2"));
    pass(w, S(900));
    ck_assert_uint_eq(asked(PROVIDER_DELETE), 1); /* it was not */
    ck_assert_str_eq(last_asked(PROVIDER_DELETE), "p-00002");
    world_done(w);
}
END_TEST

static int is_there(const char *node) /* -ENOENT: no */
{
    struct actions out = {0};

    return core_node_delete(w->core, w->now, node, true, &out);
}

/* Whichever comes first, the provider's word or the end of the channel. */
START_TEST(a_node_that_its_pool_removed_is_no_node)
{
    for (int first = 0; first < 2; first++) {
        struct pool_spec *s = spec_of(1, 4096 * MI);
        struct agent *a;
        char name[64];

        world_init(w, NULL);
        set_pool(spec_of(1, 4096 * MI));
        answer(PROVIDER_LIST, "", 0);
        pass(w, S(2));
        a = come(0, last_asked(PROVIDER_CREATE), 4096 * MI);
        strcpy(name, a->name);
        s->deleting = true;
        set_pool(s);
        pass(w, S(3));
        ck_assert_uint_eq(asked(PROVIDER_DELETE), 1);
        ck_assert_int_eq(is_there(name), -EBUSY);
        if (first)
            leave(w, a);
        answer(PROVIDER_DELETE, name, 0);
        if (!first)
            leave(w, a);
        settle(w);
        ck_assert_int_eq(is_there(name), -ENOENT);
        world_done(w);
    }
}
END_TEST

/* What sleeps must be able to start: of many alike one is looked at, but of each kind one. The last function applied
 * is the only one that needs node `a`. */
static void sleeping(const char *label, uint64_t memory)
{
    struct agent *a, *b = NULL;
    char key[32];

    world_init(w, NULL);
    set_pool(spec_of(1, 1024 * MI));
    answer(PROVIDER_LIST, "", 0);
    pass(w, S(2));
    a = &w->agents[0];
    a->label[0] = "only";
    a->label[1] = "here";
    a = come(0, last_asked(PROVIDER_CREATE), 1024 * MI);
    b = come(1, "other", 512 * MI);
    ck_assert_ptr_nonnull(b);
    for (int i = 0; i < 30; i++) {
        struct function *f;

        snprintf(key, sizeof(key), "default/f%d", i);
        f = make_function(key, "r1");
        if (i == 17) {
            f->memory = memory;
            if (label) {
                f->placement.selector = calloc(1, sizeof(struct trait));
                f->placement.selector[0] = (struct trait){strdup("only"), strdup(label)};
                f->placement.selector_count = 1;
            }
        }
        apply(w, NULL, f);
    }
    set_pool(spec_of(0, 1024 * MI));
    pass(w, S(300));
    (void)a;
}

START_TEST(each_kind_of_what_sleeps_keeps_its_node)
{
    sleeping(NULL, 128 * MI);
    ck_assert_uint_eq(asked(PROVIDER_DELETE), 1); /* any of them starts on the other */
    world_done(w);
    sleeping(NULL, 768 * MI);
    ck_assert_uint_eq(asked(PROVIDER_DELETE), 0);
    world_done(w);
    sleeping("here", 128 * MI);
    ck_assert_uint_eq(asked(PROVIDER_DELETE), 0);
    world_done(w);
}
END_TEST

/* Its hook was deleted, say. A moment of that is not the end, and one that can be asked but fails may have machines
 * to take away. */
START_TEST(a_deleted_pool_without_a_provider_is_given_up)
{
    struct pool_spec *s = spec_of(1, 4096 * MI);
    struct agent *a;
    unsigned before;

    world_init(w, NULL);
    set_pool(spec_of(1, 4096 * MI));
    answer(PROVIDER_LIST, "", 0);
    pass(w, S(2));
    a = come(0, last_asked(PROVIDER_CREATE), 4096 * MI);
    s->deleting = true;
    set_pool(s);
    pass(w, S(3));
    ck_assert(a->cordoned);
    answer(PROVIDER_DELETE, a->name, -ENOENT);
    pass(w, S(50));
    answer(PROVIDER_DELETE, a->name, -EREMOTEIO);
    answer(PROVIDER_DELETE, a->name, -ENOENT);
    pass(w, S(50));
    ck_assert_uint_eq(w->finalized_count, 0);
    pass(w, S(15));
    ck_assert_uint_ge(w->finalized_count, 1);
    ck_assert(!a->cordoned); /* it is a node like others now */
    w->asked_count = 0;
    before = w->noted;
    pass(w, S(15)); /* until it is erased: it was said once */
    answer(PROVIDER_LIST, a->name, 0);
    pass(w, S(70));
    ck_assert_uint_eq(w->noted, before);
    ck_assert_uint_eq(w->asked_count, 0);
    world_done(w);
}
END_TEST

static void deleted_and_never_listed(void)
{
    struct pool_spec *s = spec_of(0, 4096 * MI);

    world_init(w, NULL);
    set_pool(spec_of(0, 4096 * MI));
    s->deleting = true;
    set_pool(s);
    for (int i = 0; i < 9; i++) {
        answer(PROVIDER_LIST, "", -EREMOTEIO);
        pass(w, S(60));
    }
    ck_assert_uint_eq(w->finalized_count, 0);
}

/* Its hook hangs, say: nobody could delete the pool. */
START_TEST(a_deleted_pool_whose_provider_never_worked_is_given_up)
{
    deleted_and_never_listed();
    answer(PROVIDER_LIST, "", -EREMOTEIO);
    pass(w, S(70));
    ck_assert_uint_ge(w->finalized_count, 1);
    world_done(w);
    deleted_and_never_listed();
    answer(PROVIDER_LIST, "", 0); /* it worked once: what it makes is known */
    pass(w, S(3));
    ck_assert_uint_ge(w->finalized_count, 1);
    world_done(w);
    deleted_and_never_listed();
    come(0, "p-0c1f2", 4096 * MI); /* a machine of it */
    answer(PROVIDER_LIST, "", -EREMOTEIO);
    pass(w, S(700));
    ck_assert_uint_eq(w->finalized_count, 0);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_pool", a_deleted_pool_whose_provider_never_worked_is_given_up,
          a_deleted_pool_without_a_provider_is_given_up, each_kind_of_what_sleeps_keeps_its_node,
          a_node_that_its_pool_removed_is_no_node, a_request_gets_the_first_node_of_all,
          what_only_a_new_node_could_take_is_not_refused,
          a_little_used_node_is_emptied_and_given_back, labels_and_taints_of_the_template_count,
          a_deleted_pool_is_finalised_when_its_nodes_are_gone,
          a_restarted_controller_takes_over_what_there_is)
