/* module: runtime-sdk/invoke */
/* A hostile runtime against its link: frames of any kind for a few ids, between what an agent does with its calls.
 * Each call ends once, no body is larger than its windows, and nothing is told after the end. Input: records of
 * four bytes (what, flags, id, size) and a payload. */
#include "base/cleanup.h"
#include "invoke/link.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CALLS = 4 };
static struct call {
    struct runtime_call call;
    bool running, head;
    uint64_t given, consumed, granted;
} calls[CALLS];
static struct loop *loop;
static struct runtime_link *l;
static bool closed, forked;
static unsigned hooks_out;

static struct call *running(struct runtime_call *c)
{
    struct call *k = container_of(c, struct call, call);

    if (!k->running || closed)
        abort();
    return k;
}
static void on_hello(void *user)
{
    (void)user;
}
static void on_credit(void *user, unsigned credit)
{
    (void)user;
    if (!credit || credit > CALLS || closed)
        abort();
}
static void on_init_error(void *user, const struct function_error *e)
{
    (void)user, (void)e;
}
static void on_result(void *user, struct runtime_call *c, const struct result *r)
{
    (void)user;
    if (c->http.on || r->n > c->result_limit)
        abort();
    running(c)->running = false;
}
static void on_too_large(void *user, struct runtime_call *c)
{
    (void)user;
    running(c)->running = false;
}
static void on_error(void *user, struct runtime_call *c, const struct function_error *e)
{
    (void)user;
    if (!e->type || !e->message)
        abort();
    running(c)->running = false;
}
static void on_head(void *user, struct runtime_call *c, struct answer_head *h, const char *wrong)
{
    struct call *k = running(c);

    (void)user;
    if (k->head || (!wrong && (h->status < 102 || h->status > 599)))
        abort();
    k->head = wrong || h->status >= 200;
}
static void on_body(void *user, struct runtime_call *c, const uint8_t *data, size_t n, bool last)
{
    struct call *k = running(c);

    (void)user, (void)data;
    k->given += n;
    if (!k->head || k->given > FRAME_WINDOW + k->consumed)
        abort();
    k->running = !last;
}
static void on_room(void *user, struct runtime_call *c)
{
    (void)user;
    running(c);
    runtime_link_send(l, c, (const uint8_t *)"room", 4, false);
}
static void on_hook(void *user, enum frame_hook_kind hook, const struct function_error *e)
{
    (void)user, (void)hook, (void)e;
    if (!hooks_out-- || closed)
        abort();
}
static void on_no_fork(void *user, uint64_t id, const struct function_error *e)
{
    (void)user;
    if (!id || !e->type || !forked || closed)
        abort();
}
static void on_log(void *user, const char *request_id, const char *line, size_t n)
{
    (void)user, (void)request_id, (void)line, (void)n;
}
static void on_metric(void *user, const char *name, double value, const char *refused)
{
    const struct gauge *g = gauges_find(runtime_link_gauges(l), name, strlen(name));

    (void)user;
    if (closed || (!refused && (!g || g->value != value || gauge_refusal(name, strlen(name), value))))
        abort();
}
static void on_closed(void *user, const char *violation)
{
    (void)user, (void)violation;
    if (closed)
        abort();
    closed = true;
}
static const struct runtime_link_ops ops = {
    .on_hello = on_hello,
    .on_credit = on_credit,
    .on_init_error = on_init_error,
    .on_result = on_result,
    .on_too_large = on_too_large,
    .on_error = on_error,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_hook = on_hook,
    .on_no_fork = on_no_fork,
    .on_log = on_log,
    .on_metric = on_metric,
    .on_closed = on_closed,
};

static void stop(struct loop_deferred *d)
{
    (void)d;
    loop_stop(loop);
}
static void turn(void)
{
    static struct loop_deferred d = {.fn = stop};

    for (int i = 0; i < 2; i++) {
        loop_defer(loop, &d);
        loop_run(loop);
    }
}

