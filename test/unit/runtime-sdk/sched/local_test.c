#include "run.h"

static atomic_int freed;
static struct rouse_chan *told;

static void free_int(void *value)
{
    freed++;
    free(value);
}
/* May wait, look at another one, and set it again. */
static void tell(void *value);
static struct rouse_local number = {free_int}, plain = {NULL}, teller = {tell};

static void tell(void *value)
{
    int v = *(int *)value;

    free(value);
    MUST_BE(rouse_chan_send(told, &v, ROUSE_NEVER), 0);
    if (v > 0) {
        int *again = malloc(sizeof(*again));

        *again = v - 1;
        MUST(rouse_local_get(&teller) == NULL);
        MUST_BE(rouse_local_set(&teller, again), 0);
    }
}

static int *boxed(int v)
{
    int *box = malloc(sizeof(*box));

    *box = v;
    return box;
}

static void own(void *arg)
{
    int mine = (int)(intptr_t)arg;

    MUST(rouse_local_get(&number) == NULL);
    MUST_BE(rouse_local_set(&number, boxed(mine)), 0);
    MUST_BE(rouse_local_set(&plain, &mine), 0);
    for (int i = 0; i < 10; i++) {
        rouse_yield();
        MUST_BE(*(int *)rouse_local_get(&number), mine);
        MUST(rouse_local_get(&plain) == &mine);
    }
    free(rouse_local_get(&number));
    MUST_BE(rouse_local_set(&number, boxed(mine + 1)), 0);
    MUST_BE(*(int *)rouse_local_get(&number), mine + 1);
    if (mine % 2) {
        free(rouse_local_get(&number));
        MUST_BE(rouse_local_set(&number, NULL), 0); /* what is NULL is not freed */
    }
}

static void every_task(void *unused)
{
    struct rouse_scope *s;

    (void)unused;
    freed = 0;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &s), 0);
    for (intptr_t i = 0; i < 50; i++)
        MUST_BE(rouse_scope_spawn(s, own, (void *)i), 0);
    MUST_BE(rouse_scope_wait(s, ROUSE_NEVER), 0);
    rouse_scope_close(s);
    MUST_BE(freed, 25); /* they were, before their task had ended */
}

START_TEST(every_task_has_its_own)
{
    run(every_task);
}
END_TEST

static void teller_task(void *unused)
{
    (void)unused;
    MUST_BE(rouse_local_set(&teller, boxed(2)), 0);
}

static void waits_in_free(void *unused)
{
    int v;

    (void)unused;
    MUST_BE(rouse_chan_new(sizeof(int), 0, &told), 0);
    rouse_spawn(teller_task, NULL);
    for (int want = 2; want >= 0; want--) {
        MUST_BE(rouse_chan_receive(told, &v, ROUSE_NEVER), 0);
        MUST_BE(v, want);
    }
    rouse_chan_free(told);
}

START_TEST(free_may_wait_and_set_again)
{
    run(waits_in_free);
}
END_TEST

START_TEST(not_in_a_task)
{
    ck_assert_ptr_null(rouse_local_get(&plain));
    ck_assert_int_eq(rouse_local_set(&plain, &freed), -EPERM);
}
END_TEST

UNIT_MAIN("local", every_task_has_its_own, free_may_wait_and_set_again, not_in_a_task)
