/* client.h - a client for the router's tests: sends one request's text, keeps the answer's; all in one loop. */
#pragma once
#include "base/clock.h"
#include "reactor/conn.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

struct client {
    struct conn *conn; /* NULL once it is closed */
    char answer[8192];
    size_t size;
};

static size_t client_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct client *client = conn_user(c);

    ck_assert_uint_lt(client->size + n, sizeof(client->answer));
    memcpy(client->answer + client->size, in, n);
    client->size += n;
    return n;
}
static void client_closed(struct conn *c, int error)
{
    struct client *client = conn_user(c);

    (void)error;
    client->conn = NULL;
}
static const struct conn_ops client_ops = {.on_data = client_data, .on_closed = client_closed};

/* The request asks for "Connection: close" itself, so that the end of the stream is the end of the answer. */
static void client_send(struct client *c, struct loop *l, const char *address, const char *text)
{
    *c = (struct client){0};
    ck_assert_int_eq(conn_dial(l, address, 0, &client_ops, NULL, c, &c->conn), 0);
    ck_assert_int_eq(conn_write(c->conn, text, strlen(text)), 0);
}
static int client_status(const struct client *c)
{
    return c->size > 12 && !memcmp(c->answer, "HTTP/1.1 ", 9) ? atoi(c->answer + 9) : 0;
}
static inline void client_expect(const struct client *c, int status, const char *has)
{
    ck_assert_msg(client_status(c) == status, "%d, not %d:\n%s", client_status(c), status, c->answer);
    ck_assert_msg(strstr(c->answer, has), "lacks \"%s\":\n%s", has, c->answer);
}

/* ---------------------------------------------------------------- running the loop up to a condition */
enum { UNTIL_LIMIT_S = 20 };
struct until {
    struct loop_timer timer;
    struct loop *loop;
    bool (*condition)(void *user);
    void *user;
    uint64_t limit;
    bool met;
};
static void until_tick(struct loop_timer *t)
{
    struct until *u = list_entry(t, struct until, timer);

    u->met = u->condition(u->user);
    if (u->met || clock_monotonic_ns() > u->limit)
        loop_stop(u->loop);
    else
        loop_timer_set(u->loop, t, loop_now(u->loop) + NS_PER_MS);
}
/* False if the condition did not come true within 20 s. */
static bool run_until(struct loop *l, bool (*condition)(void *user), void *user)
{
    struct until u = {.timer.fn = until_tick, .loop = l, .condition = condition, .user = user};

    u.limit = clock_monotonic_ns() + UNTIL_LIMIT_S * NS_PER_S;
    loop_timer_set(l, &u.timer, clock_monotonic_ns());
    loop_run(l);
    return u.met;
}
