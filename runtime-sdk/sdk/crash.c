/* crash.c - see crash.h. The handler itself calls async-signal-safe functions only: the task may hold
 * malloc's lock, or stdio's. */
#include "sdk/crash.h"

#include "base/cleanup.h"
#include "sched/signals.h"
#include "sdk/failure.h"
#include "sdk/invocation.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CRASH_FRAME_MAX = 256, CRASH_ID_OFFSET = 8 };
#define NOBODY UINT64_MAX

struct last_word {
    int signal; /* 0: none */
    const char *type, *what;
    uint8_t frame[CRASH_FRAME_MAX];
    size_t size;
};

enum { WORD_EXIT, WORD_OVERFLOW, WORD_SIGNALS };
static struct last_word words[] = {
    [WORD_EXIT] = {0, "Runtime.ExitError", "the function called exit()", {0}, 0},
    [WORD_OVERFLOW] = {0,
                       "Runtime.StackOverflow",
                       "the function used more stack than it has; ROUSE_STACK gives it more",
                       {0},
                       0},
    {SIGSEGV, "Runtime.Crash", "the function crashed: SIGSEGV, an invalid memory access", {0}, 0},
    {SIGBUS, "Runtime.Crash", "the function crashed: SIGBUS, an invalid memory access", {0}, 0},
    {SIGFPE, "Runtime.Crash", "the function crashed: SIGFPE, an arithmetic error", {0}, 0},
    {SIGILL, "Runtime.Crash", "the function crashed: SIGILL, an invalid instruction", {0}, 0},
    {SIGABRT, "Runtime.Crash", "the function crashed: SIGABRT, it called abort()", {0}, 0},
    {SIGTRAP, "Runtime.Crash", "the function crashed: SIGTRAP", {0}, 0},
    {SIGSYS, "Runtime.Crash", "the function crashed: SIGSYS, a system call that is not allowed", {0}, 0},
};

static struct outbox *outbox; /* set once, before the handlers are installed */
static pid_t owner;           /* a child that the handler forked says nothing */
static atomic_flag said = ATOMIC_FLAG_INIT;
static _Atomic uint64_t last; /* that began */

static void say(const struct last_word *w)
{
    struct invocation *i = invocation_current();
    uint64_t id = i ? i->context.id : atomic_load(&last);
    uint8_t frame[CRASH_FRAME_MAX];

    if (id == NOBODY || getpid() != owner || atomic_flag_test_and_set(&said))
        return;
    memcpy(frame, w->frame, w->size);
    for (int k = 0; k < 8; k++)
        frame[CRASH_ID_OFFSET + k] = (uint8_t)(id >> (8 * k));
    outbox_last_word(outbox, frame, w->size);
}

/* The scheduler has found out, and calls before anything else: SIGSEGV follows. */
static void on_overflow(const char *task, size_t stack)
{
    (void)task, (void)stack;
    say(&words[WORD_OVERFLOW]);
}

static void on_crash(int signal_number)
{
    for (size_t i = WORD_SIGNALS; i < ARRAY_LEN(words); i++) {
        if (words[i].signal == signal_number)
            say(&words[i]);
    }
    /* SA_RESETHAND has put the default action back: the exit status tells the signal. */
    raise(signal_number);
}

static void on_exit_called(void)
{
    if (!outbox)
        return;
    fflush(stdout);
    say(&words[WORD_EXIT]);
}

static int format(struct last_word *w)
{
    cleanup_buffer struct buffer json = {0}, frame = {0};
    int r;

    r = failure_text_json(w->type, w->what, strlen(w->what), &json);
    if (r < 0)
        return r;
    r = frame_append(&frame, FRAME_ERROR, FRAME_FATAL, 0, buffer_bytes(&json), buffer_size(&json));
    if (r < 0)
        return r;
    if (buffer_size(&frame) > sizeof(w->frame))
        return -EMSGSIZE;
    w->size = buffer_size(&frame);
    memcpy(w->frame, buffer_bytes(&frame), w->size);
    return 0;
}

int crash_init(struct outbox *o)
{
    struct sigaction action = {.sa_handler = on_crash,
                               .sa_flags = (int)(SA_ONSTACK | SA_NODEFER | SA_RESETHAND)};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        int r = format(&words[i]);

        if (r < 0)
            return r;
    }
    if (atexit(on_exit_called))
        return -ENOMEM;
    owner = getpid();
    outbox = o;
    sched_on_overflow(on_overflow);
    sigemptyset(&action.sa_mask);
    for (size_t i = WORD_SIGNALS; i < ARRAY_LEN(words); i++) {
        if (sigaction(words[i].signal, &action, NULL) < 0)
            return -errno;
    }
    return 0;
}

void crash_running(uint64_t id)
{
    atomic_store_explicit(&last, id, memory_order_relaxed);
}

void crash_ended(uint64_t id)
{
    if (atomic_load_explicit(&last, memory_order_relaxed) == id)
        atomic_store_explicit(&last, NOBODY, memory_order_relaxed);
}

void crash_done(void)
{
    for (size_t i = WORD_SIGNALS; i < ARRAY_LEN(words); i++)
        signal(words[i].signal, SIG_DFL);
    sched_on_overflow(NULL);
    outbox = NULL;
}
