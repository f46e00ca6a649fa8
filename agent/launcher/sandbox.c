/* sandbox.c - one sandbox's life as the launcher sees it: built, parked, taken, watched. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/kind.h"
#include "sandbox/message.h"
#include "launcher/park.h"
#include "launcher/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SETUP_TIME_NS (10 * NS_PER_S)

static const char *const state_names[SANDBOX_STATES] = {"Building", "Parked",   "Starting",
                                                        "Running",  "Stopping", "Killed"};
#define TO(s) (1u << (s))
static const unsigned state_edges[SANDBOX_STATES] = {
    [SANDBOX_BUILDING] = TO(SANDBOX_PARKED) | TO(SANDBOX_KILLED),
    [SANDBOX_PARKED] = TO(SANDBOX_STARTING) | TO(SANDBOX_KILLED),
    [SANDBOX_STARTING] = TO(SANDBOX_RUNNING) | TO(SANDBOX_KILLED),
    [SANDBOX_RUNNING] = TO(SANDBOX_STOPPING) | TO(SANDBOX_KILLED),
    [SANDBOX_STOPPING] = TO(SANDBOX_KILLED),
};

void sandbox_turn(struct sandbox *b, enum sandbox_state to)
{
    assert(state_edges[b->state] & TO(to));
    log_debug("sandbox %s %s: %s -> %s", b->cgroup, b->id, state_names[b->state], state_names[to]);
    b->state = to;
}

struct sandbox *sandbox_find(struct server *s, const char *id)
{
    struct map_node *n = map_get_str(&s->sandboxes, id);

    return n ? map_entry(n, struct sandbox, node) : NULL;
}

/* ---- what the child says */
static void tell_started(struct sandbox *b)
{
    struct message m = {.type = MESSAGE_STARTED, .id = b->id};
    int fds[MESSAGE_FDS_MAX] = {TAKE_FD(b->stdout_fd), TAKE_FD(b->stderr_fd)};
    size_t n = 2;

    m.fds = MESSAGE_FD_STDOUT | MESSAGE_FD_STDERR;
    if (b->frames_fd >= 0) {
        m.fds |= MESSAGE_FD_FRAMES;
        fds[n++] = TAKE_FD(b->frames_fd);
    }
    if (b->api_fd >= 0) {
        m.fds |= MESSAGE_FD_API;
        fds[n++] = TAKE_FD(b->api_fd);
    }
    memcpy(m.started.cgroup, b->cgroup, sizeof(m.started.cgroup));
    m.started.pid = b->pid;
    m.started.pooled = b->pooled;
    m.started.create_ns = clock_monotonic_ns() - b->arrived;
    server_send(b->server, &m, fds, n);
}

static void become_running(struct sandbox *b)
{
    b->started = true;
    sandbox_turn(b, SANDBOX_RUNNING);
    loop_timer_cancel(b->server->loop, &b->timer);
    tell_started(b);
}

/* Takes the descriptors that it names. */
static void become_parked(struct sandbox *b, unsigned which, int *fds, size_t n)
{
    int *const to[] = {&b->frames_fd, &b->api_fd, &b->hosts_fd, &b->hostname_fd};
    size_t k = 0;

    for (size_t i = 0; i < ARRAY_LEN(to); i++)
        if (which & 1u << i && k < n) {
            *to[i] = fds[k];
            fds[k++] = -1;
        }
    sandbox_turn(b, SANDBOX_PARKED);
    loop_timer_cancel(b->server->loop, &b->timer);
    park_box_ready(b);
}

static void take_report(struct sandbox *b, struct child_report *r, int *fds, size_t n)
{
    switch (r->kind) {
    case CHILD_PARKED:
        if (b->state == SANDBOX_BUILDING)
            become_parked(b, r->fds, fds, n);
        break;
    case CHILD_STARTED:
        if (b->state == SANDBOX_STARTING)
            become_running(b);
        break;
    case CHILD_FAILED:
        r->error.message[sizeof(r->error.message) - 1] = '\0';
        if (!b->error.code)
            b->error = r->error;
        break;
    case CHILD_EXITED:
        b->exited = true;
        b->status = r->status;
        break;
    }
    for (size_t i = 0; i < n; i++)
        close_fd(&fds[i]);
}

static void read_channel(struct sandbox *b)
{
    for (;;) {
        int fds[MESSAGE_FDS_MAX];
        struct child_report report;
        size_t n, n_fds;
        int r = message_recv(b->channel.fd, &report, sizeof(report), &n, fds, &n_fds);

        if (r == -EAGAIN)
            return;
        if (r == 0 && n == sizeof(report)) {
            take_report(b, &report, fds, n_fds);
            continue;
        }
        /* Its end is closed; the process's end follows and decides. */
        loop_watch_close(b->server->loop, &b->channel);
        return;
    }
}

static void on_channel(struct loop_watch *w, uint32_t events)
{
    (void)events;
    read_channel(container_of(w, struct sandbox, channel));
}

