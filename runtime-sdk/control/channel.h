/* channel.h - the control channel: libwebsockets in a thread of its own, protobuf-c messages by mailbox.
 *
 * Both sides deliver on the loop given at creation and may be called from any
 * thread. A message that does not parse, or a frame over 4 MiB, closes the
 * channel with a reason that is logged on both sides; unknown fields and
 * unknown oneof members survive (the message arrives with body not set). Messages that
 * wait together travel as one (a batch) and arrive one by one, in order. A peer
 * that is silent is pinged after 3 s and gone after 8 s. Free either side on the
 * loop's thread (or when the loop has ended); nothing is told after that. */
#pragma once
#include "control.pb-c.h"
#include "reactor/loop.h"

typedef Rouse__Control__V1__AgentMessage AgentMessage;
typedef Rouse__Control__V1__ControllerMessage ControllerMessage;

enum { CONTROL_MESSAGE_MAX = 4 << 20, CONTROL_PENDING_MAX = 32 << 20 };
#define CONTROL_SUBPROTOCOL "rouse.control.v1"

/* ---- the controller's side */
struct control_server;
struct control_server_options {
    const char *address; /* "tcp://127.0.0.1:7082"; port 0: any */
    const char *token;   /* bearer token agents must show; NULL: none asked (loopback only) */
    const char *tls_cert, *tls_key; /* files; NULL: plain */
    unsigned max_agents;            /* 0: 10000 */
    unsigned many_from;             /* 0: 64; so many are waited for in another way (many.h) */
    struct loop *loop;
    void (*on_open)(void *user, uint64_t peer, const char *address);
    void (*on_message)(void *user, uint64_t peer, const AgentMessage *m); /* m lives until the return */
    void (*on_closed)(void *user, uint64_t peer, const char *reason);
    void *user;
};
int control_server_new(const struct control_server_options *o, struct control_server **ret);
void control_server_address(const struct control_server *s, char out[128]);
uint64_t control_server_refused(const struct control_server *s); /* upgrades; any thread */
/* Packs on the caller's thread. -ENOTCONN; -ENOBUFS: the peer is closed, it does not keep up. */
int control_server_send(struct control_server *s, uint64_t peer, const ControllerMessage *m);
/* The same to each of n peers, packed once and held once; those that are not there or do not keep up are passed over. */
int control_server_send_all(struct control_server *s, const uint64_t *peers, size_t n,
                            const ControllerMessage *m);
void control_server_close(struct control_server *s, uint64_t peer, const char *reason);
struct control_server *control_server_free(struct control_server *s); /* joins the thread */

/* ---- the agent's side: dials, and dials again with jittered backoff (50 ms doubling to 5 s) */
struct control_client;
struct control_client_options {
    const char *address; /* "tcp://127.0.0.1:7082" or "tls://name:port", the name as in the certificate */
    const char *token;
    const char *tls_ca;
    struct loop *loop;
    void (*on_open)(void *user); /* say Hello now */
    void (*on_message)(void *user, const ControllerMessage *m);
    /* Reconnects by itself. Also told, without an on_open() before it, when a dial fails for a new reason. */
    void (*on_closed)(void *user, const char *reason);
    void *user;
};
int control_client_new(const struct control_client_options *o, struct control_client **ret);
int control_client_send(struct control_client *c,
                        const AgentMessage *m); /* -ENOTCONN while away: the next Hello says it all */
/* Likewise, but it goes with the next control_client_send(), or at control_client_flush(): waking the channel's
 * thread for each message of several costs more than the messages. In order with all others. */
int control_client_queue(struct control_client *c, const AgentMessage *m);
void control_client_flush(struct control_client *c);
struct control_client *control_client_free(struct control_client *c);
