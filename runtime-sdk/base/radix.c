/* radix.c - see radix.h. Depth is bounded by the key's length, and so is the recursion. */
#include "base/radix.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static void node_release(struct epoch_garbage *g)
{
    free(g); /* the first member */
}

/* This edit made it: no other version sees it. */
static bool is_own(const struct epoch_edit *e, const struct radix_node *n)
{
    return n->version == e->version;
}

static void dispose(struct epoch_edit *e, struct radix_node *n)
{
    if (is_own(e, n))
        free(n);
    else
        epoch_retire(e, &n->garbage, node_release);
}

static struct radix_node *node_new(const struct epoch_edit *e, size_t children, size_t prefix_size)
{
    struct radix_node *n =
        malloc(sizeof(*n) + children * sizeof(struct radix_node *) + children + prefix_size);

    if (!n)
        return NULL;
    n->version = e->version;
    n->value = NULL;
    n->child_count = (uint16_t)children;
    n->prefix_size = (uint16_t)prefix_size;
    return n;
}

static void set_child(struct radix_node *n, size_t i, struct radix_node *child)
{
    n->children[i] = child;
    ((uint8_t *)(n->children + n->child_count))[i] = radix_prefix(child)[0];
}

static uint8_t *prefix_of(struct radix_node *n)
{
    return (uint8_t *)(n->children + n->child_count) + n->child_count;
}

static struct radix_node *leaf_new(const struct epoch_edit *e, const uint8_t *key, size_t n,
                                   void *value)
{
    struct radix_node *leaf = node_new(e, 0, n);

    if (!leaf)
        return NULL;
    memcpy(prefix_of(leaf), key, n);
    leaf->value = value;
    return leaf;
}

/* A copy whose prefix is `a` and then `b`. */
static struct radix_node *copy_with_prefix(const struct epoch_edit *e,
                                           const struct radix_node *from, const uint8_t *a,
                                           size_t a_size, const uint8_t *b, size_t b_size)
{
    struct radix_node *n = node_new(e, from->child_count, a_size + b_size);

    if (!n)
        return NULL;
    memcpy(n->children, from->children,
           from->child_count * sizeof(struct radix_node *) + from->child_count);
    memcpy(prefix_of(n), a, a_size);
    memcpy(prefix_of(n) + a_size, b, b_size);
    n->value = from->value;
    return n;
}

static struct radix_node *copy(const struct epoch_edit *e, const struct radix_node *from)
{
    return copy_with_prefix(e, from, radix_prefix(from), from->prefix_size, (const uint8_t *)"", 0);
}

/* A copy with one child more, or (child NULL) without the one at `at`. */
static struct radix_node *copy_resized(const struct epoch_edit *e, const struct radix_node *from,
                                       size_t at, struct radix_node *child)
{
    size_t count = child ? from->child_count + 1u : from->child_count - 1u;
    struct radix_node *n = node_new(e, count, from->prefix_size);

    if (!n)
        return NULL;
    for (size_t i = 0, k = 0; i < count; i++) {
        if (child && i == at) {
            set_child(n, i, child);
            continue;
        }
        if (!child && k == at)
            k++;
        set_child(n, i, from->children[k++]);
    }
    memcpy(prefix_of(n), radix_prefix(from), from->prefix_size);
    n->value = from->value;
    return n;
}

static size_t common_size(const struct radix_node *n, const uint8_t *key, size_t size)
{
    const uint8_t *prefix = radix_prefix(n);
    size_t i = 0;

    while (i < n->prefix_size && i < size && prefix[i] == key[i])
        i++;
    return i;
}

/* Where the child with that label is or would be. */
static size_t child_place(const struct radix_node *n, uint8_t label, bool *ret_there)
{
    const uint8_t *labels = radix_labels(n);
    size_t i = 0;

    while (i < n->child_count && labels[i] < label)
        i++;
    *ret_there = i < n->child_count && labels[i] == label;
    return i;
}

/* ---------------------------------------------------------------- put */

/* The first `at` bytes of n's prefix become a node above it, which gets the rest of the key. */
static struct radix_node *split(struct epoch_edit *e, struct radix_node *n, size_t at,
                                const uint8_t *key, size_t key_size, void *value)
{
    const uint8_t *prefix = radix_prefix(n);
    struct radix_node *top = node_new(e, key_size ? 2 : 1, at);
    struct radix_node *below =
        copy_with_prefix(e, n, prefix + at, n->prefix_size - at, (const uint8_t *)"", 0);
    struct radix_node *leaf = key_size ? leaf_new(e, key, key_size, value) : NULL;

    if (!top || !below || (key_size && !leaf)) {
        free(top);
        free(below);
        free(leaf);
        return NULL;
    }
    memcpy(prefix_of(top), prefix, at);
    if (!leaf) {
        top->value = value;
        set_child(top, 0, below);
    } else {
        bool leaf_first = key[0] < prefix[at];

        set_child(top, leaf_first, below);
        set_child(top, !leaf_first, leaf);
    }
    dispose(e, n);
    return top;
}

/* What stands in n's place afterwards; NULL: no memory, n is as it was but for its own copies. */
static struct radix_node *put(struct epoch_edit *e, struct radix_node *n, const uint8_t *key,
                              size_t size, void *value)
{
    size_t common = common_size(n, key, size), at;
    struct radix_node *made, *child;
    bool there;

    if (common < n->prefix_size)
        return split(e, n, common, key + common, size - common, value);
    key += common;
    size -= common;
    if (!size) {
        made = is_own(e, n) ? n : copy(e, n);
        if (!made)
            return NULL;
        made->value = value;
    } else {
        at = child_place(n, key[0], &there);
        child = there ? put(e, n->children[at], key, size, value) : leaf_new(e, key, size, value);
        if (!child)
            return NULL;
        if (there && child == n->children[at])
            return n;
        made = !there ? copy_resized(e, n, at, child) : is_own(e, n) ? n : copy(e, n);
        if (!made) {
            radix_abandon(e, child);
            return NULL;
        }
        made->children[at] = child;
    }
    if (made != n)
        dispose(e, n);
    return made;
}

