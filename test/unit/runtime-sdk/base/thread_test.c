/* A thread of ours takes no signal; whoever starts it keeps its own mask. */
#include "base/thread.h"
#include "unit.h"

#include <signal.h>

static void *tell_mask(void *arg)
{
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return NULL;
}

START_TEST(it_blocks_all)
{
    sigset_t its, mine;
    pthread_t t;

    ck_assert_int_eq(thread_start(&t, tell_mask, &its), 0);
    pthread_join(t, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP)
            ck_assert_int_eq(sigismember(&its, s), 1);
    ck_assert_int_eq(sigismember(&mine, SIGTERM), 0);
}
END_TEST

UNIT_MAIN("thread", it_blocks_all)
