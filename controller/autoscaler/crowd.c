#include "autoscaler/crowd.h"
#include "autoscaler/numbers.h"

static double start_of(const struct crowd *in)
{
    return in->start_ns ? (double)in->start_ns : 1;
}

/* What a call takes at least: n slots of which none became free in t are n calls that took t. 0: not known. */
static double run_of(const struct crowd *in)
{
    double still = (double)in->still_ns * in->serving * in->concurrency;

    return still > (double)in->run_ns ? still : (double)in->run_ns;
}

/* Nobody can have offered a slot that was free before they were asked for one. */
static uint64_t to_ask(const struct crowd *in)
{
    uint64_t start = in->start_ns ? in->start_ns : 1,
             ask = start < CROWD_ASK_NS ? start : CROWD_ASK_NS;

    return in->serving && in->waited_ns < ask ? ask - in->waited_ns : 0;
}

uint32_t crowd_more(const struct crowd *in)
{
    double run = run_of(in), start = start_of(in);
    /* What one slot that is new takes, and one that is there, before the queue should be empty. */
    double new = run > 0 ? 1 + (CROWD_STARTS - 1) * start / run : 1;
    double old = run > 0 ? CROWD_STARTS * start / run : 0;
    double left;

    if (to_ask(in) || (in->serving && run <= 0))
        return 0;
    left = in->waiting - in->concurrency * (in->serving * old + in->starting * new);
    if (left <= 1e-9 * in->waiting) /* the last digits */
        return 0;
    left = ceiling(left / (in->concurrency * new));
    return left > 1 ? whole(left) : 1;
}

uint64_t crowd_patience(const struct crowd *in)
{
    double slots = (double)in->serving * in->concurrency;
    double left = in->waiting - (double)in->starting * in->concurrency, run, still;
    uint64_t ask = to_ask(in), wait;

    if (left <= 0)
        return UINT64_MAX;
    if (!in->serving)
        return crowd_more(in) ? 0 : UINT64_MAX;
    /* More than what crowd_more() subtracts waits when a call takes longer than this. */
    run = start_of(in) *
          (CROWD_STARTS * slots + (CROWD_STARTS - 1) * (double)in->starting * in->concurrency) / left;
    still = run / slots;
    wait = run < run_of(in) ? 0 : (uint64_t)(still - (double)in->still_ns) + 1;
    wait = ask > wait ? ask : wait;
    return wait || crowd_more(in) ? wait : CROWD_ASK_NS; /* by a last digit */
}
