#include "autoscaler/autoscaler.h"
#include "base/clock.h"

const struct autoscaler_config autoscaler_defaults = {
    .stable_seconds = 60,
    .panic_seconds = 6,
    .utilization = 0.7,
    .max_scale_up_rate = 1000,
    .max_scale_down_rate = 2,
    .panic_threshold = 2.0,
};

/* Of values that are not negative. */
static double ceiling(double v)
{
    double whole = v < 4294967295.0 ? (double)(uint32_t)v : 4294967295.0;

    return v > whole ? whole + 1 : whole;
}

static uint32_t clamp(double v, double low, double high)
{
    if (v < low)
        v = low;
    if (v > high)
        v = high;
    return v < 4294967295.0 ? (uint32_t)v : UINT32_MAX;
}

static double target_of(const struct autoscaler_config *c, const struct autoscaler_spec *s)
{
    double target = (double)s->concurrency * c->utilization;

    return target > 0.01 ? target : 0.01;
}

void autoscaler_decide(const struct autoscaler_config *c, const struct autoscaler_spec *s,
                       const struct autoscaler_input *in, uint64_t now_ns,
                       struct autoscaler_state *state, struct autoscaler_decision *ret)
{
    double target = target_of(c, s);
    double ready = in->ready ? in->ready : 1;
    double up = ceiling(c->max_scale_up_rate * ready);
    double down = (double)(uint32_t)(ready / c->max_scale_down_rate);
    double panic_wish = ceiling(in->panic / target);
    uint32_t stable = clamp(ceiling(in->stable / target), down, up);
    uint32_t panic = clamp(panic_wish, down, up);
    uint32_t desired = stable;

    if (panic_wish / ready >= c->panic_threshold) {
        state->panic_since_ns = now_ns;
    } else if (state->panic_since_ns &&
               now_ns - state->panic_since_ns > c->stable_seconds * NS_PER_S) {
        state->panic_since_ns = 0;
        state->panic_max = 0;
    }
    if (state->panic_since_ns) {
        if (desired < panic)
            desired = panic;
        if (desired > state->panic_max)
            state->panic_max = desired;
        desired = state->panic_max;
    }

    if (!in->waiting && !in->running && now_ns - in->last_active_ns >= s->idle_timeout_ns) {
        desired = 0;
        *state = (struct autoscaler_state){0};
    } else if (!desired && (in->current || in->waiting || in->running)) {
        desired = 1;
    }
    *ret = (struct autoscaler_decision){
        .desired = desired,
        .requested = clamp(desired, s->min, s->max),
        .panic = state->panic_since_ns != 0,
        .target = target,
    };
}

uint32_t autoscaler_poke(const struct autoscaler_config *c, const struct autoscaler_spec *s,
                         uint32_t waiting)
{
    uint32_t concurrency = s->concurrency ? s->concurrency : 1;
    uint32_t want = clamp(ceiling((double)waiting / concurrency), 1, ceiling(c->max_scale_up_rate));

    return clamp(want, s->min, s->max);
}

void autoscaler_adopt(struct autoscaler_state *state, uint32_t ready, uint64_t now_ns)
{
    if (ready <= 1 || ready <= state->panic_max)
        return;
    state->panic_since_ns = now_ns;
    state->panic_max = ready;
}
