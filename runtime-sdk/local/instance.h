/* instance.h - the one running copy of a function on this machine: its process, its link, the requests
 * that it runs and those that wait for it. On one loop.
 *
 * None -> Starting -> Ready -> Ending -> None; from Starting straight to Ending, too. One that was
 * ready and ends is started again at once, unless it lived for less than a second without a request: then,
 * and after one that did not get ready, with the next request, so that what cannot run does not spin. */
#pragma once
#include "invoke/invocation.h"
#include "local/console.h"
#include "local/function.h"

struct instance;

/* A request of its owner's: embed it. From instance_submit() to one of the two callbacks, or
 * instance_withdraw(), it is the instance's, and so is the exchange once it runs. */
struct instance_request {
    struct list link; /* while it waits */
    struct instance *instance;
    struct http_exchange *x;
    struct invoke_params params;
    void (*on_done)(struct instance_request *r, const struct invoke_outcome *o);
    /* Nothing ran; the exchange is whole and the owner's again. */
    void (*on_failed)(struct instance_request *r, const struct failure *f);
};
struct instance_config {
    struct loop *loop;
    const struct local_function *function;
    const struct console *console;
    const char *directory; /* private: for the sockets */
    bool debug; /* it has the terminal, no time-out holds, and its end is the end of all */
    void (*on_ended)(void *user); /* debug: it ended by itself */
    void *user;
};
enum { INSTANCE_WAITING_MAX = 1000 };

int instance_new(const struct instance_config *c, struct instance **ret);
struct instance *instance_free(struct instance *i); /* kills what runs; loses what it ran */
/* No-op unless nothing runs. What goes wrong is shown, and told to those who wait. */
void instance_start(struct instance *i);
/* Starts it if nothing runs. on_failed() may come before the return: it cannot be started, or
 * INSTANCE_WAITING_MAX wait already (503). */
void instance_submit(struct instance *i, struct instance_request *r);
void instance_withdraw(struct instance_request *r); /* while it waits; else no-op */
/* SIGTERM, then after two seconds SIGKILL; on_stopped() when it is gone, perhaps before the return. */
void instance_stop(struct instance *i, void (*on_stopped)(void *user), void *user);
