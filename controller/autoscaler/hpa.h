/* hpa.h - how many instances a metric asks for, by the rule of autoscaling/v2.
 *
 * desired = ceil(instances x usage / target), and no change within the
 * tolerance. Instances whose metric is missing count at their target (a
 * utilisation: at 100 % or the target, if that is more) when it would go down
 * and at nothing when it would go up; those that are not ready count at
 * nothing when it would go up. If these change the direction, or end within
 * the tolerance, all stays as it is. Pure. Source: Kubernetes' "Horizontal
 * Pod Autoscaling", algorithm details. Instances of a function are alike, so
 * sums say all that the single values would. */
#pragma once
#include <stdint.h>

enum hpa_target {
    HPA_UTILIZATION, /* percent of what each instance asks for (`request`) */
    HPA_AVERAGE,     /* of an instance */
    HPA_VALUE,       /* of something outside, as a whole */
};
struct hpa_metric {
    enum hpa_target target;
    double value;   /* > 0 */
    double request; /* HPA_UTILIZATION: of an instance, in the usage's unit */
};
struct hpa_sample {
    double usage;     /* sum over `ready`; of something outside: its value */
    uint32_t ready;   /* ready and measured */
    uint32_t missing; /* ready, not measured */
    uint32_t unready; /* not ready, or not for long enough to be measured */
};
struct hpa_tolerance {
    double up, down;
};

/* Of the instances' own metric (HPA_UTILIZATION, HPA_AVERAGE). -ENODATA: none is measured. */
int hpa_of_instances(const struct hpa_metric *m, const struct hpa_sample *s, uint32_t current,
                     const struct hpa_tolerance *t, uint32_t *ret);
/* Of something outside (HPA_VALUE, HPA_AVERAGE); `ready` instances share it. */
uint32_t hpa_of_outside(const struct hpa_metric *m, double value, uint32_t ready, uint32_t current,
                        const struct hpa_tolerance *t);
