#include "launcher/server.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/adopt.h"
#include "launcher/removal.h"
#include "launcher/sandbox.h"
#include "launcher/zygotes.h"
#include "sandbox/privilege.h"
#include "sandbox/syscall_list.h"
#include "sandbox/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define EXIT_TIME_NS (8 * NS_PER_S)
#define NO_TREES                                                                                   \
    "no sandbox is made ahead of use, and files inside are nobody's: open_tree or mount_setattr "  \
    "is refused (Linux 5.12 has them, and what the agent runs in must let them pass)"
enum { EARLIER_LIFE_MS = 10000, EARLIER_LIFE_POLL_MS = 5, SORTING_REQUEST = 100 << 10 };

/* ---- answers */
struct outgoing {
    struct list link;
    uint8_t *data;
    size_t size, n_fds;
    int fds[MESSAGE_FDS_MAX];
};

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

static void outgoing_free(struct outgoing *o)
{
    list_del(&o->link);
    close_all(o->fds, o->n_fds);
    free(o->data);
    free(o);
}

/* The agent is gone or broken: nothing that is said matters any more. */
static void begin_exit(struct server *s);

static void flush(struct server *s)
{
    list_for_each(it, &s->outbox)
    {
        struct outgoing *o = list_entry(it, struct outgoing, link);
        int r = message_send(s->sock, o->data, o->size, o->fds, o->n_fds);

        if (r == -EAGAIN)
            return;
        outgoing_free(o);
        if (r < 0) {
            begin_exit(s);
            return;
        }
    }
    loop_watch_set(s->loop, &s->watch, LOOP_READ);
}

void server_send_failed(struct server *s, const char *id, const struct err *e)
{
    const struct message m = {.type = MESSAGE_FAILED, .id = id, .error = *e};

    server_send(s, &m, NULL, 0);
}

void server_send(struct server *s, const struct message *m, const int *fds, size_t n)
{
    cleanup_buffer struct buffer b = {0};
    struct outgoing *o;
    int r = message_encode(&b, m);

    if (s->closing || r < 0) {
        close_all(fds, n);
        return;
    }
    r = list_empty(&s->outbox) ? message_send(s->sock, buffer_bytes(&b), buffer_size(&b), fds, n)
                               : -EAGAIN;
    if (r != -EAGAIN) {
        close_all(fds, n);
        if (r < 0)
            begin_exit(s);
        return;
    }
    /* Bounded by the sandboxes: two answers each at most. */
    o = calloc(1, sizeof(*o));
    if (!o) {
        close_all(fds, n);
        begin_exit(s);
        return;
    }
    o->size = buffer_size(&b);
    o->data = TAKE_PTR(b.data);
    o->n_fds = n;
    if (n)
        memcpy(o->fds, fds, n * sizeof(*fds));
    list_push_back(&s->outbox, &o->link);
    loop_watch_set(s->loop, &s->watch, LOOP_READ | LOOP_WRITE);
}

/* ---- the end */
static void exit_late(struct loop_timer *t)
{
    struct server *s = container_of(t, struct server, exit_timer);

    log_error("some of %zu sandboxes did not end in time", s->sandboxes.count);
    loop_stop(s->loop);
}

static void begin_exit(struct server *s)
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
        flush(s);
    while (!s->closing) {
        uint64_t arrived = clock_monotonic_ns();
        int fds[MESSAGE_FDS_MAX];
        struct message m;
        size_t n, n_fds;
        int r = message_recv(s->sock, bytes, sizeof(bytes), &n, fds, &n_fds);

        if (r == -EAGAIN)
            return;
        if (r < 0 || n == 0) {
            begin_exit(s);
            return;
        }
        close_all(fds, n_fds);
        r = message_decode(bytes, n, &m);
        if (r < 0) {
            log_error("a request of %zu bytes does not parse", n);
            begin_exit(s);
            return;
        }
        take_request(s, &m, bytes, n, arrived);
        message_done(&m);
    }
}

/* ---- the start */
/* The agent's signals are for the agent: a ^C must not race its orderly end, nor what kills its
 * process group keep the launcher from cleaning up. */
static void become_launcher(int sock)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    struct rlimit files;
    sigset_t none;

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    /* Two descriptors a sandbox. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    setsid();
    /* The keys of whoever has logged in and started the agent. What fails here, boxes do for themselves. */
    privilege_new_keyring();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "rouse-launcher");
    log_init("launcher");
    if (sock > 3)
        close_range(3, (unsigned)sock - 1, 0);
    close_range((unsigned)sock + 1, ~0u, 0);
}

