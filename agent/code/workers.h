/* workers.h - two threads for what waits: downloads, and chores that nobody waits for.
 *
 * A job is done in a worker and comes back to the loop as mail. Only the second
 * worker does chores, and a fetch goes first: however slow the disk is at
 * removing or syncing, a download has a thread. */
#pragma once
#include "base/list.h"
#include "reactor/loop.h"
#include <stdbool.h>

struct workers;
struct worker_job { /* embed */
    struct mail mail;
    struct list link;
    void (*run)(struct worker_job *j);               /* in a worker */
    void (*done)(struct worker_job *j, bool undone); /* on the loop, or, undone, within workers_free() */
};

int workers_new(struct loop *loop, struct workers **ret); /* -errno */
void workers_fetch(struct workers *w, struct worker_job *j);
void workers_chore(struct workers *w, struct worker_job *j);
/* Waits for the jobs that run; gives back undone those that do not yet. What is done is still in the
 * loop's mailbox. NULL is a no-op. */
struct workers *workers_free(struct workers *w);
