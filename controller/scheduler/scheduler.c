#include "scheduler/scheduler.h"
#include "scheduler/tree.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What each wish weighs beside the free share, which is 0 to 1. */
static const double entry_weight = 0.3, code_weight = 0.2, same_weight = 0.5;

struct placement_class {
    struct map_node by_text; /* placement_index.classes */
    struct list link;
    char *text;
    struct node_traits traits;
    size_t count;                /* nodes, open or not */
    struct placement_node *root; /* the open ones */
    bool matches;                /* what is being looked for */
};

struct placement_index {
    struct map classes;
    struct list all;
    size_t open;
};

int placement_index_new(struct placement_index **ret)
{
    struct placement_index *x = calloc(1, sizeof(*x));

    if (!x)
        return -ENOMEM;
    list_init(&x->all);
    *ret = x;
    return 0;
}

static void class_free(struct placement_class *c)
{
    node_traits_done(&c->traits);
    free(c->text);
    free(c);
}

struct placement_index *placement_index_free(struct placement_index *x)
{
    if (!x)
        return NULL;
    list_for_each(it, &x->all) class_free(list_entry(it, struct placement_class, link));
    map_done(&x->classes);
    free(x);
    return NULL;
}

size_t placement_classes(const struct placement_index *x)
{
    return x->classes.count;
}

/* ---- classes */

static int class_of(struct placement_index *x, const struct node_traits *t,
                    struct placement_class **ret)
{
    cleanup_buffer struct buffer b = {0};
    struct placement_class *c;
    struct map_node *m;
    int r = node_traits_text(t, &b);

    if (r < 0)
        return r;
    m = map_get(&x->classes, buffer_bytes(&b), buffer_size(&b));
    if (m) {
        *ret = map_entry(m, struct placement_class, by_text);
        return 0;
    }
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    r = node_traits_copy(t, &c->traits);
    if (r == 0 && !(c->text = buffer_take_string(&b)))
        r = -ENOMEM;
    if (r == 0)
        r = map_put(&x->classes, &c->by_text, c->text, strlen(c->text));
    if (r < 0) {
        class_free(c);
        return r;
    }
    list_push_back(&x->all, &c->link);
    *ret = c;
    return 0;
}

static void class_unref(struct placement_index *x, struct placement_class *c)
{
    if (--c->count)
        return;
    map_del(&x->classes, &c->by_text);
    list_del(&c->link);
    class_free(c);
}

/* ---- nodes */

static void take_out(struct placement_index *x, struct placement_node *n)
{
    if (!n->open)
        return;
    n->of->root = tree_remove(n->of->root, n);
    n->open = false;
    x->open--;
}

void placement_del(struct placement_index *x, struct placement_node *n)
{
    if (!n->of)
        return;
    take_out(x, n);
    class_unref(x, n->of);
    n->of = NULL;
}

int placement_put(struct placement_index *x, struct placement_node *n, const struct node_traits *t)
{
    struct placement_class *c;
    int r = class_of(x, t, &c);

    if (r < 0)
        return r;
    c->count++; /* before the old one goes: they may be the same */
    placement_del(x, n);
    n->of = c;
    return 0;
}

static double share(uint64_t used, uint64_t of)
{
    return of ? (double)used / (double)of : 1;
}

void placement_set(struct placement_index *x, struct placement_node *n,
                   const struct placement_amounts *a)
{
    double memory = share(a->reserved_memory, a->allocatable_memory);
    double cpu = share(a->reserved_cpu, a->allocatable_cpu);

    take_out(x, n);
    n->allocatable_memory = a->allocatable_memory;
    n->reserved_memory = a->reserved_memory;
    n->allocatable_cpu = a->allocatable_cpu;
    n->reserved_cpu = a->reserved_cpu;
    n->used = memory > cpu ? memory : cpu;
    if (!a->open)
        return;
    n->open = true;
    n->of->root = tree_insert(n->of->root, n);
    x->open++;
}

/* ---- numbers */

bool placement_possible(const struct placement_request *r, const struct placement_node *n)
{
    return r->memory <= n->allocatable_memory && r->cpu <= n->allocatable_cpu;
}

