#include "nodes/nodes.h"
#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct nodes {
    struct map by_name, by_peer;
    struct node **all;
    size_t count, capacity, in_state[NODE_STATE_COUNT];
    struct placement_index *index;
    uint64_t made;
};

static const char *const names[NODE_STATE_COUNT] = {"NotReady", "Ready", "Lost"};
static const unsigned edges[NODE_STATE_COUNT] = {
    [NODE_NOT_READY] = 1u << NODE_READY | 1u << NODE_LOST,
    [NODE_READY] = 1u << NODE_NOT_READY,
    [NODE_LOST] = 1u << NODE_READY,
};

const char *node_state_name(enum node_state s)
{
    return names[s];
}

static void set_state(struct node *n, enum node_state to, uint64_t now)
{
    assert(edges[n->state] & 1u << to);
    n->of->in_state[n->state]--;
    n->of->in_state[to]++;
    n->state = to;
    n->since_ns = now;
    node_moved(n);
}

int nodes_new(struct nodes **ret)
{
    struct nodes *t = calloc(1, sizeof(*t));

    if (!t || placement_index_new(&t->index) < 0) {
        free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

static void node_free(struct node *n)
{
    placement_del(n->of->index, &n->place);
    node_traits_done(&n->traits);
    node_removed_clear(n);
    free(n);
}

struct nodes *nodes_free(struct nodes *n)
{
    if (!n)
        return NULL;
    for (size_t i = 0; i < n->count; i++)
        node_free(n->all[i]);
    map_done(&n->by_name);
    map_done(&n->by_peer);
    placement_index_free(n->index);
    free(n->all);
    free(n);
    return NULL;
}

static bool name_valid(const char *s)
{
    size_t n = strlen(s);

    return n && n <= NODE_NAME_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static const char *bad_traits(const Rouse__Control__V1__Hello *h)
{
    const char *why = NULL;

    if (h->n_runtimes > NODE_RUNTIMES_MAX)
        return "more than 64 runtimes";
    if (h->n_labels > NODE_LABELS_MAX || h->n_taints > NODE_TAINTS_MAX)
        return "more than 64 labels or taints";
    for (size_t i = 0; i < h->n_labels && !why; i++) {
        why = trait_reserved(h->labels[i]->key)
                  ? "the labels rouse.dev/node and kubernetes.io/arch, os and hostname are the "
                    "platform's"
                  : trait_key_problem(h->labels[i]->key);
        why = why ? why : trait_value_problem(h->labels[i]->value);
    }
    for (size_t i = 0; i < h->n_taints && !why; i++) {
        why = trait_key_problem(h->taints[i]->key);
        why = why ? why : trait_value_problem(h->taints[i]->value);
    }
    return why;
}

static const char *problem(const Rouse__Control__V1__Hello *h)
{
    if (h->protocol != 1)
        return "this controller speaks protocol 1 only";
    if (!name_valid(h->node))
        return "the node's name must be 1 to 63 of a-z, 0-9 and '-'";
    if (!h->incarnation)
        return "the agent's incarnation is missing";
    if (!h->allocatable || !h->allocatable->memory || !h->allocatable->cpu)
        return "allocatable memory or cpu is missing";
    if (!*h->peer_address)
        return "the peer address is missing";
    if (strlen(h->peer_address) > NODE_TEXT_MAX || strlen(h->gateway_address) > NODE_TEXT_MAX ||
        strlen(h->architecture) > NODE_TEXT_MAX || strlen(h->version) > NODE_TEXT_MAX)
        return "an address, the architecture or the version is longer than 128 bytes";
    return bad_traits(h);
}

/* ---- what it is */

static int add(struct trait *to, const char *key, const char *value, size_t *count)
{
    struct trait *t = &to[(*count)++];

    t->key = strdup(key);
    t->value = strdup(value);
    return t->key && t->value ? 0 : -ENOMEM;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct trait *)a)->key, ((const struct trait *)b)->key);
}

static int traits_of(const Rouse__Control__V1__Hello *h, struct node_traits *t)
{
    int r = 0;

    t->architecture = strdup(h->architecture);
    t->runtimes = calloc(h->n_runtimes + 1, sizeof(char *));
    t->labels = calloc(h->n_labels + 1, sizeof(*t->labels));
    t->taints = calloc(h->n_taints + 1, sizeof(*t->taints));
    if (!t->architecture || !t->runtimes || !t->labels || !t->taints)
        return -ENOMEM;
    for (size_t i = 0; i < h->n_runtimes && r == 0; i++) {
        char *name = strdup(h->runtimes[i]->name);

        r = name ? 0 : -ENOMEM;
        t->runtimes[t->runtime_count] = name;
        t->runtime_count += name != NULL;
    }
    for (size_t i = 0; i < h->n_labels && r == 0; i++)
        r = add(t->labels, h->labels[i]->key, h->labels[i]->value, &t->label_count);
    for (size_t i = 0; i < h->n_taints && r == 0; i++)
        r = add(t->taints, h->taints[i]->key, h->taints[i]->value, &t->taint_count);
    if (r == 0 && t->label_count)
        qsort(t->labels, t->label_count, sizeof(*t->labels), by_key);
    return r;
}

static int set_traits(struct node *n, const Rouse__Control__V1__Hello *h)
{
    struct node_traits t = {0};
    int r = traits_of(h, &t);

    if (r == 0)
        r = placement_put(n->of->index, &n->place, &t);
    if (r < 0) {
        node_traits_done(&t);
        return r;
    }
    node_traits_done(&n->traits);
    n->traits = t;
    return 0;
}

