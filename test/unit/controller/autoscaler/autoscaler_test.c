/* All metrics together: which one wins, what holds it back, and what the number may never do. */
#include "autoscaler/autoscaler.h"
#include "base/clock.h"
#include "unit.h"

#include <stdlib.h>

#define AT(s)   ((uint64_t)(s)*NS_PER_S)
#define CRON(t) cron_of(t)
#define NOON    1795435200ull /* 2026-11-23 12:00 UTC */

static const struct autoscaler_config *const config = &autoscaler_defaults;

static struct autoscaler_metric metrics[2] = {{METRIC_CONCURRENCY, {HPA_AVERAGE, 5, 0}, NULL}};

static struct autoscaler_spec spec_of(size_t metric_count)
{
    return (struct autoscaler_spec){
        .max = 1000, .idle_timeout_ns = AT(60), .metrics = metrics, .metric_count = metric_count};
}

static struct autoscaler_input input(uint32_t n, uint64_t second)
{
    return (struct autoscaler_input){
        .concurrency = 1, .ready = n, .current = n, .running = 1, .last_active_ns = AT(second)};
}

static void load(struct autoscaler *a, uint64_t from, uint64_t to, double concurrency, double requests)
{
    for (uint64_t s = from; s <= to; s++)
        autoscaler_observe(a, AT(s), &(struct autoscaler_observation){concurrency, requests});
}

static struct autoscaler_decision decide(struct autoscaler *a, const struct autoscaler_spec *s,
                                         const struct autoscaler_input *in, uint64_t second)
{
    struct autoscaler_decision d;

    autoscaler_decide(a, config, s, in, AT(second), &d);
    return d;
}

#define expect(d, n, why)                                                                          \
    do {                                                                                           \
        struct autoscaler_decision got = (d);                                                      \
        ck_assert_uint_eq(got.requested, n);                                                       \
        ck_assert_str_eq(autoscaler_reason_name(got.reason), autoscaler_reason_name(why));         \
    } while (0)

START_TEST(concurrency_without_metrics)
{
    struct autoscaler_spec s = spec_of(0);
    struct autoscaler *a = autoscaler_new(config, &s);
    struct autoscaler_input in = input(4, 1060);

    load(a, 1000, 1060, 14, 0);
    in.concurrency = 4;
    expect(decide(a, &s, &in, 1060), 5, REASON_CONCURRENCY);
    ck_assert_double_eq_tol(decide(a, &s, &in, 1060).loads[METRIC_CONCURRENCY].target, 2.8, 1e-9);
    in.concurrency = 1;
    expect(decide(a, &s, &in, 1062), 20, REASON_CONCURRENCY);
    ck_assert(decide(a, &s, &in, 1062).panic);
    autoscaler_free(a);
}
END_TEST

START_TEST(the_largest_wins)
{
    struct autoscaler_spec s = spec_of(2);
    struct autoscaler *a;
    struct autoscaler_input in = input(4, 1060);

    metrics[0] = (struct autoscaler_metric){METRIC_CONCURRENCY, {HPA_AVERAGE, 5, 0}, NULL};
    metrics[1] = (struct autoscaler_metric){METRIC_REQUESTS, {HPA_AVERAGE, 100, 0}, NULL};
    a = autoscaler_new(config, &s);
    load(a, 1000, 1060, 10, 650);
    expect(decide(a, &s, &in, 1060), 7, REASON_REQUESTS);
    load(a, 1061, 1121, 29, 650);
    expect(decide(a, &s, &in, 1121), 7, REASON_REQUESTS);
    load(a, 1122, 1182, 36, 650);
    expect(decide(a, &s, &in, 1182), 8, REASON_CONCURRENCY);
    ck_assert_uint_eq(decide(a, &s, &in, 1182).wishes[METRIC_REQUESTS], 7);
    autoscaler_free(a);
}
END_TEST

