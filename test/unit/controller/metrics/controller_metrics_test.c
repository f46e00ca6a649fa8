#include "metrics/controller_metrics.h"
#include "unit.h"

#include <string.h>

static char *all(void)
{
    static const struct scale_sample functions[] = {
        {.ns = "default",
         .function = "a",
         .revision = "r1",
         .desired = 3,
         .requested = 2,
         .actual = 1,
         .ready = 0,
         .stable = 0.5,
         .panic = 1.5,
         .target = 0.7,
         .panic_mode = true},
        {.ns = "other", .function = "b", .revision = "r2"},
    };
    static const struct refusal_sample refused[] = {{"NotFound", 4}, {"QueueFull", 0}};
    static const struct node_sample nodes[] = {{"Ready", 3}, {"Lost", 0}};
    struct histogram wait;
    struct buffer b = {0};

    static const struct rule_sample rules[] = {{.ns = "default",
                                                .function = "a",
                                                .reason = "MaxReached",
                                                .wishes = {{"CPU", 5}},
                                                .wish_count = 1,
                                                .rules = {{"before", 1}, {"max", 2}},
                                                .rule_count = 2},
                                               {.ns = "default", .function = "b"}};
    static const struct placement_sample placements[] = {{"Placed", 6}, {"NoRoom", 1}};

    histogram_init(&wait, histogram_seconds);
    histogram_observe(&wait, 0.02);
    scale_metrics(&b, functions, 2);
    rule_metrics(&b, rules, 2);
    placement_metrics(&b, placements, 2);
    crash_metrics(&b, &(struct crash_sample){"default", "c", "InitFailed"}, 1);
    activator_metrics(&b, &(struct activator_sample){.tickets = 7,
                                                     .held_bytes = 900,
                                                     .tickets_limit = 10,
                                                     .held_limit = 1000,
                                                     .wait = &wait,
                                                     .refused = refused,
                                                     .refused_count = 2});
    node_metrics(&b, nodes, 2, true);
    return buffer_take_string(&b);
}

START_TEST(names_and_labels)
{
    static const char *const lines[] = {
        "rouse_autoscaler_desired_instances{namespace=\"default\",function=\"a\",revision=\"r1\"} "
        "3\n",
        "rouse_autoscaler_requested_instances{namespace=\"default\",function=\"a\",revision=\"r1\"}"
        " 2\n",
        "rouse_autoscaler_actual_instances{namespace=\"default\",function=\"a\",revision=\"r1\"} "
        "1\n",
        "rouse_autoscaler_ready_instances{namespace=\"other\",function=\"b\",revision=\"r2\"} 0\n",
        "rouse_autoscaler_stable_request_concurrency{namespace=\"default\",function=\"a\",revision=\"r1\"} "
        "0.5\n",
        "rouse_autoscaler_panic_request_concurrency{namespace=\"default\",function=\"a\",revision=\"r1\"} "
        "1.5\n",
        "rouse_autoscaler_target_concurrency_per_instance{namespace=\"default\",function=\"a\",revision=\"r1\"} "
        "0.7\n",
        "rouse_autoscaler_panic_mode{namespace=\"default\",function=\"a\",revision=\"r1\"} 1\n",
        "rouse_autoscaler_wish_instances{namespace=\"default\",function=\"a\",metric=\"CPU\"} 5\n",
        "rouse_autoscaler_rule_instances{namespace=\"default\",function=\"a\",rule=\"before\"} 1\n",
        "rouse_autoscaler_rule_instances{namespace=\"default\",function=\"a\",rule=\"max\"} 2\n",
        "rouse_autoscaler_reason{namespace=\"default\",function=\"a\",reason=\"MaxReached\"} 1\n",
        "rouse_function_crash_loop{namespace=\"default\",function=\"c\",reason=\"InitFailed\"} 1\n",
        "rouse_activator_tickets_limit 10\n",
        "rouse_activator_held_bytes_limit 1000\n",
        "rouse_scheduler_placements_total{outcome=\"NoRoom\"} 1\n",
        "\nrouse_activator_tickets 7\n",
        "\nrouse_activator_held_bytes 900\n",
        "rouse_activator_wait_seconds_count 1\n",
        "rouse_activator_refused_total{reason=\"NotFound\"} 4\n",
        "rouse_activator_refused_total{reason=\"QueueFull\"} 0\n",
        "rouse_nodes{state=\"Ready\"} 3\n",
    };
    char *text = all();

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        ck_assert_msg(strstr(text, lines[i]), "%s in\n%s", lines[i], text);
    free(text);
}
END_TEST

START_TEST(one_family_once)
{
    char *text = all(), *first = strstr(text, "# TYPE rouse_autoscaler_ready_instances gauge\n");

    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(first + 1, "# TYPE rouse_autoscaler_ready_instances"));
    ck_assert_ptr_nonnull(strstr(text, "# HELP rouse_activator_wait_seconds "));
    ck_assert_ptr_null(strstr(text, "reason{namespace=\"default\",function=\"b\""));
    free(text);
}
END_TEST

UNIT_MAIN("controller_metrics", names_and_labels, one_family_once)
