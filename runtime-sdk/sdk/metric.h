/* metric.h - the instance's own metrics: between open and close they go out by that outbox. */
#pragma once
#include "sdk/outbox.h"

/* Once HELLO is queued: nothing may come before it. */
void metric_open(struct outbox *o);
void metric_close(void); /* no thread touches the outbox any more */
