#include "launcher/launcher.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/message.h"
#include "launcher/handle.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define START_TIME_MS 15000
#define FREE_TIME_MS  10000
#define SOCKET_BYTES  (1 << 20)

static int await_ready(struct launcher *l, struct err *e)
{
    struct pollfd p = {.fd = l->sock, .events = POLLIN};
    int fds[MESSAGE_FDS_MAX];
    struct message m;
    size_t n, n_fds;
    int r = poll(&p, 1, START_TIME_MS);

    if (r == 0)
        return err_set(e, ETIMEDOUT, "the launcher did not start within %d s", START_TIME_MS / 1000);
    r = r < 0 ? -errno : message_recv(l->sock, l->received, MESSAGE_MAX, &n, fds, &n_fds);
    if (r == 0)
        r = n ? message_decode(l->received, n, &m) : -EPIPE;
    if (r < 0)
        return err_errno(e, -r, "start the launcher");
    if (m.error.code) {
        if (e)
            *e = m.error;
        return -m.error.code;
    }
    l->warning = *m.warning ? strdup(m.warning) : NULL;
    cgroups_open(&l->cgroups);
    return 0;
}

static int fork_launcher(struct launcher *l, const struct launcher_config *c, struct err *e)
{
    const int bytes = SOCKET_BYTES;
    pid_t agent = getpid();
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return err_errno(e, errno, "socket pair for the launcher");
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    l->pid = fork();
    if (l->pid == 0)
        server_run(pair[1], c, &l->names, &l->cgroups, agent);
    close(pair[1]);
    l->sock = pair[0];
    if (l->pid < 0)
        return err_errno(e, errno, "fork the launcher");
    l->pidfd = (int)syscall(SYS_pidfd_open, l->pid, 0);
    return l->pidfd < 0 ? err_errno(e, errno, "watch the launcher") : await_ready(l, e);
}

int launcher_start(const struct launcher_config *c, struct launcher **ret, struct err *e)
{
    struct launcher *l = calloc(1, sizeof(*l));
    int r;

    if (!l)
        return err_errno(e, ENOMEM, "launcher");
    l->sock = l->pidfd = -1;
    list_init(&l->outbox);
    list_init(&l->parked);
    l->received = malloc(MESSAGE_MAX);
    r = l->received ? names_init(c->state_dir, &l->names) : -ENOMEM;
    if (r < 0)
        err_errno(e, -r, "state directory %s", c->state_dir);
    if (r == 0 && (r = cgroups_init(&l->cgroups, l->names.cgroup, c->cgroup_v1_only)) < 0)
        err_errno(e, -r, "find the cgroups of this process");
    if (r == 0)
        r = fork_launcher(l, c, e);
    if (r < 0) {
        launcher_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

static void reap(struct launcher *l)
{
    struct pollfd p = {.fd = l->pidfd, .events = POLLIN};
    int r = 0;

    if (l->pid <= 0)
        return;
    while (l->pidfd >= 0 && (r = poll(&p, 1, FREE_TIME_MS)) < 0 && errno == EINTR)
        ;
    if (r <= 0)
        kill(l->pid, SIGKILL);
    while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

struct launcher *launcher_free(struct launcher *l)
{
    if (!l)
        return NULL;
    if (l->loop && l->watch.events)
        loop_watch_cancel(l->loop, &l->watch);
    /* Before the launcher thaws and kills: a freeze after that would keep what it is of from its end. */
    freezer_free(l->freezer);
    /* The end of the socket is the launcher's word to end. */
    if (l->sock >= 0)
        close(l->sock);
    reap(l);
    if (l->pidfd >= 0)
        close(l->pidfd);
    list_for_each(it, &l->outbox) free(list_entry(it, struct request, link));
    map_for_each(it, &l->known) handle_forget(l, map_entry(it, struct known, node));
    map_done(&l->known);
    list_for_each(it, &l->parked) handle_parked_free(list_entry(it, struct parked, link));
    cgroups_done(&l->cgroups);
    free(l->received);
    free(l->warning);
    free(l);
    return NULL;
}

const char *launcher_cgroup_layout(const struct launcher *l)
{
    return cgroup_trees_name(l->cgroups.trees, l->cgroups.count);
}

const char *launcher_warning(const struct launcher *l)
{
    return l->warning;
}

int launcher_attach(struct launcher *l, struct loop *loop, const struct launcher_ops *ops, void *user)
{
    int r;

    if (l->loop)
        return -EALREADY; /* setting a set watch up anew would leave the first one in the loop */
    r = freezer_new(&l->cgroups, &l->freezer); /* a thread: not before the fork */
    if (r < 0)
        return r;
    l->loop = loop;
    l->ops = *ops;
    l->user = user;
    l->watch = (struct loop_watch){.fd = l->sock, .fn = handle_on_socket};
    return loop_watch_set(loop, &l->watch,
                          list_empty(&l->outbox) ? LOOP_READ : LOOP_READ | LOOP_WRITE);
}

/* ---- its cgroups */
int launcher_freeze(const struct launcher *l, const char *cgroup, bool frozen)
{
    return handle_id_valid(cgroup) && l->freezer ? freezer_set(l->freezer, cgroup, frozen) : -ENOENT;
}

void launcher_metrics(const struct launcher *l, struct buffer *out)
{
    if (l->freezer)
        freezer_metrics(l->freezer, out);
}

int launcher_reclaim(const struct launcher *l, const char *cgroup, uint64_t bytes, uint64_t *ret_freed)
{
    return handle_id_valid(cgroup) ? cgroup_reclaim(&l->cgroups, cgroup, bytes, ret_freed) : -ENOENT;
}

int launcher_usage(const struct launcher *l, const char *cgroup, struct sandbox_usage *ret)
{
    struct cgroup_usage u;
    int r = handle_id_valid(cgroup) ? cgroup_usage(&l->cgroups, cgroup, &u) : -ENOENT;

    if (r == 0)
        *ret = (struct sandbox_usage){.memory = u.memory, .cpu_ns = u.cpu_ns};
    return r;
}
