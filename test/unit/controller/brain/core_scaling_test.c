/* The autoscaler in the core: what the nodes report and a spec asks for becomes instances. */
#include "world.h"

#define KEY "default/f"

static struct world worlds, *w = &worlds;

struct used {
    double concurrency;
    uint64_t requests, cpu, memory; /* of all instances together: thousandths, bytes */
};

static void say(struct agent *a, const struct used *u)
{
    Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    Rouse__Control__V1__FunctionLoad f = ROUSE__CONTROL__V1__FUNCTION_LOAD__INIT, *functions[] = {&f};
    Rouse__Control__V1__InstanceLoad all[64], *list[64];
    struct fake_instance *i;
    size_t n = 0;

    f.function_key = (char *)KEY;
    f.concurrency = u->concurrency;
    f.requests = u->requests;
    while (n < ARRAY_LEN(all) && (i = nth(a, STATE_READY, n))) {
        rouse__control__v1__instance_load__init(&all[n]);
        all[n].id = i->id;
        list[n] = &all[n];
        n++;
    }
    for (size_t k = 0; k < n; k++) {
        all[k].cpu = (uint32_t)(u->cpu / n);
        all[k].memory = u->memory / n;
    }
    r.instances = list;
    r.n_instances = n;
    r.functions = functions;
    r.n_functions = 1;
    send_report(w, a, &r);
}

/* Each second a report; all that starts is ready at once, all that leaves stops. */
static void run(struct agent *a, unsigned seconds, const struct used *u)
{
    while (seconds--) {
        say(a, u);
        ready_all(w, a);
        stop_drained(w, a);
        pass(w, S(1));
    }
    ready_all(w, a);
    stop_drained(w, a);
    settle(w);
}

static struct function *with(const struct autoscaler_spec *s, const char *revision)
{
    struct function *f = make_function(KEY, revision);

    f->scaling = *s;
    if (s->behavior) {
        f->scaling.behavior = malloc(sizeof(*s->behavior));
        *f->scaling.behavior = *s->behavior;
    }
    if (s->metric_count) {
        f->scaling.metrics = calloc(s->metric_count, sizeof(*s->metrics));
        memcpy(f->scaling.metrics, s->metrics, s->metric_count * sizeof(*s->metrics));
        for (size_t i = 0; i < s->metric_count; i++)
            f->scaling.metrics[i].query = s->metrics[i].query ? strdup(s->metrics[i].query) : NULL;
    }
    if (s->provisioned_count) {
        f->scaling.provisioned = calloc(s->provisioned_count, sizeof(*s->provisioned));
        memcpy(f->scaling.provisioned, s->provisioned,
               s->provisioned_count * sizeof(*s->provisioned));
    }
    return f;
}

static struct agent *begin_with(const struct autoscaler_spec *s, uint32_t concurrency)
{
    struct function *f = with(s, "r1");
    struct agent *a;

    f->concurrency = concurrency;
    world_init(w, NULL);
    a = join(w, 0, 256 * 1024 * MI);
    apply(w, NULL, f);
    return a;
}

static struct agent *begin(const struct autoscaler_spec *s)
{
    return begin_with(s, 1);
}

/* By a request, for which one starts. */
static void wake(struct agent *a)
{
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
}

START_TEST(initial_instances)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(20), .initial = 3};
    struct agent *a = begin(&s);
    struct function *old;

    ck_assert_uint_eq(count_in(a, STATE_PENDING), 3);
    pass(w, S(60)); /* slow to start: that is not idle */
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 3);
    ready_all(w, a);
    pass(w, S(10));
    ck_assert_uint_eq(counts(w, KEY).ready, 3);
    pass(w, S(14));
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    stop_drained(w, a);
    old = with(&s, "r1");
    s.max = 9; /* the same revision has had its start */
    apply(w, old, with(&s, "r1"));
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    apply(w, old, with(&s, "r2"));
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 3);
    /* They do not get up: no more of them. */
    for (int i = 0; i < 3; i++)
        tell_why(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING, "", "");
    while (nth(a, STATE_INITIALIZING, 0))
        tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed", "no");
    pass(w, S(120));
    ck_assert_uint_eq(counts(w, KEY).requested, 0);
    function_unref(old);
    world_done(w);
}
END_TEST

