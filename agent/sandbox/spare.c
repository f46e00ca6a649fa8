#include "sandbox/spare.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/message.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define REFILL_AFTER_NS (10 * NS_PER_MS)
#define ANSWER_TIME_MS  2000

/* What goes to a spare: this with the descriptors, then the spec as a CREATE message. */
struct order {
    bool whole_range;
    char resolv_conf[RESOLV_TEXT_MAX];
};
enum { ORDER_FDS = 5, ORDER_FDS_AND_CGROUP = 6 };

/* ---- in the spare */
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

_Noreturn static void spare_run(const struct spares *s, const char *name, int sock)
{
    static uint8_t bytes[MESSAGE_MAX];
    struct order order;
    struct message m;
    int fds[MESSAGE_FDS_MAX], none[MESSAGE_FDS_MAX];
    size_t n, n_fds, n_none;
    int pidfd = -1;
    pid_t pid;

    prctl(PR_SET_NAME, "rouse-spare");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, (unsigned)sock - 1, 0);
    close_range((unsigned)sock + 1, ~0u, 0);
    if (cgroup_attach(s->cgroups, name, getpid(), NULL) < 0 || send(sock, "r", 1, MSG_NOSIGNAL) != 1)
        _exit(1);
    n = await_message(sock, &order, sizeof(order), fds, &n_fds);
    if (n != sizeof(order) || n_fds < ORDER_FDS)
        _exit(1);
    n = await_message(sock, bytes, sizeof(bytes), none, &n_none);
    if (message_decode(bytes, n, &m) < 0)
        _exit(1);
    struct child_plan plan = {.spec = &m.spec,
                              .channel = fds[0],
                              .stdout_fd = fds[1],
                              .stderr_fd = fds[2],
                              .root_tree = fds[3],
                              .code_tree = fds[4],
                              .whole_range = order.whole_range,
                              .resolv_conf = order.resolv_conf,
                              .seccomp = s->seccomp};
    pid = child_clone(&plan, n_fds == ORDER_FDS_AND_CGROUP ? fds[5] : -1, CLONE_PARENT, &pidfd);
    message_send(sock, &pid, sizeof(pid), &pidfd, pid > 0 ? 1 : 0);
    _exit(0);
}

/* ---- in the launcher */
static void spare_start(struct spares *s, struct spare *to)
{
    const int room = 2 * MESSAGE_MAX;
    int pair[2];

    snprintf(to->name, sizeof(to->name), "_spare-%u", s->serial++);
    to->sock = -1;
    to->pid = -1;
    if (cgroup_create_spare(s->cgroups, to->name) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        cgroup_remove(s->cgroups, to->name);
        to->name[0] = '\0';
        return;
    }
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    to->sock = pair[0];
    to->pid = fork();
    if (to->pid == 0)
        spare_run(s, to->name, pair[1]);
    close(pair[1]);
    if (to->pid < 0) {
        spare_end(to);
        cgroup_remove(s->cgroups, to->name);
        to->name[0] = '\0';
    }
}

/* One a turn: what arrives meanwhile is served between. */
static void on_refill(struct loop_timer *t)
{
    struct spares *s = container_of(t, struct spares, refill);

    for (size_t i = 0; i < SPARES; i++) {
        if (s->all[i].name[0])
            continue;
        spare_start(s, &s->all[i]);
        loop_timer_set(s->loop, t, clock_monotonic_ns() + REFILL_AFTER_NS);
        return;
    }
}

void spares_init(struct spares *s, struct loop *loop, const struct cgroups *cgroups,
                 const struct sock_fprog *seccomp)
{
    *s = (struct spares){.loop = loop, .cgroups = cgroups, .seccomp = seccomp, .refill.fn = on_refill};
    for (size_t i = 0; i < cgroups->count; i++)
        if (!cgroups->trees[i].v2)
            loop_timer_set(loop, &s->refill, clock_monotonic_ns() + 1);
}

void spares_done(struct spares *s)
{
    if (s->loop)
        loop_timer_cancel(s->loop, &s->refill);
    for (size_t i = 0; i < SPARES; i++) {
        if (!s->all[i].name[0])
            continue;
        spare_end(&s->all[i]);
        cgroup_remove(s->cgroups, s->all[i].name);
    }
}

bool spares_take(struct spares *s, struct spare *ret)
{
    for (size_t i = 0; i < SPARES; i++) {
        struct spare *p = &s->all[i];
        char ready;
        ssize_t n;

        if (!p->name[0])
            continue;
        n = recv(p->sock, &ready, 1, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (!loop_timer_armed(&s->refill))
            loop_timer_set(s->loop, &s->refill, clock_monotonic_ns() + REFILL_AFTER_NS);
        if (n == 1) {
            *ret = *p;
            *p = (struct spare){0};
            return true;
        }
        /* It could not attach. */
        spare_end(p);
        cgroup_remove(s->cgroups, p->name);
        *p = (struct spare){0};
    }
    return false;
}

pid_t spare_clone(const struct spare *s, const struct child_plan *p, int cgroup_fd, int *ret_pidfd)
{
    const int fds[] = {p->channel,   p->stdout_fd, p->stderr_fd,
                       p->root_tree, p->code_tree, cgroup_fd};
    const struct message m = {.type = MESSAGE_CREATE, .id = p->spec->id, .spec = *p->spec};
    cleanup_buffer struct buffer b = {0};
    struct order order = {.whole_range = p->whole_range};
    struct pollfd answer = {.fd = s->sock, .events = POLLIN};
    int got[MESSAGE_FDS_MAX];
    size_t n, n_fds = 0;
    pid_t pid;
    int r;

    snprintf(order.resolv_conf, sizeof(order.resolv_conf), "%s", p->resolv_conf);
    r = message_encode(&b, &m);
    if (r == 0)
        r = message_send(s->sock, &order, sizeof(order), fds,
                         cgroup_fd >= 0 ? ORDER_FDS_AND_CGROUP : ORDER_FDS);
    if (r == 0)
        r = message_send(s->sock, buffer_bytes(&b), buffer_size(&b), NULL, 0);
    if (r == 0 && poll(&answer, 1, ANSWER_TIME_MS) != 1)
        r = -ETIMEDOUT;
    if (r == 0)
        r = message_recv(s->sock, &pid, sizeof(pid), &n, got, &n_fds);
    if (r < 0)
        return r;
    if (n == sizeof(pid) && pid < 0)
        return pid;
    if (n != sizeof(pid) || n_fds != 1) {
        for (size_t i = 0; i < n_fds; i++)
            close(got[i]);
        return -EPIPE;
    }
    *ret_pidfd = got[0];
    return pid;
}

void spare_end(struct spare *s)
{
    if (s->sock >= 0)
        close(s->sock);
    s->sock = -1;
    /* It ends by itself now; this is for one that hangs. */
    if (s->pid > 0)
        kill(s->pid, SIGKILL);
    while (s->pid > 0 && waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = -1;
}
