#include "sched/internal.h"
#include "sched/local.h"
#include "sched/scope.h"
int signals_init(void)
{
    return 0;
}
void signals_done(void) {}
void signals_thread_init(struct machine *m)
{
    (void)m;
}
void signals_thread_done(struct machine *m)
{
    (void)m;
}
void deadlock_check(void) {}
int scope_child_begins(struct machine *m, struct rouse_scope *s, struct task *t)
{
    (void)m;
    (void)s;
    (void)t;
    return 0;
}
struct machine *scope_child_ended(struct machine *m)
{
    return m;
}
struct machine *locals_done(struct machine *m)
{
    return m;
}