/* Init is a zombie only when all else in its namespace is gone. */
static void on_process(struct loop_watch *w, uint32_t events)
{
    struct sandbox *b = container_of(w, struct sandbox, process);
    int status;

    (void)events;
    if (b->channel.fd >= 0)
        read_channel(b);
    if (waitpid(b->pid, &status, WNOHANG) != b->pid)
        return;
    if (!b->exited)
        b->status = status;
    b->pid = 0;
    loop_watch_close(b->server->loop, &b->process);
    loop_watch_close(b->server->loop, &b->channel);
    sandbox_end_if_over(b);
}

/* ---- what its builder says */
void sandbox_on_cloned(void *order, pid_t pid, int pidfd)
{
    struct sandbox *b = order;
    int r;

    b->pid = pid;
    b->process.fd = pidfd;
    r = loop_watch_set(b->server->loop, &b->process, LOOP_READ);
    if (r < 0)
        sandbox_fail(b, -r, "watch the sandbox: %s", strerror(-r));
    if (b->state == SANDBOX_KILLED)
        sandbox_kill_now(b);
}

void sandbox_on_failed(void *order, const struct err *e)
{
    sandbox_fail(order, e->code, "%s", e->message);
}

void sandbox_on_builder_ended(void *order, bool killed)
{
    struct sandbox *b = order;

    b->builder = NULL;
    if (b->state == SANDBOX_BUILDING && !b->error.code && (killed || !b->pid)) {
        b->lost = true;
        sandbox_fail(b, EIO, "its builder ended before it had done its work");
    }
    sandbox_end_if_over(b);
}

/* ---- the start */
int sandbox_new(struct server *s, struct kind *k, struct sandbox **ret)
{
    struct sandbox *b = calloc(1, sizeof(*b));
    int r = b ? idpool_take(&s->slots, &b->slot) : -ENOMEM;

    if (r < 0) {
        free(b);
        return r;
    }
    b->server = s;
    b->kind = k;
    b->has_argv = k->kind.argv != NULL;
    b->stdout_fd = b->stderr_fd = b->frames_fd = b->api_fd = b->hosts_fd = b->hostname_fd = -1;
    b->channel = (struct loop_watch){.fd = -1, .fn = on_channel};
    b->process = (struct loop_watch){.fd = -1, .fn = on_process};
    list_init(&b->parked);
    list_push_back(&s->boxes, &b->link);
    *ret = b;
    return 0;
}

static void on_setup_late(struct loop_timer *t)
{
    struct sandbox *b = container_of(t, struct sandbox, timer);

    sandbox_fail(b, ETIMEDOUT, "set-up took longer than %llu s",
                 (unsigned long long)(SETUP_TIME_NS / NS_PER_S));
}

int sandbox_watch(struct sandbox *b, struct err *e)
{
    int r = loop_watch_set(b->server->loop, &b->channel, LOOP_READ);

    b->timer.fn = on_setup_late;
    loop_timer_set(b->server->loop, &b->timer, clock_monotonic_ns() + SETUP_TIME_NS);
    return r < 0 ? err_errno(e, -r, "watch the sandbox") : 0;
}

void sandbox_discard(struct sandbox *b, const struct err *e)
{
    sandbox_fail(b, e->code, "%s", e->message);
    sandbox_end_if_over(b);
}

bool sandbox_alive(const struct sandbox *b)
{
    struct pollfd p = {.fd = b->process.fd, .events = POLLIN};

    return poll(&p, 1, 0) == 0;
}

int sandbox_remember(struct sandbox *b, const void *bytes, size_t size)
{
    b->wish = malloc(size);
    if (!b->wish)
        return -ENOMEM;
    memcpy(b->wish, bytes, size);
    b->wish_size = size;
    return 0;
}

void sandbox_take(struct sandbox *b, const struct sandbox_spec *spec, uint64_t arrived, bool pooled)
{
    struct server *s = b->server;
    struct err e = {0};
    int r;

    snprintf(b->id, sizeof(b->id), "%s", spec->id);
    r = map_put(&s->sandboxes, &b->node, b->id, strlen(b->id));
    if (r < 0) {
        err_errno(&e, -r, "sandbox");
        b->id[0] = '\0';
        server_send_failed(s, spec->id, &e);
        b->kind = NULL;
        sandbox_kill(b);
        return;
    }
    b->kind = NULL;
    b->arrived = arrived;
    b->pooled = pooled;
    sandbox_turn(b, SANDBOX_STARTING);
    loop_timer_set(s->loop, &b->timer, clock_monotonic_ns() + SETUP_TIME_NS);
    r = sandbox_assign(b, spec, &e);
    close_fd(&b->hosts_fd);
    close_fd(&b->hostname_fd);
    /* One that is being killed has no namespaces any more, and is no zombie yet. */
    if (r < 0 && b->wish && (r == -ESRCH || !sandbox_alive(b)))
        sandbox_kill(b);
    else if (r < 0)
        sandbox_fail(b, e.code, "%s", e.message);
    else if (b->has_argv)
        become_running(b);
}
