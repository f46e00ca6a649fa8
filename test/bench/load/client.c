/* client.c - see client.h. */
#include "bench/load/client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INPUT = 256 * 1024, EVENTS = 1024 };

struct client {
    int fd;
    bool connected;
    unsigned left;       /* of `each` */
    unsigned on_way;     /* requests without their answer */
    unsigned first;      /* in times[]: the oldest of them */
    size_t echo_partial; /* bytes of an echoed message that has not come whole */
    size_t unsent;
    struct answer_reader reader;
    uint64_t *times; /* `depth` of them: when each request was, or should have been, sent */
};

static char input[INPUT];

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(struct load *l, struct client *c)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -errno;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if ((connect(c->fd, (const void *)&l->plan->address, sizeof(l->plan->address)) &&
         errno != EINPROGRESS) ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e))
        return -errno;
    return 0;
}

static void push_idle(struct load *l, struct client *c)
{
    l->idle[(l->idle_at + l->idle_n++) % l->plan->connections] = c;
}

static struct client *pop_idle(struct load *l)
{
    struct client *c = l->idle[l->idle_at];

    l->idle_at = (l->idle_at + 1) % l->plan->connections;
    l->idle_n--;
    return c;
}

static void fail(struct load *l, const char *what, unsigned n)
{
    l->errors += n;
    if (!l->error)
        l->error = what;
}

/* The connection is lost with what was on its way; a new one takes its place. */
static void broke(struct load *l, struct client *c, const char *what)
{
    fail(l, what, c->on_way ? c->on_way : 1);
    close(c->fd);
    answer_reader_done(&c->reader);
    l->open -= c->connected;
    l->busy -= c->on_way;
    c->connected = false;
    c->on_way = c->first = 0;
    c->echo_partial = c->unsent = 0;
    if (dial(l, c) < 0)
        fail(l, "connect", ERRORS_MAX);
}

/* The stream repeats one request, so that what is unsent says where in it to go on. */
static bool send_rest(struct load *l, struct client *c)
{
    size_t size = l->plan->request_size, phase = (size - c->unsent % size) % size, piece;
    ssize_t n;

    while (c->unsent) {
        piece = size * l->plan->depth - phase;
        piece = c->unsent < piece ? c->unsent : piece;
        n = send(c->fd, l->plan->batch + phase, piece, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        c->unsent -= (size_t)n;
        phase = (phase + (size_t)n) % size;
    }
    return true;
}

static void send_requests(struct load *l, struct client *c, unsigned n, uint64_t when)
{
    if (l->plan->each) {
        n = n < c->left ? n : c->left;
        c->left -= n;
    }
    if (!n)
        return;
    for (unsigned i = 0; i < n; i++)
        c->times[(c->first + c->on_way++) % l->plan->depth] = when;
    l->busy += n;
    c->unsent += n * l->plan->request_size;
    if (!send_rest(l, c))
        broke(l, c, "send");
}

/* Sends what is due, as long as a connection is free for it. */
static void send_due(struct load *l)
{
    uint64_t due;

    while (l->idle_n) {
        due = l->first_due + (uint64_t)((double)l->sent_due * 1e9 / l->plan->rate);
        if (due > l->now || (l->last_due && due >= l->last_due))
            return;
        l->sent_due++;
        if (l->counting && due > l->starved)
            histogram_add(&l->late, l->now - due);
        send_requests(l, pop_idle(l), 1, due);
    }
    l->starved = l->now;
}

static void answered(struct load *l, struct client *c, unsigned n)
{
    if (n > c->on_way) {
        broke(l, c, "an answer without a request");
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t sent = c->times[(c->first + i) % l->plan->depth];

        if (l->counting && (l->plan->rate == 0 || sent >= l->count_from)) {
            l->requests++;
            histogram_add(&l->latency, l->now > sent ? l->now - sent : 0);
        }
    }
    c->first = (c->first + n) % l->plan->depth;
    c->on_way -= n;
    l->busy -= n;
    if (l->plan->rate > 0)
        push_idle(l, c);
    else if (!l->stopping)
        send_requests(l, c, n, l->now);
}

static void take(struct load *l, struct client *c)
{
    unsigned answers = 0, failed = 0;
    ssize_t n;
    int e = 0;

    do {
        n = recv(c->fd, input, INPUT, 0);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            broke(l, c, n ? "recv" : "closed by the server");
            return;
        }
        if (l->plan->echo) {
            c->echo_partial += (size_t)n;
            answers += (unsigned)(c->echo_partial / l->plan->request_size);
            c->echo_partial %= l->plan->request_size;
        } else {
            e = answer_read(&c->reader, input, (size_t)n, &answers, &failed);
        }
    } while (n == INPUT && !e);
    if (e) {
        broke(l, c, "an answer that cannot be read");
        return;
    }
    if (failed)
        fail(l, "a status that is not 2xx", failed);
    l->now = now_ns();
    if (answers)
        answered(l, c, answers);
}