/* A controller that starts again finds its functions: they have had their start. */
START_TEST(initial_is_not_for_a_restart)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(20), .initial = 3};

    world_init(w, NULL);
    w->now = S(1000);
    apply(w, NULL, with(&s, "r1"));
    w->now += MS(1);
    join(w, 0, 4096 * MI);
    pass(w, S(5));
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    world_done(w);
}
END_TEST

START_TEST(activation)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(20), .activation = 4};
    struct agent *a = begin(&s);

    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 4);
    world_done(w);
}
END_TEST

/* A broken agent's figures move nothing. */
START_TEST(a_load_that_cannot_be)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(20), .min = 1};
    struct agent *a = begin(&s);

    ready_all(w, a);
    for (int k = 0; k < 8; k++) {
        load_reports(w, k % 2 ? (double)INFINITY : (double)NAN, KEY);
        pass(w, S(1));
    }
    ck_assert_uint_le(counts(w, KEY).requested, 1);
    world_done(w);
}
END_TEST
START_TEST(requests_per_second)
{
    struct autoscaler_metric m = {METRIC_REQUESTS, {HPA_AVERAGE, 10, 0}, NULL};
    struct autoscaler_spec s = {
        .max = 50, .idle_timeout_ns = S(20), .metrics = &m, .metric_count = 1, .stable_seconds = 10};
    struct agent *a = begin_with(&s, 1000);

    ticket(w, a, KEY);
    settle(w);
    run(a, 1, &(struct used){0});
    offer(w, a, nth(a, STATE_READY, 0));
    run(a, 14, &(struct used){.concurrency = 0.5, .requests = 120});
    ck_assert_uint_eq(counts(w, KEY).ready, 12);
    run(a, 30, &(struct used){.concurrency = 40, .requests = 120}); /* it is not concurrency's */
    ck_assert_uint_eq(counts(w, KEY).ready, 12);
    run(a, 30, &(struct used){.concurrency = 0.1, .requests = 45});
    ck_assert_uint_eq(counts(w, KEY).ready, 5);
    for (int i = 0; i < 150; i++) { /* what waits has come, too; the poke alone would make it 8 */
        ticket(w, a, KEY);
        if (i % 50 == 49)
            run(a, 1, &(struct used){.concurrency = 0.1, .requests = 45});
    }
    ck_assert_uint_ge(counts(w, KEY).ready, 10);
    world_done(w);
}
END_TEST

START_TEST(cpu)
{
    struct autoscaler_metric m = {METRIC_CPU, {HPA_UTILIZATION, 50, 500}, NULL};
    struct autoscaler_spec s = {.max = 50, .idle_timeout_ns = S(20), .metrics = &m, .metric_count = 1};
    struct agent *a = begin(&s);

    wake(a);
    run(a, 10, &(struct used){.concurrency = 1, .requests = 1, .cpu = 500, .memory = MI});
    ck_assert_uint_eq(counts(w, KEY).ready, 1); /* it is not ready for long enough to be measured */
    run(a, 14, &(struct used){.concurrency = 1, .requests = 1, .cpu = 500, .memory = MI});
    ck_assert_uint_eq(counts(w, KEY).ready, 2); /* 100 % of 50 % */
    run(a, 30, &(struct used){.concurrency = 1, .requests = 1, .cpu = 500, .memory = MI});
    ck_assert_uint_eq(counts(w, KEY).ready, 2);
    run(a, 60, &(struct used){.concurrency = 1, .requests = 1, .cpu = 900, .memory = MI});
    ck_assert_uint_eq(counts(w, KEY).ready, 4);
    run(a, 200, &(struct used){.concurrency = 1, .requests = 1, .cpu = 10, .memory = MI});
    ck_assert_uint_eq(counts(w, KEY).ready, 4); /* stabilised for five minutes */
    run(a, 150, &(struct used){.concurrency = 1, .requests = 1, .cpu = 10, .memory = MI});
    ck_assert_uint_eq(counts(w, KEY).ready, 1);
    run(a, 30, &(struct used){0});
    ck_assert_uint_eq(counts(w, KEY).ready, 0);
    world_done(w);
}
END_TEST

