/* freeze.c - an idle instance is frozen, and uses no CPU until something is asked of it. On the pool's loop.
 *
 * Ready -> idle for so long -> its preFreeze -> Frozen -> Ready, by the next invocation, or on to Draining or
 * Failed: whatever leaves Frozen thaws, since a stop's signals would be slept through. Frozen slots are free
 * slots; those of an instance in its preFreeze are not, for no INVOKE may come before the hook's answer.
 *
 * Invocations do not touch the timer: it is set by the one that leaves the instance idle, if it is not set
 * already, and then looks at when the last one ended. A busy instance costs a timer a period. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

/* Nothing runs there or is about to. What has its client's answer but not the runtime's, and a stream
 * that is still open, holds its slot. */
static bool is_idle(const struct instance *i)
{
    return i->state == STATE_READY && !i->closing && !i->freezing && !i->in_flight && !i->leased &&
           !i->pool->ending;
}

/* ---------------------------------------------------------------- Frozen */

static void set_frozen(struct instance *i)
{
    static atomic_bool told; /* by whichever loop finds out first */
    struct pool *p = i->pool;
    int r = launcher_freeze(p->config.launcher, i->cgroup, true);

    if (r == -ENOENT) /* it is going: its exit will be told */
        return;
    if (r < 0) {
        if (!atomic_exchange(&told, true))
            log_warn("instances are not frozen on this node: %s",
                     r == -EOPNOTSUPP ? "no cgroup freezer can be used" : strerror(-r));
        p->config.freeze_after_ns = 0;
        return;
    }
    i->usage_final = false;
    report_frozen(p->config.report);
    reclaim_frozen(p->config.reclaim, &i->memory, i->cgroup);
    instance_turn(i, STATE_FROZEN);
    status_send(i);
}

void freeze_undo(struct instance *i)
{
    struct pool *p = i->pool;
    int r = launcher_freeze(p->config.launcher, i->cgroup, false);

    reclaim_thawed(p->config.reclaim, &i->memory);
    if (r < 0 && r != -ENOENT)
        log_warn("instance %s cannot be thawed: %s", i->id, strerror(-r));
    report_thawed(p->config.report);
}

bool freeze_wake(struct instance *i)
{
    if (i->state != STATE_FROZEN)
        return false;
    instance_turn(i, STATE_READY);
    return true;
}

/* ---------------------------------------------------------------- idle */

void freeze_hooked(struct instance *i)
{
    i->freezing = false;
    slot_update(i);
    slots_offer(i->revision); /* what came meanwhile goes first */
    if (is_idle(i) && i->pool->config.freeze_after_ns)
        set_frozen(i);
}

static void on_idle(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, idle);
    uint64_t due = i->idle_ns + i->pool->config.freeze_after_ns;

    if (!is_idle(i) || !i->pool->config.freeze_after_ns) /* it is idle again when someone says so */
        return;
    if (loop_now(i->pool->loop) < due) {
        loop_timer_set(i->pool->loop, t, due);
        return;
    }
    i->freezing = hooks_pre_freeze(i);
    if (i->freezing)
        slot_update(i);
    else
        set_frozen(i);
}

void freeze_when_idle(struct instance *i)
{
    struct loop *loop = i->pool->loop;

    if (!i->pool->config.freeze_after_ns || loop_timer_armed(&i->idle) || !is_idle(i))
        return;
    i->idle.fn = on_idle;
    loop_timer_set(loop, &i->idle, loop_now(loop) + i->pool->config.freeze_after_ns);
}
