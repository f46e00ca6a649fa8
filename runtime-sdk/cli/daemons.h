/* daemons.h - the controller and the agents of a state directory as a whole: start, ready, stop. */
#pragma once
#include "cli/cli.h"
#include "cli/platform.h"

#define CONTROLLER_NAME "controller"
enum { LOCK_SECONDS = 5 }; /* patience of up and down: a question of a pool is done by then */
/* "agent-NODE": the name of its pid file and its log. */
void daemon_agent_name(const struct platform_node *n, char out[80]);

/* One `up` or `down`, or one question of a pool, at a time for a directory: the lock's descriptor, or -errno
 * (-EWOULDBLOCK: so long another was at work). */
int daemons_lock(const char *state, unsigned seconds);
int daemons_start_controller(const char *state, const struct platform *p, struct err *e);
int daemons_start_agent(const char *state, const struct platform *p, const struct platform_node *n,
                        struct err *e);
/* Waits for /readyz of all that have a pid file; says which one is not and shows its last log
 * lines. */
int daemons_wait_ready(const char *state, const struct platform *p, const char *token,
                       unsigned seconds);
/* Prints what the agents have said at their start that they cannot enforce: a line each. */
void daemons_print_warnings(const char *state, const struct platform *p);
/* SIGTERM to one, SIGKILL if that takes longer; what does not run is no error. */
int daemon_stop(const char *state, const char *name, unsigned seconds);
/* SIGTERM to the agents, then to the controller, SIGKILL after 10 s; then pid files and networks
 * go. How many were stopped, or -errno with `e`. */
int daemons_stop(const char *state, struct err *e);