START_TEST(cpu_and_memory)
{
    struct autoscaler_spec s = spec_of(2);
    struct hpa_sample used[2] = {{.usage = 1500, .ready = 4}, {.usage = 4000, .ready = 4}};
    struct autoscaler *a;
    struct autoscaler_input in = input(4, 1060);

    metrics[0] = (struct autoscaler_metric){METRIC_CPU, {HPA_UTILIZATION, 50, 500}, NULL};
    metrics[1] = (struct autoscaler_metric){METRIC_MEMORY, {HPA_AVERAGE, 1000, 0}, NULL};
    a = autoscaler_new(config, &s);
    in.instances = used;
    expect(decide(a, &s, &in, 1060), 6, REASON_CPU); /* 75 % of 4 halves of a cpu */
    in = input(6, 1076);
    in.instances = used;
    used[0] = (struct hpa_sample){.usage = 1500, .ready = 6};
    used[1] = (struct hpa_sample){.usage = 9000, .ready = 6};
    expect(decide(a, &s, &in, 1076), 9, REASON_MEMORY);
    /* Those that were there use more, but new ones are not yet measured: nothing more until they are. */
    in = input(9, 1092);
    in.instances = used;
    used[0] = (struct hpa_sample){.usage = 2250, .ready = 6, .unready = 3};
    used[1] = (struct hpa_sample){.usage = 9000, .ready = 9};
    expect(decide(a, &s, &in, 1092), 9, REASON_MEMORY);
    ck_assert_uint_eq(decide(a, &s, &in, 1092).wishes[METRIC_CPU], 9);
    /* A node says nothing any more of its three: they are taken to be busy, so nothing leaves. */
    in = input(9, 1800);
    in.instances = used;
    used[0] = (struct hpa_sample){.usage = 100, .ready = 6, .missing = 3};
    used[1] = (struct hpa_sample){.usage = 6000, .ready = 6, .missing = 3};
    expect(decide(a, &s, &in, 1800), 9, REASON_MEMORY);
    /* Nothing is measured: it stays, whatever the other one says. */
    in = input(9, 2600);
    in.instances = used;
    used[0] = (struct hpa_sample){.unready = 9};
    used[1] = (struct hpa_sample){.usage = 1, .ready = 9};
    expect(decide(a, &s, &in, 2600), 9, REASON_MISSING);
    autoscaler_free(a);
}
END_TEST

/* Without `behavior` its defaults hold for cpu and memory, and concurrency goes its own way. */
START_TEST(default_behavior_is_for_resources)
{
    struct autoscaler_spec s = spec_of(2);
    struct autoscaler *a;
    struct hpa_sample used[2] = {{0}, {.usage = 5000, .ready = 1}};
    struct autoscaler_input in = input(1, 1060);

    in.instances = used;
    metrics[0] = (struct autoscaler_metric){METRIC_CONCURRENCY, {HPA_AVERAGE, 1, 0}, NULL};
    metrics[1] = (struct autoscaler_metric){METRIC_CPU, {HPA_UTILIZATION, 50, 500}, NULL};
    a = autoscaler_new(config, &s);
    load(a, 1000, 1060, 1, 0);
    expect(decide(a, &s, &in, 1060), 5, REASON_LIMITED); /* four more at a time */
    load(a, 1061, 1121, 40, 0);
    in = input(5, 1121);
    in.instances = used;
    used[1].ready = 5;
    expect(decide(a, &s, &in, 1121), 40, REASON_CONCURRENCY);
    in = input(40, 1300);
    in.instances = used;
    used[1] = (struct hpa_sample){.usage = 100, .ready = 40};
    load(a, 1122, 1300, 1, 0);
    expect(decide(a, &s, &in, 1300), 20, REASON_CONCURRENCY);
    in.current = in.ready = 20;
    expect(decide(a, &s, &in, 1302), 20, REASON_STABILIZED);
    in.last_active_ns = AT(1240);
    in.running = 0;
    expect(decide(a, &s, &in, 1304), 0, REASON_IDLE); /* zero is the idle time-out's */
    autoscaler_free(a);
}
END_TEST

