#include "autoscaler/kpa.h"
#include "autoscaler/numbers.h"
#include "base/clock.h"

uint32_t kpa_decide(const struct kpa_config *c, const struct kpa_input *in, uint64_t now_ns,
                    struct kpa_state *state)
{
    double target = in->target > 0.01 ? in->target : 0.01;
    double ready = in->ready ? in->ready : 1;
    double up = ceiling(c->max_scale_up_rate * ready);
    double down = (double)(uint32_t)(ready / c->max_scale_down_rate);
    double panic_wish = ceiling(in->panic / target);
    uint32_t desired = within(ceiling(in->stable / target), down, up);
    uint32_t panic = within(panic_wish, down, up);

    if (panic_wish / ready >= c->panic_threshold) {
        state->panic_since_ns = now_ns;
    } else if (state->panic_since_ns &&
               now_ns - state->panic_since_ns > in->stable_seconds * NS_PER_S) {
        state->panic_since_ns = 0;
        state->panic_max = 0;
    }
    if (!state->panic_since_ns)
        return desired;
    if (desired < panic)
        desired = panic;
    if (desired > state->panic_max)
        state->panic_max = desired;
    return state->panic_max;
}

void kpa_adopt(struct kpa_state *state, uint32_t ready, uint64_t now_ns)
{
    if (ready <= 1 || ready <= state->panic_max)
        return;
    state->panic_since_ns = now_ns;
    state->panic_max = ready;
}