static void send_frame(int fd, enum frame_type type, uint8_t flags, uint64_t id, const void *p,
                       size_t n)
{
    struct buffer b = {0};

    frame_append(&b, type, flags, id, p, n);
    for (int turns = 0; turns < 8 && buffer_size(&b); turns++) {
        ssize_t sent = send(fd, buffer_bytes(&b), buffer_size(&b), MSG_DONTWAIT | MSG_NOSIGNAL);

        buffer_consume(&b, sent > 0 ? (size_t)sent : 0);
        if (buffer_size(&b))
            turn();
    }
    buffer_done(&b);
}

static void begin(int *ret_fd)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(a);
    struct runtime_link_config c = {.function = "f",
                                    .namespace = "n",
                                    .revision = "r",
                                    .handler = "h",
                                    .concurrency = CALLS,
                                    .api_fd = -1,
                                    .ops = &ops};

    c.loop = loop;
    c.frames_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(c.frames_fd, (struct sockaddr *)&a, sizeof(sa_family_t)) < 0 ||
        listen(c.frames_fd, 1) < 0 || getsockname(c.frames_fd, (struct sockaddr *)&a, &size) < 0 ||
        runtime_link_new(&c, &l) < 0 || connect(*ret_fd, (struct sockaddr *)&a, size) < 0)
        abort();
    closed = forked = false;
    hooks_out = 0;
}

/* What an agent does. */
static void act(unsigned what, struct call *k, const uint8_t *p, size_t n)
{
    uint64_t id;

    switch (what % 6) {
    case 0:
        if (k->running)
            return;
        runtime_call_done(&k->call);
        *k = (struct call){.call = {.request_id = "r", .result_limit = 4096}};
        k->running =
            (runtime_link_takes_http(l) ? runtime_link_start_http(l, &k->call, p, n, what & 64)
                                        : runtime_link_start(l, &k->call, p, n)) == 0;
        break;
    case 1:
        if (k->running && k->call.http.on)
            runtime_link_send(l, &k->call, p, n, what & 64);
        break;
    case 2:
        if (k->running && k->call.http.on) {
            runtime_link_consumed(l, &k->call, k->given - k->consumed);
            k->consumed = k->given;
        }
        break;
    case 3:
        if (k->running)
            runtime_link_cancel(l, &k->call);
        break;
    case 4:
        if (what & 64)
            forked |= runtime_link_fork(l, &id) == 0;
        else
            hooks_out = runtime_link_hook(l, HOOK_PRE_STOP, "stop", 1) == 0;
        break;
    default:
        if (k->running && closed) {
            runtime_link_drop(l, &k->call);
            k->running = false;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t big[FRAME_WINDOW + 1];
    static char drain[1 << 16];
    int fd;

    if (!loop && loop_new(&loop) < 0)
        abort();
    begin(&fd);
    if (n && data[0] & 128)
        send_frame(fd, FRAME_HELLO, 0, 0, "{\"protocol\":1,\"http\":true}", 26);
    else if (n)
        send_frame(fd, FRAME_HELLO, 0, 0, "{\"protocol\":1}", 14);
    turn();
    while (n >= 4) {
        uint8_t what = data[0], flags = data[1], id = data[2] % 8;
        size_t size = data[3] < n - 4 ? data[3] : n - 4;

        if (what & 32)
            act(what, &calls[data[2] % CALLS], data + 4, size);
        else if (what & 16)
            send_frame(fd, FRAME_BODY, flags, id, big, data[3] * (sizeof(big) / 255));
        else
            send_frame(fd, what & 15, flags, id, data + 4, size);
        turn();
        while (recv(fd, drain, sizeof(drain), MSG_DONTWAIT) > 0)
            ;
        data += 4 + size;
        n -= 4 + size;
    }
    close(fd);
    turn();
    l = runtime_link_free(l);
    for (int i = 0; i < CALLS; i++) {
        runtime_call_done(&calls[i].call);
        calls[i] = (struct call){0};
    }
    turn();
    return 0;
}
