/* zygote_host.c - the launcher's side of its zygotes: started, watched, started again. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/message.h"
#include "sandbox/park.h"
#include "sandbox/removal.h"
#include "sandbox/root.h"
#include "sandbox/server.h"
#include "sandbox/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAUSE_FIRST_NS NS_PER_S
#define PAUSE_MAX_NS   (60 * NS_PER_S)
#define STEADY_NS      (60 * NS_PER_S) /* one that served so long did not end for its own sake */
#define SPEECH_MAX     2048            /* bytes of what one says, for the log */

extern const uint8_t zygote_library[], zygote_library_end[];

struct zygote {
    struct list link; /* in server.zygotes */
    struct server *server;
    struct builders builders;
    struct loop *loop;
    char *runtime_root;
    char **argv, **env;
    char cgroup[SANDBOX_CGROUP_MAX]; /* "": none */
    pid_t pid;                       /* 0: none */
    bool serves;
    struct loop_watch process, orders, words; /* pidfd, socket, its stdout and stderr */
    struct loop_timer again;
    uint64_t pause, serves_since;
    uint32_t serial;
    struct buffer said;
};

/* ---- in its process, until the exec */
static _Noreturn void fail(const struct err *e)
{
    dprintf(STDERR_FILENO, "%s\n", e->message);
    _exit(127);
}

static int make_library(struct err *e)
{
    size_t n = (size_t)(zygote_library_end - zygote_library);
    int fd = memfd_create("rouse-zygote", 0);

    if (fd < 0)
        return err_errno(e, errno, "memfd for the library");
    if (write(fd, zygote_library, n) != (ssize_t)n)
        return err_set(e, EIO, "write the library");
    return fd;
}

/* Where it is in cgroups of its own: each open file is a cgroup.procs. */
struct place {
    int procs[CGROUP_TREES_MAX + 1];
    size_t n;
};

static int attach(const struct place *p, struct err *e)
{
    for (size_t i = 0; i < p->n; i++)
        if (write(p->procs[i], "0", 1) != 1)
            return err_errno(e, errno, "cgroup: attach");
    return 0;
}

static int enter_root(const struct zygote *z, struct err *e)
{
    struct root_plan plan = {.runtime_root = z->runtime_root, .code_tree = -1, .bare = true};
    int r;

    if (unshare(CLONE_NEWNS) < 0)
        return err_errno(e, errno, "unshare the mount namespace");
    r = root_open_tree(z->runtime_root, "runtime root", &plan.root_tree, e);
    return r < 0 ? r : root_enter(&plan, e);
}

/* Its own three, the library and the orders' socket; nothing of the launcher's. */
static void place_descriptors(int output, int orders, int library)
{
    enum { HIGH = 64 };
    const int from[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), output, output, orders, library};

    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        if (dup3(from[i], HIGH + (int)i, O_CLOEXEC) < 0)
            _exit(127);
    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        dup2(HIGH + (int)i, (int)i);
    close_range(ARRAY_LEN(from), ~0u, 0);
}

static _Noreturn void zygote_run(const struct zygote *z, const struct place *place, int output,
                                 int orders)
{
    struct err e = {0};
    sigset_t none;
    int library = -1, r;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDERR_FILENO);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
    setsid();
    r = attach(place, &e);
    if (r == 0)
        r = enter_root(z, &e);
    if (r == 0)
        r = library = make_library(&e);
    if (r < 0)
        fail(&e);
    place_descriptors(output, orders, library);
    execve(z->argv[0], z->argv, z->env);
    err_errno(&e, errno, "exec %s", z->argv[0]);
    fail(&e);
}

/* ---- in the launcher */
static void close_watch(struct zygote *z, struct loop_watch *w)
{
    if (w->events)
        loop_watch_cancel(z->loop, w);
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static void pause_then_start(struct zygote *z)
{
    uint64_t now = clock_monotonic_ns();

    if (z->serves_since && now - z->serves_since > STEADY_NS)
        z->pause = PAUSE_FIRST_NS;
    z->serves_since = 0;
    loop_timer_set(z->loop, &z->again, now + z->pause);
    z->pause = z->pause * 2 < PAUSE_MAX_NS ? z->pause * 2 : PAUSE_MAX_NS;
}

static void forget_process(struct zygote *z)
{
    z->serves = false;
    close_watch(z, &z->process);
    close_watch(z, &z->orders);
    close_watch(z, &z->words);
    buffer_done(&z->said);
    z->pid = 0;
    if (z->cgroup[0])
        removal_begin(z->server, z->cgroup, -1, NULL);
    z->cgroup[0] = '\0';
}

static void say(struct zygote *z)
{
    struct buffer *b = &z->said;
    size_t n = buffer_size(b);

    if (n)
        log_warn("zygote of %s: %.*s", z->runtime_root, (int)n, (const char *)buffer_bytes(b));
    buffer_clear(b);
}

static void on_words(struct loop_watch *w, uint32_t events)
{
    struct zygote *z = container_of(w, struct zygote, words);
    char part[256];
    ssize_t n = read(w->fd, part, sizeof(part));

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_watch(z, w);
        return;
    }
    if (buffer_size(&z->said) + (size_t)n > SPEECH_MAX)
        say(z);
    buffer_append(&z->said, part, (size_t)n);
}

