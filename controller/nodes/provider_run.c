#include "nodes/provider_run.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE_MS = 2000, CHUNK = 16 << 10, ERRORS_KEPT = 4096 };

extern char **environ;

struct running {
    pid_t pid;
    int pidfd, out, errors;
    char kept[ERRORS_KEPT]; /* the end of its stderr */
    size_t kept_size;
};

static int input_of(const char *text)
{
    cleanup_fd int fd = memfd_create("question", MFD_CLOEXEC);
    size_t n = strlen(text);

    if (fd < 0)
        return -errno;
    return pwrite(fd, text, n, 0) == (ssize_t)n ? TAKE_FD(fd) : -EIO;
}

/* In a process group of its own, with the signals of a program that a shell starts. */
static int spawn(char *const *argv, int in, int out, int errors, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, errors, 2);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP);
    r = posix_spawn(ret, argv[0], &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -r;
}

static int start(const struct provider_run *r, struct running *ret)
{
    int out[2] = {-1, -1}, errors[2] = {-1, -1};
    cleanup_fd int in = input_of(r->input);
    int e = in;

    if (e >= 0)
        e = pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0 ? -errno : 0;
    if (e == 0)
        e = spawn(r->argv, in, out[1], errors[1], &ret->pid);
    if (out[1] >= 0)
        close(out[1]);
    if (errors[1] >= 0)
        close(errors[1]);
    ret->out = out[0];
    ret->errors = errors[0];
    ret->pidfd = e == 0 ? (int)syscall(SYS_pidfd_open, ret->pid, 0) : -1;
    return e;
}

/* -1: it has closed its end. */
static int take_errors(struct running *p)
{
    char text[1024];
    ssize_t n = read(p->errors, text, sizeof(text));

    if (n <= 0)
        return -1;
    if ((size_t)n > sizeof(p->kept) - p->kept_size) {
        size_t drop = (size_t)n - (sizeof(p->kept) - p->kept_size);

        memmove(p->kept, p->kept + drop, p->kept_size - drop);
        p->kept_size -= drop;
    }
    memcpy(p->kept + p->kept_size, text, (size_t)n);
    p->kept_size += (size_t)n;
    return 0;
}

static int take_output(struct provider_run *r, struct running *p)
{
    char text[CHUNK];
    ssize_t n = read(p->out, text, sizeof(text));

    if (n <= 0)
        return -1;
    if (buffer_size(&r->out) + (size_t)n > r->limit)
        return -E2BIG;
    return buffer_append(&r->out, text, (size_t)n) < 0 ? -ENOMEM : 0;
}

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Until it has ended, and what it wrote is read; 0, or why it must not go on. */
static int follow(struct provider_run *r, struct running *p)
{
    for (;;) {
        struct pollfd fds[] = {
            {p->out, POLLIN, 0}, {p->errors, POLLIN, 0}, {p->pidfd, POLLIN, 0}, {r->stop, POLLIN, 0}};
        uint64_t now = clock_monotonic_ns();
        int e;

        if (now >= r->deadline)
            return -ETIMEDOUT;
        if (poll(fds, ARRAY_LEN(fds), (int)((r->deadline - now) / NS_PER_MS) + 1) < 0 &&
            errno != EINTR)
            return -errno;
        if (fds[3].revents)
            return -ECANCELED;
        if (fds[1].revents && take_errors(p) < 0)
            shut(&p->errors);
        if (fds[0].revents) {
            e = take_output(r, p);
            if (e == -1)
                shut(&p->out);
            else if (e < 0)
                return e;
            continue;
        }
        /* What it has left running may keep the pipes open: nobody waits for that. What it wrote itself is
         * there by now, though poll() may have asked the pipes before it did and the pidfd after its end. */
        if (fds[2].revents && poll(fds, 2, 0) <= 0)
            return 0;
    }
}

static void kill_group(const struct running *p)
{
    struct pollfd end = {p->pidfd, POLLIN, 0};

    kill(-p->pid, SIGTERM);
    poll(&end, 1, GRACE_MS);
    kill(-p->pid, SIGKILL);
}

static void last_line(const struct running *p, char *out, size_t size)
{
    size_t end = p->kept_size, begin;

    while (end && (p->kept[end - 1] == '\n' || p->kept[end - 1] == '\r'))
        end--;
    begin = end;
    while (begin && p->kept[begin - 1] != '\n')
        begin--;
    snprintf(out, size, "%.*s", (int)(end - begin), p->kept + begin);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

static int judge(struct provider_run *r, const struct running *p, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    last_line(p, r->message, sizeof(r->message));
    if (!r->message[0] && WIFSIGNALED(status))
        snprintf(r->message, sizeof(r->message), "killed by signal %d", WTERMSIG(status));
    else if (!r->message[0])
        snprintf(r->message, sizeof(r->message), "exit status %d", WEXITSTATUS(status));
    return -EREMOTEIO;
}

int provider_run(struct provider_run *r)
{
    struct running p = {.out = -1, .errors = -1, .pidfd = -1};
    int e = start(r, &p), status = 0;

    if (e < 0) {
        snprintf(r->message, sizeof(r->message), "%s: %s", r->argv[0], strerror(-e));
    } else {
        e = follow(r, &p);
        if (e < 0)
            kill_group(&p);
        while (waitpid(p.pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (e == -ETIMEDOUT)
            snprintf(r->message, sizeof(r->message), "it did not end in time and was killed");
        else if (e == -E2BIG)
            snprintf(r->message, sizeof(r->message), "it wrote more than %zu bytes", r->limit);
        else if (e < 0)
            snprintf(r->message, sizeof(r->message), "%s", strerror(-e));
        else
            e = judge(r, &p, status);
    }
    shut(&p.out);
    shut(&p.errors);
    shut(&p.pidfd);
    return e;
}