START_TEST(memory)
{
    struct autoscaler_metric m = {METRIC_MEMORY, {HPA_AVERAGE, 50 * MI, 0}, NULL};
    struct autoscaler_spec s = {.max = 50, .idle_timeout_ns = S(60), .metrics = &m, .metric_count = 1};
    struct agent *a = begin(&s);

    ticket(w, a, KEY);
    settle(w);
    run(a, 1, &(struct used){0});
    offer(w, a, nth(a, STATE_READY, 0));
    run(a, 6, &(struct used){.concurrency = 1, .memory = 200 * MI});
    ck_assert_uint_eq(counts(w, KEY).ready, 4);
    pass(w, S(20)); /* the same again is not told again */
    ck_assert_uint_eq(counts(w, KEY).ready, 4);
    world_done(w);
}
END_TEST

static void outside(const struct core_external *e)
{
    struct actions out = {0};

    core_external(w->core, w->now, e, &out);
    take_actions(w, &out);
}

START_TEST(external)
{
    struct autoscaler_metric m = {METRIC_EXTERNAL, {HPA_AVERAGE, 10, 0}, (char *)"queue"};
    struct autoscaler_spec s = {.max = 50, .idle_timeout_ns = S(20), .metrics = &m, .metric_count = 1};
    struct agent *a = begin(&s);
    struct core_external e = {.key = KEY, .text = "queue", .value = 35};

    pass(w, S(3));
    ck_assert_uint_eq(w->queries, 1);
    ck_assert_str_eq(w->query, "queue");
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    pass(w, S(31));
    ck_assert_uint_eq(w->queries, 3);
    outside(&(struct core_external){.key = KEY, .text = "other", .value = 35});
    outside(&(struct core_external){.key = "default/g", .text = "queue"});
    outside(&(struct core_external){.key = KEY, .text = "queue", .metric = 1});
    pass(w, S(4));
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    outside(&e);
    pass(w, S(4));
    ck_assert_uint_eq(counts(w, KEY).instances, 4);
    ready_all(w, a);
    e.value = 0;
    e.why = "no such host";
    outside(&e);
    ck_assert_uint_eq(noted(w, KEY " !FailedGetExternalMetric: scaling.metrics[0]: no such host"), 1);
    pass(w, S(120)); /* no answer for two minutes: nothing is taken away */
    ck_assert_uint_eq(counts(w, KEY).ready, 4);
    e.why = NULL;
    outside(&e);
    pass(w, S(4));
    ck_assert_uint_eq(counts(w, KEY).ready, 0);
    world_done(w);
}
END_TEST

static size_t tellers = 64;

/* Each instance that is ready there, of the first `tellers`, says that value of itself; NULL: nothing but that it lives. */
static void say_metric(struct agent *a, const char *name, double value)
{
    Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    Rouse__Control__V1__InstanceLoad all[64], *list[64];
    Rouse__Control__V1__Metric metric = ROUSE__CONTROL__V1__METRIC__INIT, *metrics[] = {&metric};
    struct fake_instance *i;

    metric.name = (char *)name;
    metric.value = value;
    for (size_t k = 0; k < tellers && (i = nth(a, STATE_READY, k)); k++) {
        rouse__control__v1__instance_load__init(&all[k]);
        all[k].id = i->id;
        all[k].metrics = metrics;
        all[k].n_metrics = name != NULL;
        list[r.n_instances++] = &all[k];
    }
    r.instances = list;
    send_report(w, a, &r);
}

static void run_metric(struct agent *a, unsigned seconds, const char *name, double value)
{
    while (seconds--) {
        say_metric(a, name, value);
        run(a, 1, &(struct used){.concurrency = 0.1, .requests = 1});
    }
}

