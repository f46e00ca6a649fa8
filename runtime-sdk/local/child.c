#include "local/child.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---------------------------------------------------------------- in the child */

static void default_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int become(const struct child_options *o, pid_t parent, int out, int err)
{
    if (!o->terminal && setpgid(0, 0) < 0)
        return -errno;
    /* Asked for after the parent's death it would never come. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        return -errno;
    default_signals();
    if (!o->terminal) {
        int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
            return -errno;
    }
    if (chdir(o->cwd) < 0)
        return -errno;
    execve(o->argv[0], (char *const *)o->argv, o->env);
    return -errno;
}

/* ---------------------------------------------------------------- in us */

static void unwatch(struct child *c)
{
    loop_watch_cancel(c->loop, &c->watch);
    close(c->watch.fd);
}

/* While it is a zombie its number is nobody else's, and neither is its group's. */
static int reap(struct child *c)
{
    int status = 0;

    child_signal(c, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    c->pid = 0;
    return status;
}

static void on_gone(struct loop_watch *w, uint32_t events)
{
    struct child *c = container_of(w, struct child, watch);

    (void)events;
    unwatch(c);
    c->on_exit(c, reap(c));
}

static int watch(struct child *c)
{
    int fd = (int)syscall(SYS_pidfd_open, c->pid, 0), r;

    if (fd < 0)
        return -errno;
    c->watch = (struct loop_watch){.fd = fd, .fn = on_gone};
    r = loop_watch_set(c->loop, &c->watch, LOOP_READ);
    if (r < 0)
        close(fd);
    return r;
}

/* The child's errno until exec(2) closes the pipe; 0: it runs. */
static int exec_error(int fd)
{
    int error = 0;
    ssize_t n;

    while ((n = read(fd, &error, sizeof(error))) < 0 && errno == EINTR)
        ;
    return n == sizeof(error) ? error : 0;
}

int child_start(struct child *c, struct loop *loop, const struct child_options *o,
                void (*on_exit)(struct child *c, int status), int *ret_out, int *ret_err,
                struct err *e)
{
    int ends[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    pid_t parent = getpid();
    int r = 0;

    for (int i = 0; i < 3 && r == 0; i++)
        r = pipe2(ends[i], O_CLOEXEC) < 0 ? -errno : 0;
    *c = (struct child){.loop = loop, .terminal = o->terminal, .on_exit = on_exit};
    if (r == 0) {
        c->pid = fork();
        r = c->pid < 0 ? -errno : 0;
    }
    if (r == 0 && !c->pid) {
        int error = -become(o, parent, ends[0][1], ends[1][1]);

        (void)!write(ends[2][1], &error, sizeof(error));
        _exit(127);
    }
    for (int i = 0; i < 3; i++)
        if (ends[i][1] >= 0)
            close(ends[i][1]);
    if (r == 0) {
        r = -exec_error(ends[2][0]);
        if (r == 0)
            r = watch(c);
        if (r < 0)
            reap(c);
    }
    if (ends[2][0] >= 0)
        close(ends[2][0]);
    if (r == 0 && !o->terminal) {
        *ret_out = ends[0][0];
        *ret_err = ends[1][0];
        return 0;
    }
    for (int i = 0; i < 2; i++)
        if (ends[i][0] >= 0)
            close(ends[i][0]);
    if (r < 0)
        return err_errno(e, -r, "cannot start %s", o->argv[0]);
    *ret_out = *ret_err = -1;
    return 0;
}

void child_signal(const struct child *c, int sig)
{
    if (c->pid)
        kill(c->terminal ? c->pid : -c->pid, sig);
}

void child_done(struct child *c)
{
    if (!c->pid)
        return;
    unwatch(c);
    reap(c);
}

void child_status_text(int status, char out[CHILD_STATUS_MAX])
{
    if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status)), *text = sigdescr_np(WTERMSIG(status));

        snprintf(out, CHILD_STATUS_MAX, "it was killed by SIG%s (%s)%s", name ? name : "?",
                 text ? text : "unknown", WCOREDUMP(status) ? ", core dumped" : "");
    } else {
        snprintf(out, CHILD_STATUS_MAX, "it exited with status %d", WEXITSTATUS(status));
    }
}
