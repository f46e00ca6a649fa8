/* lock.c - waiting for a lock, and the futex calls. */
#include "sched/lock.h"

#include <linux/futex.h>
#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_PAUSES = 100, SPIN_YIELDS = 50 };

/* The holder is in the middle of a few lines, or lost its cpu there: give it one. */
void spin_pause(unsigned tries)
{
    if (tries < SPIN_PAUSES)
        cpu_relax();
    else if (tries < SPIN_PAUSES + SPIN_YIELDS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

void spin_wait(struct spin *s)
{
    for (unsigned tries = 0;; tries++) {
        if (!atomic_load_explicit(&s->held, memory_order_relaxed) && spin_try(s))
            return;
        spin_pause(tries);
    }
}

void lock_wait(struct lock *l)
{
    for (unsigned tries = 0; tries < SPIN_PAUSES; tries++) {
        uint32_t free = 0;

        if (atomic_compare_exchange_weak_explicit(&l->word, &free, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        cpu_relax();
    }
    while (atomic_exchange_explicit(&l->word, 2, memory_order_acquire))
        futex_wait(&l->word, 2, -1);
}

void lock_wake(struct lock *l)
{
    futex_wake(&l->word, 1);
}

void futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns < 0 ? NULL : &ts, NULL, 0);
}

void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}