START_TEST(custom)
{
    struct autoscaler_metric m = {METRIC_CUSTOM, {HPA_AVERAGE, 10, 0}, (char *)"jobs"};
    struct behavior b = behavior_defaults;
    struct autoscaler_spec s = {.max = 50, .idle_timeout_ns = S(20), .metrics = &m, .metric_count = 1};
    struct agent *a;

    b.down.stabilization_s = 0;
    s.behavior = &b;
    a = begin(&s);
    wake(a);
    run_metric(a, 6, NULL, 0); /* it has not said anything: as it is */
    ck_assert_uint_eq(counts(w, KEY).ready, 1);
    run_metric(a, 6, "other", 100);
    ck_assert_uint_eq(counts(w, KEY).ready, 1);
    run_metric(a, 1, "jobs", 30);
    run_metric(a, 3, NULL, 0);
    ck_assert_uint_eq(counts(w, KEY).ready, 3);
    run_metric(a, 6, NULL, 0); /* the new ones have not said it: 30 of 3 is on target */
    ck_assert_uint_eq(counts(w, KEY).ready, 3);
    tellers = 1;
    run_metric(a, 10, "jobs", 4); /* two have not said it, and count at 10 */
    ck_assert_uint_eq(counts(w, KEY).ready, 3);
    tellers = 64;
    run_metric(a, 10, "jobs", 10);
    ck_assert_uint_eq(counts(w, KEY).ready, 3);
    run_metric(a, 10, "jobs", 4);
    ck_assert_uint_eq(counts(w, KEY).ready, 1);
    run_metric(a, 1, "jobs", 20);
    run_metric(a, 3, NULL, 0);
    ck_assert_uint_eq(counts(w, KEY).ready, 2);
    run(a, 30, &(struct used){0}); /* nobody calls: it sleeps, whatever was said */
    ck_assert_uint_eq(counts(w, KEY).ready, 0);
    world_done(w);
}
END_TEST

/* After Hello all that was said is known again: what is frozen says it no more. */
START_TEST(custom_of_hello)
{
    struct autoscaler_metric m = {METRIC_CUSTOM, {HPA_AVERAGE, 10, 0}, (char *)"jobs"};
    struct autoscaler_spec s = {.max = 50, .idle_timeout_ns = S(60), .metrics = &m, .metric_count = 1};
    Rouse__Control__V1__Metric metric = ROUSE__CONTROL__V1__METRIC__INIT, *metrics[] = {&metric};
    Rouse__Control__V1__InstanceStatus status = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;
    AgentMessage message = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    struct agent *a = begin(&s);

    wake(a);
    metric.name = (char *)"jobs";
    metric.value = 40;
    status.id = nth(a, STATE_READY, 0)->id;
    status.function_key = (char *)KEY;
    status.revision = (char *)"r1";
    status.state = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_FROZEN;
    status.slots = 1;
    status.metrics = metrics;
    status.n_metrics = 1;
    message.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    message.instance_status = &status;
    send_message(w, a->peer, &message);
    pass(w, S(4));
    ck_assert_uint_eq(counts(w, KEY).instances, 4);
    world_done(w);
}
END_TEST

START_TEST(provisioned_by_the_clock)
{
    struct schedule_window window = {.min = 2};
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(20), .provisioned_count = 1};
    char why[CRON_WHY_MAX];

    cron_parse("0 12 * * *", &window.start, why);
    cron_parse("5 12 * * *", &window.end, why);
    s.provisioned = &window;
    begin(&s);
    core_wall(w->core, w->now, S(1795435200 - 30)); /* half a minute to noon */
    pass(w, S(27));
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    pass(w, S(6));
    ck_assert_uint_eq(counts(w, KEY).instances, 2);
    pass(w, S(290));
    ck_assert_uint_eq(counts(w, KEY).instances, 2);
    ready_all(w, &w->agents[0]);
    pass(w, S(10));
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    world_done(w);
}
END_TEST

