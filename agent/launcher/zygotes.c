/* zygotes.c - which kinds of sandbox have a zygote, and what is asked of it. */
#include "base/cleanup.h"
#include "sandbox/message.h"
#include "sandbox/root.h"
#include "launcher/zygote_host.h"

#include <errno.h>
#include <string.h>

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
    builders_done(&z->builders);
    zygote_end(z);
    free(z->runtime_root);
    strings_free(z->argv);
    strings_free(z->env);
    free(z);
}

static int zygote_new(struct server *s, const struct sandbox_kind *kind)
{
    static const char *const nothing[] = {NULL};
    static const char *const more[] = {"ROUSE_RUNTIME_SOCKET=" ROOT_SOCKET_PATH, "ROUSE_ZYGOTE=4,3",
                                       NULL};
    struct zygote *z = calloc(1, sizeof(*z));

    if (!z)
        return -ENOMEM;
    z->server = s;
    z->loop = s->loop;
    server_init_builders(s, &z->builders, z);
    list_push_back(&s->zygotes, &z->link);
    zygote_init(z);
    z->runtime_root = strdup(kind->runtime_root);
    z->argv = strings_copy(kind->argv, nothing);
    z->env = strings_copy(kind->env, more);
    if (!z->runtime_root || !z->argv || !z->env) {
        zygote_free(z);
        return -ENOMEM;
    }
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
    return !k->zygote || find(s, k) ? 0 : zygote_new(s, k);
}

struct builders *zygote_builders(struct server *s, const struct sandbox_kind *k)
{
    struct zygote *z = find(s, k);

    /* Those that are ready need it no more. */
    if (z && (z->builders.ready_count || (z->serves && !z->builders.error.code)))
        return &z->builders;
    return &s->builders;
}

bool zygote_awaited(const struct server *s, const struct sandbox_kind *k)
{
    const struct zygote *z = find(s, k);

    return z && !z->tried;
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
