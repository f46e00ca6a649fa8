/* tree.h - open nodes by used share: a treap (Seidel and Aragon 1996) whose subtrees know the most
 * that one of their nodes has free, and has in all.
 *
 * Priorities are a hash of the nodes' order, so that the same nodes make the
 * same tree. Pure; the scheduler's own. */
#pragma once
#include "scheduler/scheduler.h"

struct placement_most tree_free(const struct placement_node *n);
bool tree_before(const struct placement_node *a, const struct placement_node *b);
struct placement_node *tree_insert(struct placement_node *t, struct placement_node *n);
/* By its numbers, which must be those that it was inserted with. */
struct placement_node *tree_remove(struct placement_node *t, struct placement_node *n);
