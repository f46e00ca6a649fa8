#include "sandbox/zygote.h"
#include "sandbox/message.h"
#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The interpreter as it was when it began to serve. Builder and init are copies of it that change all this. */
static struct {
    jmp_buf back;
    struct sigaction signals[NSIG];
    char name[16];
} interpreter;

/* In the runtime: back into the interpreter, down a stack that is a copy of the one it called from. */
static void become_interpreter(void)
{
    for (int s = 1; s < NSIG; s++)
        sigaction(s, &interpreter.signals[s], NULL);
    prctl(PR_SET_NAME, interpreter.name);
    /* As after an exec: /proc/self is its own. Init, which is another process, stays as it is. */
    prctl(PR_SET_DUMPABLE, 1);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    if (chdir(ROOT_TASK_DIR) < 0)
        _exit(127);
    longjmp(interpreter.back, 1);
}

/* Moves the order's descriptors out of the way of all others, and closes these. */
static void keep(struct builder_birth *b, const int *fds, size_t n)
{
    enum { FIRST = 64 };

    for (size_t i = 0; i < n; i++)
        if (dup3(fds[i], FIRST + MESSAGE_FDS_MAX + (int)i, O_CLOEXEC) < 0)
            _exit(1);
    close_range(STDERR_FILENO + 1, FIRST + MESSAGE_FDS_MAX - 1, 0);
    close_range(FIRST + MESSAGE_FDS_MAX + (unsigned)n, ~0u, 0);
    b->sock = FIRST + MESSAGE_FDS_MAX;
    for (size_t i = 0; i < b->procs_count; i++)
        b->procs[i] = b->sock + 1 + (int)i;
    if (b->cgroup >= 0)
        b->cgroup = b->sock + 1 + (int)b->procs_count;
}

static void bear(const struct zygote_order *o, const int *fds, size_t n)
{
    struct builder_birth b = {
        .procs_count = o->procs_count, .cgroup = o->cgroup ? 0 : -1, .runtime = become_interpreter};
    int pidfd = -1;
    /* The launcher's child, as it is one of the launcher's own. */
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_PARENT,
                              .pidfd = (uint64_t)(uintptr_t)&pidfd};
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0) {
        keep(&b, fds, n);
        builder_run(&b);
    }
    if (pid > 0)
        builder_answer(fds[0], BUILDER_BORN, (pid_t)pid, pidfd);
    if (pidfd >= 0)
        close(pidfd);
}

int rouse_zygote_serve(int socket)
{
    struct pollfd p = {.fd = socket, .events = POLLIN};

    if (setjmp(interpreter.back))
        return 1;
    for (int s = 1; s < NSIG; s++)
        sigaction(s, NULL, &interpreter.signals[s]);
    prctl(PR_GET_NAME, interpreter.name);
    if (send(socket, &(char){ZYGOTE_READY}, 1, MSG_NOSIGNAL) != 1)
        return 0;
    for (;;) {
        int fds[MESSAGE_FDS_MAX];
        struct zygote_order o;
        size_t size, n;

        if (poll(&p, 1, -1) < 0 && errno == EINTR)
            continue;
        if (message_recv(socket, &o, sizeof(o), &size, fds, &n) < 0 || size == 0)
            return 0;
        if (size == sizeof(o) && o.procs_count <= CGROUP_TREES_MAX &&
            n == 1 + o.procs_count + o.cgroup)
            bear(&o, fds, n);
        message_close(fds, n);
    }
}
