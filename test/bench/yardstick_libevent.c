/* yardstick_libevent.c - echo by a bufferevent, HTTP by evhttp, one loop.
 *
 *   yardstick_libevent --port P [--echo] */
/* libs: -levent */
#include <arpa/inet.h>
#include <err.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>

static void on_read(struct bufferevent *b, void *user)
{
    (void)user;
    bufferevent_write_buffer(b, bufferevent_get_input(b));
}

static void on_event(struct bufferevent *b, short what, void *user)
{
    (void)user;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(b);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
                      void *user)
{
    struct bufferevent *b =
        bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
    int on = 1;

    (void)a, (void)n, (void)user;
    if (!b)
        errx(1, "a connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bufferevent_setcb(b, on_read, NULL, on_event, NULL);
    bufferevent_enable(b, EV_READ | EV_WRITE);
}

static void on_request(struct evhttp_request *q, void *user)
{
    struct evbuffer *body = evbuffer_new();

    (void)user;
    evhttp_add_header(evhttp_request_get_output_headers(q), "Content-Type", "text/plain");
    evbuffer_add(body, "Hello", 5);
    evhttp_send_reply(q, 200, "OK", body);
    evbuffer_free(body);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"echo", no_argument, NULL, 'e'}, {0}};
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct event_base *base = event_base_new();
    struct evconnlistener *listener;
    bool echo = false;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            sin.sin_port = htons((uint16_t)atoi(optarg));
        else if (o == 'e')
            echo = true;
        else
            errx(2, "usage: yardstick_libevent --port P [--echo]");
    }
    listener = evconnlistener_new_bind(base, echo ? on_accept : NULL, NULL,
                                       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
                                       (struct sockaddr *)&sin, sizeof(sin));
    if (!listener)
        err(1, "port %d", ntohs(sin.sin_port));
    if (!echo) {
        struct evhttp *h = evhttp_new(base);

        evhttp_set_gencb(h, on_request, NULL);
        evhttp_bind_listener(h, listener);
    }
    return event_base_dispatch(base) < 0;
}
