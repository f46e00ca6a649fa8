/* perform.c - rouse_curl_perform(): the asking task's side of a transfer. */
#include "curl/transfer.h"

#include <errno.h>
#include <stdlib.h>

void transfer_unref(struct transfer *t)
{
    if (atomic_fetch_sub(&t->owners, 1) == 1)
        free(t);
}

void transfer_over(struct transfer *t, int result)
{
    t->result = result;
    atomic_store_explicit(&t->over, true, memory_order_release);
    rouse_wait_group_done(&t->ended);
    transfer_unref(t);
}

/* The handle is not the caller's before the driver has let go of it. A cancelled task cannot wait for that,
 * so it goes round the queue; the driver, which was told, needs one turn. */
static void stop(struct transfer *t)
{
    atomic_fetch_add(&t->owners, 1);
    inbox_put(&t->stop);
    while (!atomic_load_explicit(&t->over, memory_order_acquire))
        rouse_yield();
}

int rouse_curl_perform(CURL *easy, int64_t deadline)
{
    struct transfer *t;
    int r;

    if (!rouse_task_id())
        return -EPERM;
    if (deadline <= 0)
        return -ETIMEDOUT; /* without waiting there is nothing to be done */
    t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->easy = easy;
    t->start.transfer = t->stop.transfer = t;
    t->stop.stop = true;
    list_init(&t->link);
    atomic_store_explicit(&t->owners, 2, memory_order_relaxed);
    rouse_wait_group_add(&t->ended, 1);
    inbox_put(&t->start);
    driver_start();
    r = rouse_wait_group_wait(&t->ended, deadline);
    if (r < 0) {
        stop(t);
        if (t->result == -ECANCELED)
            t->result = r; /* else it ended by itself meanwhile */
    }
    r = t->result;
    transfer_unref(t);
    return r;
}
