/* freeze_function.c - a function on the SDK with a preFreeze hook, and with a task that spins beside the handler
 * once an event has "spin" in it. Answers with "CALLS FREEZES SPINS". test_freeze.py builds it. */
#include <rouse/rouse.h>
#include <rouse/sched.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls, freezes, spins;
static atomic_bool spinning;

static int on_freeze(struct rouse_context *ctx)
{
    rouse_log(ctx, "freezing for time %ld", atomic_fetch_add(&freezes, 1) + 1);
    return 0;
}

static void spin(void *arg)
{
    (void)arg;
    for (;;)
        if (atomic_fetch_add(&spins, 1) % 4096 == 0)
            rouse_yield();
}

static char *handle(const char *event)
{
    char *answer;

    close(open("/tmp/marker-c", O_CREAT | O_CLOEXEC, 0600)); /* how the test finds its processes */
    if (strstr(event, "spin") && !atomic_exchange(&spinning, true))
        rouse_spawn(spin, NULL);
    if (asprintf(&answer, "%ld %ld %ld", atomic_fetch_add(&calls, 1) + 1, atomic_load(&freezes),
                 atomic_load(&spins)) < 0)
        return NULL;
    return answer;
}

int main(void)
{
    return rouse_hook("freeze", on_freeze) < 0 || rouse_start(handle) < 0;
}
