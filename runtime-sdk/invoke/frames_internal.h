/* frames_internal.h - the agent's end of frames: the connection and its events (frames.c), and HTTP with its
 * streamed bodies and windows (frames_http.c). */
#pragma once
#include "invoke/link_internal.h"
#include "reactor/conn.h"
#include "wire/frame.h"

struct frames {
    struct runtime_link *link;
    struct listener *listener;
    struct conn *conn; /* the one connection; others are turned away */
    bool hello, ready;
    struct buffer out; /* one message at a time, reused */
};

/* Takes a call on and makes its INVOKE, with as many of the `n` bytes of its event as fit into one frame.
 * -ENOTCONN, -ENOBUFS: too much is pending; -errno of link_track(). */
int frames_track(struct frames *f, struct runtime_call *c, const void *event, size_t n,
                 struct frame_invoke *ret);
/* What was put into `out` goes its way. */
void frames_send(struct frames *f);
/* The connection ends with that reason. False. */
bool frames_violate(struct frames *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- frames_http.c: of an HTTP call. False: the connection is over. */
bool frames_http_head(struct frames *f, struct runtime_call *c, const struct frame *fr);
bool frames_http_body(struct frames *f, struct runtime_call *c, const struct frame *fr);
bool frames_http_credit(struct frames *f, struct runtime_call *c, uint32_t credit);
void frames_http_drained(struct frames *f); /* the connection takes bytes again */
