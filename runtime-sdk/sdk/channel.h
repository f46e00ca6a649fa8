/* channel.h - the agent's frames as they come: the receiving half of the connection. One task. */
#pragma once
#include "sdk/outbox.h"
#include "wire/frame.h"

struct channel {
    int fd;
    struct outbox *outbox; /* sent before this waits; the caller sets it */
    struct buffer in;
    size_t taken; /* bytes of `in` that the last frame still shows */
};

/* Any thread. -ENAMETOOLONG, or -errno of the socket. */
int channel_connect(const char *path, struct channel *ret);
void channel_done(struct channel *ch);
/* 1: a frame, valid until the next call. 0: the agent ended the connection. Else -errno of the
 * socket or of frame_parse(). */
int channel_receive(struct channel *ch, struct frame *ret);
