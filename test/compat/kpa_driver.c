/* module: controller/brain */
/* kpa_driver.c - what our autoscaler makes of a load, for autoscaler_test.py.
 *
 * stdin: scenarios as JSON, one a line: kpa/kpa_test.go has their members. stdout: of each, "= " and the
 * number of instances after each second step. */
#include "autoscaler/autoscaler.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>

static uint32_t number(struct json_object *o, const char *name)
{
    return (uint32_t)json_object_get_int64(json_get(o, name));
}

static int at(struct json_object *list, size_t i)
{
    return (int)json_object_get_int64(json_object_array_get_idx(list, i));
}

static void run(struct json_object *o)
{
    struct json_object *load = json_get(o, "load"), *ready = json_get(o, "ready");
    struct autoscaler_metric metric = {
        METRIC_CONCURRENCY, {HPA_AVERAGE, number(o, "target"), 0}, NULL};
    struct autoscaler_spec spec = {.max = UINT32_MAX,
                                   .stable_seconds = number(o, "stable"),
                                   .panic_seconds = number(o, "panic"),
                                   .delay_ns = number(o, "delay") * NS_PER_S,
                                   .metrics = &metric,
                                   .metric_count = 1};
    struct autoscaler *a = autoscaler_new(&autoscaler_defaults, &spec);
    uint64_t now = 1000000 * NS_PER_S;
    struct autoscaler_decision d = {.requested = 1};

    autoscaler_adopt(a, (uint32_t)at(ready, 0), now);
    putchar('=');
    for (size_t i = 0; i < json_object_array_length(load); i++) {
        struct autoscaler_observation seen = {.concurrency = at(load, i)};
        struct autoscaler_input in = {.concurrency = 1,
                                      .ready = (uint32_t)at(ready, i),
                                      .current = d.requested,
                                      .running = 1}; /* zero is the platform's own */

        now += NS_PER_S;
        in.last_active_ns = now;
        if (at(load, i) >= 0)
            autoscaler_observe(a, now, &seen);
        if (i % 2 == 0)
            continue;
        autoscaler_decide(a, &autoscaler_defaults, &spec, &in, now, &d);
        printf(" %u", d.requested);
    }
    putchar('\n');
    autoscaler_free(a);
}

int main(void)
{
    cleanup_free char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) {
        struct json_object *o = json_tokener_parse(line);

        if (!o) {
            fprintf(stderr, "kpa_driver: not a scenario: %s", line);
            return 1;
        }
        run(o);
        json_object_put(o);
    }
    return 0;
}
