/* What the scheduler says of tasks that overflow, hang, or are asked about: each in a process of its own. */
#include "run.h"

#include "sched/internal.h"
#include "sched/signals.h"
#include "sched/text.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FUNCTION static __attribute__((noinline))

/* What a child said on standard error, and how it ended. */
static char said[64 << 10];
static size_t said_size;
static int ended;

static pid_t child_begin(const char *procs, rouse_task_fn *fn, int *ret_from)
{
    const struct rlimit no_core = {0};
    int ends[2];
    pid_t child;

    MUST_BE(pipe(ends), 0);
    child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        setrlimit(RLIMIT_CORE, &no_core);
        alarm(50);
        run_on(procs, fn, NULL);
        _exit(0);
    }
    close(ends[1]);
    *ret_from = ends[0];
    said_size = 0;
    said[0] = '\0';
    return child;
}

/* Until it has said `word`, or (NULL) until it has ended. */
static void child_hear(int from, const char *word)
{
    ssize_t n = 1;

    while (n > 0 && !(word && strstr(said, word))) {
        n = read(from, said + said_size, sizeof(said) - 1 - said_size);
        if (n > 0)
            said_size += (size_t)n;
        said[said_size] = '\0';
    }
}

static void child_end(pid_t child, int from)
{
    child_hear(from, NULL);
    close(from);
    MUST_BE(waitpid(child, &ended, 0), child);
}

static void child_run(const char *procs, rouse_task_fn *fn)
{
    int from;
    pid_t child = child_begin(procs, fn, &from);

    child_end(child, from);
}

#define SAYS(text)     ck_assert_msg(strstr(said, text), "no \"%s\" in:\n%s", text, said)
#define SAYS_NOT(text) ck_assert_msg(!strstr(said, text), "\"%s\" in:\n%s", text, said)
#define ENDED_BY(number)                                                                           \
    ck_assert_msg(WIFSIGNALED(ended) && WTERMSIG(ended) == (number), "ended %#x:\n%s", ended, said)

/* ---- overflow */

enum { NOWHERE = 16 };

static _Atomic int sink;

FUNCTION int dig(int n)
{
    volatile char hole[256];

    hole[n % 256] = (char)n;
    if (n >= 0)
        sink = dig(n + 1);
    return hole[0] + sink;
}

static void greedy(void *arg)
{
    (void)arg;
    rouse_sleep(ROUSE_US);
    sink = dig(0);
}

static void spawn_named(const char *name, rouse_task_fn *fn, size_t stack)
{
    const struct rouse_task_options options = {.name = name, .stack = stack};

    MUST_BE(rouse_spawn_with(&options, fn, NULL), 0);
}

static void wait_for_ever(void *arg)
{
    (void)arg;
    rouse_sleep_until(ROUSE_NEVER);
    sink = 1; /* no tail call */
}

static void overflow_one(void *arg)
{
    (void)arg;
    spawn_named("the glutton", greedy, 64 << 10);
    rouse_sleep(60 * ROUSE_SECOND);
}

static void overflow_unnamed(void *arg)
{
    (void)arg;
    MUST_BE(rouse_spawn(greedy, NULL), 0);
    rouse_sleep(60 * ROUSE_SECOND);
}

/* A sanitizer has a handler of its own, which comes after ours. */
static void ended_by_fault(void)
{
#if defined(CONTEXT_ASAN) || defined(CONTEXT_TSAN)
    ck_assert_int_ne(ended, 0);
#else
    ENDED_BY(SIGSEGV);
#endif
}

START_TEST(an_overflow_is_told_with_the_tasks_name)
{
    child_run("2", overflow_one);
    SAYS("rouse: task the glutton (id ");
    SAYS(") overflowed its stack of 65536 bytes\n");
    SAYS("    dig+0x");
    SAYS(" times)\n");
    SAYS("    greedy+0x");
    ended_by_fault();
    child_run("1", overflow_unnamed);
    SAYS("rouse: task greedy (id ");
    SAYS(") overflowed its stack of 262144 bytes\n");
    ended_by_fault();
}
END_TEST

static void write_below(void *arg)
{
    struct machine *m = machine_self();
    volatile char *low = m->current->stack->low;

    (void)arg;
    low[-1] = 1; /* a little too much: it goes on, and nothing stops it */
    MUST_BE(rouse_sleep(ROUSE_US), 0);
}

static void overflow_unseen(void *arg)
{
    spawn_named("stealthy", write_below, 0);
    wait_for_ever(arg);
}