/* Called every half an hour, it sleeps in between and is awake before each call. */
START_TEST(predictive)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(60), .predictive = true};
    struct agent *a = begin(&s);
    unsigned cold = 0, asleep = 0;

    for (int call = 0; call < 20; call++) {
        size_t awake = counts(w, KEY).ready;

        cold += !awake;
        if (!awake) {
            wake(a);
            settle(w);
        } else {
            say(a, &(struct used){.concurrency = 0.1, .requests = 1});
        }
        pass(w, S(2));
        say(a, &(struct used){0});
        pass(w, S(898));
        stop_drained(w, a);
        asleep += !counts(w, KEY).instances;
        pass(w, S(800));
        ready_all(w, a);
        pass(w, S(100));
    }
    ck_assert_uint_le(cold, 13);
    ck_assert_uint_eq(asleep, 20);
    world_done(w);
}
END_TEST

/* A call each half minute, by an instance that is there. */
static void call_often(struct agent *a, int calls)
{
    wake(a);
    for (int i = 0; i < calls; i++) {
        pass(w, S(30));
        say(a, &(struct used){.concurrency = 0.1, .requests = 1});
    }
}

/* No turn has all of them, and each has its turn. */
START_TEST(histories_are_kept_in_parts)
{
    enum { FUNCTIONS = 300, PART = 256 };
    char key[32];

    world_init(w, NULL);
    for (unsigned k = 0; k < 2 * FUNCTIONS; k++) {
        struct actions out = {0};

        snprintf(key, sizeof(key), "default/h%u", k % FUNCTIONS);
        if (k < FUNCTIONS) {
            struct function *f = make_function(key, "r1");

            f->scaling.predictive = true;
            apply(w, NULL, f);
        } else if (k == FUNCTIONS) {
            pass(w, S(10));
        }
        core_ticket(w->core, w->now, &(struct core_ticket){.id = 1 + k, .function_key = key}, &out);
        take_actions(w, &out);
    }
    for (int k = 0; k < 1400; k++) {
        unsigned before = w->histories;

        pass(w, MS(50));
        ck_assert_uint_le(w->histories - before, PART);
    }
    ck_assert_uint_eq(w->histories, FUNCTIONS);
    world_done(w);
}
END_TEST

/* It is given out once a minute, if it has changed, and at the end. */
START_TEST(history_is_kept)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(60), .predictive = true};
    struct agent *a = begin(&s);
    struct actions out = {0};
    struct function *old, *now;

    call_often(a, 1);
    pass(w, S(58));
    ck_assert_uint_eq(w->histories, 0);
    pass(w, S(4));
    ck_assert_uint_eq(w->histories, 1);
    ck_assert_str_eq(w->history, KEY " {\"beyond\":0,\"minutes\":{\"0\":1}}");
    pass(w, S(600));
    ck_assert_uint_eq(w->histories, 1);
    core_histories(w->core, w->now, &out);
    ck_assert_ptr_null(out.first); /* nothing new */
    say(a, &(struct used){.concurrency = 0.1, .requests = 1});
    core_histories(w->core, w->now, &out);
    ck_assert_ptr_nonnull(out.first);
    ck_assert_int_eq(out.first->kind, ACTION_HISTORY);
    ck_assert_str_eq(out.first->history.text, "{\"beyond\":0,\"minutes\":{\"0\":1,\"11\":1}}");
    actions_done(&out);
    s.predictive = false; /* not asked for any more */
    old = with(&s, "r1");
    apply(w, old, with(&s, "r1"));
    ck_assert_str_eq(w->history, KEY " -");
    ck_assert_uint_eq(w->histories, 2);
    apply(w, old, with(&s, "r1"));
    ck_assert_uint_eq(w->histories, 2);
    s.predictive = true;
    now = with(&s, "r1");
    apply(w, old, now);
    apply(w, now, NULL);
    ck_assert_uint_eq(w->histories, 3);
    ck_assert_str_eq(w->history, KEY " -");
    function_unref(old);
    world_done(w);
}
END_TEST

