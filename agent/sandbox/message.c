#include "sandbox/message.h"

#include <errno.h>
#include <string.h>

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