START_TEST(behavior_that_is_asked_for)
{
    struct behavior b = behavior_defaults;
    struct autoscaler_spec s = spec_of(0);
    struct autoscaler *a;
    struct autoscaler_input in = input(10, 1060);

    b.up.policies[0] = (struct behavior_policy){false, 2, 60};
    b.up.policy_count = 1;
    b.down.stabilization_s = 30;
    s.behavior = &b;
    a = autoscaler_new(config, &s);
    load(a, 1000, 1060, 70, 0);
    expect(decide(a, &s, &in, 1060), 12, REASON_LIMITED);
    in = input(12, 1062);
    expect(decide(a, &s, &in, 1062), 12, REASON_LIMITED);
    in.waiting = 100; /* nor does the poke take more */
    ck_assert_uint_eq(autoscaler_poke(a, config, &s, &in, AT(1063)), 12);
    in.current = 0;
    autoscaler_free(a);
    a = autoscaler_new(config, &s);
    ck_assert_uint_eq(autoscaler_poke(a, config, &s, &in, AT(1063)), 2);
    autoscaler_free(a);
    b.up.select = SELECT_DISABLED; /* but one it must be */
    a = autoscaler_new(config, &s);
    ck_assert_uint_eq(autoscaler_poke(a, config, &s, &in, AT(1063)), 1);
    s.activation = 3;
    ck_assert_uint_eq(autoscaler_poke(a, config, &s, &in, AT(1063)), 3);
    in = input(5, 2000);
    in.running = in.waiting = 0;
    in.last_active_ns = AT(1000);
    expect(decide(a, &s, &in, 2000), 5, REASON_STABILIZED); /* of zero, too */
    expect(decide(a, &s, &in, 2032), 0, REASON_IDLE);
    autoscaler_free(a);
}
END_TEST

START_TEST(to_zero_after_the_idle_timeout)
{
    struct autoscaler_spec s = {.max = 10, .idle_timeout_ns = AT(5)};
    struct autoscaler *a = autoscaler_new(config, &s);
    struct autoscaler_input in = {
        .concurrency = 1, .ready = 3, .current = 3, .last_active_ns = AT(100)};

    autoscaler_adopt(a, 7, AT(100));
    load(a, 40, 100, 0.5, 0);
    ck_assert_uint_eq(decide(a, &s, &in, 104).requested, 7);
    in.running = 1;
    ck_assert_uint_eq(decide(a, &s, &in, 105).requested, 7);
    in.running = 0;
    in.waiting = 1;
    ck_assert_uint_eq(decide(a, &s, &in, 105).requested, 7);
    in.waiting = 0;
    expect(decide(a, &s, &in, 105), 0, REASON_IDLE);
    ck_assert(!decide(a, &s, &in, 105).panic);
    s.min = 2;
    expect(decide(a, &s, &in, 105), 2, REASON_MIN);
    ck_assert_uint_eq(decide(a, &s, &in, 105).desired, 0);
    s.min = 0;
    s.idle_timeout_ns = 0;
    in.last_active_ns = AT(105);
    ck_assert_uint_eq(decide(a, &s, &in, 105).requested, 0);
    autoscaler_free(a);
}
END_TEST

START_TEST(one_stays_until_idle_and_zero_stays_zero)
{
    struct autoscaler_spec s = spec_of(0);
    struct autoscaler *a = autoscaler_new(config, &s);
    struct autoscaler_input in = {
        .concurrency = 1, .ready = 1, .current = 1, .last_active_ns = AT(1000)};

    expect(decide(a, &s, &in, 1059), 1, REASON_ACTIVE);
    in.current = in.ready = 0;
    ck_assert_uint_eq(decide(a, &s, &in, 1059).requested, 0);
    autoscaler_free(a);
}
END_TEST

START_TEST(bounds_and_floors)
{
    struct autoscaler_spec s = {.min = 3, .max = 5, .idle_timeout_ns = AT(60)};
    struct autoscaler *a = autoscaler_new(config, &s);
    struct autoscaler_input in = input(1, 1060);

    load(a, 1000, 1060, 100, 0);
    expect(decide(a, &s, &in, 1060), 5, REASON_MAX);
    ck_assert_uint_eq(decide(a, &s, &in, 1060).desired, 143);
    s.max = 1000;
    in = input(0, 1060);
    in.running = 0;
    s.activation = 9;
    a = (autoscaler_free(a), autoscaler_new(config, &s));
    expect(decide(a, &s, &in, 1060), 3, REASON_MIN); /* zero needs no activation */
    in.current = 1;
    expect(decide(a, &s, &in, 1060), 9, REASON_ACTIVATION);
    in.initial = 12;
    expect(decide(a, &s, &in, 1060), 12, REASON_INITIAL);
    autoscaler_free(a);
}
END_TEST