/* What an earlier life knew is known; what is nobody's is dropped. */
START_TEST(history_comes_back)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = S(60), .predictive = true};
    struct agent *a = begin(&s);
    struct actions out = {0};

    core_history(w->core, w->now, "default/other", "{\"beyond\":0,\"minutes\":{}}", &out);
    ck_assert_str_eq(out.first->history.key, "default/other");
    ck_assert_ptr_null(out.first->history.text);
    actions_done(&out);
    core_history(w->core, w->now, KEY, "{\"beyond\":0,\"minutes\":{\"240\":1}}", &out);
    ck_assert_ptr_null(out.first->history.text); /* no such minute */
    actions_done(&out);
    core_history(w->core, w->now, KEY, "{\"beyond\":0,\"minutes\":{\"30\":40}}", &out);
    ck_assert_ptr_null(out.first);
    pass(w, S(26 * 60)); /* known to be called after half an hour: awake for it, though nobody ever called here */
    ck_assert_uint_eq(counts(w, KEY).instances, 0);
    pass(w, S(2 * 60));
    ck_assert_uint_eq(counts(w, KEY).instances, 1);
    ready_all(w, a);
    world_done(w);
}
END_TEST

/* Whatever changes what is requested is counted with its reason, and said while it is awake. */
START_TEST(each_change_has_a_reason)
{
    struct autoscaler_spec s = {.max = 2, .idle_timeout_ns = S(20)};
    struct agent *a = begin(&s);

    ck_assert(!in_metrics(w, "rule_instances{")); /* it sleeps */
    ticket(w, a, KEY);
    settle(w);
    ck_assert(!in_metrics(w, "rule_instances{")); /* it was woken, and the tick is yet to come */
    ck_assert(in_metrics(w, "rouse_autoscaler_decisions_total{reason=\"Waiting\"} 1\n"));
    ck_assert(in_metrics(
        w, "rouse_autoscaler_reason{namespace=\"default\",function=\"f\",reason=\"Waiting\"} 1\n"));
    ck_assert(in_metrics(w, "rouse_scheduler_placements_total{outcome=\"Placed\"} 1\n"));
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    run(a, 10, &(struct used){.concurrency = 9, .requests = 9});
    ck_assert(in_metrics(w, "rouse_autoscaler_decisions_total{reason=\"MaxReached\"} 1\n"));
    ck_assert(in_metrics(
        w,
        "rouse_autoscaler_rule_instances{namespace=\"default\",function=\"f\",rule=\"before\"} 2\n"));
    ck_assert(in_metrics(
        w,
        "rouse_autoscaler_rule_instances{namespace=\"default\",function=\"f\",rule=\"metrics\"} 13\n"));
    ck_assert(in_metrics(
        w, "rouse_autoscaler_rule_instances{namespace=\"default\",function=\"f\",rule=\"max\"} 2\n"));
    ck_assert(in_metrics(
        w,
        "rouse_autoscaler_wish_instances{namespace=\"default\",function=\"f\",metric=\"Concurrency\"} 13\n"));
    run(a, 60, &(struct used){0});
    ck_assert(in_metrics(w, "rouse_autoscaler_decisions_total{reason=\"Idle\"} 1\n"));
    ck_assert(!in_metrics(w, "rule_instances{"));
    world_done(w);
}
END_TEST

START_TEST(its_status_says_why)
{
    struct autoscaler_spec s = {.max = 2, .idle_timeout_ns = S(20)};
    struct agent *a = begin(&s);

    pass(w, S(1));
    ck_assert_ptr_null(w->status.scaling.reason);
    core_wall(w->core, w->now, S(1000000));
    ticket(w, a, KEY);
    settle(w);
    pass(w, MS(500));
    ck_assert_str_eq(w->status.scaling.reason, "Waiting");
    ck_assert_uint_eq(w->status.scaling.last_s, 1000000);
    ck_assert(w->status.scaling.is_able && w->status.scaling.is_active);
    ck_assert_str_eq(w->status.scaling.limited, "DesiredWithinRange");
    run(a, 10, &(struct used){.concurrency = 9, .requests = 9});
    ck_assert(w->status.scaling.is_limited);
    ck_assert_str_eq(w->status.scaling.limited, "TooManyInstances");
    w->status = (struct function_status){0};
    run(a, 10, &(struct used){.concurrency = 9, .requests = 9});
    ck_assert_uint_eq(w->status.desired_instances, 0); /* nothing changed: nothing is written */
    run(a, 80, &(struct used){0});
    ck_assert_str_eq(w->status.scaling.reason, "Idle");
    ck_assert(!w->status.scaling.is_limited);
    world_done(w);
}
END_TEST

