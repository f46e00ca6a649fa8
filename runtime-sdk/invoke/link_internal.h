/* link_internal.h - what the two interfaces behind link.h share, and the third. */
#pragma once
#include "invoke/link.h"

struct frames;
struct lambda;
struct http_link;

enum link_protocol { LINK_UNDECIDED, LINK_FRAMES, LINK_LAMBDA, LINK_HTTP };
/* Bytes of unfinished results, queued events and events that a runtime does not read, of one
 * instance: this process's memory is not its own. */
enum { LINK_HELD_MAX = 64 << 20 };
struct runtime_link {
    struct loop *loop;
    struct runtime_link_config config; /* its texts are copies, its environment is NULL: */
    struct buffer environment;         /* as JSON; empty: not of a parked runtime */
    enum link_protocol protocol;
    bool closed; /* on_closed() was told */
    bool first_word;
    struct map calls; /* sent or answering, by id */
    uint64_t last_id;
    uint64_t hook_id; /* the hook that was sent last, 0: it is answered */
    enum frame_hook_kind hook;
    uint64_t fork_id, fork_last; /* FORKs have been sent, from that to that; 0: none */
    size_t held;
    bool takes_http;         /* the runtime's HELLO said so */
    struct list blocked;     /* HTTP calls whose request's body waits for room */
    struct answer_head head; /* the one being told; its buffer is reused */
    struct gauges *gauges;   /* NULL: it has not said any */
    struct frames *frames;
    struct lambda *lambda;
    struct http_link *http;
};

/* The first word over that interface: true if it is the one now. The other one stops listening. */
bool link_decide(struct runtime_link *l, enum link_protocol p);
void link_closed(struct runtime_link *l, const char *violation);
/* Gives it an id and puts it into the table. */
int link_track(struct runtime_link *l, struct runtime_call *c);
/* False: that would be more than it may hold. */
bool link_hold(struct runtime_link *l, size_t *held, size_t n);
void link_let_go(struct runtime_link *l, size_t *held);
/* Out of the table and idle again, its buffers emptied by the caller when it has read them. */
void link_untrack(struct runtime_link *l, struct runtime_call *c);
struct runtime_call *link_find(struct runtime_link *l, uint64_t id);
/* The whole result is there, in parts kept in the call or as `data`: hands it up. */
void link_result(struct runtime_link *l, struct runtime_call *c, const uint8_t *data, size_t n);
void link_error(struct runtime_link *l, struct runtime_call *c, const uint8_t *data, size_t n,
                const char *type, bool fatal);
/* `data` is an ERROR's, or NULL: the hook succeeded. */
void link_hook_answer(struct runtime_link *l, const uint8_t *data, size_t n);
void link_no_fork(struct runtime_link *l, uint64_t id, const uint8_t *data, size_t n);
void link_init_error(struct runtime_link *l, const uint8_t *data, size_t n, const char *type);
/* Keeps a part of the result, or notes that it is too large. */
void link_keep(struct runtime_link *l, struct runtime_call *c, const uint8_t *data, size_t n);

/* ---- metrics.c */
/* One that is refused is told of and dropped. */
void link_metric(struct runtime_link *l, const char *name, size_t n, double value);
/* {"name": value, ...}: all of it or nothing. -EINVAL, with why in `why`; -ENOMEM. */
enum { LINK_WHY_MAX = 192 };
int link_metrics(struct runtime_link *l, const uint8_t *json, size_t n, char why[LINK_WHY_MAX]);

int frames_new(struct runtime_link *l, int listen_fd, struct frames **ret);
struct frames *frames_free(struct frames *f);
void frames_stop_listening(struct frames *f);
int frames_start(struct frames *f, struct runtime_call *c, const void *event, size_t n);
void frames_cancel(struct frames *f, struct runtime_call *c);
int frames_start_http(struct frames *f, struct runtime_call *c, const void *head, size_t n,
                      bool whole);
ssize_t frames_send_body(struct frames *f, struct runtime_call *c, const uint8_t *data, size_t n,
                         bool last);
void frames_consumed(struct frames *f, struct runtime_call *c, size_t n);
int frames_hook(struct frames *f, const struct frame_hook *hook);
int frames_fork(struct frames *f, uint64_t *ret_id);

int lambda_new(struct runtime_link *l, int listen_fd, struct lambda **ret);
struct lambda *lambda_free(struct lambda *a);
void lambda_stop_listening(struct lambda *a);
int lambda_start(struct lambda *a, struct runtime_call *c, const void *event, size_t n);
void lambda_drop(struct lambda *a, struct runtime_call *c);
