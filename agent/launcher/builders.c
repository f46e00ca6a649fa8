#include "launcher/builders.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/message.h"
#include "launcher/zygotes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ATTACH_TIME_NS (10 * NS_PER_S)
#define ORDER_TIME_NS  (5 * NS_PER_S)
#define AGAIN_NS       (2 * NS_PER_MS)
#define BACK_OFF_NS    (100 * NS_PER_MS)
#define SILENT_MAX     32u

struct builder {
    struct list link, of_all;
    struct builders *all;
    char cgroup[CGROUP_NAME_MAX];
    struct cgroup_limits limits; /* its */
    pid_t pid;                   /* 0: not born */
    bool ready, ordered, cloned, told, killed;
    void *order;
    struct loop_watch sock, process;
    struct loop_timer late;
};

static void leave_ready(struct builder *p)
{
    if (list_empty(&p->link))
        return;
    list_del(&p->link);
    p->all->ready_count--;
}

static void builder_free(struct builder *p)
{
    struct builders *b = p->all;

    leave_ready(p);
    if (!p->ready)
        b->coming--;
    loop_timer_cancel(b->loop, &p->late);
    loop_watch_close(b->loop, &p->sock);
    loop_watch_close(b->loop, &p->process);
    list_del(&p->of_all);
    free(p);
}

static void end(struct builder *p)
{
    struct builders *b = p->all;
    bool ordered = p->ordered, was_ready = p->ready, killed = p->killed;
    void *order = p->order;

    if (!ordered)
        b->on_unused(b, p->cgroup);
    builder_free(p);
    if (ordered) {
        b->on_ended(order, killed);
        return;
    }
    if (!was_ready) {
        b->not_before = clock_monotonic_ns() + BACK_OFF_NS;
        /* One that says nothing was killed by somebody, or with its nursery. */
        if (!b->error.code && ++b->silent > SILENT_MAX)
            err_set(&b->error, EIO, "builders end before they are ready");
    }
    b->on_change(b);
}

void builder_kill(struct builder *p)
{
    if (p->pid > 0)
        syscall(SYS_pidfd_send_signal, p->process.fd, SIGKILL, NULL, 0);
}

static void on_late(struct loop_timer *t)
{
    struct builder *p = container_of(t, struct builder, late);

    log_warn("builder %s: %s", p->cgroup, p->ordered ? "took too long" : "was not ready in time");
    if (p->ordered && !p->told) {
        struct err e;

        p->told = true;
        err_set(&e, ETIMEDOUT, "its builder took longer than %llu s",
                (unsigned long long)(ORDER_TIME_NS / NS_PER_S));
        p->all->on_failed(p->order, &e);
    }
    if (p->pid > 0)
        builder_kill(p);
    else
        end(p); /* never born: should it still be, it finds its socket closed */
}

static void become_ready(struct builder *p)
{
    struct builders *b = p->all;

    p->ready = true;
    b->coming--;
    b->ready_count++;
    b->error.code = 0;
    b->silent = 0;
    list_push_back(&b->ready, &p->link);
    loop_timer_cancel(b->loop, &p->late);
    b->on_change(b);
}

static void on_process(struct loop_watch *w, uint32_t events);

static void be_born(struct builder *p, pid_t pid, int pidfd)
{
    p->pid = pid;
    p->process = (struct loop_watch){.fd = pidfd, .fn = on_process};
    if (loop_watch_set(p->all->loop, &p->process, LOOP_READ) < 0)
        builder_kill(p);
}

static void take_answer(struct builder *p, struct builder_answer *a, int *fds, size_t n)
{
    struct builders *b = p->all;

    a->error.message[sizeof(a->error.message) - 1] = '\0';
    if (a->kind == BUILDER_CLONED && n == 1 && p->ordered) {
        p->cloned = true;
        b->on_cloned(p->order, a->pid, fds[0]);
        return;
    }
    if ((a->kind == BUILDER_BORN || a->kind == BUILDER_READY) && n == 1 && !p->pid)
        be_born(p, a->pid, fds[--n]);
    message_close(fds, n);
    if (a->kind == BUILDER_READY && !p->ready) {
        become_ready(p);
    } else if (a->kind == BUILDER_FAILED && p->ordered && !p->told) {
        p->told = true;
        b->on_failed(p->order, &a->error);
    } else if (a->kind == BUILDER_FAILED && !p->ordered) {
        b->error = a->error;
    }
}

/* False: its end is closed, or it is no more. */
static bool read_sock(struct builder *p)
{
    for (;;) {
        struct builder_answer a;
        int fds[MESSAGE_FDS_MAX], r;
        size_t n, n_fds;

        r = message_recv(p->sock.fd, &a, sizeof(a), &n, fds, &n_fds);
        if (r == -EAGAIN)
            return true;
        if (r < 0 || n != sizeof(a))
            return false;
        take_answer(p, &a, fds, n_fds);
    }
}