START_TEST(each_rule_tells_what_it_left)
{
    struct autoscaler_spec s = {
        .min = 0, .max = 6, .activation = 5, .delay_ns = AT(30), .idle_timeout_ns = AT(60)};
    struct autoscaler *a = autoscaler_new(config, &s);
    struct autoscaler_input in = input(20, 1060);
    struct autoscaler_decision d;

    load(a, 1000, 1060, 100, 0);
    d = decide(a, &s, &in, 1060);
    ck_assert_uint_eq(d.before, 20);
    ck_assert_uint_eq(d.wishes[METRIC_CONCURRENCY], 143);
    ck_assert_uint_eq(d.after[RULE_METRICS], 143);
    ck_assert_uint_eq(d.after[RULE_FLOORS], 143);
    ck_assert_uint_eq(d.after[RULE_MAX], 6);
    in = input(6, 1062);
    in.running = 0;
    in.last_active_ns = 0;
    d = decide(a, &s, &in, 1062);
    ck_assert_uint_eq(d.after[RULE_IDLE], 0);
    ck_assert_uint_eq(d.after[RULE_DELAY], 143);
    ck_assert_uint_eq(d.after[RULE_BEHAVIOR], 143);
    d = decide(a, &s, &in, 1100);
    ck_assert_uint_eq(d.after[RULE_DELAY], 0);
    ck_assert_uint_eq(d.after[RULE_FLOORS], 0); /* activation wakes nothing */
    in.current = 0;
    in.initial = 2;
    d = decide(a, &s, &in, 1102);
    ck_assert_uint_eq(d.after[RULE_BEHAVIOR], 0);
    ck_assert_uint_eq(d.after[RULE_FLOORS], 2);
    for (int r = 0; r < AUTOSCALER_RULES; r++)
        ck_assert_ptr_nonnull(autoscaler_rule_name((enum autoscaler_rule)r));
    for (int r = 0; r < REASON_COUNT; r++)
        ck_assert_ptr_nonnull(autoscaler_reason_name((enum autoscaler_reason)r));
    autoscaler_free(a);
}
END_TEST

START_TEST(delayed)
{
    struct autoscaler_spec s = spec_of(0);
    struct autoscaler *a;
    struct autoscaler_input in = input(20, 1060);

    s.delay_ns = AT(30);
    a = autoscaler_new(config, &s);
    load(a, 940, 1000, 14, 0); /* 20 were there already */
    expect(decide(a, &s, &in, 1000), 20, REASON_CONCURRENCY);
    for (uint64_t t = 1002; t <= 1030; t += 2) {
        load(a, t - 1, t, 0.1, 0);
        expect(decide(a, &s, &in, t), 20, t == 1002 ? REASON_CONCURRENCY : REASON_DELAYED);
    }
    load(a, 1031, 1034, 0.1, 0);
    expect(decide(a, &s, &in, 1034), 19, REASON_DELAYED); /* the wish of 1004 */
    in = input(10, 1100);
    in.running = 0;
    in.last_active_ns = AT(1000);
    expect(decide(a, &s, &in, 1100), 0, REASON_IDLE);
    in = input(7, 1102); /* seven were woken since */
    in.running = 0;
    in.last_active_ns = AT(1000);
    expect(decide(a, &s, &in, 1102), 7, REASON_DELAYED);
    expect(decide(a, &s, &in, 1131), 7, REASON_DELAYED);
    expect(decide(a, &s, &in, 1134), 0, REASON_IDLE);
    autoscaler_free(a);
}
END_TEST

static struct cron cron_of(const char *text)
{
    struct cron c;
    char why[CRON_WHY_MAX];

