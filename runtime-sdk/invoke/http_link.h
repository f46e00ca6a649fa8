/* http_link.h - the third runtime interface: the function is an HTTP server on a port of its own.
 *
 * It has no word to say: it is ready when its port accepts a connection, which
 * is tried until it does, on 127.0.0.1 and then on ::1, for a program that
 * listens on one of them alone. Behind link.h; on the agent's loop. */
#pragma once
#include "base/list.h"
#include "http/client.h"
#include "invoke/link_internal.h"
#include "reactor/conn.h"

struct http_link {
    struct runtime_link *link;
    int namespace_fd; /* of the network that the server is in; -1: this process's own */
    bool deaf;        /* nothing new goes there */
    struct http_client *client;
    const char *address; /* that accepted; NULL: none yet */
    char addresses[2][32];
    unsigned trying; /* index of `addresses` */
    struct conn *probe;
    struct loop_timer next, cut;
    uint64_t began_ns;
    struct list running; /* invocations in it, by their `of_server` */
    unsigned overdue;    /* that timed out since the last one that was answered */
};

/* Takes over a socket that was opened in the sandbox's network, or -1: the server is in our own. -EPERM:
 * this process may not enter it. */
int http_link_new(struct runtime_link *l, int fd, struct http_link **ret);
struct http_link *http_link_free(struct http_link *h);
/* The processes are going: what still runs may end, but not hold the network for long. */
void http_link_deafen(struct http_link *h);
/* A connection to where it accepted. -ENOTCONN: nothing new goes there. */
int http_link_dial(struct http_link *h, const struct conn_ops *ops, void *user, struct conn **ret);
static inline bool http_link_deaf(const struct http_link *h)
{
    return h->deaf;
}
