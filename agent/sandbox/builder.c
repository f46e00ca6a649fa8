#include "sandbox/builder.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/message.h"
#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OOM_SCORE "500" /* before the node's own daemons */

void builder_answer(int sock, enum builder_answer_kind kind, pid_t pid, int pidfd)
{
    const struct builder_answer a = {.kind = kind, .pid = pid};

    message_send(sock, &a, sizeof(a), &pidfd, pidfd >= 0 ? 1 : 0);
}

void builder_fail(int sock, const struct err *e)
{
    const struct builder_answer a = {.kind = BUILDER_FAILED, .error = *e};

    message_send(sock, &a, sizeof(a), NULL, 0);
}

/* ---- what is asked */
/* The launcher is gone, or does not want it any more: no order comes. */
static size_t await_message(int sock, void *to, size_t capacity, int *fds, size_t *ret_n_fds)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};
    size_t n;

    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR)
            _exit(1);
    if (message_recv(sock, to, capacity, &n, fds, ret_n_fds) < 0 || n == 0)
        _exit(0);
    return n;
}

struct work {
    struct builder_order order;
    struct message spec;
    struct sock_fprog seccomp;
    int fds[MESSAGE_FDS_MAX];
    uint8_t bytes[MESSAGE_MAX];
};

static int map_seccomp(int fd, struct sock_fprog *ret, struct err *e)
{
    struct stat st;
    void *at;

    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "seccomp program");
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return err_errno(e, errno, "map the seccomp program");
    *ret = (struct sock_fprog){.len = (unsigned short)((size_t)st.st_size / sizeof(*ret->filter)),
                               .filter = at};
    return 0;
}

static int take_order(int sock, struct work *w, struct err *e)
{
    int none[MESSAGE_FDS_MAX];
    size_t n, n_fds, n_none;

    n = await_message(sock, &w->order, sizeof(w->order), w->fds, &n_fds);
    if (n != sizeof(w->order) || n_fds < ORDER_ROOT + (w->order.detached ? 1u : 0u))
        return err_set(e, EPROTO, "a builder's order is cut short");
    if (!w->order.detached)
        w->fds[ORDER_ROOT] = -1;
    n = await_message(sock, w->bytes, sizeof(w->bytes), none, &n_none);
    if (message_decode(w->bytes, n, &w->spec) < 0)
        return err_set(e, EPROTO, "a builder's order does not parse");
    return map_seccomp(w->fds[ORDER_SECCOMP], &w->seccomp, e);
}

/* ---- what it does */
/* The child mounts the same detached tree, as it is by its go. */
static void map_tree(int tree, pid_t pid)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    tree_map_ids(tree, fd);
    close(fd);
}

/* The child builds its file system as soon as it has its ids, while the link is made. */
static int equip(const struct work *w, pid_t pid, int go, struct err *e)
{
    const struct builder_order *o = &w->order;
    struct child_go word = {0};
    /* The score first: who has changed its ids is no longer ours to write to. */
    int r = proc_write(pid, "oom_score_adj", OOM_SCORE, e);

    if (r == 0)
        r = idmap_write(o->ids, o->uid, o->gid, pid, e);
    if (r == 0 && o->detached)
        map_tree(w->fds[ORDER_ROOT], pid);
    if (r == 0 && write(go, "", 1) != 1)
        r = err_errno(e, errno, "the new process is gone already");
    if (r == 0 && o->linked) {
        r = network_link_make(&o->net, pid, e);
        word = (struct child_go){.linked = true, .net = o->net};
    }
    if (r == 0 && write(go, &word, sizeof(word)) != sizeof(word))
        r = err_errno(e, errno, "the new process is gone already");
    return r;
}

/* What the processes of a user namespace have of some things (inotify instances, message queues, locked memory,
 * pending signals...) the kernel also counts, on the node, for the user who made it. One for all boxes would be
 * used up by any of them, root's own processes included: so each is made by the first of its own ids. The
 * capabilities stay, for the cgroup. */
static pid_t clone_owned(struct child_plan *p, const struct builder_order *o, int cgroup,
                         int *ret_pidfd)
{
    pid_t pid;

    if (o->ids != IDMAP_WHOLE)
        return child_clone(p, cgroup, ret_pidfd);
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ||
        syscall(SYS_setresuid, -1, o->uid, -1) < 0)
        return -errno;
    /* Who has to open the Runtime by its path does so as root. */
    if (!o->detached)
        syscall(SYS_setfsuid, 0);
    pid = child_clone(p, cgroup, ret_pidfd);
    if (syscall(SYS_setresuid, -1, 0, -1) < 0)
        _exit(1);
    /* The change of user has cleared it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static int build(const struct builder_birth *b, struct work *w, struct err *e)
{
    struct child_plan plan = {.spec = &w->spec.spec,
                              .channel = w->fds[ORDER_CHANNEL],
                              .stdout_fd = w->fds[ORDER_STDOUT],
                              .stderr_fd = w->fds[ORDER_STDERR],
                              .root_tree = w->fds[ORDER_ROOT],
                              .ids = w->order.ids,
                              .resolv_conf = w->order.resolv_conf,
                              .seccomp = &w->seccomp,
                              .runtime = b->runtime};
    int go[2], pidfd = -1;
    pid_t pid;

    if (pipe2(go, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe");
    plan.go = go[0];
    pid = clone_owned(&plan, &w->order, b->cgroup, &pidfd);
    if (pid < 0)
        return err_set(e, -pid, "clone3 with new namespaces: %s%s", strerror(-pid),
                       pid == -EPERM    ? " (are user namespaces allowed here?)"
                       : pid == -ENOSPC ? " (see /proc/sys/user/max_*_namespaces)"
                                        : "");
    builder_answer(b->sock, BUILDER_CLONED, pid, pidfd);
    return equip(w, pid, go[1], e);
}

/* And once more who it is, should its maker have died over the birth. */
static void tell_ready(int sock)
{
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

    builder_answer(sock, BUILDER_READY, getpid(), self);
    if (self >= 0)
        close(self);
}

_Noreturn void builder_run(const struct builder_birth *b)
{
    static struct work work; /* most of it is never touched */
    struct err e = {0};
    int r = 0;

    /* A process group of its own, with its init until that has a session: who finds this one dead finds that by it. */
    setpgid(0, 0);
    prctl(PR_SET_NAME, "rouse-builder");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < b->procs_count && r == 0; i++)
        if (write(b->procs[i], "0", 1) != 1)
            r = err_errno(&e, errno, "cgroup: attach");
    if (r == 0) {
        tell_ready(b->sock);
        r = take_order(b->sock, &work, &e);
    }
    if (r == 0)
        r = build(b, &work, &e);
    if (r < 0)
        builder_fail(b->sock, &e);
    _exit(r < 0);
}
