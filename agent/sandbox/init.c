/* init.c - PID 1 of a sandbox: forks the runtime, reaps what it leaves behind, forwards SIGTERM.
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
#include <sys/wait.h>

#define SOCKET_VARIABLE "ROUSE_RUNTIME_SOCKET="
#define TASK_DIR        "/var/task"

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

static const char *const *environment(const struct sandbox_spec *s, struct err *e)
{
    size_t n = 0, k = 0;
    const char **env;

    while (s->env[n])
        n++;
    env = calloc(n + 2, sizeof(*env));
    if (!env) {
        err_errno(e, ENOMEM, "environment");
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        if (strncmp(s->env[i], SOCKET_VARIABLE, sizeof(SOCKET_VARIABLE) - 1))
            env[k++] = s->env[i];
    if (s->kind.frames_socket)
        env[k++] = SOCKET_VARIABLE ROOT_SOCKET_PATH;
    return env;
}

_Noreturn static void runtime_run(const struct sandbox_spec *s, int error_pipe)
{
    struct err e = {0};
    const char *const *env = environment(s, &e);
    sigset_t none;

    setsid();
    /* A function that is woken does not interrupt its agent, which is about to wake others: the switch
     * there and back would cost each request more than its handler. A processor that is idle, or that
     * another function holds, it gets as soon as before. */
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* All are close-on-exec already; this holds if one day one is not. */
    close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    if (env && chdir(TASK_DIR) < 0)
        err_errno(&e, errno, "enter " TASK_DIR);
    if (!e.code) {
        execve(s->argv[0], (char *const *)s->argv, (char *const *)env);
        err_set(&e, errno, "exec %s: %s%s", s->argv[0], strerror(errno), exec_hint(errno));
    }
    if (write(error_pipe, &e, sizeof(e)) < 0)
        _exit(126);
    _exit(127);
}

/* Ends with the pipe: closed by a successful exec, or an error in it. */
static void wait_for_exec(int channel, int pipe_fd)
{
    struct err e = {0};
    ssize_t n;

    while ((n = read(pipe_fd, &e, sizeof(e))) < 0 && errno == EINTR)
        ;
    if (n == (ssize_t)sizeof(e))
        init_fail(channel, &e);
}

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

_Noreturn void init_run(const struct child_plan *p, int channel, const int *listen_fds, size_t n)
{
    struct child_report started = {.kind = CHILD_STARTED};
    struct err e = {0};
    sigset_t all;
    int pipes[2];
    pid_t runtime;

    prctl(PR_SET_NAME, "rouse-init");
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        err_errno(&e, errno, "pipe");
        init_fail(channel, &e);
    }
    runtime = fork();
    if (runtime == 0)
        runtime_run(p->spec, pipes[1]);
    if (runtime < 0) {
        err_errno(&e, errno, "fork the runtime (is its process limit above 1?)");
        init_fail(channel, &e);
    }
    /* Init holds no end of the output: the pipes close with the last writer inside. */
    close(pipes[1]);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    wait_for_exec(channel, pipes[0]);
    close(pipes[0]);
    report(channel, &started, listen_fds, n);
    for (size_t i = 0; i < n; i++)
        close(listen_fds[i]);
    for (;;) {
        siginfo_t info;
        int sig = sigwaitinfo(&all, &info);

        if (sig == SIGTERM)
            kill(runtime, SIGTERM);
        reap(channel, runtime);
    }
}
