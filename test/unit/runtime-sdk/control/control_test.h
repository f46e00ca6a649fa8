/* control_test.h - both ends of a channel on one loop, and a peer made of a bare socket.
 *
 * Everything runs on the test's thread: await() turns the loop until the
 * condition holds; Check's time-out is the only clock. */
#pragma once
#include "base/cleanup.h"
#include "control/channel.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct world {
    struct loop *loop;
    struct control_server *server;
    struct control_client *client;
    char address[128];
    /* the server's side */
    unsigned server_opened, server_closed, server_messages;
    uint64_t peer;
    char server_reason[256], last_node[64];
    size_t last_size;
    /* the client's side */
    unsigned client_opened, client_closed, client_messages;
    char client_reason[256], last_reject[64];
    bool hold; /* the server's loop does not take messages: see on_message */
};

static inline void on_server_open(void *user, uint64_t peer, const char *address)
{
    struct world *w = user;

    ck_assert(address[0]);
    w->peer = peer;
    w->server_opened++;
    loop_stop(w->loop);
}
static inline void on_server_message(void *user, uint64_t peer, const AgentMessage *m)
{
    struct world *w = user;

    ck_assert_uint_eq(peer, w->peer);
    w->server_messages++;
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO)
        snprintf(w->last_node, sizeof(w->last_node), "%s", m->hello->node);
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK)
        w->last_size = m->log_chunk->text.len;
    loop_stop(w->loop);
}
static inline void on_server_closed(void *user, uint64_t peer, const char *reason)
{
    struct world *w = user;

    ck_assert_uint_eq(peer, w->peer);
    w->server_closed++;
    snprintf(w->server_reason, sizeof(w->server_reason), "%s", reason);
    loop_stop(w->loop);
}
static inline void on_client_open(void *user)
{
    struct world *w = user;

    w->client_opened++;
    loop_stop(w->loop);
}
static inline void on_client_message(void *user, const ControllerMessage *m)
{
    struct world *w = user;

    w->client_messages++;
    if (m->body_case == ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT)
        snprintf(w->last_reject, sizeof(w->last_reject), "%s", m->hello_reject->reason);
    loop_stop(w->loop);
}
static inline void on_client_closed(void *user, const char *reason)
{
    struct world *w = user;

    w->client_closed++;
    snprintf(w->client_reason, sizeof(w->client_reason), "%s", reason);
    loop_stop(w->loop);
}

#define await(w, condition)                                                                        \
    do {                                                                                           \
        while (!(condition))                                                                       \
            loop_run((w)->loop);                                                                   \
    } while (0)

/* Every case runs as well on a server that waits for its first agent as others do for their sixty-fourth. */
static unsigned many_from;

static inline void from_the_first(void)
{
    many_from = 1;
}

static inline int control_main(const char *name, const TTest *const *cases, size_t n)
{
    SRunner *sr;
    TCase *few = unit_case(name, &sr), *many = tcase_create("many");
    Suite *s = suite_create("many");

    tcase_set_timeout(many, 60);
    suite_add_tcase(s, many);
    srunner_add_suite(sr, s);
    tcase_add_checked_fixture(many, from_the_first, NULL);
    for (size_t i = 0; i < n; i++) {
        tcase_add_test(few, cases[i]);
        tcase_add_test(many, cases[i]);
    }
    return unit_run(sr);
}
#define CONTROL_MAIN(name, ...)                                                                    \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const cases[] = {__VA_ARGS__};                                                \
        return control_main(name, cases, sizeof(cases) / sizeof(cases[0]));                        \
    }

static inline void world_server(struct world *w, const char *address, const char *token)
{
    const struct control_server_options o = {.address = address,
                                             .token = token,
                                             .many_from = many_from,
                                             .loop = w->loop,
                                             .on_open = on_server_open,
                                             .on_message = on_server_message,
                                             .on_closed = on_server_closed,
                                             .user = w};

    ck_assert_int_eq(control_server_new(&o, &w->server), 0);
    control_server_address(w->server, w->address);
}
static inline void world_client(struct world *w, const char *token)
{
    const struct control_client_options o = {.address = w->address,
                                             .token = token,
                                             .loop = w->loop,
                                             .on_open = on_client_open,
                                             .on_message = on_client_message,
                                             .on_closed = on_client_closed,
                                             .user = w};

    ck_assert_int_eq(control_client_new(&o, &w->client), 0);
}
static inline void world_init(struct world *w)
{
    *w = (struct world){0};
    ck_assert_int_eq(loop_new(&w->loop), 0);
}
static inline void world_connected(struct world *w)
{
    world_init(w);
    world_server(w, "tcp://127.0.0.1:0", "secret");
    world_client(w, "secret");
    await(w, w->client_opened && w->server_opened);
}
static inline void drain_done(struct mail *m)
{
    loop_stop(*(struct loop **)(m + 1));
}
/* The mailbox is emptied, so that events that nobody wants any more are freed. */
static inline void world_done(struct world *w)
{
    struct {
        struct mail mail;
        struct loop *loop;
    } last = {.mail.fn = drain_done, .loop = w->loop};

    control_client_free(w->client);
    control_server_free(w->server);
    loop_post(w->loop, &last.mail);
    loop_run(w->loop);
    loop_free(w->loop);
}

