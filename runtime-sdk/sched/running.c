/* running.c - see running.h.
 *
 * By SIGURG, which is ignored where nobody asks for it (Go takes it for the same
 * reason), and whose handler is installed only meanwhile. What a thread that
 * answers too late writes to is never given back. */
#include "sched/running.h"
#include "sched/internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { PATIENCE_NS = 1000000000, LATE_MAX = 3 };

struct answer {
    struct machine *machine;
    _Atomic uint32_t done; /* futex */
    const struct task *task;
    struct trace trace;
};
struct running {
    size_t size;
    uint32_t count, late;
    struct answer answers[];
};

static void on_ask(int signal_number, siginfo_t *info, void *context)
{
    struct answer *a = info->si_value.sival_ptr;
    const struct machine *m = machine_self();
    const ucontext_t *u = context;
    int error = errno;

    (void)signal_number;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid())
        return;
    a->task = m->current;
#if defined(__x86_64__)
    trace_take(&a->trace, (uintptr_t)u->uc_mcontext.gregs[REG_RIP]);
#else
    trace_take(&a->trace, (uintptr_t)u->uc_mcontext.pc);
#endif
    atomic_store_explicit(&a->done, 1, memory_order_release);
    futex_wake(&a->done, 1);
    errno = error;
}

static void ask(struct running *r, struct answer *a)
{
    int64_t until = rouse_after(PATIENCE_NS), left;

    if (pthread_sigqueue(a->machine->thread, SIGURG, (union sigval){.sival_ptr = a}) != 0)
        return;
    while (!atomic_load_explicit(&a->done, memory_order_acquire)) {
        left = until - rouse_now();
        if (left <= 0) {
            r->late++;
            return;
        }
        futex_wait(&a->done, 0, left);
    }
}

/* Those that do not sleep. */
static struct running *list_machines(const struct machine *self)
{
    struct running *r;
    uint32_t n;
    size_t size;

    lock_acquire(&sched.lock);
    n = sched.machine_count;
    size = sizeof(*r) + n * sizeof(r->answers[0]);
    r = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r == MAP_FAILED) {
        lock_release(&sched.lock);
        return NULL;
    }
    r->size = size;
    for (struct machine *m = sched.machines; m && r->count < n; m = m->next) {
        const struct machine *idle = sched.idle_machines;

        while (idle && idle != m)
            idle = idle->next_idle;
        if (!idle && m != self)
            r->answers[r->count++].machine = m;
    }
    lock_release(&sched.lock);
    return r;
}

struct running *running_traces(struct machine *self)
{
    struct sigaction action = {.sa_sigaction = on_ask,
                               .sa_flags = (int)(SA_SIGINFO | SA_RESTART | SA_ONSTACK)};
    struct sigaction old;
    struct running *r = list_machines(self);

    if (!r)
        return NULL;
    sigemptyset(&action.sa_mask);
    sigaction(SIGURG, &action, &old);
    for (uint32_t i = 0; i < r->count && r->late < LATE_MAX; i++)
        ask(r, &r->answers[i]);
    sigaction(SIGURG, &old, NULL);
    return r;
}

bool running_trace(const struct running *r, const struct task *t, struct trace *ret)
{
    for (uint32_t i = 0; r && i < r->count; i++) {
        if (atomic_load_explicit(&r->answers[i].done, memory_order_acquire) &&
            r->answers[i].task == t) {
            *ret = r->answers[i].trace;
            return true;
        }
    }
    return false;
}

struct running *running_free(struct running *r)
{
    if (r && !r->late)
        munmap(r, r->size);
    return NULL;
}
