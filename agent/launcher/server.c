#include "launcher/server.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/adopt.h"
#include "launcher/removal.h"
#include "launcher/sandbox.h"
#include "launcher/zygotes.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_TIME_NS (8 * NS_PER_S)
enum { SORTING_REQUEST = 100 << 10 };

/* ---- the end */
static void exit_late(struct loop_timer *t)
{
    struct server *s = container_of(t, struct server, exit_timer);

    log_error("some of %zu sandboxes did not end in time", s->sandboxes.count);
    loop_stop(s->loop);
}

void server_end(struct server *s)
{
    if (s->closing)
        return;
    s->closing = true;
    loop_watch_cancel(s->loop, &s->watch);
    s->exit_timer.fn = exit_late;
    loop_timer_set(s->loop, &s->exit_timer, clock_monotonic_ns() + EXIT_TIME_NS);
    sandbox_stop_all(s);
    adopt_stop_all(s);
    server_sandbox_gone(s);
}

void server_sandbox_gone(struct server *s)
{
    if (s->closing && list_empty(&s->boxes) && s->adopted.count == 0)
        loop_stop(s->loop);
}

/* ---- requests */
static void stop(struct server *s, const struct message *m)
{
    struct sandbox *b = sandbox_find(s, m->id);
    struct adopted *a = adopt_find(s, m->id);

    if (b)
        sandbox_stop(b, m->grace_ns);
    else if (a)
        adopt_stop(a, m->grace_ns);
    else
        park_cancel(s, m->id);
}

static void take_request(struct server *s, const struct message *m, const void *bytes, size_t n,
                         uint64_t arrived)
{
    switch (m->type) {
    case MESSAGE_CREATE:
        park_create(s, m, bytes, n, arrived);
        break;
    case MESSAGE_STOP:
        stop(s, m);
        break;
    case MESSAGE_ADOPT:
        adopt_begin(s, &m->adoption, arrived);
        break;
    case MESSAGE_PARK:
        park_set(s, m);
        break;
    case MESSAGE_PORTS:
        network_ports(&s->network, m->ports);
        break;
    default:
        log_error("a request of type %d", m->type);
    }
}

static void on_socket(struct loop_watch *w, uint32_t events)
{
    static uint8_t bytes[MESSAGE_MAX];
    struct server *s = container_of(w, struct server, watch);

    if (events & LOOP_WRITE)
        server_flush(s);
    while (!s->closing) {
        uint64_t arrived = clock_monotonic_ns();
        int fds[MESSAGE_FDS_MAX];
        struct message m;
        size_t n, n_fds;
        int r = message_recv(s->sock, bytes, sizeof(bytes), &n, fds, &n_fds);

        if (r == -EAGAIN)
            return;
        if (r < 0 || n == 0) {
            server_end(s);
            return;
        }
        message_close(fds, n_fds);
        r = message_decode(bytes, n, &m);
        if (r < 0) {
            log_error("a request of %zu bytes does not parse", n);
            server_end(s);
            return;
        }
        take_request(s, &m, bytes, n, arrived);
        message_done(&m);
    }
}

/* ---- the start */
static void clean_up(struct server *s)
{
    struct err e = {0};

    if (s->nursery.loop) {
        builders_done(&s->builders);
        zygotes_done(s);
        nursery_end(&s->nursery);
    }
    park_done(s);
    removals_done(s);
    network_settle(&s->network);
    if (s->network.usable && network_clean(&s->names, &e) < 0)
        log_warn("%s", e.message);
    network_done(&s->network);
    if (cgroups_clean(&s->cgroups, &e) < 0)
        log_warn("%s", e.message);
}

static void on_removed(struct nursery *n, const char *cgroup, int result)
{
    if (result == 0)
        removal_cgroup_gone(container_of(n, struct server, nursery), cgroup);
}

/* Builders that it was to make find their sockets closed; removals ask again. */
static void on_nursery_lost(struct nursery *n)
{
    park_pump(container_of(n, struct server, nursery));
}

static void on_builders(struct builders *b)
{
    park_pump(b->server);
}

static void on_builder_unused(struct builders *b, const char *cgroup)
{
    removal_begin(b->server, cgroup, -1, NULL);
}

void server_init_builders(struct server *s, struct builders *b, struct zygote *zygote)
{
    *b = (struct builders){.loop = s->loop,
                           .nursery = &s->nursery,
                           .server = s,
                           .zygote = zygote,
                           .on_change = on_builders,
                           .on_cloned = sandbox_on_cloned,
                           .on_failed = sandbox_on_failed,
                           .on_ended = sandbox_on_builder_ended,
                           .on_unused = on_builder_unused};
    builders_init(b);
}

/* Forked before there is anything that its forks should not have. */
static int start_nursery(struct server *s)
{
    s->nursery = (struct nursery){
        .loop = s->loop, .cgroups = &s->cgroups, .on_removed = on_removed, .on_lost = on_nursery_lost};
    server_init_builders(s, &s->builders, NULL);
    return nursery_start(&s->nursery);
}

_Noreturn void server_run(int sock, const struct launcher_config *config, const struct names *names,
                          const struct cgroups *cgroups, pid_t agent)
{
    static struct server server;
    struct server *s = &server;
    char warning[ERR_MESSAGE_MAX * 2] = "";
    void *volatile sort; /* or the compiler would leave the request out */
    struct message ready = {.type = MESSAGE_READY, .id = "", .warning = warning};
    int r;

    *s = (struct server){.sock = sock, .names = *names, .cgroups = *cgroups};
    s->network.reservation = -1;
    s->seccomp_fd = s->home.mounts = s->home.names = s->home.root = -1;
    list_init(&s->outbox);
    list_init(&s->boxes);
    list_init(&s->removals);
    list_init(&s->zygotes);
    list_init(&s->park.order);
    server_become(sock);
    /* It forks: a child must not hold a ring. */
    r = loop_open(&(struct loop_options){.backend = LOOP_EPOLL}, &s->loop);
    if (r < 0)
        err_errno(&ready.error, -r, "the launcher's event loop");
    else
        r = server_prepare(s, config, agent, warning, sizeof(warning), &ready.error);
    if (r < 0 && !ready.error.code)
        err_errno(&ready.error, -r, "start the launcher");
    /* Compiling the seccomp list leaves 25 MiB of free heap, whose page table every builder and every init
     * would copy, and walk once more when it ends: 8 ms of a sandbox's 14. */
    malloc_trim(0);
    /* And what it then leaves unsorted, the first larger request of every one of them would sort, page after page. */
    sort = malloc(SORTING_REQUEST);
    free(sort);
    if (r == 0 && (r = start_nursery(s)) < 0)
        err_errno(&ready.error, -r, "start the nursery");
    s->watch = (struct loop_watch){.fd = sock, .fn = on_socket};
    if (r == 0 && (r = loop_watch_set(s->loop, &s->watch, LOOP_READ)) < 0)
        err_errno(&ready.error, -r, "watch the agent's socket");
    if (r < 0) {
        cleanup_buffer struct buffer b = {0};

        if (message_encode(&b, &ready) == 0)
            message_send(sock, buffer_bytes(&b), buffer_size(&b), NULL, 0);
        clean_up(s);
        _exit(1);
    }
    server_send(s, &ready, NULL, 0);
    park_init(s);
    loop_run(s->loop);
    clean_up(s);
    _exit(0);
}
