/* channel.h - the connection to the agent: blocking, whole frames.
 *
 * One thread receives at a time; any thread sends. What is queued goes out with
 * the next frame that is sent, at the latest when channel_receive() would wait. */
#pragma once
#include "wire/frame.h"

struct channel;

int channel_connect(const char *path, struct channel **ret); /* -ENAMETOOLONG, -errno */
struct channel *channel_free(struct channel *ch);            /* NULL is a no-op */
/* 1: a frame, valid until the next call. 0: the agent ended the connection. Else -errno of the
 * socket or of frame_parse(). */
int channel_receive(struct channel *ch, struct frame *ret);
int channel_queue(struct channel *ch, enum frame_type type, uint8_t flags, uint64_t id,
                  const void *payload, size_t n);
int channel_flush(struct channel *ch);
int channel_send(struct channel *ch, enum frame_type type, uint8_t flags, uint64_t id,
                 const void *payload, size_t n);
/* A body of any size: a frame of `type`, then BODY frames; FIN on the last. */
int channel_queue_body(struct channel *ch, enum frame_type type, uint8_t flags, uint64_t id,
                       const uint8_t *body, size_t n);
/* From a signal handler: sends what is queued and the bytes, unless a thread is in the middle of a
 * frame and stays there. Nobody can send after it. */
void channel_send_raw(struct channel *ch, const void *data, size_t n);