int radix_put(struct epoch_edit *e, struct radix_node **root, const void *key, size_t n, void *value)
{
    struct radix_node *made;

    if (n > RADIX_KEY_MAX)
        return -EINVAL;
    made = *root ? put(e, *root, key, n, value) : leaf_new(e, key, n, value);
    if (!made)
        return -ENOMEM;
    *root = made;
    return 0;
}

/* ---------------------------------------------------------------- del */

/* A node without a value and with one child is no node: both become one. */
static int join(struct epoch_edit *e, struct radix_node *n, struct radix_node *child,
                struct radix_node **ret)
{
    struct radix_node *made = copy_with_prefix(e, child, radix_prefix(n), n->prefix_size,
                                               radix_prefix(child), child->prefix_size);

    if (!made)
        return -ENOMEM;
    dispose(e, child);
    *ret = made;
    return 0;
}

static int del_here(struct epoch_edit *e, struct radix_node *n, struct radix_node **ret)
{
    int r = 0;

    if (!n->value)
        return -ENOENT;
    if (n->child_count == 0) {
        *ret = NULL;
    } else if (n->child_count == 1) {
        r = join(e, n, n->children[0], ret);
    } else {
        *ret = is_own(e, n) ? n : copy(e, n);
        if (!*ret)
            return -ENOMEM;
        (*ret)->value = NULL;
    }
    if (r == 0 && *ret != n)
        dispose(e, n);
    return r;
}

/* Needs no memory: what is our own must not be left pointing to a child that is gone. */
static void remove_child(struct radix_node *n, size_t at)
{
    size_t left = n->child_count - 1u, tail = left + n->prefix_size;
    uint8_t *labels = (uint8_t *)(n->children + n->child_count);

    memmove(labels + at, labels + at + 1, tail - at);
    memmove(n->children + at, n->children + at + 1, (left - at) * sizeof(struct radix_node *));
    memmove(n->children + left, labels, tail);
    n->child_count = (uint16_t)left;
}

static int without_child(struct epoch_edit *e, struct radix_node *n, size_t at,
                         struct radix_node **ret)
{
    int r;

    if (is_own(e, n)) {
        remove_child(n, at);
        if (!n->value && n->child_count == 1 && join(e, n, n->children[0], ret) == 0)
            free(n);
        else
            *ret = n;
        return 0;
    }
    if (!n->value && n->child_count == 2) {
        r = join(e, n, n->children[!at], ret);
    } else {
        *ret = copy_resized(e, n, at, NULL);
        r = *ret ? 0 : -ENOMEM;
    }
    if (r == 0)
        dispose(e, n);
    return r;
}

static int del(struct epoch_edit *e, struct radix_node *n, const uint8_t *key, size_t size,
               struct radix_node **ret)
{
    size_t common = common_size(n, key, size), at;
    struct radix_node *child, *made;
    bool there;
    int r;

    if (common < n->prefix_size)
        return -ENOENT;
    if (common == size)
        return del_here(e, n, ret);
    at = child_place(n, key[common], &there);
    if (!there)
        return -ENOENT;
    r = del(e, n->children[at], key + common, size - common, &child);
    if (r < 0)
        return r;
    if (!child)
        return without_child(e, n, at, ret);
    made = child == n->children[at] || is_own(e, n) ? n : copy(e, n);
    if (!made) {
        radix_abandon(e, child);
        return -ENOMEM;
    }
    made->children[at] = child;
    if (made != n)
        dispose(e, n);
    *ret = made;
    return 0;
}

int radix_del(struct epoch_edit *e, struct radix_node **root, const void *key, size_t n)
{
    struct radix_node *made;
    int r = *root ? del(e, *root, key, n, &made) : -ENOENT;

    if (r == 0)
        *root = made;
    return r;
}

/* ---------------------------------------------------------------- whole trees */

void *radix_get(const struct radix_node *n, const void *key, size_t size)
{
    const uint8_t *at = key;

    while (n) {
        if (size < n->prefix_size ||
            (n->prefix_size && memcmp(at, radix_prefix(n), n->prefix_size) != 0))
            return NULL;
        at += n->prefix_size;
        size -= n->prefix_size;
        if (!size)
            return n->value;
        n = radix_child(n, at[0]);
    }
    return NULL;
}

void radix_each(const struct radix_node *root, void (*fn)(void *user, void *value), void *user)
{
    if (!root)
        return;
    if (root->value)
        fn(user, root->value);
    for (size_t i = 0; i < root->child_count; i++)
        radix_each(root->children[i], fn, user);
}

void radix_retire(struct epoch_edit *e, struct radix_node *root)
{
    if (!root)
        return;
    for (size_t i = 0; i < root->child_count; i++)
        radix_retire(e, root->children[i]);
    dispose(e, root);
}

/* Above a node of this edit lie only nodes of this edit. */
void radix_abandon(const struct epoch_edit *e, struct radix_node *root)
{
    if (!root || !is_own(e, root))
        return;
    for (size_t i = 0; i < root->child_count; i++)
        radix_abandon(e, root->children[i]);
    free(root);
}

void radix_free(struct radix_node *root)
{
    if (!root)
        return;
    for (size_t i = 0; i < root->child_count; i++)
        radix_free(root->children[i]);
    free(root);
}
