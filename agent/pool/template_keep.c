/* template_keep.c - templates while their functions sleep: asleep themselves, and kept as long as there is room and a
 * use for them. */
#include "pool/template.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "pool/memory.h"

#include <string.h>

#define CHECK_NS NS_PER_S
enum { SHORT_PERCENT = 6 }; /* less than that of the memory left: it is short */

static bool is_idle(const struct template *t)
{
    return list_empty(&t->taken) && list_empty(&t->revision->waiting) && !t->revision->live;
}

/* What is foreign code and nobody's instance uses no processor. While there are instances it is awake, from
 * the next child that is asked for on: the sandbox's init, which lies in the same cgroup, reaps what they leave
 * behind. (The launcher thaws it when a child ends, so that what is asleep is told so again.) */
void template_sleep(struct template *t)
{
    if (!t->stands || t->stopped || !is_idle(t))
        return;
    t->asleep = true;
    launcher_freeze(t->pool->config.launcher, t->cgroup, true);
}

void template_wake(struct template *t)
{
    if (t->asleep)
        launcher_freeze(t->pool->config.launcher, t->cgroup, false);
    t->asleep = false;
}

/* ---------------------------------------------------------------- kept */
/* Over the limit, or short of memory: the one that was not used for longest. */
static void end_oldest(struct pool *p, const char *why)
{
    list_for_each(it, &p->templates)
    {
        struct template *t = list_entry(it, struct template, link);

        if (!t->ending && is_idle(t)) {
            template_end(t, why);
            return;
        }
    }
}

/* NULL: it is still to be kept. */
static const char *over(const struct template *t)
{
    const struct pool_config *c = &t->pool->config;
    const char *active;

    if (t->pool->cordoned)
        return "its node is cordoned";
    if (!c->active_revision)
        return NULL;
    active = c->active_revision(c->user, t->revision->function_key);
    return !active ? "its function is gone"
           : strcmp(active, t->revision->revision) != 0
               ? "its revision is not the active one any more"
               : NULL;
}

static void on_check(struct loop_timer *timer)
{
    struct pool *p = container_of(timer, struct pool, template_check);
    struct memory_state m;

    list_for_each(it, &p->templates)
    {
        struct template *t = list_entry(it, struct template, link);
        const char *why = !t->ending && is_idle(t) ? over(t) : NULL;

        if (why)
            template_end(t, why);
    }
    if (memory_look("/proc", p->config.memory_cgroup, &m) == 0 && memory_short(&m, SHORT_PERCENT))
        end_oldest(p, "the node is short of memory");
    if (!list_empty(&p->templates))
        loop_timer_set(p->loop, timer, loop_now(p->loop) + CHECK_NS);
}

void templates_watch(struct pool *p)
{
    if (p->template_count > p->config.templates)
        end_oldest(p, "more templates than this node keeps (--templates)");
    if (!loop_timer_armed(&p->template_check)) {
        p->template_check.fn = on_check;
        loop_timer_set(p->loop, &p->template_check, loop_now(p->loop) + CHECK_NS);
    }
}
