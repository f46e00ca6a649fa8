/* metric.h - the instance's own metrics: between open and close they go out by that outbox. */
#pragma once
#include "sdk/outbox.h"

/* Once HELLO is queued: nothing may come before it. */
void metric_open(struct outbox *o);
/* After rouse_run(). Nothing is queued any more, and no thread is in the outbox; one that waits for the agent to read has
 * 0.1 s, then the connection ends. False: it did not come out for as long again, and never does if it was ended in there. */
bool metric_close(void);