static void on_sock(struct loop_watch *w, uint32_t events)
{
    struct builder *p = container_of(w, struct builder, sock);

    (void)events;
    if (read_sock(p))
        return;
    loop_watch_close(p->all->loop, &p->sock);
    leave_ready(p);
    /* One that was born ends with its process. */
    if (!p->pid)
        end(p);
}

static void on_process(struct loop_watch *w, uint32_t events)
{
    struct builder *p = container_of(w, struct builder, process);
    int status = 0;
    bool orphan;

    (void)events;
    if (p->sock.fd >= 0)
        read_sock(p);
    /* An init that it had not told of yet. The group's number is taken while the builder has not been reaped. */
    orphan = p->ordered && !p->cloned && kill(-p->pid, SIGKILL) == 0;
    if (waitpid(p->pid, &status, WNOHANG) == 0)
        return;
    while (orphan && waitpid(-p->pid, NULL, 0) > 0)
        ;
    p->killed = WIFSIGNALED(status);
    p->pid = 0;
    end(p);
}

/* ---- */
static int make(struct builders *b)
{
    struct builder *p = calloc(1, sizeof(*p));
    int pair[2], r;

    if (!p)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        free(p);
        return -errno;
    }
    p->all = b;
    list_init(&p->link);
    p->sock = (struct loop_watch){.fd = pair[0], .fn = on_sock};
    p->process.fd = -1;
    p->late.fn = on_late;
    snprintf(p->cgroup, sizeof(p->cgroup), "box-%u", b->nursery->serial++);
    p->limits = b->nursery->limits;
    r = nursery_make(b->nursery, p->cgroup, pair[1], b->zygote ? zygote_orders(b->zygote) : -1);
    if (r == 0)
        r = loop_watch_set(b->loop, &p->sock, LOOP_READ);
    if (r < 0) {
        close(pair[0]);
        free(p);
        return r;
    }
    loop_timer_set(b->loop, &p->late, clock_monotonic_ns() + ATTACH_TIME_NS);
    list_push_back(&b->all, &p->of_all);
    b->coming++;
    return 0;
}

static void on_again(struct loop_timer *t)
{
    struct builders *b = container_of(t, struct builders, again);

    builders_want(b, b->wanted);
}

void builders_init(struct builders *b)
{
    list_init(&b->ready);
    list_init(&b->all);
    b->again.fn = on_again;
}

void builders_want(struct builders *b, unsigned count)
{
    uint64_t now = clock_monotonic_ns();

    b->wanted = count;
    while (!b->ending && b->ready_count + b->coming < count)
        if (now < b->not_before || make(b) < 0) {
            if (!loop_timer_armed(&b->again))
                loop_timer_set(b->loop, &b->again,
                               now < b->not_before ? b->not_before : now + AGAIN_NS);
            return;
        }
}

struct builder *builders_take(struct builders *b, char cgroup[CGROUP_NAME_MAX],
                              struct cgroup_limits *ret_limits)
{
    struct builder *p;

    if (list_empty(&b->ready))
        return NULL;
    p = list_entry(b->ready.next, struct builder, link);
    leave_ready(p);
    p->ordered = true;
    b->error.code = 0;
    memcpy(cgroup, p->cgroup, sizeof(p->cgroup));
    *ret_limits = p->limits;
    return p;
}

int builder_order(struct builder *p, const struct builder_order *o, const struct sandbox_spec *spec,
                  const int *fds, size_t n, void *order)
{
    const struct message m = {.type = MESSAGE_CREATE, .id = spec->id, .spec = *spec};
    cleanup_buffer struct buffer b = {0};
    int r = message_encode(&b, &m);

    if (r == 0)
        r = message_send(p->sock.fd, o, sizeof(*o), fds, n);
    if (r == 0)
        r = message_send(p->sock.fd, buffer_bytes(&b), buffer_size(&b), NULL, 0);
    p->order = order;
    if (r < 0) {
        p->told = true;
        builder_kill(p);
        return r;
    }
    loop_timer_set(p->all->loop, &p->late, clock_monotonic_ns() + ORDER_TIME_NS);
    return 0;
}

void builders_done(struct builders *b)
{
    b->ending = true;
    loop_timer_cancel(b->loop, &b->again);
    list_for_each(it, &b->all)
    {
        struct builder *p = list_entry(it, struct builder, of_all);

        if (p->pid > 0) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, NULL, 0);
        }
        builder_free(p);
    }
}
