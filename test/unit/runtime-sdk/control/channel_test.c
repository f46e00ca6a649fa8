/* The channel between a real server and a real client on loopback.
 */
#include "control_test.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

/* libwebsockets 4.1 keeps a client's TLS context (the system's CA certificates) when its own
 * context goes. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto.so\nleak:libssl.so\n";
}

START_TEST(hello_and_answer)
{
    struct world w;

    world_connected(&w);
    ck_assert_int_eq(send_hello(w.client, "node-1"), 0);
    await(&w, w.server_messages == 1);
    ck_assert_str_eq(w.last_node, "node-1");
    ck_assert_int_eq(send_reject(w.server, w.peer, "no"), 0);
    await(&w, w.client_messages == 1);
    ck_assert_str_eq(w.last_reject, "no");
    ck_assert_int_eq(send_reject(w.server, w.peer + 1, "no"), -ENOTCONN);
    world_done(&w);
}
END_TEST

/* 3 MiB: many TCP segments, many reads, one message. */
START_TEST(big_messages)
{
    struct world w;

    world_connected(&w);
    for (unsigned i = 1; i <= 5; i++) {
        ck_assert_int_eq(send_log(w.client, (3u << 20) + i), 0);
        await(&w, w.server_messages == i);
        ck_assert_uint_eq(w.last_size, (3u << 20) + i);
    }
    ck_assert_int_eq(send_log(w.client, CONTROL_MESSAGE_MAX), -EMSGSIZE);
    ck_assert_int_eq(send_hello(w.client, "still-there"), 0);
    await(&w, w.server_messages == 6);
    world_done(&w);
}
END_TEST

/* More than may lie undelivered: reading pauses, goes on, and nothing is lost. */
START_TEST(slow_loop)
{
    struct world w;
    struct pollfd none = {.fd = -1};

    world_connected(&w);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_int_eq(send_log(w.client, 3u << 20), 0);
    poll(&none, 1, 100); /* lets bytes come in while the loop does not turn; the outcome does not
                            depend on it */
    await(&w, w.server_messages == 9);
    ck_assert_uint_eq(w.server_closed, 0);
    world_done(&w);
}
END_TEST

START_TEST(server_restart)
{
    struct world w;

    world_connected(&w);
    w.server = control_server_free(w.server);
    await(&w, w.client_closed);
    ck_assert_int_eq(send_hello(w.client, "nobody"), -ENOTCONN);
    w.client_opened = 0;
    world_server(&w, w.address, "secret");
    await(&w, w.client_opened && w.server_opened == 2);
    ck_assert_int_eq(send_hello(w.client, "again"), 0);
    await(&w, w.server_messages == 1);
    ck_assert_str_eq(w.last_node, "again");
    world_done(&w);
}
END_TEST

START_TEST(client_leaves)
{
    struct world w;

    world_connected(&w);
    w.client = control_client_free(w.client);
    await(&w, w.server_closed == 1);
    ck_assert_int_eq(send_reject(w.server, w.peer, "x"), -ENOTCONN);
    world_done(&w);
}
END_TEST

/* What was sent before the close arrives, then the reason. */
START_TEST(server_closes_with_a_reason)
{
    struct world w;

    world_connected(&w);
    ck_assert_int_eq(send_reject(w.server, w.peer, "node name taken"), 0);
    control_server_close(w.server, w.peer, "rejected");
    ck_assert_int_eq(send_reject(w.server, w.peer, "late"), -ENOTCONN);
    await(&w, w.client_closed && w.server_closed);
    ck_assert_uint_eq(w.client_messages, 1);
    ck_assert_str_eq(w.last_reject, "node name taken");
    ck_assert_str_eq(w.server_reason, "rejected");
    ck_assert_str_eq(w.client_reason, "the peer closed: rejected");
    world_done(&w);
}
END_TEST

START_TEST(bad_token)
{
    struct world w;

    world_init(&w);
    world_server(&w, "tcp://127.0.0.1:0", "secret");
    world_client(&w, "Secret");
    await(&w, w.client_closed);
    ck_assert_uint_eq(w.client_opened, 0);
    ck_assert_uint_eq(w.server_opened, 0);
    ck_assert_msg(strstr(w.client_reason, "unauthorized"), "%s", w.client_reason);
    ck_assert_int_eq(send_hello(w.client, "x"), -ENOTCONN);
    world_done(&w);
}
END_TEST

