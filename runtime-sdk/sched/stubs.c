#include "sched/internal.h"
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
