/* message_read.c - message_decode(). */
#include "sandbox/message.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* `bad` is sticky, values past it are zero. */
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