START_TEST(nobody_there)
{
    struct world w;

    world_connected(&w);
    w.client = control_client_free(w.client);
    w.server = control_server_free(w.server);
    w.client_closed = 0;
    world_client(&w, NULL);
    await(&w, w.client_closed);
    ck_assert(w.client_reason[0]);
    world_done(&w);
}
END_TEST

/* A field number of a bogus length, as a message of a later version would never have it. */
static ProtobufCMessageUnknownField broken_field(void)
{
    static uint8_t bytes[] = {0x7f};
    ProtobufCMessageUnknownField f = {.tag = 1,
                                      .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                      .len = sizeof(bytes),
                                      .data = bytes};
    return f;
}

START_TEST(garbage_closes_both_ways)
{
    ProtobufCMessageUnknownField bad = broken_field();
    AgentMessage to_server = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    ControllerMessage to_client = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;
    struct world w;

    to_server.base.n_unknown_fields = to_client.base.n_unknown_fields = 1;
    to_server.base.unknown_fields = to_client.base.unknown_fields = &bad;
    world_connected(&w);
    ck_assert_int_eq(control_client_send(w.client, &to_server), 0);
    await(&w, w.client_closed == 1 && w.server_closed == 1);
    ck_assert_str_eq(w.server_reason, "a message does not parse");
    ck_assert_str_eq(w.client_reason, "the peer closed: a message does not parse");
    await(&w, w.client_opened == 2 && w.server_opened == 2);
    ck_assert_int_eq(control_server_send(w.server, w.peer, &to_client), 0);
    await(&w, w.client_closed == 2 && w.server_closed == 2);
    ck_assert_str_eq(w.client_reason, "a message does not parse");
    ck_assert_str_eq(w.server_reason, "the peer closed: a message does not parse");
    ck_assert_uint_eq(w.server_messages + w.client_messages, 0);
    world_done(&w);
}
END_TEST

/* A oneof member of a later version: the message arrives with no body that this version knows. */
START_TEST(unknown_members_arrive)
{
    static uint8_t bytes[] = {0x02, 'h', 'i'};
    ProtobufCMessageUnknownField later = {.tag = 99,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                          .len = sizeof(bytes),
                                          .data = bytes};
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    struct world w;

    m.base.n_unknown_fields = 1;
    m.base.unknown_fields = &later;
    world_connected(&w);
    ck_assert_int_eq(control_client_send(w.client, &m), 0);
    await(&w, w.server_messages == 1);
    ck_assert_uint_eq(w.server_closed, 0);
    world_done(&w);
}
END_TEST

START_TEST(what_is_queued_goes_with_the_next)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    struct world w;

    world_connected(&w);
    ck_assert_int_eq(control_client_queue(w.client, &m), 0);
    ck_assert_int_eq(control_client_queue(w.client, &m), 0);
    ck_assert_int_eq(control_client_send(w.client, &m), 0);
    await(&w, w.server_messages == 3);
    ck_assert_int_eq(control_client_queue(w.client, &m), 0);
    control_client_flush(w.client);
    await(&w, w.server_messages == 4);
    world_done(&w);
}
END_TEST

/* ---- many threads at once */
enum { SENDERS = 4, SENDS = 200 };

static void *sender(void *arg)
{
    struct world *w = arg;

    for (int i = 0; i < SENDS; i++) {
        ck_assert_int_eq(send_hello(w->client, "n"), 0);
        ck_assert_int_eq(send_reject(w->server, w->peer, "r"), 0);
    }
    return NULL;
}

START_TEST(sends_from_many_threads)
{
    pthread_t threads[SENDERS];
    struct world w;

    world_connected(&w);
    for (int i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sender, &w), 0);
    await(&w, w.server_messages == SENDERS * SENDS && w.client_messages == SENDERS * SENDS);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    world_done(&w);
}
END_TEST

START_TEST(freed_with_mail_under_way)
{
    struct world w;

    world_connected(&w);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(send_hello(w.client, "n"), 0);
        ck_assert_int_eq(send_reject(w.server, w.peer, "r"), 0);
    }
    await(&w, w.server_messages && w.client_messages);
    world_done(&w);
}
END_TEST

