/* brain_entry.h - carries the front's tickets to the brain's thread and the answers back:
 * front_config's two functions. */
#pragma once
#include "activator/front.h"

struct brain;

/* `brain` is a struct brain. On the front's thread. */
void brain_entry_submit(void *brain, struct front_ticket *t);
void brain_entry_cancel(void *brain, struct front_ticket *t);
