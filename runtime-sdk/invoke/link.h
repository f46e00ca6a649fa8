/* link.h - how an instance gets its work: the platform's end of a runtime interface.
 *
 * A link listens where the runtime will come: frames on a Unix socket, the
 * Lambda Runtime API on a TCP socket, or both, and then whichever speaks first
 * is the one. Calls go down, what becomes of them comes up. A function that is
 * an HTTP server has no calls: exchanges are passed on to its port, and the
 * link only finds out when that accepts. On one loop. No callback may
 * free the link; it may start and cancel calls. */
#pragma once
#include "base/map.h"
#include "invoke/answer_head.h"
#include "invoke/failure.h"
#include "invoke/result.h"
#include "reactor/loop.h"
#include "wire/gauge.h"

#include <sys/types.h>

struct runtime_link;

/* One invocation as the link sees it; embed it, zero-initialised. From runtime_link_start() to
 * on_result(), on_error() or runtime_link_drop() it is the link's. */
struct runtime_call {
    /* the caller's */
    const char *request_id, *trace; /* live as long as the call; trace may be NULL */
    uint64_t deadline_ms;           /* epoch */
    size_t result_limit;            /* bytes */
    /* the link's */
    struct map_node node;
    struct list link;
    uint64_t id;
    enum call_state { CALL_IDLE, CALL_QUEUED, CALL_SENT, CALL_ANSWERING } state;
    enum result_kind kind;
    bool too_large;
    size_t held;                     /* of the link's `held` */
    struct {                         /* of a call that is HTTP */
        bool on, sending, cancelled; /* `sending`: more of the request's body may follow */
        unsigned interim;
        uint32_t send_left, receive_left; /* windows, bytes */
        uint32_t owed;                    /* consumed here, not credited to the runtime yet */
    } http;
    struct buffer event;  /* while queued */
    struct buffer result; /* what came so far of a result in several parts */
};
void runtime_call_done(struct runtime_call *c); /* frees its buffers */

struct runtime_link_ops {
    void (*on_hello)(void *user);                   /* the runtime's first word */
    void (*on_credit)(void *user, unsigned credit); /* it takes that many at once, in all: ready */
    void (*on_init_error)(void *user, const struct function_error *e);
    void (*on_result)(void *user, struct runtime_call *c, const struct result *r);
    void (*on_too_large)(void *user,
                         struct runtime_call *c); /* it ended, but its result is over the limit */
    void (*on_error)(void *user, struct runtime_call *c, const struct function_error *e);
    /* An HTTP call's answer: its head (or why it is none that may be sent: then the rest is for nobody),
     * after any number of interim ones; its body in parts, each to be given back by
     * runtime_link_consumed(); with `last` it is over. on_room(): runtime_link_send() takes more now. */
    void (*on_head)(void *user, struct runtime_call *c, struct answer_head *h, const char *wrong);
    void (*on_body)(void *user, struct runtime_call *c, const uint8_t *data, size_t n, bool last);
    void (*on_room)(void *user, struct runtime_call *c);
    void (*on_hook)(void *user, enum frame_hook_kind hook,
                    const struct function_error *e); /* its answer; e NULL: it succeeded */
    /* The runtime cannot fork, and did not for that id; NULL: forks are never asked for. */
    void (*on_no_fork)(void *user, uint64_t id, const struct function_error *e);
    void (*on_log)(void *user, const char *request_id, const char *line,
                   size_t n); /* request_id: NULL not known */
    /* A metric has another value; or, with `refused`, it is not taken for that reason, and what its name has
     * that cannot be shown is '?'. NULL: nobody wants to hear. */
    void (*on_metric)(void *user, const char *name, double value, const char *refused);
    /* The connection is over; open calls stay open until dropped. `violation`: what the runtime did
     * that it may not, or NULL: it hung up. */
    void (*on_closed)(void *user, const char *violation);
};
struct runtime_link_config {
    struct loop *loop;
    const char *function, *namespace, *revision, *handler;
    uint32_t concurrency, timeout_ms;
    uint64_t memory;
    /* "NAME=value", NULL-terminated: the runtime was started without a function and is parked. Its HELLO must
     * say so, and the answer brings it this whole environment. NULL: it must not. */
    const char *const *environment;
    /* not 0: an HTTP server there; then frames_fd only tells the network, -1: this process's own */
    uint16_t port;
    int frames_fd, api_fd; /* listening; -1: not that one. Taken over, also on failure */
    bool connected; /* frames_fd is the runtime's connection itself; its HELLO is still unread */
    const struct runtime_link_ops *ops;
    void *user;
};
/* An environment that fits into HELLO's frame whatever is in it: each byte may take six. */
#define LINK_ENVIRONMENT_MAX (160u << 10) /* bytes, with a NUL for each */
/* -EPERM: this process may not enter the sandbox's network, in which an HTTP server is.
 * -E2BIG: the environment is larger than LINK_ENVIRONMENT_MAX. */