static void serve(struct load *l, struct client *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        broke(l, c, "hung up");
        return;
    }
    if (!c->connected && (events & EPOLLOUT)) {
        c->connected = true;
        l->open++;
        if (l->plan->rate > 0)
            push_idle(l, c);
        else if (l->busy && !l->stopping)
            send_requests(l, c, l->plan->depth, l->now); /* in the place of a lost one */
    } else if (c->unsent && (events & EPOLLOUT) && !send_rest(l, c)) {
        broke(l, c, "send");
        return;
    }
    if (events & EPOLLIN)
        take(l, c);
    else if (events & EPOLLRDHUP)
        broke(l, c, "closed by the server");
}

int load_turn(struct load *l, uint64_t until)
{
    static struct epoll_event events[EVENTS];
    int wait = 0, n;

    /* An open loop spins: a timer that fires late would be counted as the server's latency. */
    if (l->plan->rate == 0 && until > l->now)
        wait = (int)((until - l->now) / 1000000) + 1;
    n = epoll_wait(l->epoll, events, EVENTS, wait);
    l->now = now_ns();
    for (int i = 0; i < n; i++)
        serve(l, events[i].data.ptr, events[i].events);
    if (l->plan->rate > 0 && l->first_due)
        send_due(l);
    return l->errors > ERRORS_MAX ? -EPROTO : 0;
}

int load_connect(struct load *l, const struct plan *p)
{
    uint64_t deadline = now_ns() + 10000000000u;
    int r;

    l->plan = p;
    l->now = now_ns();
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->clients = calloc(p->connections, sizeof(*l->clients));
    l->idle = calloc(p->connections, sizeof(*l->idle));
    if (l->epoll < 0 || !l->clients || !l->idle)
        return -ENOMEM;
    for (unsigned i = 0; i < p->connections; i++) {
        struct client *c = &l->clients[i];

        c->left = p->each;
        c->times = calloc(p->depth, sizeof(*c->times));
        if (!c->times)
            return -ENOMEM;
        r = dial(l, c);
        if (r < 0)
            return r;
        /* Some at a time: no backlog is asked to hold thousands. */
        while (l->open + 64 <= i) {
            r = load_turn(l, deadline);
            if (r < 0 || l->now > deadline)
                return r < 0 ? r : -ETIMEDOUT;
        }
    }
    while (l->open < p->connections) {
        r = load_turn(l, deadline);
        if (r < 0 || l->now > deadline)
            return r < 0 ? r : -ETIMEDOUT;
    }
    return 0;
}

void load_start(struct load *l)
{
    l->now = now_ns();
    if (l->plan->rate > 0)
        l->first_due = l->now;
    else
        for (unsigned i = 0; i < l->plan->connections; i++)
            send_requests(l, &l->clients[i], l->plan->depth, l->now);
}

void load_done(struct load *l)
{
    for (unsigned i = 0; l->clients && i < l->plan->connections; i++) {
        if (l->clients[i].fd > 0)
            close(l->clients[i].fd);
        answer_reader_done(&l->clients[i].reader);
        free(l->clients[i].times);
    }
    free(l->clients);
    free(l->idle);
    if (l->epoll > 0)
        close(l->epoll);
}
