/* brain.h - the thread that owns registry, activator, autoscaler and scheduler.
 *
 * A loop without sockets: mail in, timers, mail out. API, front, control and
 * store threads post to it (loop_post on brain_loop()); nothing here blocks. */
#pragma once
#include "activator/grant.h"
#include "base/buffer.h"
#include "brain/registry.h"
#include "control/channel.h"
#include "reactor/loop.h"

struct brain;
struct brain_config {
    uint64_t queue_deadline_ns;               /* 0: 30 s; how long a request may wait for a slot */
    uint32_t queue_per_function;              /* 0: 10,000 tickets */
    uint32_t queue_total;                     /* 0: 100,000 */
    uint64_t held_per_function;               /* 0: 256 MiB of held bytes */
    uint64_t held_total;                      /* 0: 1 GiB */
    uint64_t body_limit;                      /* 0: 6 MiB, each way, event functions */
    uint64_t adopt_ns;                        /* 0: 2 s after the start nothing is scaled down */
    const char *peer_secret;                  /* shown between peers */
    const char *activator_address;            /* "tcp://127.0.0.1:7081", told to agents */
    uint32_t stable_window_s, panic_window_s; /* 0: 60, 6 */
    const char *prometheus;                   /* URL of the external metrics'; NULL: none */
    /* Of pools of nodes; provider.h. NULL: no such provider. */
    const char *node_process, *node_platform, *node_hooks, *node_control;
};

int brain_new(const struct brain_config *c, struct registry *r,
              struct brain **ret); /* starts no thread */
struct loop *brain_loop(struct brain *b);
void brain_set_control(struct brain *b,
                       struct control_server *s); /* its callbacks are brain_on_* below */
int brain_run(struct brain *b);                   /* the calling thread becomes the brain's */
void brain_stop(struct brain *b);                 /* any thread */
/* After brain_run() has returned and the control server is freed: takes in the mail that is left.
 */
void brain_drain(struct brain *b);
struct brain *brain_free(struct brain *b);

/* control_server's callbacks, on the brain's loop; user is the brain. */
void brain_on_agent_open(void *user, uint64_t peer, const char *address);
void brain_on_agent_message(void *user, uint64_t peer, const AgentMessage *m);
void brain_on_agent_closed(void *user, uint64_t peer, const char *reason);

/* ---- on the brain's thread */
/* Appends all autoscaler, activator and node metrics (issue's names) as Prometheus text. */
void brain_metrics(struct brain *b, struct buffer *out);
/* Log lines of a function from every node. on_text runs on the brain's thread with whole lines;
 * last == true ends it (once). 0, or -ENOENT. The handle is good until last or brain_log_cancel().
 */
struct brain_log;
int brain_log_start(struct brain *b, const char *key, uint32_t tail_lines, bool follow,
                    void (*on_text)(void *user, const void *text, size_t n, bool last), void *user,
                    struct brain_log **ret);
void brain_log_cancel(struct brain_log *l);

/* ---- an entry inside the controller (the front): tickets without a control channel */
/* On the brain's thread (post mail to get there). `on_grant` runs there too, exactly once unless
 * cancelled. */
uint64_t brain_ticket_submit(struct brain *b, const char *function_key, const char *method,
                             const char *host, const char *path, uint32_t held_bytes,
                             uint64_t waited_ns, uint32_t attempt,
                             void (*on_grant)(void *user, uint64_t ticket, const struct grant *g),
                             void *user);
void brain_ticket_cancel(struct brain *b, uint64_t ticket);
/* Its node gets it back: who was granted it did not take it. */
void brain_slot_unused(struct brain *b, const char *instance, uint64_t slot);
