/* What single instances use, and what of it counts: autoscaling/v2's rules of ready, unready and missing. */
#include "world.h"

#define KEY "default/f"

static struct world worlds, *w = &worlds;

static struct function *with(uint32_t min, uint32_t max, struct autoscaler_metric m)
{
    struct function *f = make_function(KEY, "r1");
    struct behavior *b = malloc(sizeof(*b));

    *b = behavior_defaults;
    b->down.stabilization_s = 0;
    f->scaling = (struct autoscaler_spec){.min = min,
                                          .max = max,
                                          .idle_timeout_ns = S(3600),
                                          .behavior = b,
                                          .metrics = calloc(1, sizeof(m)),
                                          .metric_count = 1};
    f->scaling.metrics[0] = m;
    return f;
}

static struct function *have; /* what is applied */

static void scale(uint32_t min, uint32_t max, struct autoscaler_metric m)
{
    struct function *next = with(min, max, m);

    apply(w, have, function_ref(next));
    if (have)
        function_unref(have);
    have = next;
    settle(w);
}

struct use {
    uint32_t cpu;    /* thousandths */
    uint64_t memory; /* 0: it is not told */
};

/* The first `old` that are neither pending nor ended use one thing, the others another. */
static void tell_use(struct agent *a, size_t old, struct use first, struct use rest)
{
    static const enum instance_state up[] = {STATE_READY, STATE_INITIALIZING};
    Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    Rouse__Control__V1__InstanceLoad all[64], *list[64];
    struct fake_instance *i;

    for (size_t s = 0; s < ARRAY_LEN(up); s++) {
        for (size_t k = 0; r.n_instances < ARRAY_LEN(all) && (i = nth(a, up[s], k)); k++) {
            Rouse__Control__V1__InstanceLoad *l = &all[r.n_instances];
            const struct use *u = r.n_instances < old ? &first : &rest;

            rouse__control__v1__instance_load__init(l);
            l->id = i->id;
            l->cpu = u->cpu;
            l->memory = u->memory;
            list[r.n_instances++] = l;
        }
    }
    r.instances = list;
    send_report(w, a, &r);
}

static void run(struct agent *a, unsigned seconds, size_t old, struct use first, struct use rest)
{
    while (seconds--) {
        tell_use(a, old, first, rest);
        pass(w, S(1));
    }
}

static const struct autoscaler_metric cpu_half = {METRIC_CPU, {HPA_UTILIZATION, 50, 500}, NULL};
static const struct autoscaler_metric memory_50 = {METRIC_MEMORY, {HPA_AVERAGE, 50 * MI, 0}, NULL};

/* `old` instances use the one thing for 20 s. Then there are `new` ones, which for `seconds` use the other. */
struct row {
    const char *what;
    const struct autoscaler_metric *metric;
    uint32_t old, new;
    bool starting; /* the new ones do not get ready */
    struct use first, rest;
    unsigned seconds;
    uint32_t want;
};
static const struct row rows[] = {
    {"what starts is busy", &cpu_half, 2, 1, false, {250, 1}, {2000, 1}, 10, 3},
    {"it goes on being busy", &cpu_half, 2, 1, false, {250, 1}, {2000, 1}, 50, 10},
    {"up, a new one at 0", &cpu_half, 2, 1, false, {500, 1}, {9, 1}, 10, 4},
    {"up, but with two new ones at 0 down", &cpu_half, 2, 2, false, {350, 1}, {9, 1}, 10, 4},
    {"up, one is not ready", &cpu_half, 2, 1, true, {500, 1}, {900, 1}, 60, 4},
    {"down, without the new ones", &cpu_half, 4, 1, false, {125, 1}, {2000, 1}, 2, 2},
    {"down, missing ones at 100 %", &cpu_half, 4, 1, false, {100, 1}, {0, 0}, 2, 4},
    {"down, so many missing that it turns", &cpu_half, 2, 2, false, {100, 1}, {0, 0}, 10, 4},
    {"up, missing ones at 0", &cpu_half, 2, 1, false, {500, 1}, {0, 0}, 10, 4},
    {"memory of new ones counts", &memory_50, 2, 1, false, {0, 50 * MI}, {0, 125 * MI}, 4, 5},
    {"... and of those that are not ready", &memory_50, 2, 1, true, {0, 100 * MI}, {0, 10 * MI}, 4, 5},
    {"none yet: not ready, at 0", &memory_50, 2, 1, true, {0, 100 * MI}, {0, 0}, 4, 4},
    {"memory missing, down: on target", &memory_50, 4, 1, false, {0, 25 * MI}, {0, 0}, 2, 3},
};