START_TEST(an_overflow_that_nothing_stops_is_told_at_the_tasks_end)
{
    stacks_guard_by(STACK_GUARD_CANARY);
    child_run("1", overflow_unseen);
    stacks_guard_by(STACK_GUARD_INSTALL);
    SAYS("rouse: task stealthy (id ");
    SAYS(") overflowed its stack of 262144 bytes, as is seen at its end\n");
    ENDED_BY(SIGABRT);
}
END_TEST

static void say_it_as_well(const char *task, size_t stack)
{
    struct text to = {.fd = STDERR_FILENO};

    text_put(&to, "hook ");
    text_put(&to, task);
    text_put(&to, " ");
    text_plain(&to, stack);
    text_put(&to, "\n");
    text_flush(&to);
}

static void own_handler(int signal_number, siginfo_t *info, void *context)
{
    struct text to = {.fd = STDERR_FILENO};

    (void)context;
    text_put(&to, "own handler ");
    text_plain(&to, (uint64_t)signal_number);
    text_put(&to, info->si_addr == (void *)NOWHERE ? " nowhere" : " somewhere");
    text_flush(&to);
    _exit(9);
}

static void with_own_handler(rouse_task_fn *fn)
{
    struct sigaction action = {.sa_sigaction = own_handler,
                               .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK)},
                     old;
    void (*quit)(int) = signal(SIGQUIT, SIG_IGN);

    sigaction(SIGSEGV, &action, &old);
    sched_on_overflow(say_it_as_well);
    child_run("1", fn);
    sigaction(SIGSEGV, &old, NULL);
    signal(SIGQUIT, quit);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == 9, "ended %#x:\n%.2000s", ended, said);
}

static void write_nowhere(void *arg)
{
    static char *volatile nowhere = (char *)NOWHERE;

    (void)arg;
    *nowhere = 0;
    sink = 1;
}

static void default_fault(void *arg)
{
    spawn_named("careless", write_nowhere, 0);
    wait_for_ever(arg);
}

START_TEST(who_was_there_before_hears_of_every_fault)
{
    with_own_handler(overflow_one);
    SAYS("rouse: task the glutton");
    SAYS("hook the glutton 65536\n");
    SAYS("own handler 11 somewhere");
    with_own_handler(default_fault);
    SAYS("own handler 11 nowhere");
    SAYS_NOT("rouse: ");
}
END_TEST

START_TEST(another_fault_ends_the_process_as_ever)
{
    child_run("1", default_fault);
    SAYS_NOT("overflowed");
    ended_by_fault();
}
END_TEST

static void nothing(void *arg)
{
    (void)arg;
}

START_TEST(handlers_go_when_the_scheduler_goes)
{
    struct sigaction before[3], after;
    static const int signals[] = {SIGSEGV, SIGBUS, SIGQUIT};
    stack_t alternate;

    for (int i = 0; i < 3; i++)
        sigaction(signals[i], NULL, &before[i]);
    run(nothing);
    for (int i = 0; i < 3; i++) {
        sigaction(signals[i], NULL, &after);
        ck_assert(after.sa_handler == before[i].sa_handler);
    }
    sigaltstack(NULL, &alternate);
    ck_assert(alternate.ss_flags & SS_DISABLE || alternate.ss_size > 0);
}
END_TEST

/* ---- deadlock */

static struct rouse_chan *channel;

FUNCTION void receive_it(void *arg)
{
    int item = 0;

    (void)arg;
    sink = rouse_chan_receive(channel, &item, ROUSE_NEVER);
    sink += item;
}

static void all_wait(void *arg)
{
    struct rouse_wait_group group = {0};

    (void)arg;
    MUST_BE(rouse_chan_new(sizeof(int), 0, &channel), 0);
    for (int i = 0; i < 1500; i++)
        MUST_BE(rouse_spawn(receive_it, NULL), 0);
    rouse_sleep(ROUSE_MS);
    rouse_wait_group_add(&group, 1);
    rouse_wait_group_wait(&group, ROUSE_NEVER);
    sink = 1;
}

START_TEST(a_deadlock_is_told_with_every_task)
{
    static const char *const procs[] = {"1", "2", "8"};

    for (int i = 0; i < 3; i++) {
        child_run(procs[i], all_wait);
        SAYS("rouse: all tasks are asleep: deadlock\n");
        SAYS("rouse: 1,501 tasks on ");
        SAYS(" tasks [channel receive");
        SAYS("    receive_it+0x");
        SAYS("\ntask 1 \"main\" [");
        SAYS("    all_wait+0x");
        SAYS_NOT("    wait_park+0x");
        ENDED_BY(SIGABRT);
    }
}
END_TEST

static _Atomic int rounds;

static void sleep_and_count(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        MUST_BE(rouse_sleep(i % 3 * 100 * ROUSE_US), 0);
        rounds++;
    }
}