void node_moved(struct node *n)
{
    const struct placement_amounts a = {n->allocatable_memory, n->reserved_memory,
                                        n->allocatable_cpu, n->reserved_cpu, node_open(n)};

    if (n->place.of)
        placement_set(n->of->index, &n->place, &a);
}

struct placement_index *nodes_index(struct nodes *t)
{
    return t->index;
}

size_t nodes_in_state(const struct nodes *t, enum node_state s)
{
    return t->in_state[s];
}

static int make(struct nodes *t, const char *name, uint64_t now, struct node **ret)
{
    struct node *n = calloc(1, sizeof(*n));

    if (!n)
        return -ENOMEM;
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 16;
        struct node **to = realloc(t->all, capacity * sizeof(*to));

        if (!to) {
            free(n);
            return -ENOMEM;
        }
        t->all = to;
        t->capacity = capacity;
    }
    strcpy(n->name, name);
    if (map_put(&t->by_name, &n->by_name, n->name, strlen(n->name)) < 0) {
        free(n);
        return -ENOMEM;
    }
    n->of = t;
    n->place.order = ++t->made;
    t->in_state[n->state]++;
    list_init(&n->instances);
    list_init(&n->added);
    list_init(&n->dirty_link);
    list_init(&n->changed_link);
    list_init(&n->fresh_link);
    n->since_ns = now;
    t->all[t->count++] = n;
    *ret = n;
    return 0;
}

int nodes_hello(struct nodes *t, uint64_t peer, const Rouse__Control__V1__Hello *h, uint64_t now,
                struct node **ret, uint64_t *ret_replaced, const char **ret_why)
{
    struct node *n;
    uint64_t replaced = 0;

    *ret_why = problem(h);
    if (!*ret_why && nodes_of_peer(t, peer))
        *ret_why = "a channel says Hello once";
    if (*ret_why)
        return -EINVAL;
    *ret_why = "the controller is out of memory";
    n = nodes_find(t, h->node);
    if (!n && make(t, h->node, now, &n) < 0)
        return -ENOMEM;
    if (n->state == NODE_READY) {
        replaced = n->peer;
        nodes_closed(t, n, now);
    }
    if (set_traits(n, h) < 0)
        return -ENOMEM;
    n->peer = peer;
    if (map_put(&t->by_peer, &n->by_peer, (const char *)&n->peer, sizeof(n->peer)) < 0) {
        n->peer = 0;
        return -ENOMEM;
    }
    n->incarnation = h->incarnation;
    n->leaving = n->machine_gone = false;
    strcpy(n->version, h->version);
    strcpy(n->gateway_address, h->gateway_address);
    strcpy(n->peer_address, h->peer_address);
    n->allocatable_memory = h->allocatable->memory;
    n->allocatable_cpu = h->allocatable->cpu;
    set_state(n, NODE_READY, now);
    *ret_replaced = replaced;
    *ret = n;
    return 0;
}

struct node *nodes_of_peer(struct nodes *t, uint64_t peer)
{
    struct map_node *m = map_get(&t->by_peer, &peer, sizeof(peer));

    return m ? map_entry(m, struct node, by_peer) : NULL;
}

struct node *nodes_find(struct nodes *t, const char *name)
{
    struct map_node *m = map_get_str(&t->by_name, name);

    return m ? map_entry(m, struct node, by_name) : NULL;
}

void nodes_closed(struct nodes *t, struct node *n, uint64_t now)
{
    map_del(&t->by_peer, &n->by_peer);
    n->peer = 0;
    set_state(n, NODE_NOT_READY, now);
}

void nodes_lost(struct node *n, uint64_t now)
{
    set_state(n, NODE_LOST, now);
}

void nodes_forget(struct nodes *t, struct node *n)
{
    assert(!n->peer && list_empty(&n->instances));
    for (size_t i = 0; i < t->count; i++) {
        if (t->all[i] == n) {
            memmove(&t->all[i], &t->all[i + 1], (t->count - i - 1) * sizeof(struct node *));
            t->count--;
            break;
        }
    }
    t->in_state[n->state]--;
    map_del(&t->by_name, &n->by_name);
    list_del(&n->dirty_link);
    list_del(&n->changed_link);
    list_del(&n->fresh_link);
    node_free(n);
}

size_t nodes_count(const struct nodes *t)
{
    return t->count;
}

struct node *nodes_at(const struct nodes *t, size_t i)
{
    return t->all[i];
}

bool node_has_runtime(const struct node *n, const char *runtime)
{
    for (size_t i = 0; i < n->traits.runtime_count; i++)
        if (!strcmp(n->traits.runtimes[i], runtime))
            return true;
    return false;
}

void node_reserve(struct node *n, uint64_t memory, uint64_t cpu)
{
    n->reserved_memory += memory;
    n->reserved_cpu += cpu;
    node_moved(n);
}

void node_release(struct node *n, uint64_t memory, uint64_t cpu)
{
    assert(n->reserved_memory >= memory && n->reserved_cpu >= cpu);
    n->reserved_memory -= memory;
    n->reserved_cpu -= cpu;
    node_moved(n);
}

int node_removed(struct node *n, const char *instance)
{
    char **to = realloc(n->removed, (n->removed_count + 1) * sizeof(char *));

    if (!to)
        return -ENOMEM;
    n->removed = to;
    to[n->removed_count] = strdup(instance);
    if (!to[n->removed_count])
        return -ENOMEM;
    n->removed_count++;
    return 0;
}

void node_removed_clear(struct node *n)
{
    for (size_t i = 0; i < n->removed_count; i++)
        free(n->removed[i]);
    free(n->removed);
    n->removed = NULL;
    n->removed_count = 0;
}