START_TEST(who_counts)
{
    const struct row *r = &rows[_i];
    struct agent *a;
    struct fake_instance *i;
    uint32_t n;

    have = NULL;
    world_init(w, NULL);
    a = join(w, 0, 256 * 1024 * MI);
    scale(r->old, r->old, *r->metric);
    ready_all(w, a);
    run(a, 20, r->old, r->first, r->rest);
    ck_assert_uint_eq(counts(w, KEY).ready, r->old);
    scale(r->old + r->new, r->old + r->new, *r->metric);
    if (!r->starting)
        ready_all(w, a);
    while ((i = nth(a, STATE_PENDING, 0)))
        tell_why(w, a, i, STATE_INITIALIZING, "", "");
    ck_assert_uint_eq(counts(w, KEY).instances, r->old + r->new);
    scale(0, 50, *r->metric);
    run(a, r->seconds, r->old, r->first, r->rest);
    n = (uint32_t)counts(w, KEY).requested;
    ck_assert_msg(n == r->want, "%s: %u, not %u", r->what, n, r->want);
    function_unref(have);
    world_done(w);
}
END_TEST

/* What a reading says of the time before an instance was ready is in no mean. */
START_TEST(the_start_is_in_no_mean)
{
    struct agent *a;

    have = NULL;
    world_init(w, NULL);
    a = join(w, 0, 256 * 1024 * MI);
    scale(2, 2, cpu_half);
    pass(w, (uint64_t)_i * 500 * NS_PER_MS); /* a tick is then at each of the seconds around the 15th */
    ready_all(w, a);
    tell_use(a, 2, (struct use){60000, 1}, (struct use){0});
    pass(w, S(2)); /* the next one is late */
    scale(0, 50, cpu_half);
    for (int s = 0; s < 30; s++) {
        run(a, 1, 2, (struct use){250, 1}, (struct use){0});
        ck_assert_uint_eq(counts(w, KEY).requested, 2);
    }
    function_unref(have);
    world_done(w);
}
END_TEST

/* It is not told of any more: it uses no cpu, and the memory that it had. */
START_TEST(frozen)
{
    const struct autoscaler_metric *const metrics[] = {&cpu_half, &memory_50};
    struct agent *a;

    have = NULL;
    world_init(w, NULL);
    a = join(w, 0, 256 * 1024 * MI);
    scale(2, 2, *metrics[_i]);
    ready_all(w, a);
    run(a, 20, 2, (struct use){500, 75 * MI}, (struct use){0});
    tell_why(w, a, nth(a, STATE_READY, 1), STATE_FROZEN, "", "");
    run(a, 20, 1, (struct use){500, 75 * MI}, (struct use){0});
    scale(0, 50, *metrics[_i]);
    run(a, 4, 1, (struct use){500, 75 * MI}, (struct use){0});
    ck_assert_uint_eq(counts(w, KEY).requested, _i ? 3 : 2);
    function_unref(have);
    world_done(w);
}
END_TEST

/* ... even if all that was told of it since it is known is of its first second. */
START_TEST(frozen_at_once)
{
    struct agent *a;

    have = NULL;
    world_init(w, NULL);
    a = join(w, 0, 256 * 1024 * MI);
    scale(2, 2, cpu_half);
    ready_all(w, a);
    tell_use(a, 2, (struct use){250, MI}, (struct use){0});
    tell_why(w, a, nth(a, STATE_READY, 1), STATE_FROZEN, "", "");
    run(a, 20, 1, (struct use){250, MI}, (struct use){0});
    scale(0, 50, cpu_half);
    pass(w, S(2));
    ck_assert_uint_eq(counts(w, KEY).requested, 1);
    function_unref(have);
    world_done(w);
}
END_TEST

/* No instance uses more than its node has, whatever the node's agent says. */
START_TEST(more_than_there_is)
{
    const struct autoscaler_metric metrics[] = {
        {METRIC_CPU, {HPA_AVERAGE, 256000, 0}, NULL}, /* all of hello_of() */
        {METRIC_MEMORY, {HPA_AVERAGE, 4096 * MI, 0}, NULL},
    };
    struct agent *a;

    have = NULL;
    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    scale(2, 2, metrics[_i]);
    ready_all(w, a);
    scale(0, 50, metrics[_i]);
    run(a, 30, 2, (struct use){UINT32_MAX, UINT64_MAX}, (struct use){0});
    ck_assert_uint_eq(counts(w, KEY).requested, 2);
    ck_assert(in_metrics(w, "rouse_autoscaler_readings_cut_total{metric=\"CPU\"} 60\n"));
    ck_assert(in_metrics(w, "rouse_autoscaler_readings_cut_total{metric=\"Memory\"} 60\n"));
    function_unref(have);
    world_done(w);
}
END_TEST

int main(void)
{
    SRunner *sr;
    TCase *tc = unit_case("core_use", &sr);

    tcase_add_loop_test(tc, who_counts, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(tc, the_start_is_in_no_mean, 0, 4);
    tcase_add_loop_test(tc, frozen, 0, 2);
    tcase_add_test(tc, frozen_at_once);
    tcase_add_loop_test(tc, more_than_there_is, 0, 2);
    return unit_run(sr);
}