    ck_assert_int_eq(cron_parse(text, &c, why), 0);
    return c;
}

START_TEST(provisioned)
{
    struct schedule_window w = {CRON("0 12 * * *"), CRON("0 13 * * *"), 4};
    struct autoscaler_spec s = spec_of(0);
    struct autoscaler *a;
    struct autoscaler_input in = {.concurrency = 1, .epoch_s = NOON - 1};

    s.provisioned = &w;
    s.provisioned_count = 1;
    a = autoscaler_new(config, &s);
    ck_assert_uint_eq(decide(a, &s, &in, 1000).requested, 0);
    in.epoch_s = NOON;
    expect(decide(a, &s, &in, 1001), 4, REASON_PROVISIONED);
    in.epoch_s = NOON + 3599;
    expect(decide(a, &s, &in, 4600), 4, REASON_PROVISIONED);
    in.epoch_s = NOON + 3600;
    ck_assert_uint_eq(decide(a, &s, &in, 4601).requested, 0);
    in.epoch_s = NOON;
    s.max = 2;
    expect(decide(a, &s, &in, 5000), 2, REASON_MAX);
    autoscaler_free(a);
}
END_TEST

START_TEST(predicted)
{
    struct autoscaler_spec s = spec_of(0);
    struct autoscaler *a = autoscaler_new(config, &s);
    struct autoscaler_input in = {
        .concurrency = 1, .current = 1, .ready = 1, .last_active_ns = AT(10000)};

    in.plan = (struct idle_plan){.known = true, .wake_ns = AT(600), .keep_ns = AT(900)};
    expect(decide(a, &s, &in, 10009), 1, REASON_ACTIVE);
    expect(decide(a, &s, &in, 10010), 0, REASON_IDLE); /* long before the idle time-out */
    in.current = in.ready = 0;
    expect(decide(a, &s, &in, 10599), 0, REASON_IDLE);
    expect(decide(a, &s, &in, 10600), 1, REASON_PREDICTED);
    in.current = in.ready = 1;
    expect(decide(a, &s, &in, 10899), 1, REASON_ACTIVE);
    expect(decide(a, &s, &in, 10900), 0, REASON_IDLE);
    in.plan.wake_ns = 0; /* stays awake, but is not woken */
    expect(decide(a, &s, &in, 10500), 1, REASON_ACTIVE);
    in.current = in.ready = 0;
    ck_assert_uint_eq(decide(a, &s, &in, 10500).requested, 0);
    autoscaler_free(a);
}
END_TEST

START_TEST(outside)
{
    struct autoscaler_spec s = spec_of(2);
    struct autoscaler_external said[2] = {{false, 0}, {true, 45}};
    struct autoscaler *a;
    struct autoscaler_input in = {.concurrency = 1, .last_active_ns = AT(10), .external = said};

    metrics[0] = (struct autoscaler_metric){METRIC_CONCURRENCY, {HPA_AVERAGE, 5, 0}, NULL};
    metrics[1] = (struct autoscaler_metric){METRIC_EXTERNAL, {HPA_AVERAGE, 10, 0}, (char *)"q"};
    a = autoscaler_new(config, &s);
    expect(decide(a, &s, &in, 1000), 4, REASON_LIMITED); /* nobody calls, but a queue is full */
    in.current = in.ready = 5;
    expect(decide(a, &s, &in, 1030), 5, REASON_EXTERNAL);
    said[1].known = false; /* it cannot be asked: as it is, for as long as that takes */
    expect(decide(a, &s, &in, 5000), 5, REASON_MISSING);
    said[1] = (struct autoscaler_external){true, 0};
    expect(decide(a, &s, &in, 5002), 0, REASON_IDLE);
    in.current = in.ready = 0;
    said[1].known = false;
    ck_assert_uint_eq(decide(a, &s, &in, 5004).requested, 0);
    autoscaler_free(a);
}
END_TEST

