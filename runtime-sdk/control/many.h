/* many.h - how the hub's thread waits when it has many links.
 *
 * libwebsockets waits with poll(2), of which each turn costs as much as there are connections: with 1,000 agents that
 * report each second it is a third of a cpu. From so many links on the thread waits by an epoll of its own, for
 * established links and for a bell, and has libwebsockets service those that are ready. To all else libwebsockets sees in
 * a pass each 10 ms: so long may an accept or a time-out then take.
 * The hub's thread, but for many_init(), many_done() and many_ring(). */
#pragma once
#include "control/hub.h"

struct link;

int many_init(struct hub *h,
              unsigned from); /* before hub_start(); `from` so many links, 0: 64. -errno */
void many_done(struct hub *h);
void many_add(struct link *l); /* established; l->wsi is set */
void many_del(struct link *l);
void many_listen(struct link *l, bool on); /* with the flow control of libwebsockets */
/* While h->many: writes now what waits. The link may be gone then. Not within a callback of libwebsockets. */
void many_write(struct link *l);
int many_turn(struct hub *h);  /* instead of lws_service(), while h->many; negative: it is over */
void many_ring(struct hub *h); /* any thread, while h->many */
