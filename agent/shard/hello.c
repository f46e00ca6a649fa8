/* hello.c - one Hello of all shards' actual states, gathered when a connection opens.
 *
 * A part says what its shard held when it was asked; what happens there later
 * comes behind it, and waits (up.c). An epoch is said if all parts agree on it. */
#include "router/routes.h"
#include "shard/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef Rouse__Control__V1__Hello Hello;

static void fill(struct shard *s, Hello *h, Epoch *routes)
{
    rouse__control__v1__hello__init(h);
    rouse__control__v1__epoch__init(routes);
    pool_hello(s->pool, h);
    if (routes_epoch(s->routes, &routes->incarnation, &routes->sequence))
        h->routes = routes;
}

/* On the shard's loop. NULL: no memory. */
static uint8_t *part_of(struct shard *s, uint64_t connection, size_t *ret_size)
{
    uint8_t *bytes;
    Epoch routes;
    Hello h;

    s->up.connection = connection;
    s->up.hello = true;
    s->up.welcome = false;
    fill(s, &h, &routes);
    bytes = malloc(rouse__control__v1__hello__get_packed_size(&h) + 1);
    if (bytes)
        *ret_size = rouse__control__v1__hello__pack(&h, bytes);
    pool_hello_done(s->pool, &h);
    return bytes;
}

static const Epoch *agreed(Hello *const *parts, unsigned count, size_t member)
{
    const Epoch *first = NULL;

    for (unsigned i = 0; i < count; i++) {
        const Epoch *e = *(Epoch *const *)((const char *)parts[i] + member);

        if (!e || (first && !same_epoch(first, e)))
            return NULL;
        first = e;
    }
    return first;
}

/* One Hello of all parts; it borrows what they hold. */
static int say_hello(struct shards *all, Hello *const *parts)
{
    unsigned count = all->config.count;
    Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    const Epoch *desired = agreed(parts, count, offsetof(Hello, desired));
    size_t n = 0;
    int r;

    for (unsigned i = 0; i < count; i++)
        n += parts[i]->n_instances;
    h.instances = calloc(n + 1, sizeof(*h.instances));
    if (!h.instances)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        for (size_t k = 0; k < parts[i]->n_instances; k++)
            h.instances[h.n_instances++] = parts[i]->instances[k];
    h.desired = (Epoch *)desired;
    h.routes = (Epoch *)agreed(parts, count, offsetof(Hello, routes));
    all->has_desired = desired != NULL;
    if (desired)
        all->desired = *desired;
    all->up.state = UP_OPEN;
    r = session_hello(all->session, &h);
    free(h.instances);
    return r;
}

static void all_parts_are_here(struct shards *all)
{
    unsigned count = all->config.count, n = 0;
    Hello *parts[LOOPS_MAX];
    int r = -ENOMEM;

    for (; n < count; n++) {
        struct hello_part *p = &all->up.hello[n];

        parts[n] = p->bytes ? rouse__control__v1__hello__unpack(NULL, p->size, p->bytes) : NULL;
        if (!parts[n])
            break;
    }
    if (n == count)
        r = say_hello(all, parts);
    while (n-- > 0)
        rouse__control__v1__hello__free_unpacked(parts[n], NULL);
    if (r == 0)
        up_send_backlog(all);
    else
        session_break(all->session, "out of memory for Hello");
}

struct part {
    struct letter letter;
    struct shard *shard;
    uint64_t connection;
    uint8_t *bytes;
    size_t size;
};

static void put_part(struct shards *all, unsigned from, uint8_t *bytes, size_t size)
{
    all->up.hello[from] = (struct hello_part){bytes, size};
    if (!--all->up.missing)
        all_parts_are_here(all);
}

static void on_part(struct letter *l, bool late)
{
    struct part *p = (struct part *)l;
    struct shards *all = p->shard->all;

    (void)late;
    if (p->connection == all->up.connection && all->up.state == UP_GATHERING)
        put_part(all, p->shard->index, p->bytes, p->size);
    else
        free(p->bytes);
}

static void on_part_wanted(struct letter *l, bool late)
{
    struct part *q = (struct part *)l, *p;

    if (late)
        return;
    p = letter_make(sizeof(*p));
    p->shard = q->shard;
    p->connection = q->connection;
    p->bytes = part_of(q->shard, q->connection, &p->size);
    letter_post(&q->shard->all->box, &p->letter, on_part);
}

static void alone(struct shards *all)
{
    struct shard *s = shard_at(all, 0);
    Epoch routes;
    Hello h;

    fill(s, &h, &routes);
    session_hello(all->session, &h);
    pool_hello_done(s->pool, &h);
}

void hello_forget(struct shards *all)
{
    for (unsigned i = 0; i < all->config.count; i++) {
        free(all->up.hello[i].bytes);
        all->up.hello[i] = (struct hello_part){0};
    }
}

void hello_begin(void *user)
{
    struct shards *all = user;
    struct shard *first = shard_at(all, 0);
    struct up *u = &all->up;
    size_t size = 0;
    uint8_t *bytes;

    if (first->ended)
        return;
    if (all->config.count == 1) {
        alone(all);
        return;
    }
    u->connection++;
    u->state = UP_GATHERING;
    u->missing = all->config.count;
    u->told = (struct acks){0};
    memset(u->acks, 0, sizeof(u->acks));
    hello_forget(all);
    for (unsigned i = 1; i < all->config.count; i++) {
        struct part *p = letter_make(sizeof(*p));

        p->shard = shard_at(all, i);
        p->connection = u->connection;
        letter_post(&p->shard->box, &p->letter, on_part_wanted);
    }
    bytes = part_of(first, u->connection, &size);
    put_part(all, 0, bytes, size);
}
