/* endpoints.c - endpoints by instance and by revision, and the random pick among them. */
#include "router/endpoints.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SET_NAME_MAX = 400 }; /* namespace/name (127) and a revision, with room */

/* Immutable once published, but for the refusal, which any loop notes and any may overlook. */
struct held_endpoint {
    struct epoch_garbage garbage;
    uint64_t version;
    struct endpoint endpoint;
    _Atomic uint64_t refused_until_ns;
    const char *set_name;
    char texts[]; /* of all of these */
};
struct endpoint_set {
    struct epoch_garbage garbage;
    uint64_t version; /* of the edit that made it; it alone may append */
    size_t count, capacity;
    struct held_endpoint *items[];
};

static void release(struct epoch_garbage *g)
{
    free(g); /* the first member of both */
}

static void endpoint_drop(struct epoch_edit *edit, struct held_endpoint *h)
{
    if (h->version == edit->version)
        free(h);
    else
        epoch_retire(edit, &h->garbage, release);
}

static void set_drop(struct epoch_edit *edit, struct endpoint_set *s)
{
    if (s->version == edit->version)
        free(s);
    else
        epoch_retire(edit, &s->garbage, release);
}

static struct endpoint_set *set_find(const struct endpoints *e, const char *function_key,
                                     const char *revision)
{
    char name[SET_NAME_MAX];
    int n = snprintf(name, sizeof(name), "%s@%s", function_key, revision);

    return n > 0 && n < SET_NAME_MAX ? radix_get(e->sets, name, (size_t)n) : NULL;
}

/* A copy without `gone` (or NULL) and with room for `capacity`. */
static struct endpoint_set *set_copy(const struct epoch_edit *edit, const struct endpoint_set *from,
                                     size_t capacity, const struct held_endpoint *gone)
{
    struct endpoint_set *s = malloc(sizeof(*s) + capacity * sizeof(s->items[0]));

    if (!s)
        return NULL;
    s->version = edit->version;
    s->capacity = capacity;
    s->count = 0;
    for (size_t i = 0; from && i < from->count; i++)
        if (from->items[i] != gone)
            s->items[s->count++] = from->items[i];
    return s;
}

static int set_replace(struct epoch_edit *edit, struct endpoints *e, const char *name,
                       struct endpoint_set *old, struct endpoint_set *made)
{
    int r = !made         ? -ENOMEM
            : made->count ? radix_put(edit, &e->sets, name, strlen(name), made)
                          : radix_del(edit, &e->sets, name, strlen(name));

    if (r < 0 || !made->count)
        free(made);
    if (r == 0 && old)
        set_drop(edit, old);
    return r;
}

static int set_add(struct epoch_edit *edit, struct endpoints *e, struct held_endpoint *h)
{
    struct endpoint_set *old = radix_get(e->sets, h->set_name, strlen(h->set_name)), *made;
    size_t count = old ? old->count : 0;

    if (old && old->version == edit->version && count < old->capacity) {
        old->items[old->count++] = h;
        return 0;
    }
    made = set_copy(edit, old, old && old->version == edit->version ? 2 * count : count + 1, NULL);
    if (made)
        made->items[made->count++] = h;
    return set_replace(edit, e, h->set_name, old, made);
}

static int set_remove(struct epoch_edit *edit, struct endpoints *e, const struct held_endpoint *h)
{
    struct endpoint_set *old = radix_get(e->sets, h->set_name, strlen(h->set_name));

    return set_replace(edit, e, h->set_name, old, set_copy(edit, old, old->count, h));
}

int endpoints_remove(struct epoch_edit *edit, struct endpoints *e, const char *instance)
{
    struct held_endpoint *h = radix_get(e->by_instance, instance, strlen(instance));
    int r = h ? set_remove(edit, e, h) : 0;

    if (!h || r < 0)
        return r;
    r = radix_del(edit, &e->by_instance, instance, strlen(instance));
    if (r < 0)
        return r;
    e->count--;
    endpoint_drop(edit, h);
    return 0;
}

static char *put_text(char *at, const char *text, const char **ret)
{
    *ret = at;
    return stpcpy(at, text) + 1;
}

