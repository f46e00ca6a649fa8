/* crash.c - see crash.h. The handler itself calls async-signal-safe functions only. */
#include "sdk/crash.h"

#include "base/cleanup.h"
#include "sdk/response.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CRASH_FRAME_MAX = 256, CRASH_ID_OFFSET = 8, CRASH_STACK = 64 << 10 };

struct last_word {
    int signal; /* 0: exit() */
    const char *what;
    uint8_t frame[CRASH_FRAME_MAX];
    size_t size;
};

static struct last_word words[] = {
    {.signal = 0, .what = "the function called exit()"},
    {.signal = SIGSEGV, .what = "the function crashed: SIGSEGV, an invalid memory access"},
    {.signal = SIGBUS, .what = "the function crashed: SIGBUS, an invalid memory access"},
    {.signal = SIGFPE, .what = "the function crashed: SIGFPE, an arithmetic error"},
    {.signal = SIGILL, .what = "the function crashed: SIGILL, an invalid instruction"},
    {.signal = SIGABRT, .what = "the function crashed: SIGABRT, it called abort()"},
    {.signal = SIGTRAP, .what = "the function crashed: SIGTRAP"},
    {.signal = SIGSYS, .what = "the function crashed: SIGSYS, a system call that is not allowed"},
};

static struct channel *channel;      /* set once, before the handlers are installed */
static pid_t owner;                  /* a child that the handler forked says nothing */
static _Atomic uint64_t current = 0; /* whose crash it would be on a thread that runs no handler */
static _Thread_local uint64_t mine = CRASH_NOBODY;
static char stack[CRASH_STACK] __attribute__((aligned(16)));

static void say(struct last_word *w)
{
    uint64_t last = atomic_exchange(&current, CRASH_NOBODY);
    uint64_t id = mine != CRASH_NOBODY ? mine : last;

    mine = CRASH_NOBODY;
    if (id == CRASH_NOBODY || getpid() != owner)
        return;
    for (int i = 0; i < 8; i++)
        w->frame[CRASH_ID_OFFSET + i] = (uint8_t)(id >> (8 * i));
    channel_send_raw(channel, w->frame, w->size);
}

static void on_crash(int signal_number)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (words[i].signal == signal_number)
            say(&words[i]);
    }
    /* SA_RESETHAND has put the default action back: the exit status tells the signal. */
    raise(signal_number);
}

static void on_exit_called(void)
{
    if (!channel)
        return;
    fflush(stdout);
    say(&words[0]);
}

static int format(struct last_word *w)
{
    cleanup_buffer struct buffer json = {0}, frame = {0};
    const char *type = w->signal ? "Runtime.Crash" : "Runtime.ExitError";
    int r;

    r = response_error_json(type, w->what, strlen(w->what), &json);
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

int crash_init(struct channel *ch)
{
    struct sigaction action = {.sa_handler = on_crash,
                               .sa_flags = (int)(SA_ONSTACK | SA_NODEFER | SA_RESETHAND)};
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        int r = format(&words[i]);

        if (r < 0)
            return r;
    }
    if (atexit(on_exit_called))
        return -ENOMEM;
    owner = getpid();
    channel = ch;
    sigemptyset(&action.sa_mask);
    if (sigaltstack(&alternate, NULL) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (words[i].signal && sigaction(words[i].signal, &action, NULL) < 0)
            return -errno;
    }
    return 0;
}

void crash_set_id(uint64_t id)
{
    mine = id;
    atomic_store(&current, id);
}

void *crash_stack_new(void)
{
    stack_t alternate = {.ss_sp = malloc(CRASH_STACK), .ss_size = CRASH_STACK};

    if (alternate.ss_sp && sigaltstack(&alternate, NULL) < 0) {
        free(alternate.ss_sp);
        return NULL;
    }
    return alternate.ss_sp;
}

void crash_stack_free(void *memory)
{
    const stack_t none = {.ss_flags = SS_DISABLE};

    if (memory)
        (void)sigaltstack(&none, NULL);
    free(memory);
}

void crash_done(void)
{
    const stack_t none = {.ss_flags = SS_DISABLE};

    atomic_store(&current, CRASH_NOBODY);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (words[i].signal)
            signal(words[i].signal, SIG_DFL);
    }
    channel = NULL;
    (void)sigaltstack(&none, NULL);
}
