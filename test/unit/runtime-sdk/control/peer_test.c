/* A hostile or broken peer: a bare socket against the server, a bare listener against the client.
 */
#include "control_test.h"

#include <unistd.h>

static void world_listening(struct world *w)
{
    world_init(w);
    world_server(w, "tcp://127.0.0.1:0", "secret");
}

START_TEST(upgrades_refused)
{
    static const struct {
        const char *headers;
        int status;
    } bad[] = {
        {"Authorization: Bearer secret\r\n", 400},
        {"Sec-WebSocket-Protocol: rouse.control.v2\r\nAuthorization: Bearer secret\r\n", 400},
        {"Sec-WebSocket-Protocol: " CONTROL_SUBPROTOCOL "\r\n", 401},
        {"Sec-WebSocket-Protocol: " CONTROL_SUBPROTOCOL "\r\nAuthorization: Bearer secre\r\n", 401},
        {"Sec-WebSocket-Protocol: " CONTROL_SUBPROTOCOL "\r\nAuthorization: Bearer secretsecret\r\n",
         401},
        {"Sec-WebSocket-Protocol: " CONTROL_SUBPROTOCOL "\r\nAuthorization: Bearer \r\n", 401},
        {"Sec-WebSocket-Protocol: " CONTROL_SUBPROTOCOL "\r\nAuthorization: Basic secret\r\n", 401},
        {RAW_HEADERS "Origin: http://evil.example\r\n", 403},
    };
    struct world w;

    world_listening(&w);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = raw_dial(w.address);
        int status = raw_upgrade(fd, bad[i].headers);

        /* An unknown subprotocol is hung up on by libwebsockets itself. */
        ck_assert_msg(status == bad[i].status || (i == 1 && status == 0), "%zu: %d", i, status);
        close(fd);
    }
    ck_assert_uint_eq(w.server_opened, 0);
    /* All but the one that libwebsockets refuses by itself. */
    ck_assert_uint_ge(control_server_refused(w.server), ARRAY_LEN(bad) - 1);
    world_done(&w);
}
END_TEST

START_TEST(plain_http_gets_404)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    char answer[512] = "";
    struct world w;
    int fd;

    world_listening(&w);
    fd = raw_dial(w.address);
    ck_assert_int_eq(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    ck_assert_int_gt(recv(fd, answer, sizeof(answer) - 1, 0), 12);
    ck_assert_int_eq(atoi(answer + 9), 404);
    close(fd);
    world_done(&w);
}
END_TEST

static int raw_peer(struct world *w)
{
    int fd = raw_dial(w->address);

    ck_assert_int_eq(raw_upgrade(fd, RAW_HEADERS), 101);
    await(w, w->server_opened);
    return fd;
}

static void expect_close(struct world *w, int fd, int status, const char *reason)
{
    char said[128];

    ck_assert_int_eq(raw_close_status(fd, said), status);
    ck_assert_str_eq(said, reason);
    close(fd);
    await(w, w->server_closed);
    ck_assert_str_eq(w->server_reason, reason);
    ck_assert_uint_eq(w->server_messages, 0);
    world_done(w);
}

START_TEST(text_frame)
{
    struct world w;
    int fd;

    world_listening(&w);
    fd = raw_peer(&w);
    raw_frame(fd, 0x81, "{}", 2, true);
    expect_close(&w, fd, 1003, "a text frame came: messages are binary");
}
END_TEST

START_TEST(garbage_frame)
{
    struct world w;
    int fd;

    world_listening(&w);
    fd = raw_peer(&w);
    raw_frame(fd, 0x82, "\xff\xff\xff", 3, true);
    expect_close(&w, fd, 1007, "a message does not parse");
}
END_TEST

/* The announced size decides, before the bytes come. */
START_TEST(announced_too_large)
{
    struct world w;
    uint8_t header[14];
    size_t n = raw_header(header, 0x82, CONTROL_MESSAGE_MAX + 1, true);
    int fd;

    world_listening(&w);
    fd = raw_peer(&w);
    ck_assert_int_eq(send(fd, header, n, MSG_MORE), (ssize_t)n);
    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    expect_close(&w, fd, 1009, "a message is larger than 4 MiB");
}
END_TEST

START_TEST(fragments_too_large)
{
    static uint8_t part[1 << 20];
    struct world w;
    int fd;

    world_listening(&w);
    fd = raw_peer(&w);
    raw_frame(fd, 0x02, part, sizeof(part), true);
    for (int i = 0; i < 3; i++)
        raw_frame(fd, 0x00, part, sizeof(part), true);
    raw_frame(fd, 0x80, "x", 1, true);
    expect_close(&w, fd, 1009, "a message is larger than 4 MiB");
}
END_TEST

