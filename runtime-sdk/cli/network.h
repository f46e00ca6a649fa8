/* network.h - a platform of several nodes on one machine: a bridge and a network namespace for each
 * node.
 *
 * All names carry the platform's id, so that two platforms run side by side
 * and removing one leaves the other. Needs root, and the `ip` program. */
#pragma once
#include "cli/platform.h"

/* Names and addresses, from the id and the number of nodes; takes a 10.x.y.0/24 that no interface
 * has. `ret_prefix` is "10.x.y.": the host is .1, node n is .(10 + n). */
int network_plan(struct platform *p, char ret_prefix[16], struct err *e);
int network_make(const struct platform *p, const char *prefix, struct err *e);
/* One more node to a bridge that is there; what is left of an earlier one of its name goes first. */
int network_add(const struct platform *p, const struct platform_node *n, struct err *e);
void network_drop(const struct platform *p, const struct platform_node *n);
/* Names and addresses of one more node: -EADDRNOTAVAIL if there is no number left. */
int network_place(const struct platform *p, struct platform_node *n, struct err *e);
/* What is not there is no error. */
int network_remove(const struct platform *p, struct err *e);