static void add_warning(char *to, size_t size, const char *text)
{
    size_t n = strlen(to);

    snprintf(to + n, size - n, "%s%s", n ? "; " : "", text);
}

/* One of eight blocks of ranges above 0x70000000, so that platforms side by side seldom share one.
 */
static uid_t default_uid_base(const struct names *names)
{
    uint32_t n = (uint32_t)strtoul(names->id, NULL, 16);

    return 0x70000000u + (n % 8) * SERVER_SANDBOXES_MAX * SANDBOX_ID_RANGE;
}

/* The launcher of an earlier life may still be removing what carries the same names. A record lock
 * is its process' alone (fork does not hand it on) and ends with it. The descriptor stays open for
 * life. */
static int wait_for_earlier_life(const char *state_dir, struct err *e)
{
    const struct timespec pause = {.tv_nsec = EARLIER_LIFE_POLL_MS * (long)NS_PER_MS};
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof(path), "%s/launcher.lock", state_dir) >= (int)sizeof(path))
        return err_errno(e, ENAMETOOLONG, "%s", state_dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    for (int waited = 0; fcntl(fd, F_SETLK, &whole) < 0; waited += EARLIER_LIFE_POLL_MS) {
        if (errno != EACCES && errno != EAGAIN)
            return err_errno(e, errno, "lock %s", path);
        if (waited >= EARLIER_LIFE_MS)
            return err_set(e, EBUSY, "%s: the launcher of an earlier agent is still at work", path);
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int prepare_seccomp(struct server *s, struct err *e)
{
    struct sock_fprog p;
    int r = syscall_list_compile(NULL, &p, e);

    if (r < 0)
        return r;
    r = syscall_list_file(&p, &s->seccomp_fd);
    syscall_list_done(&p);
    return r < 0 ? err_errno(e, -r, "seccomp program") : 0;
}

static int prepare(struct server *s, const struct launcher_config *config, pid_t agent,
                   char *warning, size_t size, struct err *e)
{
    const pid_t pids[] = {agent, getpid()};
    char text[ERR_MESSAGE_MAX + 64];
    struct err net = {0};
    int r;

    r = wait_for_earlier_life(config->state_dir, e);
    if (r < 0)
        return r;
    s->privileged = geteuid() == 0;
    s->ahead = s->privileged && tree_detachable();
    s->park.asked = config->park_asked;
    s->uid_base = config->uid_base ? config->uid_base : default_uid_base(&s->names);
    if (s->uid_base > UINT32_MAX - SERVER_SANDBOXES_MAX * SANDBOX_ID_RANGE)
        return err_set(e, ERANGE, "uid base %u leaves no room for %u ranges of ids", s->uid_base,
                       SERVER_SANDBOXES_MAX);
    r = idpool_init(&s->slots, SERVER_SANDBOXES_MAX);
    if (r == 0)
        r = prepare_seccomp(s, e);
    if (r == 0)
        r = assign_open_home(&s->home, e);
    if (r < 0)
        return r;
    if (!s->privileged) {
        rootless_prepare(&s->rootless, &s->cgroups, pids, ARRAY_LEN(pids), warning, size);
        return 0;
    }
    if (!s->ahead)
        add_warning(warning, size, NO_TREES);
    if (cgroups_clean(&s->cgroups, &net) < 0)
        log_warn("left from an earlier life: %s", net.message);
    cgroups_prepare(&s->cgroups, pids, ARRAY_LEN(pids), warning, size);
    if (network_clean(&s->names, &net) < 0)
        log_debug("left from an earlier life: %s", net.message);
    if (network_init(&s->network, &s->names, &config->network, &net) < 0) {
        snprintf(text, sizeof(text), "no network beyond loopback: %s", net.message);
        add_warning(warning, size, text);
    } else if (!s->network.flows_limited) {
        add_warning(warning, size, "connections of an instance are not limited (nft_connlimit)");
    }
    if (s->network.usable && s->network.uplink.no_six) {
        snprintf(text, sizeof(text), "instances have no IPv6: %s", s->network.uplink.no_six);
        add_warning(warning, size, text);
    }
    return 0;
}

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
    become_launcher(sock);
    /* It forks: a child must not hold a ring. */
    r = loop_open(&(struct loop_options){.backend = LOOP_EPOLL}, &s->loop);
    if (r < 0)
        err_errno(&ready.error, -r, "the launcher's event loop");
    else
        r = prepare(s, config, agent, warning, sizeof(warning), &ready.error);
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
