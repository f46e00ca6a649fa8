/* traits.h - what a node is, and what a function asks of one: Kubernetes' labels and selectors,
 * taints and tolerations. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct buffer;

enum {
    TRAITS_MAX = 64,     /* labels, or taints, of a node; terms of a selector; tolerations */
    TRAIT_KEY_MAX = 317, /* "prefix/name": 253 + 1 + 63 */
    TRAIT_VALUE_MAX = 63,
};

struct trait {
    char *key, *value;
};
/* The one effect is NoSchedule. */
struct toleration {
    char *key, *value;
    bool exists; /* whatever the value is; with an empty key, every taint */
};

struct node_traits {
    char *architecture;
    struct trait *labels; /* sorted by key */
    size_t label_count;
    struct trait *taints; /* in any order; the same key may come twice */
    size_t taint_count;
    char **runtimes;
    size_t runtime_count;
};
void node_traits_done(struct node_traits *t); /* zeroed: usable again */
int node_traits_copy(const struct node_traits *from, struct node_traits *ret); /* -ENOMEM */
/* A text that is the same for nodes between which no demand can tell. -ENOMEM. */
int node_traits_text(const struct node_traits *t, struct buffer *out);
/* NULL: does not have it. Knows kubernetes.io/arch and kubernetes.io/os, which no agent names. */
const char *node_traits_label(const struct node_traits *t, const char *key);

/* Labels that the platform gives, and no agent. */
bool trait_reserved(const char *key);
/* Labels that a single node has: they are not among its traits, and a demand for them is a demand
 * for that node. */
bool trait_names_node(const char *key);

struct placement_demand {
    const char *runtime;
    const struct trait *selector; /* every one must be a label; those that name a node are skipped */
    size_t selector_count;
    const struct toleration *tolerations;
    size_t toleration_count;
};
bool traits_match(const struct node_traits *t, const struct placement_demand *d);

/* NULL, or what is wrong (static): Kubernetes' rules for the keys and values of labels. */
const char *trait_key_problem(const char *key);
const char *trait_value_problem(const char *value);
