#include "sandbox/message.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- writing */
static void put(struct buffer *b, const void *p, size_t n, int *r)
{
    if (*r == 0 && buffer_size(b) + n > MESSAGE_MAX)
        *r = -EMSGSIZE;
    if (*r == 0)
        *r = buffer_append(b, p, n);
}

static void put_u32(struct buffer *b, uint32_t v, int *r)
{
    put(b, &v, sizeof(v), r);
}

static void put_u64(struct buffer *b, uint64_t v, int *r)
{
    put(b, &v, sizeof(v), r);
}

static void put_string(struct buffer *b, const char *s, int *r)
{
    size_t n = strlen(s ? s : "") + 1;

    put_u32(b, n > MESSAGE_MAX ? MESSAGE_MAX : (uint32_t)n, r);
    put(b, s ? s : "", n, r);
}

static void put_list(struct buffer *b, const char *const *list, int *r)
{
    uint32_t n = 0;

    while (list && list[n] && n <= MESSAGE_LIST_MAX)
        n++;
    if (n > MESSAGE_LIST_MAX && *r == 0)
        *r = -EMSGSIZE;
    put_u32(b, n, r);
    for (uint32_t i = 0; i < n && *r == 0; i++)
        put_string(b, list[i], r);
}

static void put_kind(struct buffer *b, const struct sandbox_kind *k, int *r)
{
    put_string(b, k->runtime_root, r);
    put_u32(b, (uint32_t)k->network, r);
    put_u32(b, k->frames_socket, r);
    put_u32(b, k->api_port, r);
    put_u32(b, k->zygote, r);
    put_list(b, k->argv, r);
    put_list(b, k->env, r);
    put_list(b, k->syscalls, r);
}

static void put_spec(struct buffer *b, const struct sandbox_spec *s, int *r)
{
    put_kind(b, &s->kind, r);
    put_string(b, s->hostname, r);
    put_string(b, s->code_dir, r);
    put_list(b, s->argv, r);
    put_list(b, s->env, r);
    put_u64(b, s->memory, r);
    put_u32(b, s->cpu_millis, r);
    put_u32(b, s->pids, r);
    put_u64(b, s->tmp_size, r);
}

int message_encode(struct buffer *to, const struct message *m)
{
    int r = 0;

    put_u32(to, (uint32_t)m->type, &r);
    put_string(to, m->id, &r);
    switch (m->type) {
    case MESSAGE_CREATE:
        put_spec(to, &m->spec, &r);
        break;
    case MESSAGE_RUN:
        put_list(to, m->spec.argv, &r);
        put_list(to, m->spec.env, &r);
        break;
    case MESSAGE_STOP:
        put_u64(to, m->grace_ns, &r);
        break;
    case MESSAGE_ADOPT:
        put_string(to, m->adoption.of, &r);
        put_u32(to, (uint32_t)m->adoption.pid, &r);
        put_u64(to, m->adoption.memory, &r);
        put_u32(to, m->adoption.cpu_millis, &r);
        put_u32(to, m->adoption.pids, &r);
        break;
    case MESSAGE_PARK:
    case MESSAGE_PARKED:
        put_kind(to, &m->spec.kind, &r);
        put_u32(to, m->count, &r);
        break;
    case MESSAGE_PORTS:
        put_list(to, m->ports, &r);
        break;
    case MESSAGE_READY:
        put_string(to, m->warning, &r);
        put_u32(to, (uint32_t)m->error.code, &r);
        put_string(to, m->error.message, &r);
        break;
    case MESSAGE_STARTED:
        put_string(to, m->started.cgroup, &r);
        put_u32(to, (uint32_t)m->started.pid, &r);
        put_u64(to, m->started.create_ns, &r);
        put_u32(to, m->started.pooled, &r);
        put_u32(to, m->fds, &r);
        break;
    case MESSAGE_FAILED:
        put_u32(to, (uint32_t)m->error.code, &r);
        put_string(to, m->error.message, &r);
        break;
    case MESSAGE_EXIT:
        put_u32(to, (uint32_t)m->exit.code, &r);
        put_u32(to, (uint32_t)m->exit.signal, &r);
        put_u32(to, m->exit.oom, &r);
        put_u64(to, m->exit.memory_peak, &r);
        put_u64(to, m->exit.cpu_ns, &r);
        break;
    }
    return r;
}

/* ---- reading: `bad` is sticky, values past it are zero */
struct reader {
    const char *at;
    size_t left;
    int bad;
};

static void get(struct reader *r, void *to, size_t n)
{
    if (r->bad || r->left < n) {
        if (!r->bad)
            r->bad = -EPROTO;
        memset(to, 0, n);
        return;
    }
    memcpy(to, r->at, n);
    r->at += n;
    r->left -= n;
}

static uint32_t get_u32(struct reader *r)
{
    uint32_t v;

    get(r, &v, sizeof(v));
    return v;
}

static uint64_t get_u64(struct reader *r)
{
    uint64_t v;

    get(r, &v, sizeof(v));
    return v;
}

static const char *get_string(struct reader *r)
{
    uint32_t n = get_u32(r);
    const char *s = r->at;

    if (!r->bad && (n == 0 || n > r->left || memchr(s, 0, n) != s + n - 1))
        r->bad = -EPROTO;
    if (r->bad)
        return "";
    r->at += n;
    r->left -= n;
    return s;
}

static const char *const *get_list(struct reader *r)
{
    uint32_t n = get_u32(r);
    const char **list;

    if (!r->bad && (n > MESSAGE_LIST_MAX || n > r->left / 5))
        r->bad = -EPROTO;
    if (r->bad)
        return NULL;
    list = calloc(n + 1, sizeof(*list));
    if (!list) {
        r->bad = -ENOMEM;
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++)
        list[i] = get_string(r);
    return list;
}

