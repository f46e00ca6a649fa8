/* lock.h - the scheduler's two locks.
 *
 * A `spin` guards a few lines of a channel or a heap, never a system call. A
 * `lock` may be held for longer: its waiters sleep. Both belong to whoever runs,
 * not to a thread: a spin is released by the context that a parked task was
 * switched to. Zero is free. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct spin {
    _Atomic uint32_t held;
};
struct lock {
    _Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps */
};

void spin_wait(struct spin *s); /* what spin_acquire() does when it is held */
/* Between two looks of one who waits for a few lines of another thread; `tries` counts from 0. */
void spin_pause(unsigned tries);
void lock_wait(struct lock *l);
void lock_wake(struct lock *l);

static inline bool spin_try(struct spin *s)
{
    return !atomic_exchange_explicit(&s->held, 1, memory_order_acquire);
}
static inline void spin_acquire(struct spin *s)
{
    if (__builtin_expect(!spin_try(s), 0))
        spin_wait(s);
}
static inline void spin_release(struct spin *s)
{
    atomic_store_explicit(&s->held, 0, memory_order_release);
}
static inline bool lock_try(struct lock *l)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(&l->word, &free, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}
static inline void lock_acquire(struct lock *l)
{
    if (!lock_try(l))
        lock_wait(l);
}
static inline void lock_release(struct lock *l)
{
    if (atomic_exchange_explicit(&l->word, 0, memory_order_release) == 2)
        lock_wake(l);
}
static inline void full_barrier(void)
{
#if defined(__SANITIZE_THREAD__)
    _Atomic uint32_t own = 0; /* ThreadSanitizer knows no fences */

    atomic_fetch_add(&own, 1);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}
static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
/* Waits while *word is `value`, until `ns` have passed (negative: for ever), or for no reason. */
void futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t ns);
void futex_wake(_Atomic uint32_t *word, int n);
