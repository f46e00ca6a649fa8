/* metric.h - the instance's own metrics: between open and close they go out by that outbox. */
#pragma once
#include "sdk/outbox.h"

/* Once HELLO is queued: nothing may come before it. */
void metric_open(struct outbox *o);
/* Nothing is queued any more; whoever flushes what he has queued gets 0.1 s to be done with the outbox. */
void metric_close(void);