/* Between any two of their wake-ups everybody is asleep. */
static void sleepers(void *arg)
{
    (void)arg;
    rounds = 0;
    for (int i = 0; i < 3; i++)
        MUST_BE(rouse_spawn(sleep_and_count, NULL), 0);
    while (rounds < 600)
        MUST_BE(rouse_sleep(50 * ROUSE_US), 0);
}

static void blocked_thread(void *arg)
{
    struct timespec ms = {.tv_nsec = 1000000};

    (void)arg;
    for (int i = 0; i < 30; i++) {
        rouse_block_begin();
        nanosleep(&ms, NULL);
        rouse_block_end();
        nanosleep(&ms, NULL);
        rouse_yield();
    }
    rounds++;
}

static void block_all(void *arg)
{
    struct rouse_scope *scope;

    (void)arg;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < 3; i++)
        MUST_BE(rouse_scope_spawn(scope, blocked_thread, NULL), 0);
    MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
    rouse_scope_close(scope);
}

START_TEST(who_sleeps_or_blocks_is_no_deadlock)
{
    run(sleepers);
    run(block_all);
}
END_TEST

/* ---- reports of a program that goes on */

static void dump(void)
{
    int ends[2];
    ssize_t n;

    MUST_BE(pipe(ends), 0);
    rouse_dump_tasks(ends[1]); /* less than a pipe holds */
    close(ends[1]);
    said_size = 0;
    while ((n = read(ends[0], said + said_size, sizeof(said) - 1 - said_size)) > 0)
        said_size += (size_t)n;
    said[said_size] = '\0';
    close(ends[0]);
}

/* Until a report says so. */
static void until_told(const char *text)
{
    do {
        MUST_BE(rouse_sleep(ROUSE_MS), 0);
        dump();
    } while (!strstr(said, text));
}

static _Atomic bool spins, enough;

FUNCTION void spin_along(void *arg)
{
    (void)arg;
    spins = true;
    while (!enough)
        sink += rouse_now() != 0; /* in libc, where ThreadSanitizer lets signals through */
}

FUNCTION void crowd(int n)
{
    volatile char room[512];

    room[0] = (char)n;
    if (n > 0)
        crowd(n - 1);
    else
        sink = rouse_sleep_until(ROUSE_NEVER);
    sink += room[0];
}

static void nearly_full(void *arg)
{
    (void)arg;
    crowd(12);
    sink = 1;
}

static void look_around(void *arg)
{
    (void)arg;
    MUST_BE(rouse_chan_new(sizeof(int), 0, &channel), 0);
    spawn_named("patient", receive_it, 0);
    spawn_named("narrow", nearly_full, 16 << 10);
    MUST_BE(rouse_spawn(wait_for_ever, NULL), 0);
    MUST_BE(rouse_spawn(wait_for_ever, NULL), 0);
    until_told(" \"patient\" [channel receive");
    until_told(" \"narrow\" [sleep");
    until_told("\n2 tasks [sleep");
    spawn_named("busy", spin_along, 0);
    while (!spins)
        MUST_BE(rouse_sleep(ROUSE_MS), 0);
    spawn_named("young", nothing, 0);
    dump();
    fwrite(said, 1, said_size, stderr);
    enough = true;
}

START_TEST(a_report_says_what_each_task_does)
{
    const char *main_task, *patient;

    child_run("2", look_around);
    ck_assert_msg(ended == 0, "%s", said);
    SAYS("rouse: 7 tasks on 2 processors\n");
    SAYS("task 1 \"main\" [running]:\n    rouse_dump_tasks+0x");
    SAYS("    look_around+0x");
    SAYS(" \"patient\" [channel receive");
    SAYS("    receive_it+0x");
    SAYS(" \"narrow\" [sleep");
    SAYS("(its stack is too full to be looked at)\n    nearly_full\n");
    SAYS("\n2 tasks [sleep");
    SAYS("    wait_for_ever+0x");
    SAYS(" \"busy\" [running]:\n");
    SAYS("    spin_along+0x");
    SAYS(" \"young\" [runnable]:\n    nothing\n");
    main_task = strstr(said, "task 1 \"main\"");
    patient = strstr(said, "\"patient\"");
    ck_assert(main_task < patient); /* who runs comes first */
}
END_TEST

static _Atomic int finished;

static void pass_items(void *arg)
{
    struct rouse_chan **pair = arg;
    int item;

    for (int i = 0; i < 3000; i++) {
        MUST_BE(rouse_chan_receive(pair[0], &item, ROUSE_NEVER), 0);
        item++;
        MUST_BE(rouse_chan_send(pair[1], &item, ROUSE_NEVER), 0);
        if (i % 16 == 0)
            rouse_yield();
    }
    finished++;
}

