/* run.h - `rouse run`: a function on this machine until it is told to end, or for one event. */
#pragma once
#include "base/error.h"
#include "local/function.h"

struct local_run {
    const struct local_function *function;
    const char *directory; /* private, for sockets; the caller removes it */
    uint16_t port;         /* to serve at, on 127.0.0.1; 0: a free one */
    const void *event;     /* not NULL: it is called with that once, and nothing is served */
    size_t event_size;
    bool debug; /* the program is a debugger on our terminal, or one that is debugged from there */
};
/* Returns when SIGINT, SIGTERM or SIGHUP came, the event's result was printed to stdout, or the debugger
 * ended. Nothing of the function runs any more. 0; 1: the event failed; -errno: it could not begin. */
int local_run(const struct local_run *r, struct err *e);
