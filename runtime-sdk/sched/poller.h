/* poller.h - the net poller: one epoll descriptor for all tasks that wait for descriptors.
 *
 * Edge-triggered. What it finds becomes tasks that are ready; who looks decides
 * where they run. */
#pragma once
#include "sched/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* Tasks that wait for a descriptor now: nobody needs to look while it is 0. */
bool poller_waited_for(void);
/* Looks, and waits until `deadline` (0: does not wait) or poller_wake(). One thread at a time waits. The tasks
 * whose waits ended go to `ret`. */
void poller_look(int64_t deadline, struct task_list *ret);
/* Ends the waiting look of another thread, or the next one that waits. */
void poller_wake(void);
/* ---- netdesc.c */
/* Tells epoll of fd, or, `known`, of other `events` of it. What is there now is an edge, too. Edges come to
 * netdesc_event() with `key`. -EPERM: epoll refuses this kind of file. -ENOENT: it was not known; -EEXIST: it
 * was. -ENOMEM, -ENOSPC */
int poller_watch(int fd, uint32_t events, uint64_t key, bool known);
/* One more task waits. It is no more when netdesc_event() has collected it, or when it says so. */
void poller_wait_begins(void);
void poller_wait_ended(void);

int poller_init(void); /* -errno */
void poller_done(void);
