/* init.c - PID 1 of a sandbox: parked, then spawns the runtime, reaps what it leaves behind, forwards SIGTERM.
 *
 * Everything foreign runs below it, with its user id but unable to trace it.
 * When the runtime ends, init tells how and ends too; the kernel then kills
 * every other process of the sandbox before the launcher sees init's end. */
#include "sandbox/child.h"
#include "base/cleanup.h"
#include "sandbox/message.h"
#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SOCKET_VARIABLE "ROUSE_RUNTIME_SOCKET="

enum { SPAWN_STACK = 64 << 10 };

static void report(int channel, const struct child_report *r, const int *fds, size_t n)
{
    message_send(channel, r, sizeof(*r), fds, n);
}

_Noreturn void init_fail(int channel, const struct err *e)
{
    struct child_report r = {.kind = CHILD_FAILED, .error = *e};

    report(channel, &r, NULL, 0);
    _exit(1);
}

static const char *exec_hint(int code)
{
    switch (code) {
    case ENOENT:
        return " (is it in the code or the runtime, and the interpreter that it names too?)";
    case EACCES:
        return " (is it executable: mode 755, in a directory that all may enter?)";
    case ENOEXEC:
        return " (neither a program for this machine nor a script that starts with #!)";
    default:
        return "";
    }
}

static const char *const *environment(const struct sandbox_kind *k, const char *const *given,
                                      struct err *e)
{
    size_t n = 0, used = 0;
    const char **env;

    while (given && given[n])
        n++;
    env = calloc(n + 2, sizeof(*env));
    if (!env) {
        err_errno(e, ENOMEM, "environment");
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        if (strncmp(given[i], SOCKET_VARIABLE, sizeof(SOCKET_VARIABLE) - 1))
            env[used++] = given[i];
    if (k->frames_socket)
        env[used++] = SOCKET_VARIABLE ROOT_SOCKET_PATH;
    return env;
}

/* ---- the runtime */
struct runtime {
    const char *const *argv, *const *env;
    struct err error; /* why it did not start, from its process */
};

static void become_runtime(void)
{
    sigset_t none;

    setsid();
    /* A function that is woken does not interrupt its agent, which is about to wake others: the switch
     * there and back would cost each request more than its handler. A processor that is idle, or that
     * another function holds, it gets as soon as before. */
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* All are close-on-exec already; this holds if one day one is not. */
    close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
}

/* In init's memory while that waits: nothing is copied, and an error needs no pipe. */
static int runtime_exec(void *arg)
{
    struct runtime *t = arg;

    become_runtime();
    if (chdir(ROOT_TASK_DIR) < 0) {
        err_errno(&t->error, errno, "enter " ROOT_TASK_DIR);
    } else {
        execve(t->argv[0], (char *const *)t->argv, (char *const *)t->env);
        err_set(&t->error, errno, "exec %s: %s%s", t->argv[0], strerror(errno), exec_hint(errno));
    }
    _exit(127);
}

static pid_t spawn(const struct sandbox_kind *k, const char *const *argv, const char *const *env,
                   struct err *e)
{
    static char stack[SPAWN_STACK] __attribute__((aligned(64)));
    struct runtime t = {.argv = argv};
    pid_t pid;

    t.env = environment(k, env, e);
    if (!t.env)
        return -ENOMEM;
    pid = clone(runtime_exec, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &t);
    if (pid < 0)
        return err_errno(e, errno, "fork the runtime (is its process limit above 1?)");
    free((void *)t.env);
    if (!t.error.code)
        return pid;
    *e = t.error;
    return -e->code;
}

static pid_t fork_runtime(child_runtime_fn *run, struct err *e)
{
    pid_t pid = fork();

    if (pid == 0) {
        become_runtime();
        run();
        _exit(127);
    }
    return pid < 0 ? err_errno(e, errno, "fork the runtime") : pid;
}

/* The launcher's end closed says: it is gone, and so are we. */
static pid_t run_what_is_told(const struct child_plan *p, struct err *e)
{
    static uint8_t bytes[MESSAGE_MAX];
    struct message m;
    ssize_t n;
    pid_t pid;

    while ((n = recv(p->channel, bytes, sizeof(bytes), 0)) < 0 && errno == EINTR)
        ;
    if (n <= 0 || message_decode(bytes, (size_t)n, &m) < 0 || m.type != MESSAGE_RUN)
        _exit(1);
    pid = spawn(&p->spec->kind, m.spec.argv, m.spec.env, e);
    message_done(&m);
    return pid;
}

/* ---- PID 1 */
static void reap(int channel, pid_t runtime)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child_report r = {.kind = CHILD_EXITED, .status = status};

        if (pid != runtime)
            continue;
        report(channel, &r, NULL, 0);
        _exit(0);
    }
}

/* What the launcher ignores would stay ignored in every program inside. */
static void reset_signals(sigset_t *all)
{
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigfillset(all);
    sigprocmask(SIG_SETMASK, all, NULL);
}

_Noreturn void init_run(const struct child_plan *p, unsigned which, const int *fds, size_t n)
{
    const struct sandbox_kind *k = &p->spec->kind;
    struct child_report parked = {.kind = CHILD_PARKED, .fds = which};
    struct child_report started = {.kind = CHILD_STARTED};
    bool ahead = k->argv || p->runtime;
    struct err e = {0};
    pid_t runtime = 0;
    sigset_t all;

    prctl(PR_SET_NAME, "rouse-init");
    reset_signals(&all);
    if (p->runtime)
        runtime = fork_runtime(p->runtime, &e);
    else if (k->argv)
        runtime = spawn(k, k->argv, k->env, &e);
    if (runtime < 0)
        init_fail(p->channel, &e);
    report(p->channel, &parked, fds, n);
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    if (!ahead)
        runtime = run_what_is_told(p, &e);
    if (runtime < 0)
        init_fail(p->channel, &e);
    /* Init holds no end of the output: the pipes close with the last writer inside. */
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    if (!ahead)
        report(p->channel, &started, NULL, 0);
    for (;;) {
        siginfo_t info;
        int sig = sigwaitinfo(&all, &info);

        if (sig == SIGTERM)
            kill(runtime, SIGTERM);
        reap(p->channel, runtime);
    }
}
