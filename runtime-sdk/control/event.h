/* event.h - what the hub's thread tells the owner on its loop, in order.
 *
 * Posted by the hub's thread; the loop calls hub->on_event() and frees it. What
 * is still in the mailbox when the owner leaves is freed untold. */
#pragma once
#include "control/link.h"

enum event_kind { EVENT_OPEN, EVENT_MESSAGE, EVENT_CLOSED };
struct event {
    struct mail mail;
    struct link *link;
    enum event_kind kind;
    ProtobufCMessage *message; /* EVENT_MESSAGE; lives until on_event() returns */
    size_t size;               /* of its packed bytes */
    char text[128];            /* EVENT_OPEN: the peer's address; EVENT_CLOSED: why */
};

int event_post(struct link *l, enum event_kind kind, const char *text);
/* Bytes of a frame. A message that is whole now is posted; one that does not parse closes the link. */
void event_receive(struct link *l, const ProtobufCMessageDescriptor *d, const void *in, size_t n);
