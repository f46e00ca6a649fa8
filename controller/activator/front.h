/* front.h - the controller's own entry: an HTTP server that keeps its clients while their tickets
 * wait.
 *
 * It has no routes and no slots: every request asks the activator, and a
 * granted one is passed on to the instance's node. A thread and a loop of its
 * own; the activator is reached through the two functions of the
 * configuration, which carry a front_ticket there and back by mail. */
#pragma once
#include "activator/grant.h"
#include "base/buffer.h"
#include "http/timeouts.h"
#include "reactor/loop.h"

struct front;

/* One question to the activator. Made and freed by the front; `submit` gives it away until
 * on_answer() has run on the front's loop. After `cancel` on_answer() may still come, and
 * on_released() does, last. A slot that was granted to it goes back then: on_answer() itself cancels
 * what it has no use for. */
struct front_ticket {
    const char *function_key, *method, *host, *path; /* function_key "": the others say which */
    uint64_t waited_ns;
    uint32_t held, attempt;
    struct grant grant; /* the answer */
    char *route;        /* ... and the text that it points to; freed with the ticket */
    struct loop *home;  /* the front's */
    void (*on_answer)(struct front_ticket *t);
    void (*on_released)(struct front_ticket *t);
    /* the carrier's */
    struct mail mail, cancel_mail;
    void *carrier;
    uint64_t id;
    bool answered;
};

struct front_config {
    const char *address;     /* "tcp://127.0.0.1:7081"; port 0: any */
    const char *token;       /* who shows it is trusted; NULL: only loopback is */
    const char *peer_secret; /* shown to the agents */
    struct http_timeouts clients;
    void (*submit)(void *user, struct front_ticket *t); /* on the front's loop */
    void (*cancel)(void *user, struct front_ticket *t);
    void *user;
};

int front_new(const struct front_config *c, struct front **ret); /* binds; -errno */
void front_address(const struct front *f, char out[128]);
int front_run(struct front *f); /* the calling thread becomes the front's, until front_stop() */
struct loop *front_loop(struct front *f);
/* The server's and the client pool's figures; on the front's thread. `user` is the front. */
void front_metrics(void *user, struct buffer *out);
void front_stop(struct front *f); /* any thread; requests get up to 2 s to end */
struct front *front_free(
    struct front *f); /* after front_run() has returned, and the activator's thread has ended */
