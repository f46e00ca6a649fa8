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
/* What is not there is no error. */
int network_remove(const struct platform *p, struct err *e);