/* While a metric is missing nobody recommends to stay as it is: afterwards that holds nothing back. */
START_TEST(missing_recommends_nothing)
{
    struct behavior b = behavior_defaults;
    struct autoscaler_spec s = spec_of(1);
    struct autoscaler_external said = {true, 40};
    struct autoscaler_input in = input(4, 1000);

    b.up.stabilization_s = b.down.stabilization_s = 60;
    metrics[0] = (struct autoscaler_metric){METRIC_EXTERNAL, {HPA_AVERAGE, 10, 0}, (char *)"q"};
    for (int asked = 0; asked < 2; asked++) {
        struct autoscaler *a;

        s.behavior = asked ? &b : NULL; /* without: down after 300 s, up at once */
        for (int up = 0; up < 2; up++) {
            a = autoscaler_new(config, &s);
            in.external = &said;
            said = (struct autoscaler_external){true, 40};
            expect(decide(a, &s, &in, 1000), 4, REASON_EXTERNAL);
            said.known = false;
            for (uint64_t t = 1002; t <= 1400; t += 2)
                expect(decide(a, &s, &in, t), 4, REASON_MISSING);
            said = (struct autoscaler_external){true, up ? 70 : 20};
            expect(decide(a, &s, &in, 1402), up ? 7 : 2, REASON_EXTERNAL);
            autoscaler_free(a);
        }
    }
}
END_TEST

/* Whoever edits it gets no second budget, and what there is then holds for a window of the new length. */
START_TEST(another_behavior_counts_on)
{
    struct behavior b = behavior_defaults;
    struct autoscaler_spec s = spec_of(1);
    struct autoscaler_external said = {true, 400};
    struct autoscaler_input in = input(4, 1000);
    struct autoscaler *a;

    b.up.policies[0] = (struct behavior_policy){false, 4, 60};
    b.up.policy_count = 1;
    s.behavior = &b;
    metrics[0] = (struct autoscaler_metric){METRIC_EXTERNAL, {HPA_AVERAGE, 10, 0}, (char *)"q"};
    a = autoscaler_new(config, &s);
    in.external = &said;
    expect(decide(a, &s, &in, 1000), 8, REASON_LIMITED);
    in.ready = in.current = 8;
    b.down.stabilization_s = 100;
    autoscaler_respec(a, config, &s);
    expect(decide(a, &s, &in, 1002), 8, REASON_LIMITED);
    b.up.policies[0].value = 6;
    autoscaler_respec(a, config, &s);
    expect(decide(a, &s, &in, 1004), 10, REASON_LIMITED); /* 6 more than what there was 60 s before */
    said.value = 20;
    in.ready = in.current = 10;
    b.down.stabilization_s = 50;
    autoscaler_respec(a, config, &s);
    expect(decide(a, &s, &in, 1006), 10, REASON_STABILIZED);
    expect(decide(a, &s, &in, 1055), 10, REASON_STABILIZED);
    expect(decide(a, &s, &in, 1058), 2, REASON_EXTERNAL);
    autoscaler_free(a);
}
END_TEST

/* What instances report: by hpa.h's rule, with those that have not reported as missing. */
START_TEST(custom)
{
    struct autoscaler_spec s = spec_of(2);
    struct hpa_sample said[2] = {{0}, {.usage = 45, .ready = 3}};
    struct autoscaler *a;
    struct autoscaler_input in = input(3, 1060);

    metrics[0] = (struct autoscaler_metric){METRIC_CONCURRENCY, {HPA_AVERAGE, 5, 0}, NULL};
    metrics[1] = (struct autoscaler_metric){METRIC_CUSTOM, {HPA_AVERAGE, 10, 0}, (char *)"jobs"};
    a = autoscaler_new(config, &s);
    in.instances = said;
    expect(decide(a, &s, &in, 1060), 5, REASON_CUSTOM);
    ck_assert_uint_eq(decide(a, &s, &in, 1060).wishes[METRIC_CUSTOM], 5);
    in = input(5, 1400);
    in.instances = said;
    said[1] = (struct hpa_sample){.usage = 15, .ready = 4, .missing = 1}; /* and 10 of the one */
    expect(decide(a, &s, &in, 1400), 3, REASON_CUSTOM);
    said[1] = (struct hpa_sample){.usage = 0, .ready = 0, .missing = 5}; /* nobody says anything */
    expect(decide(a, &s, &in, 1800), 5, REASON_MISSING);
    in.instances = NULL;
    expect(decide(a, &s, &in, 1802), 5, REASON_MISSING);
    in.instances = said;
    said[1] = (struct hpa_sample){.usage = 1000, .ready = 5};
    in.running = 0; /* nobody calls it: the metric alone does not keep it awake */
    expect(decide(a, &s, &in, 2600), 0, REASON_IDLE);
    autoscaler_free(a);
}
END_TEST