static void make_certificate(const char *cert, const char *key)
{
    const char *argv[] = {"openssl",
                          "req",
                          "-x509",
                          "-newkey",
                          "ec",
                          "-pkeyopt",
                          "ec_paramgen_curve:prime256v1",
                          "-nodes",
                          "-days",
                          "2",
                          "-subj",
                          "/CN=localhost",
                          "-addext",
                          "subjectAltName=DNS:localhost",
                          "-keyout",
                          key,
                          "-out",
                          cert,
                          NULL};
    int status;
    pid_t pid;

    ck_assert_int_eq(
        posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

START_TEST(tls)
{
    char dir[] = "/tmp/rouse-control-XXXXXX", cert[64], key[64];
    struct control_server_options so;
    struct control_client_options co;
    struct control_client *stranger = NULL;
    struct world w;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    make_certificate(cert, key);
    world_init(&w);
    so = (struct control_server_options){.address = "tcp://127.0.0.1:0",
                                         .many_from = many_from,
                                         .token = "secret",
                                         .tls_cert = cert,
                                         .tls_key = key,
                                         .loop = w.loop,
                                         .on_open = on_server_open,
                                         .on_message = on_server_message,
                                         .on_closed = on_server_closed,
                                         .user = &w};
    ck_assert_int_eq(control_server_new(&so, &w.server), 0);
    control_server_address(w.server, w.address);
    ck_assert_ptr_eq(strstr(w.address, "tls://127.0.0.1:"), w.address);
    snprintf(w.address, sizeof(w.address), "tls://localhost:%d", atoi(strrchr(w.address, ':') + 1));
    /* Without the CA the server is not believed. */
    co = (struct control_client_options){.address = w.address,
                                         .token = "secret",
                                         .loop = w.loop,
                                         .on_open = on_client_open,
                                         .on_message = on_client_message,
                                         .on_closed = on_client_closed,
                                         .user = &w};
    ck_assert_int_eq(control_client_new(&co, &stranger), 0);
    await(&w, w.client_closed);
    ck_assert_uint_eq(w.client_opened + w.server_opened, 0);
    control_client_free(stranger);
    co.tls_ca = cert;
    ck_assert_int_eq(control_client_new(&co, &w.client), 0);
    await(&w, w.client_opened && w.server_opened);
    ck_assert_int_eq(send_log(w.client, 1u << 20), 0);
    await(&w, w.server_messages == 1);
    ck_assert_uint_eq(w.last_size, 1u << 20);
    world_done(&w);
    unlink(cert);
    unlink(key);
    rmdir(dir);
}
END_TEST

START_TEST(options_refused)
{
    struct world w;
    struct control_server *s = NULL;
    struct control_client *c = NULL;
    static const char *const bad[] = {"",
                                      "127.0.0.1:1",
                                      "tcp://",
                                      "tcp://:1",
                                      "tcp://h",
                                      "tcp://h:",
                                      "tcp://h:65536",
                                      "tcp://h:1/x",
                                      "tcp://[::1:1",
                                      "udp://h:1",
                                      "tcp://a@b:1",
                                      "tcp://h:-1"};

    world_init(&w);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct control_server_options so = {.address = bad[i], .loop = w.loop};
        const struct control_client_options co = {.address = bad[i], .loop = w.loop};

        ck_assert_msg(control_server_new(&so, &s) == -EINVAL, "%s", bad[i]);
        ck_assert_msg(control_client_new(&co, &c) == -EINVAL, "%s", bad[i]);
    }
    world_server(&w, "tcp://127.0.0.1:0", NULL);
    {
        const struct control_server_options taken = {.address = w.address, .loop = w.loop};
        const struct control_server_options half = {
            .address = "tcp://127.0.0.1:0", .tls_cert = "x", .loop = w.loop};
        const struct control_server_options none = {.address = "tcp://127.0.0.1:0",
                                                    .tls_cert = "/nonexistent",
                                                    .tls_key = "/nonexistent",
                                                    .loop = w.loop};

        ck_assert_int_eq(control_server_new(&taken, &s), -EADDRINUSE);
        ck_assert_int_eq(control_server_new(&half, &s), -EINVAL);
        ck_assert_int_eq(control_server_new(&none, &s), -ENOENT);
    }
    world_done(&w);
}
END_TEST

CONTROL_MAIN("channel", hello_and_answer, big_messages, slow_loop, server_restart, client_leaves,
             server_closes_with_a_reason, bad_token, nobody_there, garbage_closes_both_ways,
             unknown_members_arrive, what_is_queued_goes_with_the_next, sends_from_many_threads,
             freed_with_mail_under_way, tls, options_refused)