static void on_orders(struct loop_watch *w, uint32_t events)
{
    struct zygote *z = container_of(w, struct zygote, orders);
    char word;

    (void)events;
    if (recv(w->fd, &word, 1, MSG_DONTWAIT) == 1 && word == ZYGOTE_READY) {
        z->serves = true;
        z->serves_since = clock_monotonic_ns();
        park_pump(z->server);
        return;
    }
    z->serves = false; /* its end, which the process's follows */
    close_watch(z, w);
}

static void on_process(struct loop_watch *w, uint32_t events)
{
    struct zygote *z = container_of(w, struct zygote, process);
    int status;

    (void)events;
    if (waitpid(z->pid, &status, WNOHANG) != z->pid)
        return;
    if (z->words.fd >= 0)
        on_words(&z->words, 0);
    say(z);
    log_warn("the zygote of %s ended (status 0x%x): its sandboxes are made without it meanwhile",
             z->runtime_root, (unsigned)status);
    forget_process(z);
    pause_then_start(z);
}

static int make_place(struct zygote *z, struct place *ret, struct err *e)
{
    const struct cgroups *c = &z->server->cgroups;
    const struct cgroup_limits none = {0};
    cleanup_fd int cgroup = -1;
    int r;

    snprintf(z->cgroup, sizeof(z->cgroup), "_zygote-%u", z->serial++);
    r = cgroup_create(c, z->cgroup, &none, &cgroup, e);
    if (r < 0) {
        z->cgroup[0] = '\0';
        return r;
    }
    r = cgroup_open_procs(c, z->cgroup, ret->procs, &ret->n, e);
    if (r < 0 || cgroup < 0)
        return r;
    ret->procs[ret->n] = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (ret->procs[ret->n] < 0)
        return err_errno(e, errno, "cgroup: open %s", z->cgroup);
    ret->n++;
    return 0;
}

static int make_process(struct zygote *z, const struct place *place, struct err *e)
{
    int orders[2], words[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders) < 0)
        return err_errno(e, errno, "socket pair");
    if (pipe2(words, O_CLOEXEC | O_NONBLOCK) < 0) {
        close(orders[0]);
        close(orders[1]);
        return err_errno(e, errno, "pipe");
    }
    z->orders.fd = orders[0];
    z->words.fd = words[0];
    z->pid = fork();
    if (z->pid == 0)
        zygote_run(z, place, words[1], orders[1]);
    close(orders[1]);
    close(words[1]);
    if (z->pid < 0) {
        z->pid = 0;
        return err_errno(e, errno, "fork");
    }
    z->process.fd = (int)syscall(SYS_pidfd_open, z->pid, 0);
    return z->process.fd < 0 ? err_errno(e, errno, "pidfd") : 0;
}

static int start(struct zygote *z, struct err *e)
{
    struct place place = {0};
    int r = make_place(z, &place, e);

    if (r == 0)
        r = make_process(z, &place, e);
    for (size_t i = 0; i < place.n; i++)
        close(place.procs[i]);
    if (r < 0)
        return r;
    r = loop_watch_set(z->loop, &z->process, LOOP_READ);
    if (r == 0)
        r = loop_watch_set(z->loop, &z->orders, LOOP_READ);
    if (r == 0)
        r = loop_watch_set(z->loop, &z->words, LOOP_READ);
    return r < 0 ? err_errno(e, -r, "watch it") : 0;
}

