/* driver.c - the task that drives all transfers: libcurl's multi handle, whose sockets lie in an epoll of
 * their own. The task waits for that epoll as for any descriptor.
 *
 * libcurl is called between waits, never across one: it and the TLS library
 * below it use thread-local storage. The driver lives until the scheduler ends,
 * for the idle connections it keeps. */
#include "curl/transfer.h"

#include "rouse/net.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    STACK = 1 << 20, /* of libcurl, TLS and the callbacks */
    BATCH = 64,
    IDLE_CONNECTIONS = 256,
};

struct driver {
    CURLM *multi;
    int epoll, inbox;
    int64_t timer; /* when libcurl wants to be called */
    struct list active;
};

static _Atomic bool running;

/* ---- what libcurl asks for */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct driver *d = user;
    struct epoll_event e = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(d->epoll, EPOLL_CTL_DEL, fd, &e);
        curl_multi_assign(d->multi, fd, NULL);
        return 0;
    }
    e.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(d->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) < 0)
        return -1;
    curl_multi_assign(d->multi, fd, d); /* not NULL: known */
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *user)
{
    struct driver *d = user;

    (void)multi;
    d->timer = ms < 0 ? ROUSE_NEVER : rouse_after(ms * ROUSE_MS);
    return 0;
}

/* ---- transfers */

static void end(struct driver *d, struct transfer *t, int result)
{
    curl_multi_remove_handle(d->multi, t->easy);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t->private);
    list_del(&t->link);
    transfer_over(t, result);
}

static void start(struct driver *d, struct transfer *t)
{
    CURLMcode c;

    curl_easy_getinfo(t->easy, CURLINFO_PRIVATE, &t->private);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    c = curl_multi_add_handle(d->multi, t->easy);
    if (c == CURLM_OK) {
        list_push_back(&d->active, &t->link);
        return;
    }
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t->private);
    transfer_over(t, c == CURLM_ADDED_ALREADY     ? -EBUSY
                     : c == CURLM_BAD_EASY_HANDLE ? -EINVAL
                                                  : -ENOMEM);
}

static void take_requests(struct driver *d)
{
    struct request *next;

    for (struct request *r = inbox_take(); r; r = next) {
        struct transfer *t = r->transfer;

        next = r->next;
        if (!r->stop) {
            start(d, t);
            continue;
        }
        if (!atomic_load_explicit(&t->over, memory_order_relaxed))
            end(d, t, -ECANCELED);
        transfer_unref(t);
    }
}

/* `error`: there is nobody to do them. */
static void refuse_requests(int error)
{
    struct request *next;

    for (struct request *r = inbox_take(); r; r = next) {
        next = r->next;
        if (r->stop)
            transfer_unref(r->transfer);
        else
            transfer_over(r->transfer, error);
    }
}

static bool end_finished(struct driver *d)
{
    bool any = false;
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(d->multi, &left))) {
        struct transfer *t;
        int result = (int)message->data.result; /* the message goes with the handle */

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        end(d, t, result);
        any = true;
    }
    return any;
}

/* ---- a turn */

static void run_sockets(struct driver *d)
{
    struct epoll_event events[BATCH];
    int n = epoll_wait(d->epoll, events, BATCH, 0), running_transfers;

    for (int i = 0; i < n; i++) {
        int what = 0;

        if (events[i].data.fd == d->inbox) {
            inbox_seen();
            continue;
        }
        if (events[i].events & (EPOLLIN | EPOLLHUP))
            what |= CURL_CSELECT_IN;
        if (events[i].events & EPOLLOUT)
            what |= CURL_CSELECT_OUT;
        if (events[i].events & EPOLLERR)
            what |= CURL_CSELECT_ERR;
        /* One before it may have closed this socket, and opened another of its number: libcurl reads
         * without blocking, and passes over a number it does not know. */
        curl_multi_socket_action(d->multi, events[i].data.fd, what, &running_transfers);
    }
}

__attribute__((noinline)) static bool turn(struct driver *d)
{
    int running_transfers;

    run_sockets(d);
    take_requests(d);
    if (d->timer <= rouse_now()) {
        d->timer = ROUSE_NEVER;
        curl_multi_socket_action(d->multi, CURL_SOCKET_TIMEOUT, 0, &running_transfers);
    }
    return end_finished(d);
}

static void drive(struct driver *d)
{
    for (;;) {
        bool ended = turn(d), due = d->timer <= rouse_now();
        int r = rouse_canceled() ? -ECANCELED : 0;

        if (ended || due)
            rouse_yield(); /* to those whose transfers ended, before more input is looked at */
        if (!due && r == 0)
            r = rouse_wait_fd(d->epoll, POLLIN, d->timer);
        if (r == -ECANCELED)
            return;
        if (r < 0 && r != -ETIMEDOUT)
            rouse_sleep(ROUSE_MS); /* no memory to wait with */
    }
}

/* ---- life */

__attribute__((noinline)) static int driver_init(struct driver *d)
{
    struct epoll_event e = {.events = EPOLLIN};
    struct sigaction was;

    list_init(&d->active);
    d->timer = ROUSE_NEVER;
    d->inbox = inbox_fd();
    if (d->inbox < 0)
        return d->inbox;
    if (sigaction(SIGPIPE, NULL, &was) == 0 && was.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (d->epoll < 0)
        return -errno;
    e.data.fd = d->inbox;
    d->multi = epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->inbox, &e) < 0 ? NULL : curl_multi_init();
    if (!d->multi) {
        close(d->epoll);
        return -ENOMEM;
    }
    curl_multi_setopt(d->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(d->multi, CURLMOPT_SOCKETDATA, d);
    curl_multi_setopt(d->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(d->multi, CURLMOPT_TIMERDATA, d);
    curl_multi_setopt(d->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    return 0;
}

__attribute__((noinline)) static void driver_done(struct driver *d)
{
    while (!list_empty(&d->active))
        end(d, list_entry(d->active.next, struct transfer, link), -ECANCELED);
    curl_multi_cleanup(d->multi);
}

static void leave(int error)
{
    do {
        refuse_requests(error);
        atomic_store(&running, false);
        /* one that was put before this store found a driver running */
    } while (!inbox_empty() && !atomic_exchange(&running, true));
}

void driver_main(void *unused)
{
    struct driver d;
    int r = driver_init(&d);

    (void)unused;
    if (r == 0) {
        drive(&d);
        driver_done(&d);
        rouse_close(d.epoll);
        r = -ECANCELED;
    }
    leave(r);
}

void driver_start(void)
{
    const struct rouse_task_options options = {.name = "curl", .stack = STACK};
    int r;

    if (atomic_load(&running) || atomic_exchange(&running, true))
        return;
    r = rouse_spawn_with(&options, driver_main, NULL);
    if (r < 0)
        leave(r);
}
