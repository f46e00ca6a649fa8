#include "launcher/launcher.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "cgroup/freezer.h"
#include "sandbox/message.h"
#include "launcher/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define START_TIME_MS 15000
#define FREE_TIME_MS  10000
#define OUTBOX_MAX    (16u << 20) /* bytes that the launcher has not taken yet */
#define SOCKET_BYTES  (1 << 20)

struct launcher {
    int sock, pidfd;
    pid_t pid;
    struct names names;
    struct cgroups cgroups;
    struct freezer *freezer;
    char *warning;
    struct loop *loop;
    struct loop_watch watch;
    struct launcher_ops ops;
    void *user;
    bool lost;
    struct map known;   /* ids between create and failed or exit */
    struct list parked; /* struct parked */
    struct list outbox; /* struct request */
    size_t outbox_bytes;
    uint8_t *received; /* MESSAGE_MAX */
};

struct known {
    struct map_node node;
    char id[64];
};

struct parked { /* what it says of one kind */
    struct list link;
    struct buffer key; /* the kind's encoding */
    char *runtime_root;
    unsigned count;
};

struct request {
    struct list link;
    size_t size;
    uint8_t data[];
};

/* ---- start and end */
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

static void forget(struct launcher *l, struct known *k)
{
    map_del(&l->known, &k->node);
    free(k);
}