static void end_process(struct zygote *z)
{
    if (z->pid > 0) {
        kill(z->pid, SIGKILL);
        while (waitpid(z->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    forget_process(z);
}

static void on_again(struct loop_timer *t)
{
    struct zygote *z = container_of(t, struct zygote, again);
    struct err e = {0};

    if (start(z, &e) == 0)
        return;
    log_warn("zygote of %s: %s", z->runtime_root, e.message);
    end_process(z);
    pause_then_start(z);
}

static void strings_free(char **s)
{
    for (size_t i = 0; s && s[i]; i++)
        free(s[i]);
    free(s);
}

/* A copy, with `more` at its end. */
static char **strings_copy(const char *const *s, const char *const *more)
{
    size_t n = 0, m = 0, k = 0;
    char **copy;

    while (s[n])
        n++;
    while (more[m])
        m++;
    copy = calloc(n + m + 1, sizeof(*copy));
    for (; copy && k < n + m; k++) {
        copy[k] = strdup(k < n ? s[k] : more[k - n]);
        if (!copy[k]) {
            strings_free(copy);
            return NULL;
        }
    }
    return copy;
}

static void zygote_free(struct zygote *z)
{
    list_del(&z->link);
    loop_timer_cancel(z->loop, &z->again);
    builders_done(&z->builders);
    end_process(z);
    free(z->runtime_root);
    strings_free(z->argv);
    strings_free(z->env);
    free(z);
}

static int zygote_new(struct server *s, const struct sandbox_kind *kind, struct zygote **ret)
{
    static const char *const nothing[] = {NULL};
    static const char *const more[] = {"ROUSE_RUNTIME_SOCKET=" ROOT_SOCKET_PATH, "ROUSE_ZYGOTE=4,3",
                                       NULL};
    struct zygote *z = calloc(1, sizeof(*z));

    if (!z)
        return -ENOMEM;
    z->server = s;
    z->loop = s->loop;
    z->pause = PAUSE_FIRST_NS;
    z->process = (struct loop_watch){.fd = -1, .fn = on_process};
    z->orders = (struct loop_watch){.fd = -1, .fn = on_orders};
    z->words = (struct loop_watch){.fd = -1, .fn = on_words};
    z->again.fn = on_again;
    server_init_builders(s, &z->builders, z);
    list_push_back(&s->zygotes, &z->link);
    z->runtime_root = strdup(kind->runtime_root);
    z->argv = strings_copy(kind->argv, nothing);
    z->env = strings_copy(kind->env, more);
    if (!z->runtime_root || !z->argv || !z->env) {
        zygote_free(z);
        return -ENOMEM;
    }
    loop_timer_set(z->loop, &z->again, clock_monotonic_ns() + 1);
    *ret = z;
    return 0;
}

static bool strings_begin(char *const *s, const char *const *with)
{
    for (; *with; s++, with++)
        if (!*s || strcmp(*s, *with))
            return false;
    return true;
}

/* What else a kind has, the network above all, is its boxes' and not the interpreter's. */
static struct zygote *find(const struct server *s, const struct sandbox_kind *k)
{
    list_for_each(it, &s->zygotes)
    {
        struct zygote *z = list_entry(it, struct zygote, link);

        if (k->zygote && !strcmp(z->runtime_root, k->runtime_root) &&
            strings_begin(z->argv, k->argv) && strings_begin(z->env, k->env))
            return z;
    }
    return NULL;
}

int zygote_keep(struct server *s, const struct sandbox_kind *k)
{
    struct zygote *z;

    return !k->zygote || find(s, k) ? 0 : zygote_new(s, k, &z);
}

struct builders *zygote_builders(struct server *s, const struct sandbox_kind *k)
{
    struct zygote *z = find(s, k);

    /* Those that are ready need it no more. */
    if (z && (z->builders.ready_count || (z->serves && !z->builders.error.code)))
        return &z->builders;
    return &s->builders;
}

void zygotes_want(struct server *s, unsigned count)
{
    list_for_each(it, &s->zygotes)
    {
        struct zygote *z = list_entry(it, struct zygote, link);

        builders_want(&z->builders, z->serves ? count : 0);
    }
}

void zygotes_done(struct server *s)
{
    list_for_each(it, &s->zygotes) zygote_free(list_entry(it, struct zygote, link));
}

int zygote_orders(const struct zygote *z)
{
    return z->serves ? z->orders.fd : -1;
}

int zygote_bear(int orders, const struct builder_birth *b)
{
    const struct zygote_order o = {.procs_count = (uint32_t)b->procs_count, .cgroup = b->cgroup >= 0};
    int fds[MESSAGE_FDS_MAX] = {b->sock};
    size_t n = 1;

    for (size_t i = 0; i < b->procs_count; i++)
        fds[n++] = b->procs[i];
    if (b->cgroup >= 0)
        fds[n++] = b->cgroup;
    return message_send(orders, &o, sizeof(o), fds, n);
}