START_TEST(poke)
{
    static const struct {
        uint32_t concurrency, max, waiting, want;
    } rows[] = {{1, 100, 1, 1},   {1, 100, 7, 7}, {10, 100, 7, 1},
                {10, 100, 11, 2}, {1, 5, 100, 5}, {1, 9999, 5000, 1000}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct autoscaler_spec s = {.max = rows[i].max};
        struct autoscaler *a = autoscaler_new(config, &s);
        struct autoscaler_input in = {.concurrency = rows[i].concurrency, .waiting = rows[i].waiting};

        ck_assert_msg(autoscaler_poke(a, config, &s, &in, AT(1)) == rows[i].want, "row %zu", i);
        autoscaler_free(a);
    }
}
END_TEST

START_TEST(windows_of_its_own)
{
    struct autoscaler_spec s = spec_of(0);
    struct autoscaler *a;
    struct autoscaler_input in = input(10, 1060);

    s.stable_seconds = 10;
    a = autoscaler_new(config, &s);
    load(a, 1000, 1050, 70, 0);
    load(a, 1051, 1060, 7, 0);
    ck_assert_uint_eq(decide(a, &s, &in, 1060).desired, 10);
    s.stable_seconds = 30; /* another window begins empty */
    autoscaler_respec(a, config, &s);
    load(a, 1061, 1062, 13, 0);
    ck_assert_uint_eq(decide(a, &s, &in, 1062).desired, 19);
    s.exponential = true; /* the same one goes on */
    autoscaler_respec(a, config, &s);
    load(a, 1063, 1064, 0, 0);
    ck_assert_uint_lt(decide(a, &s, &in, 1064).desired, 10);
    s.exponential = false;
    autoscaler_respec(a, config, &s);
    ck_assert_uint_eq(decide(a, &s, &in, 1064).desired, 10);
    autoscaler_free(a);
}
END_TEST

/* ---- whatever comes */

static uint32_t random_state = 4711;