static struct held_endpoint *endpoint_new(const struct epoch_edit *edit,
                                          const Rouse__Control__V1__Endpoint *m)
{
    size_t set_size = strlen(m->function_key) + 1 + strlen(m->revision);
    struct held_endpoint *h = malloc(sizeof(*h) + strlen(m->instance) + strlen(m->node) +
                                     strlen(m->peer_address) + set_size + 4);
    char *at;

    if (!h)
        return NULL;
    h->version = edit->version;
    atomic_init(&h->refused_until_ns, 0);
    at = put_text(h->texts, m->instance, &h->endpoint.instance);
    at = put_text(at, m->node, &h->endpoint.node);
    at = put_text(at, m->peer_address, &h->endpoint.peer_address);
    h->set_name = at;
    sprintf(at, "%s@%s", m->function_key, m->revision);
    h->endpoint.slots = m->slots;
    return h;
}

int endpoints_put(struct epoch_edit *edit, struct endpoints *e, const Rouse__Control__V1__Endpoint *m)
{
    int r = endpoints_remove(edit, e, m->instance);
    struct held_endpoint *h;

    if (r < 0)
        return r;
    if (strlen(m->function_key) + 1 + strlen(m->revision) >= SET_NAME_MAX)
        return 0; /* no function has such a name: nobody asks */
    h = endpoint_new(edit, m);
    if (!h)
        return -ENOMEM;
    r = radix_put(edit, &e->by_instance, m->instance, strlen(m->instance), h);
    if (r < 0) {
        free(h);
        return r == -EINVAL ? 0 : r;
    }
    e->count++;
    return set_add(edit, e, h);
}

/* ---------------------------------------------------------------- whole */

static void retire_endpoint(void *user, void *value)
{
    endpoint_drop(user, value);
}

static void retire_set(void *user, void *value)
{
    set_drop(user, value);
}

void endpoints_retire(struct epoch_edit *edit, struct endpoints *e)
{
    radix_each(e->by_instance, retire_endpoint, edit);
    radix_each(e->sets, retire_set, edit);
    radix_retire(edit, e->by_instance);
    radix_retire(edit, e->sets);
    *e = (struct endpoints){0};
}

static void abandon_endpoint(void *user, void *value)
{
    const struct epoch_edit *edit = user;

    if (((struct held_endpoint *)value)->version == edit->version)
        free(value);
}

static void abandon_set(void *user, void *value)
{
    const struct epoch_edit *edit = user;

    if (((struct endpoint_set *)value)->version == edit->version)
        free(value);
}

void endpoints_abandon(struct epoch_edit *edit, struct endpoints *e)
{
    radix_each(e->by_instance, abandon_endpoint, edit);
    radix_each(e->sets, abandon_set, edit);
    radix_abandon(edit, e->by_instance);
    radix_abandon(edit, e->sets);
    *e = (struct endpoints){0};
}

static void free_value(void *user, void *value)
{
    (void)user;
    free(value);
}

void endpoints_free(struct endpoints *e)
{
    radix_each(e->by_instance, free_value, NULL);
    radix_each(e->sets, free_value, NULL);
    radix_free(e->by_instance);
    radix_free(e->sets);
    *e = (struct endpoints){0};
}

/* ---------------------------------------------------------------- looking */

const struct endpoint *endpoints_pick(const struct endpoints *e, const char *self,
                                      const char *function_key, const char *revision,
                                      const char *not_node, uint64_t now_ns, uint64_t random)
{
    const struct endpoint_set *s = set_find(e, function_key, revision);

    /* From a random place onwards: an even choice as long as few are passed over. */
    for (size_t i = 0; s && i < s->count; i++) {
        const struct held_endpoint *h = s->items[(random + i) % s->count];

        if (atomic_load_explicit(&h->refused_until_ns, memory_order_relaxed) <= now_ns &&
            strcmp(h->endpoint.node, self) && (!not_node || strcmp(h->endpoint.node, not_node)))
            return &h->endpoint;
    }
    return NULL;
}

void endpoints_refused(const struct endpoints *e, const char *function_key, const char *revision,
                       const char *node, uint64_t until_ns)
{
    const struct endpoint_set *s = set_find(e, function_key, revision);

    for (size_t i = 0; s && i < s->count; i++)
        if (!strcmp(s->items[i]->endpoint.node, node))
            atomic_store_explicit(&s->items[i]->refused_until_ns, until_ns, memory_order_relaxed);
}
