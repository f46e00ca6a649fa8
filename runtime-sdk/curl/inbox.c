/* inbox.c - requests to the driver: a stack that any task pushes to, and an eventfd that is written when it
 * was empty. Without a lock: a cancelled task, which may wait for nothing any more, gets through too. */
#include "curl/transfer.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Atomic(struct request *) top;
static _Atomic int event_fd; /* + 1; 0: there is none yet */

__attribute__((noinline)) static void tell(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void inbox_put(struct request *r)
{
    struct request *was = atomic_load_explicit(&top, memory_order_relaxed);
    int fd;

    do
        r->next = was;
    while (!atomic_compare_exchange_weak(&top, &was, r));
    /* In one order with inbox_fd() and inbox_take(): a driver that made the descriptor after this look
     * takes the request before it waits. */
    fd = atomic_load(&event_fd);
    if (!was && fd)
        tell(fd - 1);
}

struct request *inbox_take(void)
{
    struct request *newest = atomic_exchange(&top, NULL), *oldest = NULL;

    while (newest) {
        struct request *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

bool inbox_empty(void)
{
    return !atomic_load(&top);
}

__attribute__((noinline)) int inbox_fd(void)
{
    int fd = atomic_load(&event_fd);

    if (fd)
        return fd - 1;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    atomic_store(&event_fd, fd + 1); /* there is one driver at a time */
    return fd;
}

__attribute__((noinline)) void inbox_seen(void)
{
    uint64_t n;

    while (read(atomic_load(&event_fd) - 1, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
}