static uint32_t upto(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

static struct behavior some_behavior(void)
{
    struct behavior b = behavior_defaults;
    struct behavior_rules *r[2] = {&b.up, &b.down};

    for (int i = 0; i < 2; i++) {
        r[i]->stabilization_s = upto(3) * 20;
        r[i]->select = (enum behavior_select)upto(3);
        r[i]->policy_count = 1 + upto(3);
        for (uint32_t k = 0; k < r[i]->policy_count; k++)
            r[i]->policies[k] = (struct behavior_policy){upto(2), 1 + upto(100), 1 + upto(100)};
    }
    return b;
}

/* Any spec under any load: within the bounds, and awake as long as there is work. */
START_TEST(within_bounds)
{
    for (int round = 0; round < 300; round++) {
        struct behavior b = some_behavior();
        struct autoscaler_metric m[3] = {{METRIC_CPU, {HPA_UTILIZATION, 1 + upto(200), 500}, NULL},
                                         {METRIC_CONCURRENCY, {HPA_AVERAGE, 1 + upto(20), 0}, NULL},
                                         {METRIC_EXTERNAL, {HPA_VALUE, 1 + upto(20), 0}, NULL}};
        struct autoscaler_spec s = {.min = upto(5),
                                    .idle_timeout_ns = AT(upto(20)),
                                    .activation = upto(4),
                                    .delay_ns = AT(upto(3) * 10),
                                    .exponential = upto(2),
                                    .behavior = upto(2) ? &b : NULL,
                                    .metrics = m,
                                    .metric_count = upto(4)};
        struct autoscaler *a;
        uint32_t n = 0;

        s.max = s.min + 1 + upto(50);
        a = autoscaler_new(config, &s);
        for (uint64_t t = 1000; t < 1200; t += 2) {
            struct autoscaler_external e[3] = {{0}, {0}, {upto(2), upto(1000)}};
            struct hpa_sample used[3] = {{.usage = upto(5000)}};
            struct autoscaler_input in = input(n, t - upto(30));

            load(a, t - 1, t, upto(100), upto(100));
            in.concurrency = 1 + upto(10);
            in.running = upto(2);
            used[0].ready = upto(n + 1);
            used[0].unready = n - used[0].ready;
            in.instances = used;
            in.external = e;
            n = decide(a, &s, &in, t).requested;
            ck_assert_uint_ge(n, s.min);
            ck_assert_uint_le(n, s.max);
            if (in.running)
                ck_assert(n > 0 || (s.behavior && !in.current));
            if (upto(10) == 0) {
                in.current = n;
                in.waiting = upto(100);
                n = autoscaler_poke(a, config, &s, &in, AT(t + 1));
                ck_assert_uint_ge(n, 1);
                ck_assert_uint_le(n, s.max);
            }
        }
        autoscaler_free(a);
    }
}
END_TEST

/* More load never asks for less. */
START_TEST(monotone_in_load)
{
    for (int kind = 0; kind < 4; kind++) {
        uint32_t before = 0;

        for (uint32_t l = 0; l < 300; l++) {
            struct autoscaler_spec s = spec_of(1);
            struct autoscaler *a;
            struct autoscaler_input in = input(10, 1060);
            struct hpa_sample used = {.usage = l, .ready = 10};
            uint32_t n;

            metrics[0] = (struct autoscaler_metric){
                (enum autoscaler_metric_kind)kind, {HPA_AVERAGE, 7, 0}, NULL};
            a = autoscaler_new(config, &s);
            load(a, 1000, 1060, l, l);
            in.instances = &used;
            n = decide(a, &s, &in, 1060).wishes[kind];
            ck_assert_msg(n >= before, "metric %d, load %u: %u after %u", kind, l, n, before);
            before = n;
            autoscaler_free(a);
        }
        ck_assert_uint_gt(before, 10);
    }
}
END_TEST

/* The same load, whatever it is, ends in one number and stays there. */
START_TEST(no_flapping_under_steady_load)
{
    for (uint32_t l = 1; l < 120; l++) {
        for (int kind = 0; kind < 3; kind++) {
            struct autoscaler_spec s = spec_of(1);
            struct autoscaler *a;
            uint32_t n = 1 + upto(50), changes = 0;

            metrics[0] = (struct autoscaler_metric){
                (enum autoscaler_metric_kind)kind, {HPA_AVERAGE, 7, 0}, NULL};
            a = autoscaler_new(config, &s);
            for (uint64_t t = 1000; t < 2400; t += 2) {
                struct autoscaler_input in = input(n, t);
                struct hpa_sample used = {.usage = l, .ready = n};
                uint32_t next;

                load(a, t, t + 1, l, l);
                in.instances = &used;
                next = decide(a, &s, &in, t + 1).requested;
                changes += t >= 2000 && next != n;
                n = next;
            }
            ck_assert_msg(!changes, "metric %d, load %u: %u changes", kind, l, changes);
            ck_assert_uint_ge(n, (l + 7) / 8); /* the tolerance of cpu */
            ck_assert_uint_le(n, (l + 5) / 6);
            autoscaler_free(a);
        }
    }
}
END_TEST

UNIT_MAIN("autoscaler", concurrency_without_metrics, the_largest_wins, cpu_and_memory,
          default_behavior_is_for_resources, behavior_that_is_asked_for,
          to_zero_after_the_idle_timeout, one_stays_until_idle_and_zero_stays_zero,
          bounds_and_floors, each_rule_tells_what_it_left, delayed, provisioned, predicted, outside,
          missing_recommends_nothing, another_behavior_counts_on, custom, poke, windows_of_its_own,
          within_bounds, monotone_in_load, no_flapping_under_steady_load)