int runtime_link_new(const struct runtime_link_config *c, struct runtime_link **ret);
/* Nobody new may come: the processes are gone or going. The sockets were opened in the sandbox's
 * network, which lives as long as they do. */
void runtime_link_deafen(struct runtime_link *l);
struct runtime_link *runtime_link_free(struct runtime_link *l);
/* The event is copied where it must wait. -ENOTCONN, -ENOMEM: nothing was sent and the call is
 * idle. */
int runtime_link_start(struct runtime_link *l, struct runtime_call *c, const void *event, size_t n);
/* The runtime takes HTTP: every call is to be one. Once on_credit() has been. */
bool runtime_link_takes_http(const struct runtime_link *l);
/* An HTTP call: the request's head; its body follows by runtime_link_send() unless `whole`. */
int runtime_link_start_http(struct runtime_link *l, struct runtime_call *c, const void *head,
                            size_t n, bool whole);
/* Returns how many of the `n` bytes were taken: on_room() follows where that is not all. `last`: the body
 * ends with them, if all were taken. What nobody waits for any more is taken and dropped. -ENOMEM. */
ssize_t runtime_link_send(struct runtime_link *l, struct runtime_call *c, const uint8_t *data,
                          size_t n, bool last);
/* So much of the answer's body has gone on its way: the runtime may send as much more. */
void runtime_link_consumed(struct runtime_link *l, struct runtime_call *c, size_t n);
void runtime_link_cancel(struct runtime_link *l,
                         struct runtime_call *c); /* nobody waits; it is still answered */
void runtime_link_drop(struct runtime_link *l,
                       struct runtime_call *c); /* forget it: the instance ends */
/* Sends a hook; on_hook() follows, or on_closed(). One at a time: the answer to an earlier one that did not
 * come is not told any more. -ENOTSUP: the interface has no hooks. -ENOTCONN, -ENOMEM. */
int runtime_link_hook(struct runtime_link *l, enum frame_hook_kind hook, const char *name,
                      uint64_t deadline_ms);
/* Sends FORK, with an id of its own: the child that is to come will say it. -ENOTSUP: the interface has no
 * forks. -ENOTCONN, -ENOMEM. */
int runtime_link_fork(struct runtime_link *l, uint64_t *ret_id);
/* From here on what it has to say is another's. No call is open. */
void runtime_link_hand_over(struct runtime_link *l, const struct runtime_link_ops *ops, void *user);
/* What it said of itself; never NULL, and the link's. */
const struct gauges *runtime_link_gauges(const struct runtime_link *l);
/* An HTTP server did not answer as many in a row as it may have at once: it may be stuck for all. */
bool runtime_link_stuck(const struct runtime_link *l);
/* Within a callback: what it tells was the first that came with the loop's present event, so that
 * the runtime did nothing between what caused the event and this. */
bool runtime_link_first_word(const struct runtime_link *l);
bool runtime_link_open(const struct runtime_link *l); /* until on_closed() */
const char *runtime_link_protocol(
    const struct runtime_link *l); /* "frames", "lambda", "http"; "" before it spoke */
