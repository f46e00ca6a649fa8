#include "launcher/nursery.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/builder.h"
#include "sandbox/lean.h"
#include "sandbox/message.h"
#include "launcher/zygotes.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { ROOM_MEMORY = 32 << 20, ROOM_CPU = 200 };

struct request {
    enum { MAKE = 1, REMOVE } kind;
    int result; /* of REMOVE, in the answer */
    char cgroup[CGROUP_NAME_MAX];
    struct cgroup_limits limits; /* MAKE */
};

/* ---- in the nursery */
static void birth_close(struct builder_birth *b)
{
    close(b->sock);
    for (size_t i = 0; i < b->procs_count; i++)
        close(b->procs[i]);
    if (b->cgroup >= 0)
        close(b->cgroup);
}

static pid_t fork_builder(const struct builder_birth *b, int own_sock, int *ret_pidfd)
{
    struct clone_args args = {.flags = CLONE_PARENT | CLONE_PIDFD,
                              .pidfd = (uint64_t)(uintptr_t)ret_pidfd};
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0) {
        close(own_sock);
        builder_run(b);
    }
    return pid < 0 ? -errno : (pid_t)pid;
}

static void make(const struct cgroups *c, const struct request *q, int sock, int zygote, int own_sock)
{
    struct builder_birth birth = {.sock = sock, .cgroup = -1};
    struct err e = {0};
    const char *name = q->cgroup;
    int pidfd = -1, r;
    pid_t pid = 0;

    r = cgroup_create(c, name, &q->limits, &birth.cgroup, &e);
    if (r == 0) {
        r = cgroup_open_procs(c, name, birth.procs, &birth.procs_count, &e);
        if (r == 0 && zygote >= 0 && (r = zygote_bear(zygote, &birth)) < 0)
            err_errno(&e, -r, "ask the zygote");
        if (r == 0 && zygote < 0 && (pid = fork_builder(&birth, own_sock, &pidfd)) < 0)
            r = err_errno(&e, -pid, "fork a builder");
        if (r < 0)
            cgroup_remove(c, name);
    }
    if (r < 0)
        builder_fail(sock, &e);
    else if (pid) /* a zygote says so itself */
        builder_answer(sock, BUILDER_BORN, pid, pidfd);
    if (pidfd >= 0)
        close(pidfd);
    birth_close(&birth);
}

_Noreturn static void run(const struct cgroups *c, int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};

    prctl(PR_SET_NAME, "rouse-nursery");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lean_forks();
    for (;;) {
        int fds[MESSAGE_FDS_MAX];
        struct request q;
        size_t n, n_fds;

        if (poll(&p, 1, -1) < 0 || message_recv(sock, &q, sizeof(q), &n, fds, &n_fds) < 0)
            continue;
        if (n != sizeof(q))
            _exit(0);
        if (q.kind == MAKE && n_fds) {
            int zygote = n_fds == 2 ? fds[1] : -1;

            make(c, &q, fds[0], zygote, sock);
            if (zygote >= 0)
                close(zygote);
            continue;
        }
        q.result = cgroup_remove(c, q.cgroup);
        while (send(sock, &q, sizeof(q), MSG_NOSIGNAL) < 0)
            if (errno != EINTR)
                _exit(1);
    }
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* From 3 on. */
static void close_all_but(int *keep, size_t n)
{
    int from = STDERR_FILENO + 1;

    qsort(keep, n, sizeof(*keep), by_number);
    for (size_t i = 0; i < n; i++) {
        if (keep[i] > from)
            close_range((unsigned)from, (unsigned)keep[i] - 1, 0);
        if (keep[i] >= from)
            from = keep[i] + 1;
    }
    close_range((unsigned)from, ~0u, 0);
}

/* ---- in the launcher */
static const struct cgroup_limits usual = {/* a Function's defaults */
                                           .memory = 128u << 20,
                                           .cpu_millis = 500,
                                           .pids = SANDBOX_PIDS + 1};

void nursery_expect(struct nursery *n, const struct cgroup_limits *limits)
{
    if ((!limits->memory || limits->memory >= ROOM_MEMORY) &&
        (!limits->cpu_millis || limits->cpu_millis >= ROOM_CPU) && limits->pids >= usual.pids)
        n->limits = *limits;
}

static void forget(struct nursery *n)
{
    if (n->watch.fd < 0)
        return;
    loop_watch_close(n->loop, &n->watch);
    kill(n->pid, SIGKILL);
    while (waitpid(n->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void on_answer(struct loop_watch *w, uint32_t events)
{
    struct nursery *n = container_of(w, struct nursery, watch);
    int fds[MESSAGE_FDS_MAX], r;
    size_t size, n_fds;
    struct request q;

    (void)events;
    while ((r = message_recv(w->fd, &q, sizeof(q), &size, fds, &n_fds)) == 0 && size == sizeof(q))
        n->on_removed(n, q.cgroup, q.result);
    if (r == -EAGAIN)
        return;
    log_warn("the nursery ended: another one takes its place");
    forget(n);
    r = nursery_start(n);
    if (r < 0)
        log_error("no nursery: %s", strerror(-r));
    n->on_lost(n);
}

int nursery_start(struct nursery *n)
{
    int pair[2];

    n->watch = (struct loop_watch){.fd = -1, .fn = on_answer};
    if (!n->limits.pids)
        n->limits = usual;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    n->pid = fork();
    if (n->pid == 0) {
        /* Of the launcher's descriptors it needs those of the cgroups: none may hold a socket of another's. */
        int keep[CGROUP_TREES_MAX + 1] = {pair[1]};
        size_t count = 1;

        for (size_t i = 0; i < n->cgroups->count; i++)
            keep[count++] = n->cgroups->trees[i].dir;
        close_all_but(keep, count);
        run(n->cgroups, pair[1]);
    }
    close(pair[1]);
    n->watch.fd = pair[0];
    if (n->pid < 0) {
        close(pair[0]);
        n->watch.fd = -1;
        return -errno;
    }
    return loop_watch_set(n->loop, &n->watch, LOOP_READ);
}

void nursery_end(struct nursery *n)
{
    forget(n);
}

static int ask(struct nursery *n, int kind, const char *cgroup, const int *fds, size_t count)
{
    struct request q = {.kind = kind, .limits = n->limits};
    /* There may have been no process for it when the last one ended. */
    int r = n->watch.fd < 0 ? nursery_start(n) : 0;

    snprintf(q.cgroup, sizeof(q.cgroup), "%s", cgroup);
    if (r == 0)
        r = message_send(n->watch.fd, &q, sizeof(q), fds, count);
    /* A dead one shows as the end of its socket, and is replaced then. */
    return r < 0 ? -EAGAIN : 0;
}

int nursery_make(struct nursery *n, const char *cgroup, int sock, int zygote)
{
    int r = ask(n, MAKE, cgroup, (int[]){sock, zygote}, zygote >= 0 ? 2 : 1);

    close(sock);
    return r;
}

int nursery_remove(struct nursery *n, const char *cgroup)
{
    return ask(n, REMOVE, cgroup, NULL, 0);
}
