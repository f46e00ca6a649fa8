/* net_resolve.c - rouse_resolve(): numbers and localhost here, names by getaddrinfo(3) on a blocked thread.
 *
 * On public calls alone, and in a part of the library of its own: getaddrinfo()
 * is large, and a static program needs the C library's shared one for it.
 * getaddrinfo() has no deadline and cannot be stopped, so a task of its own calls
 * it, and whoever is last, that task or the one that asked, frees the question. */
#include "rouse/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 253, AT_ONCE = 16, STACK = 1 << 20 /* of name service modules */ };

struct question {
    _Atomic int owners;
    struct rouse_wait_group answered;
    char host[HOST_MAX + 1], port[8];
    struct addrinfo *answer;
    int error;
};

static struct rouse_chan *slots; /* holds one item for each look-up under way */

static int slots_make(void *unused)
{
    (void)unused;
    return rouse_chan_new(0, AT_ONCE, &slots);
}

static void question_unref(struct question *q)
{
    if (atomic_fetch_sub(&q->owners, 1) > 1)
        return;
    if (q->answer)
        freeaddrinfo(q->answer);
    free(q);
}

static int error_of(int eai, int error)
{
    switch (eai) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return error > 0 ? -error : -EIO;
    default:
        return -EIO;
    }
}

__attribute__((noinline)) static void ask(struct question *q)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    int eai = getaddrinfo(q->host, q->port, &hints, &q->answer);

    q->error = error_of(eai, errno);
}

static void look_up(void *arg)
{
    struct question *q = arg;

    rouse_block_begin();
    ask(q);
    rouse_block_end();
    rouse_chan_receive(slots, NULL, 0); /* does not wait: there is at least this one's */
    rouse_wait_group_done(&q->answered);
    question_unref(q);
}

static int collect(const struct addrinfo *ai, struct rouse_address *ret, size_t max)
{
    size_t n = 0;

    for (; ai && n < max; ai = ai->ai_next) {
        if (ai->ai_addrlen > sizeof(ret[n].address))
            continue;
        ret[n].size = ai->ai_addrlen;
        memcpy(&ret[n++].address, ai->ai_addr, ai->ai_addrlen);
    }
    return n ? (int)n : -ENOENT;
}

static int resolve_name(const char *host, uint16_t port, struct rouse_address *ret, size_t max,
                        int64_t deadline)
{
    static struct rouse_once once;
    const struct rouse_task_options options = {.name = "resolve", .stack = STACK};
    struct question *q;
    int r = rouse_once(&once, slots_make, NULL, deadline);

    if (r == 0)
        r = rouse_chan_send(slots, NULL, deadline);
    if (r < 0)
        return r;
    q = calloc(1, sizeof(*q));
    if (q) {
        atomic_store(&q->owners, 2);
        strcpy(q->host, host);
        snprintf(q->port, sizeof(q->port), "%u", port);
        rouse_wait_group_add(&q->answered, 1);
        r = rouse_spawn_with(&options, look_up, q);
    }
    if (!q || r < 0) {
        rouse_chan_receive(slots, NULL, 0);
        free(q);
        return q ? r : -ENOMEM;
    }
    r = rouse_wait_group_wait(&q->answered, deadline);
    if (r == 0)
        r = q->error < 0 ? q->error : collect(q->answer, ret, max);
    question_unref(q);
    return r;
}

static bool is_number(const char *host, uint16_t port, struct rouse_address *ret)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        ret->size = sizeof(in);
        memcpy(&ret->address, &in, sizeof(in));
        return true;
    }
    if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        ret->size = sizeof(in6);
        memcpy(&ret->address, &in6, sizeof(in6));
        return true;
    }
    return false;
}

int rouse_resolve(const char *host, uint16_t port, struct rouse_address *ret, size_t max,
                  int64_t deadline)
{
    if (!rouse_task_id())
        return -EPERM;
    if (!max || !*host || strlen(host) > HOST_MAX)
        return -EINVAL;
    if (is_number(host, port, ret))
        return 1;
    if (!strcmp(host, "localhost")) {
        is_number("127.0.0.1", port, &ret[0]);
        return max > 1 && is_number("::1", port, &ret[1]) ? 2 : 1;
    }
    return resolve_name(host, port, ret, max, deadline);
}