/* Each dump runs on the stack of every task that is not running: all of them go on as if nothing had been. */
static void dump_while_they_work(void *arg)
{
    enum { RING = 20 };
    static struct rouse_chan *chans[RING + 1], *pairs[RING][2];
    int item = 0;

    (void)arg;
    finished = 0;
    for (int i = 0; i <= RING; i++)
        MUST_BE(rouse_chan_new(sizeof(int), 4, &chans[i]), 0);
    for (int i = 0; i < RING; i++) {
        pairs[i][0] = chans[i];
        pairs[i][1] = chans[i + 1];
        MUST_BE(rouse_spawn(pass_items, pairs[i]), 0);
    }
    for (int i = 0; i < 3000; i++) {
        int got;

        item = i;
        MUST_BE(rouse_chan_send(chans[0], &item, ROUSE_NEVER), 0);
        MUST_BE(rouse_chan_receive(chans[RING], &got, ROUSE_NEVER), 0);
        MUST_BE(got, i + RING);
        if (i % 100 == 0) {
            dump();
            MUST(strstr(said, "    pass_items+0x"));
        }
    }
    UNTIL(finished == RING);
    for (int i = 0; i <= RING; i++)
        rouse_chan_free(chans[i]);
}

START_TEST(tasks_go_on_after_a_report)
{
    run(dump_while_they_work);
}
END_TEST

/* The monitor takes the processor from the one that spins, and makes a thread for the other. */
static void name_of_a_new_thread(void *arg)
{
    char name[16] = "";

    (void)arg;
    enough = false;
    MUST_BE(rouse_spawn(spin_along, NULL), 0);
    MUST_BE(rouse_sleep(ROUSE_MS), 0);
    MUST_BE(prctl(PR_GET_NAME, name), 0);
    MUST(strcmp(name, "rouse-monitor") != 0);
    enough = true;
}

START_TEST(threads_have_the_programs_name)
{
    run_on("1", name_of_a_new_thread, NULL);
}
END_TEST

static void ready_and_wait(void *arg)
{
    (void)arg;
    spawn_named("spinner", spin_along, 0);
    while (!spins)
        MUST_BE(rouse_sleep(ROUSE_MS), 0);
    dprintf(STDERR_FILENO, "ready\n");
    wait_for_ever(NULL);
    sink = 1;
}

START_TEST(sigquit_tells_of_all_tasks_and_ends_the_process)
{
    static const char *const procs[] = {"1", "2"};

#ifdef CONTEXT_TSAN
    /* It keeps them for the fiber that ran when they came, which may never run again. */
    puts("skipped: ThreadSanitizer loses signals between tasks");
    return;
#endif
    for (int i = 0; i < 2; i++) {
        int from;
        pid_t child = child_begin(procs[i], ready_and_wait, &from);

        child_hear(from, "ready\n");
        kill(child, SIGQUIT);
        child_end(child, from);
        SAYS("rouse: SIGQUIT\n");
        if (getenv("ROUSE_EMULATED") && strstr(said, "does not answer")) {
            puts("skipped: the emulator keeps signals for its threads for more than a second");
            return;
        }
        SAYS("task 1 \"main\" [");
        SAYS("    ready_and_wait+0x");
        SAYS(" \"spinner\" [running]:\n");
        ENDED_BY(SIGQUIT);
    }
}
END_TEST

static void quit_then_say_so(void *arg)
{
    (void)arg;
    kill(getpid(), SIGQUIT);
    MUST_BE(rouse_sleep(5 * ROUSE_MS), 0);
    dprintf(STDERR_FILENO, "still here\n");
}

START_TEST(sigquit_is_left_to_who_had_it)
{
    signal(SIGQUIT, SIG_IGN);
    child_run("1", quit_then_say_so);
    signal(SIGQUIT, SIG_DFL);
    ck_assert_int_eq(ended, 0);
    SAYS("still here\n");
    SAYS_NOT("rouse:");
}
END_TEST

UNIT_MAIN("report", threads_have_the_programs_name, an_overflow_is_told_with_the_tasks_name,
          an_overflow_that_nothing_stops_is_told_at_the_tasks_end,
          who_was_there_before_hears_of_every_fault, another_fault_ends_the_process_as_ever,
          handlers_go_when_the_scheduler_goes, a_deadlock_is_told_with_every_task,
          who_sleeps_or_blocks_is_no_deadlock, a_report_says_what_each_task_does,
          tasks_go_on_after_a_report, sigquit_tells_of_all_tasks_and_ends_the_process,
          sigquit_is_left_to_who_had_it)
