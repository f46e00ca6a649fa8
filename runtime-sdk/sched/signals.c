/* signals.c - see signals.h. What handles a fault runs on its thread's alternate stack and is async-signal-safe,
 * as far as an unwinder can be. */
#include "sched/signals.h"
#include "sched/internal.h"
#include "sched/report.h"
#include "sched/symbols.h"
#include "sched/trace.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* A frame of the kernel's, which AVX-512 and SVE make large, and the unwinder's. */
enum { ALTERNATE_SIZE = 64 << 10, PATIENCE_MS = 2000 };

static const int faults[] = {SIGSEGV, SIGBUS};
static struct sigaction before[2], quit_before;
static bool installed, quit_installed;
static void (*_Atomic on_overflow)(const char *task, size_t stack);

void sched_on_overflow(void (*fn)(const char *task, size_t stack))
{
    atomic_store(&on_overflow, fn);
}

static uintptr_t where(const ucontext_t *u)
{
#if defined(__x86_64__)
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#else
    return (uintptr_t)u->uc_mcontext.pc;
#endif
}

/* Its name, or its function's. */
static const char *label(const struct task *t, char *unnamed, size_t size)
{
    struct symbol s = symbol_of((uintptr_t)t->fn, true);
    static const char digits[] = "0123456789abcdef";
    size_t at;

    if (t->name[0] || !s.name)
        return t->name[0] ? t->name : "?";
    strncpy(unnamed, s.name, size - 1);
    at = strlen(unnamed);
    if (!s.offset || at + sizeof("+0x") + 16 > size)
        return unnamed;
    memcpy(unnamed + at, "+0x", 3);
    at += 3;
    for (int shift = 60; shift >= 0; shift -= 4) {
        if (s.offset >> shift)
            unnamed[at++] = digits[s.offset >> shift & 15];
    }
    return unnamed;
}

static void tell_line(const struct task *t, const struct stack *s, const char *end, struct text *to)
{
    void (*fn)(const char *, size_t) = atomic_load(&on_overflow);
    char unnamed[128] = "";
    const char *name = label(t, unnamed, sizeof(unnamed));

    text_put(to, "rouse: task ");
    text_put(to, name);
    text_put(to, " (id ");
    text_plain(to, t->id);
    text_put(to, ") overflowed its stack of ");
    text_plain(to, stack_size(s));
    text_put(to, end);
    text_flush(to);
    if (fn)
        fn(name, stack_size(s));
}

static void tell(const struct task *t, const struct stack *s, const ucontext_t *u)
{
    static struct trace trace; /* large, and one thread comes here */
    struct text to = {.fd = STDERR_FILENO};

    tell_line(t, s, " bytes\n", &to);
    trace_take(&trace, where(u));
    trace_write(&trace, &to, true, true);
    text_flush(&to);
}

void signals_check_stack(const struct task *t)
{
    struct text to = {.fd = STDERR_FILENO};

    if (!stack_overflown(t->stack))
        return;
    tell_line(t, t->stack, " bytes, as is seen at its end\n", &to);
    abort();
}

/* The first one tells of its own; those of other threads that come meanwhile must not end the process before. */
static void tell_overflow(const struct task *t, const struct stack *s, const ucontext_t *u)
{
    enum { NOT_YET, TELLING, TOLD };
    static _Atomic int state = NOT_YET;
    int was = NOT_YET;

    if (atomic_compare_exchange_strong(&state, &was, TELLING)) {
        tell(t, s, u);
        atomic_store(&state, TOLD);
    }
    for (int i = 0; i < PATIENCE_MS && atomic_load(&state) == TELLING; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* The task that runs on this thread, if it is its stack that ends at `address`. */
static const struct task *overflowed(const void *address, const struct stack **ret_stack)
{
    struct machine *m = machine_self();
    const struct stack *s = stack_guarding(address);

    *ret_stack = s;
    if (!s)
        return NULL;
    if (m->current && m->current->stack == s)
        return m->current;
    /* between two tasks: still on the stack of the first */
    return m->prev && m->prev->stack == s ? m->prev : NULL;
}

/* What was installed before does what it would have done. */
static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    struct sigaction *old = &before[signal_number == SIGSEGV ? 0 : 1];
    bool handler = old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN;

    if (!handler || (old->sa_flags & (int)SA_RESETHAND))
        signal(signal_number, SIG_DFL);
    if (!handler) {
        /* one that was sent does not come again by itself */
        if (info->si_code <= 0)
            raise(signal_number);
    } else if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(signal_number, info, context);
    } else {
        old->sa_handler(signal_number);
    }
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    const struct stack *s;
    const struct task *t;
    int error = errno;

    t = info->si_code > 0 ? overflowed(info->si_addr, &s) : NULL;
    if (t)
        tell_overflow(t, s, context);
    errno = error;
    pass_on(signal_number, info, context);
}

/* The next one ends the process: the report may take long. */
static void on_quit(int signal_number)
{
    int error = errno;

    (void)signal_number;
    report_ask();
    errno = error;
}

int signals_init(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction quit = {.sa_handler = on_quit,
                             .sa_flags = (int)(SA_RESTART | SA_ONSTACK | SA_RESETHAND)};

    sigemptyset(&action.sa_mask);
    sigemptyset(&quit.sa_mask);
    for (int i = 0; i < 2; i++)
        sigaction(faults[i], &action, &before[i]);
    installed = true;
    sigaction(SIGQUIT, NULL, &quit_before);
    quit_installed = quit_before.sa_handler == SIG_DFL;
    if (quit_installed)
        sigaction(SIGQUIT, &quit, NULL);
    return 0;
}

void signals_done(void)
{
    struct sigaction now;

    /* Not what somebody installed since. */
    for (int i = 0; installed && i < 2; i++) {
        if (sigaction(faults[i], NULL, &now) == 0 && now.sa_sigaction == on_fault)
            sigaction(faults[i], &before[i], NULL);
    }
    if (quit_installed && sigaction(SIGQUIT, NULL, &now) == 0 && now.sa_handler == on_quit)
        sigaction(SIGQUIT, &quit_before, NULL);
    installed = quit_installed = false;
}

static size_t alternate_size(void)
{
    return ALTERNATE_SIZE + (size_t)getauxval(AT_MINSIGSTKSZ);
}

void signals_thread_init(struct machine *m)
{
    stack_t there, alternate = {.ss_size = alternate_size()};

    /* The thread of rouse_run() may have one of its own. */
    if (sigaltstack(NULL, &there) < 0 || !(there.ss_flags & SS_DISABLE))
        return;
    alternate.ss_sp = mmap(NULL, alternate.ss_size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (alternate.ss_sp == MAP_FAILED)
        return; /* an overflow ends the process without a word */
    if (sigaltstack(&alternate, NULL) < 0)
        munmap(alternate.ss_sp, alternate.ss_size);
    else
        m->signal_stack = alternate.ss_sp;
}

void signals_thread_done(struct machine *m)
{
    const stack_t none = {.ss_flags = SS_DISABLE};

    if (!m->signal_stack)
        return;
    (void)sigaltstack(&none, NULL);
    munmap(m->signal_stack, alternate_size());
    m->signal_stack = NULL;
}
