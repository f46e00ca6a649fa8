#include "launcher/kind.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/message.h"
#include "launcher/sandbox.h"
#include "sandbox/syscall_list.h"

#include <errno.h>
#include <string.h>

#define LEARNED_MAX 8u /* kinds kept ready because they were asked for */
#define NEWS_NS     (500 * NS_PER_MS)

static void tell_parked(struct kind *k)
{
    const struct message m = {
        .type = MESSAGE_PARKED, .id = "", .spec.kind = k->kind, .count = k->parked_count};

    if (k->told == k->parked_count)
        return;
    k->told = k->parked_count;
    server_send(k->server, &m, NULL, 0);
}

static void kind_free(struct kind *k)
{
    struct park *p = &k->server->park;

    tell_parked(k);
    if (k->node.key)
        map_del(&p->kinds, &k->node);
    list_del(&k->link);
    for (size_t i = 0; i < ARRAY_LEN(k->lists); i++)
        free((void *)k->lists[i]);
    buffer_done(&k->key);
    if (k->seccomp_fd >= 0)
        close(k->seccomp_fd);
    free(k);
}

void kind_free_if_unused(struct kind *k)
{
    if (!k->wanted && !k->waiting_count && !k->building && !k->parked_count)
        kind_free(k);
}

static int kind_encode(const struct sandbox_kind *k, struct buffer *to)
{
    const struct message m = {.type = MESSAGE_PARK, .id = "", .spec.kind = *k};

    return message_encode(to, &m);
}

static int compile_list(struct kind *k, struct err *e)
{
    struct sock_fprog p;
    int r = syscall_list_compile(k->kind.syscalls, &p, e);

    if (r < 0)
        return r;
    r = syscall_list_file(&p, &k->seccomp_fd);
    syscall_list_done(&p);
    return r < 0 ? err_errno(e, -r, "seccomp program") : 0;
}

static int kind_new(struct server *s, struct buffer *key, struct kind **ret, struct err *e)
{
    struct kind *k = calloc(1, sizeof(*k));
    struct message m;
    int r = k ? message_decode(buffer_bytes(key), buffer_size(key), &m) : -ENOMEM;

    if (r < 0) {
        free(k);
        return err_errno(e, -r, "a kind of sandbox");
    }
    k->server = s;
    k->key = *key;
    *key = (struct buffer){0};
    k->kind = m.spec.kind;
    k->lists[0] = k->kind.argv;
    k->lists[1] = k->kind.env;
    k->lists[2] = k->kind.syscalls;
    list_init(&k->parked);
    list_init(&k->waiting);
    list_push_front(&s->park.order, &k->link);
    k->seccomp_fd = -1;
    r = k->kind.syscalls ? compile_list(k, e) : 0;
    if (r < 0) {
        kind_free(k);
        return r;
    }
    *ret = k;
    return 0;
}

int kind_get(struct server *s, const struct sandbox_kind *of, struct kind **ret, struct err *e)
{
    cleanup_buffer struct buffer key = {0};
    struct park *p = &s->park;
    struct map_node *n;
    int r = kind_encode(of, &key);

    if (r < 0)
        return err_errno(e, -r, "a kind of sandbox");
    n = s->ahead ? map_get(&p->kinds, buffer_bytes(&key), buffer_size(&key)) : NULL;
    if (n) {
        *ret = map_entry(n, struct kind, node);
        return 0;
    }
    r = kind_new(s, &key, ret, e);
    if (r == 0 && s->ahead &&
        (r = map_put(&p->kinds, &(*ret)->node, (const char *)buffer_bytes(&(*ret)->key),
                     buffer_size(&(*ret)->key))) < 0) {
        (*ret)->node.key = NULL;
        kind_free(*ret);
        return err_errno(e, -r, "a kind of sandbox");
    }
    return r;
}

/* ---- what the agent hears about them: now and then, since it would wake for it */
void kinds_on_news(struct loop_timer *t)
{
    struct park *p = container_of(t, struct park, news);

    list_for_each(it, &p->order) tell_parked(list_entry(it, struct kind, link));
}

void kind_count_parked(struct kind *k, int by)
{
    struct server *s = k->server;

    k->parked_count += (unsigned)by;
    if (!loop_timer_armed(&s->park.news))
        loop_timer_set(s->loop, &s->park.news, clock_monotonic_ns() + NEWS_NS);
}

void kind_drop_surplus(struct kind *k)
{
    struct err e;

    err_set(&e, ECANCELED, "not needed any more");
    while (k->parked_count > k->wanted) {
        struct sandbox *b = list_entry(list_pop_front(&k->parked), struct sandbox, parked);

        kind_count_parked(k, -1);
        b->kind = NULL;
        sandbox_discard(b, &e);
    }
}

static void forget_learned(struct kind *k)
{
    k->asked_at = 0;
    k->wanted = 0;
    k->server->park.learned--;
    kind_drop_surplus(k);
    kind_free_if_unused(k);
}

static struct kind *longest_unasked(const struct server *s)
{
    struct kind *found = NULL;

    list_for_each(it, &s->park.order)
    {
        struct kind *k = list_entry(it, struct kind, link);

        if (k->asked_at && (!found || k->asked_at < found->asked_at))
            found = k;
    }
    return found;
}

void kind_learn(struct kind *k, uint64_t now)
{
    struct park *p = &k->server->park;

    if (!p->asked || !k->server->ahead || (k->wanted && !k->asked_at))
        return;
    if (!k->asked_at && p->learned >= LEARNED_MAX)
        forget_learned(longest_unasked(k->server));
    p->learned += !k->asked_at;
    k->asked_at = now;
    k->wanted = p->asked;
}