static inline int send_hello(struct control_client *c, const char *node)
{
    Rouse__Control__V1__Hello hello = ROUSE__CONTROL__V1__HELLO__INIT;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    hello.node = (char *)(uintptr_t)node;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
    m.hello = &hello;
    return control_client_send(c, &m);
}
static inline int send_reject(struct control_server *s, uint64_t peer, const char *reason)
{
    Rouse__Control__V1__HelloReject reject = ROUSE__CONTROL__V1__HELLO_REJECT__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    reject.reason = (char *)(uintptr_t)reason;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT;
    m.hello_reject = &reject;
    return control_server_send(s, peer, &m);
}
static inline int send_log(struct control_client *c, size_t size)
{
    Rouse__Control__V1__LogChunk chunk = ROUSE__CONTROL__V1__LOG_CHUNK__INIT;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    cleanup_free uint8_t *text = calloc(1, size);

    chunk.text.data = text;
    chunk.text.len = size;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK;
    m.log_chunk = &chunk;
    return control_client_send(c, &m);
}

/* ---- a bare socket */
static inline int raw_dial(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}
/* Sends an upgrade with `headers` and returns the answer's status, or 0 where the peer just closed.
 */
static inline int raw_upgrade(int fd, const char *headers)
{
    char text[4096];
    size_t got = 0;
    int n =
        snprintf(text, sizeof(text),
                 "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                 headers);

    ck_assert_int_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
    text[0] = '\0';
    while (!strstr(text, "\r\n\r\n")) {
        ssize_t r = recv(fd, text + got, sizeof(text) - 1 - got, 0);

        if (r <= 0)
            return 0;
        got += (size_t)r;
        text[got] = '\0';
    }
    return atoi(text + 9);
}
#define RAW_HEADERS                                                                                \
    "Sec-WebSocket-Protocol: " CONTROL_SUBPROTOCOL "\r\nAuthorization: Bearer secret\r\n"

/* A frame's header (opcode, FIN, masked with zero) announcing `size` bytes; returns the header's
 * length. */
static inline size_t raw_header(uint8_t out[14], uint8_t first, uint64_t size, bool masked)
{
    size_t n = 2;

    out[0] = first;
    out[1] = masked ? 0x80 : 0;
    if (size < 126) {
        out[1] |= (uint8_t)size;
    } else {
        out[1] |= 127;
        for (int i = 7; i >= 0; i--)
            out[n++] = (uint8_t)(size >> (8 * i));
    }
    if (masked) {
        memset(out + n, 0, 4);
        n += 4;
    }
    return n;
}
static inline void raw_frame(int fd, uint8_t first, const void *data, size_t n, bool masked)
{
    uint8_t header[14];
    size_t h = raw_header(header, first, n, masked);

    ck_assert_int_eq(send(fd, header, h, MSG_NOSIGNAL | (n ? MSG_MORE : 0)), (ssize_t)h);
    for (size_t at = 0; at < n;) {
        ssize_t w = send(fd, (const uint8_t *)data + at, n - at, MSG_NOSIGNAL);

        if (w <= 0)
            return; /* the other side has closed already: the test sees why */
        at += (size_t)w;
    }
}
/* Reads until a close frame and returns its status (text into `reason`), 0 at the end of the
 * stream. */
static inline int raw_close_status(int fd, char reason[128])
{
    uint8_t b[4096];
    ssize_t n = recv(fd, b, sizeof(b), 0);

    reason[0] = '\0';
    if (n < 4 || b[0] != 0x88)
        return 0;
    snprintf(reason, 128, "%.*s", (int)(b[1] & 0x7f) - 2, b + 4);
    return b[2] << 8 | b[3];
}