static void parked_free(struct parked *p)
{
    list_del(&p->link);
    buffer_done(&p->key);
    free(p->runtime_root);
    free(p);
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
    map_for_each(it, &l->known) forget(l, map_entry(it, struct known, node));
    map_done(&l->known);
    list_for_each(it, &l->parked) parked_free(list_entry(it, struct parked, link));
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

/* ---- what comes */
static void lose(struct launcher *l)
{
    loop_watch_cancel(l->loop, &l->watch);
    l->lost = true;
    if (l->ops.on_lost)
        l->ops.on_lost(l->user);
}

static void take_started(struct launcher *l, struct message *m, const int *fds, size_t n)
{
    int *const to[] = {&m->started.stdout_fd, &m->started.stderr_fd, &m->started.frames_listen_fd,
                       &m->started.api_listen_fd};
    size_t k = 0;

    for (size_t i = 0; i < ARRAY_LEN(to); i++)
        if (m->fds & 1u << i && k < n)
            *to[i] = fds[k++];
    l->ops.on_started(l->user, m->id, &m->started);
}

/* Without memory for it, it is not known. */
static struct parked *parked_of(struct launcher *l, const struct sandbox_kind *k)
{
    const struct message m = {.type = MESSAGE_PARK, .id = "", .spec.kind = *k};
    cleanup_buffer struct buffer key = {0};
    struct parked *p;

    if (message_encode(&key, &m) < 0)
        return NULL;
    list_for_each(it, &l->parked)
    {
        p = list_entry(it, struct parked, link);
        if (buffer_size(&p->key) == buffer_size(&key) &&
            !memcmp(buffer_bytes(&p->key), buffer_bytes(&key), buffer_size(&key)))
            return p;
    }
    p = calloc(1, sizeof(*p));
    if (!p || !(p->runtime_root = strdup(k->runtime_root))) {
        free(p);
        return NULL;
    }
    p->key = key;
    key = (struct buffer){0};
    list_push_back(&l->parked, &p->link);
    return p;
}

static void take_parked(struct launcher *l, struct message *m)
{
    struct parked *p = parked_of(l, &m->spec.kind);

    if (p)
        p->count = m->count;
    if (p && !p->count)
        parked_free(p);
    message_done(m);
}

unsigned launcher_parked(const struct launcher *l, const char *runtime_root)
{
    unsigned n = 0;

    list_for_each(it, &l->parked)
    {
        const struct parked *p = list_entry(it, struct parked, link);

        n += strcmp(p->runtime_root, runtime_root) ? 0 : p->count;
    }
    return n;
}

/* The id is no longer known when the callback runs: it may create it anew. */
static void take(struct launcher *l, struct message *m, const int *fds, size_t n)
{
    struct map_node *node = map_get_str(&l->known, m->id);
    struct known *k = node ? map_entry(node, struct known, node) : NULL;

    if (k && m->type == MESSAGE_STARTED) {
        take_started(l, m, fds, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    if (m->type == MESSAGE_PARKED)
        take_parked(l, m);
    if (!k)
        return;
    if (m->type == MESSAGE_FAILED || m->type == MESSAGE_EXIT)
        forget(l, k);
    if (m->type == MESSAGE_FAILED)
        l->ops.on_failed(l->user, m->id, &m->error);
    if (m->type == MESSAGE_EXIT)
        l->ops.on_exit(l->user, m->id, &m->exit);
}

static void flush(struct launcher *l)
{
    list_for_each(it, &l->outbox)
    {
        struct request *q = list_entry(it, struct request, link);

        /* Any other error shows as the end of the socket too. */
        if (message_send(l->sock, q->data, q->size, NULL, 0) == -EAGAIN)
            return;
        list_del(&q->link);
        l->outbox_bytes -= q->size;
        free(q);
    }
    loop_watch_set(l->loop, &l->watch, LOOP_READ);
}

static void on_socket(struct loop_watch *w, uint32_t events)
{
    struct launcher *l = container_of(w, struct launcher, watch);
    int fds[MESSAGE_FDS_MAX];
    struct message m;
    size_t n, n_fds;
    int r;

    if (events & LOOP_WRITE)
        flush(l);
    /* One message a call: the watch is level triggered, and a callback may free the launcher. */
    r = message_recv(l->sock, l->received, MESSAGE_MAX, &n, fds, &n_fds);
    if (r == -EAGAIN)
        return;
    if (r == 0 && n)
        r = message_decode(l->received, n, &m);
    if (r < 0 || n == 0) {
        lose(l);
        return;
    }
    take(l, &m, fds, n_fds);
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
    l->watch = (struct loop_watch){.fd = l->sock, .fn = on_socket};
    return loop_watch_set(loop, &l->watch,
                          list_empty(&l->outbox) ? LOOP_READ : LOOP_READ | LOOP_WRITE);
}

/* ---- what goes */
static int send_request(struct launcher *l, const struct message *m)
{
    cleanup_buffer struct buffer b = {0};
    struct request *q;
    int r = message_encode(&b, m);

    if (r < 0)
        return r;
    if (l->lost)
        return -EPIPE;
    if (list_empty(&l->outbox)) {
        r = message_send(l->sock, buffer_bytes(&b), buffer_size(&b), NULL, 0);
        if (r != -EAGAIN)
            return r;
    }
    if (l->outbox_bytes + buffer_size(&b) > OUTBOX_MAX)
        return -ENOBUFS;
    q = malloc(sizeof(*q) + buffer_size(&b));
    if (!q)
        return -ENOMEM;
    q->size = buffer_size(&b);
    memcpy(q->data, buffer_bytes(&b), q->size);
    list_push_back(&l->outbox, &q->link);
    l->outbox_bytes += q->size;
    return l->loop ? loop_watch_set(l->loop, &l->watch, LOOP_READ | LOOP_WRITE) : 0;
}

static bool id_valid(const char *id)
{
    size_t n = id ? strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;

    return n > 0 && n < 64 && !id[n];
}

static struct known *find(const struct launcher *l, const char *id)
{
    struct map_node *n = map_get_str(&l->known, id);

    return n ? map_entry(n, struct known, node) : NULL;
}

/* For what is known by that id from here on. */
static int ask_for(struct launcher *l, const struct message *m)
{
    struct known *k;
    int r;

    if (find(l, m->id))
        return -EEXIST;
    k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    snprintf(k->id, sizeof(k->id), "%s", m->id);
    r = map_put(&l->known, &k->node, k->id, strlen(k->id));
    if (r < 0) {
        free(k);
        return r;
    }
    r = send_request(l, m);
    if (r < 0)
        forget(l, k);
    return r;
}

int launcher_create(struct launcher *l, const struct sandbox_spec *s)
{
    const struct message m = {.type = MESSAGE_CREATE, .id = s->id, .spec = *s};

    if (!id_valid(s->id) || !s->hostname || strlen(s->hostname) > 63 || !s->argv || !s->argv[0] ||
        s->argv[0][0] != '/' || !s->env || !s->kind.runtime_root || !s->code_dir)
        return -EINVAL;
    return ask_for(l, &m);
}

int launcher_adopt(struct launcher *l, const struct sandbox_adoption *a)
{
    const struct message m = {.type = MESSAGE_ADOPT, .id = a->id, .adoption = *a};

    return id_valid(a->id) && id_valid(a->of) && a->pid > 1 ? ask_for(l, &m) : -EINVAL;
}

int launcher_stop_sandbox(struct launcher *l, const char *id, uint64_t grace_ns)
{
    const struct message m = {.type = MESSAGE_STOP, .id = id, .grace_ns = grace_ns};

    return find(l, id) ? send_request(l, &m) : -ENOENT;
}

int launcher_park(struct launcher *l, const struct sandbox_kind *k, unsigned count)
{
    const struct message m = {.type = MESSAGE_PARK, .id = "", .spec.kind = *k, .count = count};

    return send_request(l, &m);
}

int launcher_ports(struct launcher *l, const char *const *addresses)
{
    const struct message m = {.type = MESSAGE_PORTS, .id = "", .ports = addresses};

    return send_request(l, &m);
}

int launcher_freeze(const struct launcher *l, const char *cgroup, bool frozen)
{
    return id_valid(cgroup) && l->freezer ? freezer_set(l->freezer, cgroup, frozen) : -ENOENT;
}

void launcher_metrics(const struct launcher *l, struct buffer *out)
{
    if (l->freezer)
        freezer_metrics(l->freezer, out);
}

int launcher_reclaim(const struct launcher *l, const char *cgroup, uint64_t bytes, uint64_t *ret_freed)
{
    return id_valid(cgroup) ? cgroup_reclaim(&l->cgroups, cgroup, bytes, ret_freed) : -ENOENT;
}

int launcher_usage(const struct launcher *l, const char *cgroup, struct sandbox_usage *ret)
{
    struct cgroup_usage u;
    int r = id_valid(cgroup) ? cgroup_usage(&l->cgroups, cgroup, &u) : -ENOENT;

    if (r == 0)
        *ret = (struct sandbox_usage){.memory = u.memory, .cpu_ns = u.cpu_ns};
    return r;
}