static size_t packed_hello(const char *node, uint8_t out[128])
{
    Rouse__Control__V1__Hello hello = ROUSE__CONTROL__V1__HELLO__INIT;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    hello.node = (char *)(uintptr_t)node;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
    m.hello = &hello;
    ck_assert_uint_lt(rouse__control__v1__agent_message__get_packed_size(&m), 128);
    return rouse__control__v1__agent_message__pack(&m, out);
}

START_TEST(fragments_are_one_message)
{
    uint8_t hello[128];
    size_t n = packed_hello("fragmented", hello);
    struct world w;
    int fd;

    world_listening(&w);
    fd = raw_peer(&w);
    raw_frame(fd, 0x02, hello, 3, true);
    raw_frame(fd, 0x89, "ping", 4, true);
    raw_frame(fd, 0x00, hello + 3, 0, true);
    raw_frame(fd, 0x80, hello + 3, n - 3, true);
    await(&w, w.server_messages == 1);
    ck_assert_str_eq(w.last_node, "fragmented");
    close(fd);
    await(&w, w.server_closed);
    ck_assert_str_eq(w.server_reason, "the connection was lost");
    world_done(&w);
}
END_TEST

/* 2 MiB of empty Report.functions would unpack into some hundred MiB: it ends at the bound. */
START_TEST(unpacking_is_bounded)
{
    enum { INNER = 2 << 20 };
    cleanup_free uint8_t *bytes = malloc(INNER + 16);
    struct world w;
    size_t n = 0;
    int fd;

    bytes[n++] = 6 << 3 | 2; /* report */
    for (size_t v = INNER; v; v >>= 7)
        bytes[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    for (size_t i = 0; i < INNER; i += 2) {
        bytes[n++] = 2 << 3 | 2; /* functions: {} */
        bytes[n++] = 0;
    }
    world_listening(&w);
    fd = raw_peer(&w);
    raw_frame(fd, 0x82, bytes, n, true);
    expect_close(&w, fd, 1007, "a message does not parse");
}
END_TEST

/* A peer that is open and mute is noticed by the pings that it does not answer. */
START_TEST(dead_peer)
{
    struct world w;
    int fd;

    world_listening(&w);
    fd = raw_peer(&w);
    await(&w, w.server_closed);
    close(fd);
    world_done(&w);
}
END_TEST

/* A peer that does not read: the queue ends at its bound and the peer is closed. */
START_TEST(peer_that_does_not_read)
{
    cleanup_free char *text = malloc(1 << 20);
    struct world w;
    int fd, r = 0;

    memset(text, 'x', (1 << 20) - 1);
    text[(1 << 20) - 1] = '\0';
    world_listening(&w);
    fd = raw_peer(&w);
    for (unsigned i = 0; r == 0 && i < 1000; i++)
        r = send_reject(w.server, w.peer, text);
    ck_assert_int_eq(r, -ENOBUFS);
    ck_assert_int_eq(send_reject(w.server, w.peer, text), -ENOTCONN);
    await(&w, w.server_closed);
    ck_assert_str_eq(w.server_reason, "the peer does not keep up: 32 MiB are pending");
    close(fd);
    world_done(&w);
}
END_TEST

START_TEST(too_many_agents)
{
    struct world w;
    struct control_server_options o;
    int a, b;

    world_init(&w);
    o = (struct control_server_options){.address = "tcp://127.0.0.1:0",
                                        .many_from = many_from,
                                        .max_agents = 1,
                                        .loop = w.loop,
                                        .on_open = on_server_open,
                                        .on_message = on_server_message,
                                        .on_closed = on_server_closed,
                                        .user = &w};
    ck_assert_int_eq(control_server_new(&o, &w.server), 0);
    control_server_address(w.server, w.address);
    a = raw_peer(&w);
    b = raw_dial(w.address);
    ck_assert_int_eq(raw_upgrade(b, RAW_HEADERS), 503);
    close(b);
    close(a);
    await(&w, w.server_closed);
    b = raw_dial(w.address);
    ck_assert_int_eq(raw_upgrade(b, RAW_HEADERS), 101);
    await(&w, w.server_opened == 2);
    close(b);
    world_done(&w);
}
END_TEST

/* ---- a bare listener: what a client takes from a server */
struct fake {
    int listener, fd;
};

static struct fake fake_listen(struct world *w)
{
    struct fake f = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .fd = -1};
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof(at);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(f.listener, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(listen(f.listener, 8), 0);
    ck_assert_int_eq(getsockname(f.listener, (struct sockaddr *)&at, &n), 0);
    snprintf(w->address, sizeof(w->address), "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    return f;
}

/* Takes a client's upgrade; `request` holds what it sent. */
static void fake_accept(struct fake *f, char request[4096])
{
    char *key, keyed[128], accept_key[64], answer[512];
    uint8_t sha[20];
    size_t got = 0;
    int n;

    f->fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    do {
        ssize_t r = recv(f->fd, request + got, 4095 - got, 0);

        ck_assert_int_gt(r, 0);
        got += (size_t)r;
        request[got] = '\0';
    } while (!strstr(request, "\r\n\r\n"));
    key = strcasestr(request, "Sec-WebSocket-Key: ");
    ck_assert_ptr_nonnull(key);
    key += strlen("Sec-WebSocket-Key: ");
    snprintf(keyed, sizeof(keyed), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
             (int)strcspn(key, "\r"), key);
    lws_SHA1((unsigned char *)keyed, strlen(keyed), sha);
    lws_b64_encode_string((char *)sha, 20, accept_key, sizeof(accept_key));
    n = snprintf(answer, sizeof(answer),
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
                 accept_key, CONTROL_SUBPROTOCOL);
    ck_assert_int_eq(send(f->fd, answer, (size_t)n, 0), n);
}

static void fake_done(struct fake *f)
{
    close(f->fd);
    close(f->listener);
}

static void expect_client_close(struct world *w, struct fake *f, const char *reason)
{
    uint8_t b[256];

    /* The close frame: the client masks it, so its text is not looked at here. */
    ck_assert_int_gt(recv(f->fd, b, sizeof(b), 0), 4);
    ck_assert_uint_eq(b[0], 0x88);
    close(f->fd);
    f->fd = -1;
    await(w, w->client_closed);
    ck_assert_str_eq(w->client_reason, reason);
}

START_TEST(client_shows_its_token)
{
    char request[4096];
    struct world w;
    struct fake f;

    world_init(&w);
    f = fake_listen(&w);
    world_client(&w, "secret");
    fake_accept(&f, request);
    await(&w, w.client_opened);
    ck_assert_ptr_nonnull(strcasestr(request, "\r\nAuthorization: Bearer secret\r\n"));
    ck_assert_ptr_nonnull(
        strcasestr(request, "\r\nSec-WebSocket-Protocol: " CONTROL_SUBPROTOCOL "\r\n"));
    ck_assert_ptr_null(strcasestr(request, "\r\nOrigin:"));
    world_done(&w);
    fake_done(&f);
}
END_TEST

START_TEST(client_refuses_too_large)
{
    static const uint8_t part[512 << 10];
    uint8_t header[14];
    size_t n = raw_header(header, 0x82, CONTROL_MESSAGE_MAX + 1, false);
    char request[4096];
    struct world w;
    struct fake f;

    world_init(&w);
    f = fake_listen(&w);
    world_client(&w, NULL);
    fake_accept(&f, request);
    await(&w, w.client_opened);
    ck_assert_int_eq(send(f.fd, header, n, MSG_MORE), (ssize_t)n);
    /* libwebsockets hands on what fills its buffer of 64 KiB. */
    ck_assert_int_eq(send(f.fd, part, sizeof(part), 0), sizeof(part));
    expect_client_close(&w, &f, "a message is larger than 4 MiB");
    world_done(&w);
    fake_done(&f);
}
END_TEST

START_TEST(client_refuses_text)
{
    char request[4096];
    struct world w;
    struct fake f;

    world_init(&w);
    f = fake_listen(&w);
    world_client(&w, NULL);
    fake_accept(&f, request);
    await(&w, w.client_opened);
    raw_frame(f.fd, 0x81, "hello", 5, false);
    expect_client_close(&w, &f, "a text frame came: messages are binary");
    world_done(&w);
    fake_done(&f);
}
END_TEST

CONTROL_MAIN("peer", upgrades_refused, plain_http_gets_404, text_frame, garbage_frame,
             announced_too_large, fragments_too_large, fragments_are_one_message,
             unpacking_is_bounded, dead_peer, peer_that_does_not_read, too_many_agents,
             client_shows_its_token, client_refuses_too_large, client_refuses_text)