static void scaling_is(const char *able, const char *active)
{
    pass(w, MS(200));
    ck_assert_str_eq(w->status.scaling.able, able);
    ck_assert_str_eq(w->status.scaling.active, active);
}

/* Though the number stays as it is. */
START_TEST(its_conditions_are_told_when_they_change)
{
    struct autoscaler_metric m = {METRIC_EXTERNAL, {HPA_AVERAGE, 10, 0}, (char *)"queue"};
    struct autoscaler_spec s = {
        .max = 2, .idle_timeout_ns = S(3600), .metrics = &m, .metric_count = 1};
    struct core_external e = {.key = KEY, .text = "queue", .value = 10};
    struct agent *a = begin(&s);

    outside(&e);
    pass(w, S(4));
    ready_all(w, a);
    pass(w, S(4));
    scaling_is("ReadyForNewScale", "ValidMetricFound");
    pass(w, S(61));
    scaling_is("ReadyForNewScale", "MetricMissing");
    outside(&e);
    pass(w, S(4));
    scaling_is("ReadyForNewScale", "ValidMetricFound");
    for (int k = 1; k < 5; k++)
        join(w, k, 256 * MI);
    for (int k = 1; k < 5; k++)
        leave(w, &w->agents[k]);
    scaling_is("NodesHalted", "ValidMetricFound");
    join(w, 1, 0);
    scaling_is("ReadyForNewScale", "ValidMetricFound");
    world_done(w);
    s = (struct autoscaler_spec){.max = 2, .idle_timeout_ns = S(20)};
    a = begin(&s);
    ticket(w, a, KEY);
    settle(w);
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed", "");
    scaling_is("BackOff", "ValidMetricFound");
    pass(w, S(11)); /* nobody asks, nothing is tried */
    scaling_is("ReadyForNewScale", "ValidMetricFound");
    world_done(w);
}
END_TEST

START_TEST(who_finds_no_room_is_counted)
{
    struct autoscaler_spec s = {.max = 100, .idle_timeout_ns = S(20), .min = 8};
    struct agent *a;

    world_init(w, NULL);
    apply(w, NULL, with(&s, "r1"));
    settle(w);
    ck_assert(in_metrics(w, "rouse_scheduler_placements_total{outcome=\"NoNode\"} 1\n"));
    a = join(w, 0, 512 * MI);
    ready_all(w, a);
    settle(w);
    ck_assert(in_metrics(w, "rouse_scheduler_placements_total{outcome=\"Placed\"} 4\n"));
    ck_assert(!in_metrics(w, "rouse_scheduler_placements_total{outcome=\"NoRoom\"} 0\n"));
    ck_assert(in_metrics(w, "rouse_scheduler_placements_total{outcome=\"NoSuitableNode\"} 0\n"));
    ck_assert(in_metrics(w, "rouse_autoscaler_decisions_total{reason=\"MinReached\"} 1\n"));
    world_done(w);
}
END_TEST

UNIT_MAIN("core_scaling", each_change_has_a_reason, its_status_says_why,
          its_conditions_are_told_when_they_change, who_finds_no_room_is_counted, initial_instances,
          initial_is_not_for_a_restart, activation, a_load_that_cannot_be, requests_per_second, cpu,
          memory, external, custom, custom_of_hello, history_is_kept, histories_are_kept_in_parts,
          history_comes_back, provisioned_by_the_clock, predictive)