static bool get_flag(struct reader *r)
{
    uint32_t v = get_u32(r);

    if (v > 1 && !r->bad)
        r->bad = -EPROTO;
    return v == 1;
}

/* As get_list(), but that an empty one is none. */
static const char *const *get_some(struct reader *r)
{
    const char *const *list = get_list(r);

    if (list && list[0])
        return list;
    free((void *)list);
    return NULL;
}

static void get_kind(struct reader *r, struct sandbox_kind *k)
{
    uint32_t port;

    k->runtime_root = get_string(r);
    k->network = get_flag(r) ? SANDBOX_NETWORK_NONE : SANDBOX_NETWORK_EGRESS;
    k->frames_socket = get_flag(r);
    port = get_u32(r);
    if (port > UINT16_MAX && !r->bad)
        r->bad = -EPROTO;
    k->api_port = (uint16_t)port;
    k->zygote = get_flag(r);
    k->argv = get_some(r);
    k->env = get_some(r);
    k->syscalls = get_some(r);
}

static void get_cgroup(struct reader *r, char to[CGROUP_NAME_MAX])
{
    const char *name = get_string(r);

    if (strlen(name) >= CGROUP_NAME_MAX && !r->bad)
        r->bad = -EPROTO;
    if (!r->bad)
        strcpy(to, name);
}

static void get_spec(struct reader *r, struct message *m)
{
    struct sandbox_spec *s = &m->spec;

    s->id = m->id;
    get_kind(r, &s->kind);
    s->hostname = get_string(r);
    s->code_dir = get_string(r);
    s->argv = get_list(r);
    s->env = get_list(r);
    s->memory = get_u64(r);
    s->cpu_millis = get_u32(r);
    s->pids = get_u32(r);
    s->tmp_size = get_u64(r);
}

static void get_error(struct reader *r, struct err *e)
{
    int code = (int)get_u32(r);
    const char *text = get_string(r);

    if (code)
        err_set(e, code, "%s", text);
}

int message_decode(const void *data, size_t n, struct message *ret)
{
    struct reader r = {.at = data, .left = n};
    struct message m = {0};

    m.type = (enum message_type)get_u32(&r);
    m.id = get_string(&r);
    switch (m.type) {
    case MESSAGE_CREATE:
        get_spec(&r, &m);
        break;
    case MESSAGE_RUN:
        m.spec.argv = get_list(&r);
        m.spec.env = get_list(&r);
        break;
    case MESSAGE_STOP:
        m.grace_ns = get_u64(&r);
        break;
    case MESSAGE_ADOPT:
        m.adoption.id = m.id;
        m.adoption.of = get_string(&r);
        m.adoption.pid = (pid_t)get_u32(&r);
        m.adoption.memory = get_u64(&r);
        m.adoption.cpu_millis = get_u32(&r);
        m.adoption.pids = get_u32(&r);
        break;
    case MESSAGE_PARK:
    case MESSAGE_PARKED:
        get_kind(&r, &m.spec.kind);
        m.count = get_u32(&r);
        break;
    case MESSAGE_PORTS:
        m.ports = get_list(&r);
        break;
    case MESSAGE_READY:
        m.warning = get_string(&r);
        get_error(&r, &m.error);
        break;
    case MESSAGE_STARTED:
        get_cgroup(&r, m.started.cgroup);
        m.started.pid = (pid_t)get_u32(&r);
        m.started.create_ns = get_u64(&r);
        m.started.pooled = get_flag(&r);
        m.started.stdout_fd = m.started.stderr_fd = -1;
        m.started.frames_listen_fd = m.started.api_listen_fd = -1;
        m.fds = get_u32(&r);
        break;
    case MESSAGE_FAILED:
        get_error(&r, &m.error);
        break;
    case MESSAGE_EXIT:
        m.exit.code = (int)get_u32(&r);
        m.exit.signal = (int)get_u32(&r);
        m.exit.oom = get_flag(&r);
        m.exit.memory_peak = get_u64(&r);
        m.exit.cpu_ns = get_u64(&r);
        break;
    default:
        r.bad = r.bad ? r.bad : -EPROTO;
    }
    if (!r.bad && r.left)
        r.bad = -EPROTO;
    if (r.bad) {
        message_done(&m);
        return r.bad;
    }
    *ret = m;
    return 0;
}

void message_done(struct message *m)
{
    const char *const **const lists[] = {&m->spec.argv,          &m->spec.env,
                                         &m->spec.kind.argv,     &m->spec.kind.env,
                                         &m->spec.kind.syscalls, &m->ports};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        free((void *)*lists[i]);
        *lists[i] = NULL;
    }
}

/* ---- the socket */
int message_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = (void *)data, .iov_len = n};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > MESSAGE_FDS_MAX)
        return -EINVAL;
    if (n_fds) {
        struct cmsghdr *c = &control.align;

        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    while (sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int message_recv(int sock, void *to, size_t capacity, size_t *ret_n, int fds[MESSAGE_FDS_MAX],
                 size_t *ret_n_fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = to, .iov_len = capacity};
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    size_t n_fds = 0;
    ssize_t n;

    while ((n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0)
        if (errno != EINTR)
            return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
        size_t k = c->cmsg_len > CMSG_LEN(0) ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < k && n_fds < MESSAGE_FDS_MAX; i++)
            memcpy(&fds[n_fds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        return -EPROTO;
    }
    *ret_n = (size_t)n;
    *ret_n_fds = n_fds;
    return 0;
}
