/* yardstick_epoll.c - the floor: one thread, one epoll, and nothing that a request does not need.
 *
 *   yardstick_epoll --port P [--echo]
 *
 * As a careful engineer writes it by hand: edge triggered, so that the kernel does not poll each socket
 * a second time; every event is one recv into a shared buffer and one send; a short recv is the end of what
 * there is. HTTP is an empty line found, no more: no header is looked at. Input that ends within a head and
 * output that the peer does not take are kept, in memory that only such connections have. */
/* libs: */
#include "hello_answer.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT = 64 * 1024, HEAD_MAX = 8 * 1024, PIPELINED = 256, EVENTS = 512 };

struct client {
    int fd;
    bool closing;
    char *head; /* the beginning of a head, `head_n` bytes; usually NULL */
    size_t head_n;
    char *out; /* what the peer has not taken; usually NULL */
    size_t out_at, out_n;
};

static bool echo;
static char input[HEAD_MAX + INPUT];
static char answers[PIPELINED * sizeof(HELLO_ANSWER)];
static const size_t answer_size = sizeof(HELLO_ANSWER) - 1;

static void drop(struct client *c)
{
    close(c->fd);
    free(c->head);
    free(c->out);
    free(c);
}

/* false: the connection is broken. */
static bool keep_output(struct client *c, const char *data, size_t n)
{
    char *more = realloc(c->out, c->out_n + n);

    if (!more)
        return false;
    c->out = more;
    memcpy(c->out + c->out_n, data, n);
    c->out_n += n;
    return true;
}

static bool put(struct client *c, const char *data, size_t n)
{
    ssize_t sent = 0;

    if (!c->out) {
        sent = send(c->fd, data, n, MSG_NOSIGNAL);
        if (sent == (ssize_t)n)
            return true;
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            sent = 0;
    }
    return keep_output(c, data + sent, n - (size_t)sent);
}

static bool flush(struct client *c)
{
    ssize_t sent = send(c->fd, c->out + c->out_at, c->out_n - c->out_at, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN;
    c->out_at += (size_t)sent;
    if (c->out_at == c->out_n) {
        free(c->out);
        c->out = NULL;
        c->out_at = c->out_n = 0;
    }
    return true;
}

static bool answer(struct client *c, char *in, size_t n)
{
    size_t at = 0, count = 0;
    char *end;

    while (at < n && (end = memmem(in + at, n - at, "\r\n\r\n", 4))) {
        at = (size_t)(end - in) + 4;
        if (++count == PIPELINED) {
            if (!put(c, answers, count * answer_size))
                return false;
            count = 0;
        }
    }
    if (count && !put(c, answers, count * answer_size))
        return false;
    if (at == n)
        return true;
    if (n - at > HEAD_MAX || !(c->head = malloc(n - at)))
        return false;
    memcpy(c->head, in + at, n - at);
    c->head_n = n - at;
    return true;
}

static bool take(struct client *c)
{
    size_t kept;
    ssize_t n;

    do {
        kept = c->head_n;
        if (kept) {
            memcpy(input, c->head, kept);
            free(c->head);
            c->head = NULL;
            c->head_n = 0;
        }
        n = recv(c->fd, input + kept, INPUT, 0);
        if (n < 0 && errno == EAGAIN)
            return !kept || (c->head = memcpy(malloc(kept), input, c->head_n = kept));
        if (n <= 0)
            return false;
        if (echo ? !put(c, input, (size_t)n) : !answer(c, input, kept + (size_t)n))
            return false;
    } while (n == INPUT);
    return true;
}

static void accept_all(int listener, int epoll)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    struct client *c;
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        c = calloc(1, sizeof(*c));
        if (!c)
            err(1, "a connection");
        c->fd = fd;
        e.data.ptr = c;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
            drop(c);
    }
}

static void serve(struct client *c, uint32_t events)
{
    bool good = true;

    if (events & (EPOLLHUP | EPOLLERR))
        good = false;
    if (good && c->out && (events & EPOLLOUT))
        good = flush(c);
    if (good && (events & EPOLLIN))
        good = take(c);
    if (!good || (events & EPOLLRDHUP))
        drop(c);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"echo", no_argument, NULL, 'e'}, {0}};
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event events[EVENTS], e = {.events = EPOLLIN};
    int listener, epoll, n, o, on = 1;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            sin.sin_port = htons((uint16_t)atoi(optarg));
        else if (o == 'e')
            echo = true;
        else
            errx(2, "usage: yardstick_epoll --port P [--echo]");
    }
    for (size_t i = 0; i < PIPELINED; i++)
        memcpy(answers + i * answer_size, HELLO_ANSWER, answer_size);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (void *)&sin, sizeof(sin)) || listen(listener, 4096))
        err(1, "port %d", ntohs(sin.sin_port));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e))
        err(1, "epoll");
    for (;;) {
        n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_all(listener, epoll);
        }
    }
}