bool placement_fits(const struct placement_request *r, const struct placement_node *n)
{
    return r->memory <= tree_free(n).memory && r->cpu <= tree_free(n).cpu;
}

double placement_score(const struct placement_request *r, const struct placement_node *n,
                       bool entry, struct placement_here here)
{
    double s = r->policy == PLACEMENT_PACK ? n->used : 1 - n->used;

    if (entry)
        s += entry_weight;
    if (here.code)
        s += code_weight;
    if (r->policy == PLACEMENT_SPREAD)
        s -= same_weight * (double)here.same / (double)(here.same + 1);
    return s;
}

bool placement_before(const struct placement_node *a, const struct placement_node *b)
{
    return tree_before(a, b);
}

/* ---- the choice */

struct search {
    const struct placement_request *q;
    struct placement_node *best;
    double score;
    unsigned left; /* special ones that may still be passed over */
};

/* True: one like any other, so those behind it in its tree are no better. */
static bool consider(struct search *s, struct placement_node *n)
{
    const struct placement_request *q = s->q;
    struct placement_here here = q->here ? q->here(q->user, n) : (struct placement_here){0};
    double score = placement_score(q, n, n == q->entry, here);
    bool tie = s->best && !(score < s->score) && !(score > s->score);

    if (!s->best || score > s->score ||
        (tie && (q->policy == PLACEMENT_PACK ? tree_before(s->best, n) : tree_before(n, s->best)))) {
        s->best = n;
        s->score = score;
    }
    return n != q->entry && !here.code && !here.same;
}

/* In order, or from the end to pack. False: enough was seen. */
static bool walk(struct search *s, struct placement_node *t)
{
    bool pack = s->q->policy == PLACEMENT_PACK;

    if (!t || t->free.memory < s->q->memory || t->free.cpu < s->q->cpu)
        return true;
    if (!walk(s, pack ? t->right : t->left))
        return false;
    if (placement_fits(s->q, t) && (consider(s, t) || !--s->left))
        return false;
    return walk(s, pack ? t->left : t->right);
}

static bool any_possible(const struct placement_request *q, const struct placement_node *t)
{
    if (!t || t->capacity.memory < q->memory || t->capacity.cpu < q->cpu)
        return false;
    return placement_possible(q, t) || any_possible(q, t->left) || any_possible(q, t->right);
}

static void consider_special(struct search *s, struct placement_node *n)
{
    if (n && n->open && n->of->matches && placement_fits(s->q, n))
        consider(s, n);
}

bool placement_admits(const struct placement_request *q, const struct placement_node *n)
{
    return n->open && (!q->pinned || n == q->only) && traits_match(&n->of->traits, &q->demand) &&
           placement_possible(q, n);
}

static int only_one(const struct placement_request *q, struct placement_node **ret)
{
    struct placement_node *n = q->only;

    if (!n || !placement_admits(q, n))
        return -ENXIO;
    if (!placement_fits(q, n))
        return -ENOSPC;
    *ret = n;
    return 0;
}

int placement_find(struct placement_index *x, const struct placement_request *q,
                   struct placement_node **ret)
{
    struct search s = {.q = q};

    if (!x->open)
        return -ENOENT;
    if (q->pinned)
        return only_one(q, ret);
    list_for_each(it, &x->all)
    {
        struct placement_class *c = list_entry(it, struct placement_class, link);

        c->matches = c->root && traits_match(&c->traits, &q->demand);
        s.left = PLACEMENT_LOOK + 1;
        if (c->matches)
            walk(&s, c->root);
    }
    consider_special(&s, q->entry);
    for (size_t i = 0; i < q->known_count && i < PLACEMENT_LOOK; i++)
        consider_special(&s, q->known[i]);
    if (s.best) {
        *ret = s.best;
        return 0;
    }
    list_for_each(it, &x->all)
    {
        struct placement_class *c = list_entry(it, struct placement_class, link);

        if (c->matches && any_possible(q, c->root))
            return -ENOSPC;
    }
    return -ENXIO;
}
