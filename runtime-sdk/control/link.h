/* link.h - one WebSocket connection of the control channel, on either side.
 *
 * The hub's thread owns `wsi` and `in`; what the lock guards is changed by any
 * thread through link_send() and link_close(). Counted references: the hub's
 * thread holds one while connected, each event one. */
#pragma once
#include "base/buffer.h"
#include "control/hub.h"

#include <protobuf-c/protobuf-c.h>

enum { LINK_REASON = 124 }; /* a close frame holds 123 bytes of text */

struct packed;
struct packet;
struct link {
    atomic_uint refs;
    struct hub *hub;
    uint64_t id;
    struct lws *wsi;
    int fd;           /* many.c's; -1 */
    struct buffer in; /* the fragments of a message so far */
    uint64_t opened_us;
    char told[LINK_REASON]; /* what the peer's close frame said */
    /* guarded by hub->lock */
    struct list dirty;
    struct packet *head, *tail;
    size_t pending;
    bool open, closing, timed;
    uint16_t status;          /* of the close frame */
    char reason[LINK_REASON]; /* why this side closes; the first one stays */
    /* undelivered bytes: added by the hub's thread, taken off on the loop */
    atomic_size_t undelivered;
    atomic_bool paused;
};

struct link *link_new(struct hub *h, uint64_t id); /* one reference; NULL: no memory */
struct link *link_ref(struct link *l);
struct link *link_unref(struct link *l);

/* ---- any thread; hub->lock is held */
/* The caller keeps its reference. -ENOTCONN; closed: -ENOMEM, -ENOBUFS (it does not keep up). */
int link_send(struct link *l, struct packed *p);
/* What was sent before still goes out first, within 2 s; an empty queue with `drop`. */
void link_close(struct link *l, uint16_t status, bool drop, const char *reason);

/* Packs with the headroom that libwebsockets wants, once for as many links as it is sent on. One reference. -EMSGSIZE
 * over the limit, -ENOMEM. */
int packed_make(const ProtobufCMessage *m, struct packed **ret);
struct packed *packed_unref(struct packed *p); /* NULL is a no-op */

/* ---- the hub's thread */
/* Bytes of a frame. true: l->in is a whole message (clear it after); false: more follows, or the
 * link closes. */
bool link_receive(struct link *l, const void *in, size_t n);
/* Closes because the message was not taken: -EBADMSG or -ENOMEM. */
void link_refuse(struct link *l, int error);
/* The callback's result: 0, or -1 to close. */
int link_writable(struct link *l);
void link_peer_said(struct link *l, const void *in, size_t n); /* the close frame's payload */
void link_opened(struct link *l, struct lws *wsi);
void link_woken(struct hub *h); /* LWS_CALLBACK_EVENT_WAIT_CANCELLED */
void link_service_dirty(struct hub *h);
/* Gone: not open any more, queue dropped. The reason in words is put into `ret`. */
void link_gone(struct link *l, char ret[LINK_REASON]);
/* NULL: does not parse, or unpacks into more than 64 MiB. */
ProtobufCMessage *link_unpack(const ProtobufCMessageDescriptor *d, const struct buffer *in);

/* ---- accounting of what the loop has not seen yet: over 8 MiB reading pauses */
void link_delivering(struct link *l, size_t n); /* hub's thread */
void link_delivered(struct link *l, size_t n);  /* loop's thread, while the hub runs */
