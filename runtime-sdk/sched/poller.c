/* poller.c - the net poller on epoll, and the eventfd that ends a wait in it.
 *
 * One for the process, made by rouse_run(). Any thread may look, at the same
 * time as others: the kernel gives an edge to one of them. */
#include "sched/poller.h"

#include "sched/netdesc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "rouse/sched.h"

enum { BATCH = 128 };
#define WAKE_KEY UINT64_MAX /* of no descriptor */

static int poll_fd = -1, wake_fd = -1;
static _Atomic int64_t waiting; /* tasks that are parked for a descriptor */
static _Atomic bool waking;     /* wake_fd was written to, and the wait it ends has not seen it */
static bool milliseconds;       /* this kernel (before 5.11) has no epoll_pwait2() */

static int wait_ns(struct epoll_event *events, int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / ROUSE_SECOND, .tv_nsec = ns % ROUSE_SECOND};
    int64_t ms = ns / ROUSE_MS;
    int n;

    if (!ns)
        return epoll_wait(poll_fd, events, BATCH, 0);
    if (!milliseconds) {
        n = epoll_pwait2(poll_fd, events, BATCH, ns == INT64_MAX ? NULL : &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        milliseconds = true;
    }
    /* rounded up: a wait that ends early would be one for nothing */
    if (ns % ROUSE_MS)
        ms++;
    return epoll_wait(poll_fd, events, BATCH,
                      ms > INT32_MAX ? ns == INT64_MAX ? -1 : INT32_MAX : (int)ms);
}

/* Level-triggered, and emptied by looks that wait alone: one that does not wait must not swallow what
 * was meant for the thread that does. */
static void wake_seen(void)
{
    uint64_t n;

    while (read(wake_fd, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
    /* An exchange: a waker that found it set, and so did not write, said what it had to say before, and
     * this look, which it ends, is to see that when it has returned. */
    atomic_exchange_explicit(&waking, false, memory_order_acq_rel);
}

void poller_look(int64_t deadline, struct task_list *ret)
{
    struct epoll_event events[BATCH];
    uint32_t before = ret->count;
    int64_t ns = deadline;
    int n;

    if (deadline && deadline != ROUSE_NEVER) {
        ns = deadline - rouse_now();
        if (ns < 0)
            ns = 0;
    }
    n = wait_ns(events, ns);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 != WAKE_KEY)
            netdesc_event(events[i].data.u64, events[i].events, ret);
        else if (deadline)
            wake_seen();
    }
    if (ret->count != before)
        atomic_fetch_sub_explicit(&waiting, ret->count - before, memory_order_relaxed);
}

void poller_wake(void)
{
    uint64_t one = 1;

    if (atomic_exchange_explicit(&waking, true, memory_order_acq_rel))
        return;
    while (write(wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

int poller_init(void)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = WAKE_KEY};

    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    wake_fd = poll_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, wake_fd, &e) < 0) {
        int r = -errno;

        poller_done();
        return r;
    }
    atomic_store_explicit(&waking, false, memory_order_relaxed);
    return 0;
}

void poller_done(void)
{
    if (wake_fd >= 0)
        close(wake_fd);
    if (poll_fd >= 0)
        close(poll_fd);
    poll_fd = wake_fd = -1;
    netdescs_done();
}

int poller_watch(int fd, uint32_t events, uint64_t key, bool known)
{
    struct epoll_event e = {.events = events, .data.u64 = key};

    return epoll_ctl(poll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

bool poller_waited_for(void)
{
    return atomic_load_explicit(&waiting, memory_order_relaxed) > 0;
}

/* Sequentially consistent: a thread that goes to sleep for want of work looks at it afterwards. */
void poller_wait_begins(void)
{
    atomic_fetch_add(&waiting, 1);
}

void poller_wait_ended(void)
{
    atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
}
