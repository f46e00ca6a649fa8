/* radix.h - a persistent map from byte strings to pointers: a compact radix tree with path copying.
 *
 * A version never changes once it is published: an edit copies the nodes on the
 * way to what it changes (a handful) and shares the rest; within one edit a node
 * is copied once. Readers of older versions go on undisturbed; the nodes that an
 * edit replaced are retired to its epoch domain. Values are the caller's, who
 * retires them.
 *
 * Edits: the domain's owner. Reading a published version: any thread. After
 * -ENOMEM the edit is given up: radix_abandon() takes what it made away and the
 * old root is whole. */
#pragma once
#include "base/epoch.h"

#include <string.h>

enum { RADIX_KEY_MAX = 65535 };

struct radix_node { /* immutable once published */
    struct epoch_garbage garbage;
    uint64_t version; /* of the edit that made it */
    void *value;      /* NULL: nothing ends here */
    uint16_t prefix_size, child_count;
    struct radix_node *children[]; /* then child_count first bytes, ascending, then the prefix */
};
static inline const uint8_t *radix_labels(const struct radix_node *n)
{
    return (const uint8_t *)(n->children + n->child_count);
}
/* What this node adds to the key; of a child, it begins with the child's label. */
static inline const uint8_t *radix_prefix(const struct radix_node *n)
{
    return radix_labels(n) + n->child_count;
}
static inline struct radix_node *radix_child(const struct radix_node *n, uint8_t label)
{
    const uint8_t *labels = radix_labels(n), *at;

    if (!n->child_count)
        return NULL;
    at = memchr(labels, label, n->child_count);
    return at ? n->children[at - labels] : NULL;
}

/* An empty tree is NULL. */
void *radix_get(const struct radix_node *root, const void *key, size_t n);
void radix_each(const struct radix_node *root, void (*fn)(void *user, void *value), void *user);

/* Adds or replaces; `value` is not NULL. -EINVAL: a key that is too long. -ENOMEM. */
int radix_put(struct epoch_edit *e, struct radix_node **root, const void *key, size_t n, void *value);
int radix_del(struct epoch_edit *e, struct radix_node **root, const void *key,
              size_t n); /* -ENOENT, -ENOMEM */
/* A whole tree that the new version does without. */
void radix_retire(struct epoch_edit *e, struct radix_node *root);
/* Frees those of root's nodes that this edit made. */
void radix_abandon(const struct epoch_edit *e, struct radix_node *root);
void radix_free(struct radix_node *root); /* nobody reads it any more; not the values */
