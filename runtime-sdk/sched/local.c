/* local.c - values of a task: a list, since a task has a few of them, and most have none. Only the task itself
 * ever looks at it. */
#include "sched/local.h"
#include "sched/internal.h"

#include <errno.h>
#include <stdlib.h>

struct local_value {
    struct local_value *next;
    const struct rouse_local *key;
    void *value;
};

/* NULL: not in a task. Neither its thread nor the machine of it changes while it runs here. */
static struct task *current_task(void)
{
    return machine_self()->current;
}

static struct local_value *find(const struct task *t, const struct rouse_local *key)
{
    struct local_value *v = t->locals;

    while (v && v->key != key)
        v = v->next;
    return v;
}

void *rouse_local_get(const struct rouse_local *key)
{
    const struct task *t = current_task();
    const struct local_value *v = t ? find(t, key) : NULL;

    return v ? v->value : NULL;
}

int rouse_local_set(const struct rouse_local *key, void *value)
{
    struct task *t = current_task();
    struct local_value *v;

    if (!t)
        return -EPERM;
    v = find(t, key);
    if (!v) {
        v = malloc(sizeof(*v));
        if (!v)
            return -ENOMEM;
        v->key = key;
        v->next = t->locals;
        t->locals = v;
    }
    v->value = value;
    return 0;
}

/* One that is freed may look at others, and set some again: they are taken off one by one, the newest first. */
struct machine *locals_done(struct machine *m)
{
    struct task *t = m->current;
    struct local_value *v;

    sched_leave(m);
    while ((v = t->locals)) {
        t->locals = v->next;
        if (v->key->free && v->value)
            v->key->free(v->value);
        free(v);
    }
    return sched_enter();
}
