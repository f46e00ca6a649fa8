/* template_queue.c - children for the instances that wait for one, and one more. */
#include "pool/template.h"
#include "base/cleanup.h"

void template_step_soon(struct revision *r, uint64_t in_ns)
{
    struct loop *loop = r->pool->loop;
    uint64_t at = loop_now(loop) + in_ns;

    if (!loop_timer_armed(&r->fork_timer) || at < r->fork_timer.at)
        loop_timer_set(loop, &r->fork_timer, at);
}

static unsigned length(const struct list *l)
{
    unsigned n = 0;

    list_for_each(it, l) n++;
    return n;
}

static struct instance *pop_waiting(struct revision *r)
{
    struct list *l = list_pop_front(&r->waiting);

    return l ? list_entry(l, struct instance, waiting) : NULL;
}

/* There is nothing to wait for. */
static void release(struct revision *r)
{
    struct instance *i;

    while (!r->candidate && (i = pop_waiting(r))) {
        if (i->state == STATE_INITIALIZING) {
            instance_fail(i, "ForkFailed", "its template ended before it was forked");
            continue;
        }
        if (!r->fork_refused)
            r->candidate = i;
        instance_start(i);
        while (r->candidate && (i = pop_waiting(r)))
            instance_start(i); /* not one after the other's failure */
    }
}

static void ask(struct template *t, bool refill)
{
    unsigned waiting = length(&t->revision->waiting), have = forked_awaited(t);
    unsigned want = waiting + refill;

    if (forked_parked(t))
        have++;
    while (have < want && have < FORKS_AT_ONCE) {
        if (forked_ask(t) < 0) {
            template_end(t, "it cannot be asked to fork");
            return;
        }
        have++;
    }
    if (!refill && have == waiting)
        template_step_soon(t->revision, FORK_REFILL_NS);
    if (!forked_awaited(t)) {
        template_door_shut(t);
        template_sleep(t);
    }
}

static void step(struct revision *r, bool refill)
{
    struct template *t = r->template;
    struct forked *f;

    if (r->pool->ending || (t && t->host))
        return;
    if (!t) {
        release(r);
        return;
    }
    while (!list_empty(&r->waiting) && (f = forked_parked(t))) {
        struct instance *i = pop_waiting(r);

        if (!forked_give(f, i)) {
            list_push_front(&r->waiting, &i->waiting);
            template_failed(t, "a child hung up before it was used");
            return;
        }
        template_used(t);
    }
    ask(t, refill);
}

void template_step(struct revision *r)
{
    step(r, false);
}

static void on_step(struct loop_timer *t)
{
    step(container_of(t, struct revision, fork_timer), true);
}

void template_init(struct revision *r)
{
    list_init(&r->waiting);
    r->fork_timer.fn = on_step;
}
