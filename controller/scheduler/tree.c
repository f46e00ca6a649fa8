#include "scheduler/tree.h"

struct placement_most tree_free(const struct placement_node *n)
{
    return (struct placement_most){
        .memory = n->allocatable_memory > n->reserved_memory
                      ? n->allocatable_memory - n->reserved_memory
                      : 0,
        .cpu = n->allocatable_cpu > n->reserved_cpu ? n->allocatable_cpu - n->reserved_cpu : 0,
    };
}

bool tree_before(const struct placement_node *a, const struct placement_node *b)
{
    if (a->used < b->used || a->used > b->used)
        return a->used < b->used;
    if (tree_free(a).memory != tree_free(b).memory)
        return tree_free(a).memory > tree_free(b).memory;
    return a->order < b->order;
}

static void more(struct placement_most *m, const struct placement_most *other)
{
    m->memory = m->memory > other->memory ? m->memory : other->memory;
    m->cpu = m->cpu > other->cpu ? m->cpu : other->cpu;
}

static struct placement_node *summed(struct placement_node *t)
{
    t->free = tree_free(t);
    t->capacity = (struct placement_most){t->allocatable_memory, t->allocatable_cpu};
    if (t->left) {
        more(&t->free, &t->left->free);
        more(&t->capacity, &t->left->capacity);
    }
    if (t->right) {
        more(&t->free, &t->right->free);
        more(&t->capacity, &t->right->capacity);
    }
    return t;
}

/* What comes before `n`, and what comes after it. */
static void split(struct placement_node *t, const struct placement_node *n,
                  struct placement_node **ret_before, struct placement_node **ret_after)
{
    if (!t) {
        *ret_before = *ret_after = NULL;
        return;
    }
    if (tree_before(t, n)) {
        split(t->right, n, &t->right, ret_after);
        *ret_before = t;
    } else {
        split(t->left, n, ret_before, &t->left);
        *ret_after = t;
    }
    summed(t);
}

static struct placement_node *join(struct placement_node *a, struct placement_node *b)
{
    if (!a || !b)
        return a ? a : b;
    if (a->priority > b->priority) {
        a->right = join(a->right, b);
        return summed(a);
    }
    b->left = join(a, b->left);
    return summed(b);
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static struct placement_node *insert(struct placement_node *t, struct placement_node *n)
{
    if (!t)
        return summed(n);
    if (n->priority > t->priority) {
        split(t, n, &n->left, &n->right);
        return summed(n);
    }
    if (tree_before(n, t))
        t->left = insert(t->left, n);
    else
        t->right = insert(t->right, n);
    return summed(t);
}

struct placement_node *tree_insert(struct placement_node *t, struct placement_node *n)
{
    n->left = n->right = NULL;
    n->priority = mixed(n->order + 0x9e3779b97f4a7c15);
    return insert(t, n);
}

struct placement_node *tree_remove(struct placement_node *t, struct placement_node *n)
{
    if (t == n)
        return join(t->left, t->right);
    if (tree_before(n, t))
        t->left = tree_remove(t->left, n);
    else
        t->right = tree_remove(t->right, n);
    return summed(t);
}
