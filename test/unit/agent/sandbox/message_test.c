#include "base/cleanup.h"
#include "sandbox/message.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const char *const argv[] = {"/var/task/bootstrap", "--flag", "", NULL};
static const char *const ahead[] = {"/bin/interpreter", NULL}, *const calls[] = {"bpf", NULL};
static const char *const env[] = {"A=1", "B=two words\n", NULL};

static struct message create(void)
{
    return (struct message){.type = MESSAGE_CREATE,
                            .id = "demo-1",
                            .spec = {.id = "demo-1",
                                     .hostname = "demo",
                                     .kind = {.runtime_root = "/r",
                                              .network = SANDBOX_NETWORK_NONE,
                                              .frames_socket = true,
                                              .api_port = 9001,
                                              .argv = ahead,
                                              .env = env,
                                              .syscalls = calls},
                                     .code_dir = "/c",
                                     .argv = argv,
                                     .env = env,
                                     .memory = 1ull << 40,
                                     .cpu_millis = 500,
                                     .pids = 7,
                                     .tmp_size = 9}};
}

START_TEST(create_round_trip)
{
    cleanup_buffer struct buffer b = {0};
    struct message m = create(), d;

    ck_assert_int_eq(message_encode(&b, &m), 0);
    ck_assert_int_eq(message_decode(buffer_bytes(&b), buffer_size(&b), &d), 0);
    ck_assert_str_eq(d.id, "demo-1");
    ck_assert_str_eq(d.spec.id, "demo-1");
    ck_assert_str_eq(d.spec.hostname, "demo");
    ck_assert_str_eq(d.spec.kind.runtime_root, "/r");
    ck_assert_str_eq(d.spec.code_dir, "/c");
    for (size_t i = 0; i < 4; i++)
        ck_assert_pstr_eq(d.spec.argv[i], argv[i]);
    for (size_t i = 0; i < 3; i++)
        ck_assert_pstr_eq(d.spec.env[i], env[i]);
    ck_assert_uint_eq(d.spec.memory, 1ull << 40);
    ck_assert_uint_eq(d.spec.cpu_millis, 500);
    ck_assert_uint_eq(d.spec.pids, 7);
    ck_assert_uint_eq(d.spec.tmp_size, 9);
    ck_assert_int_eq(d.spec.kind.network, SANDBOX_NETWORK_NONE);
    ck_assert(d.spec.kind.frames_socket);
    ck_assert_uint_eq(d.spec.kind.api_port, 9001);
    ck_assert_str_eq(d.spec.kind.argv[0], ahead[0]);
    ck_assert_ptr_null(d.spec.kind.argv[1]);
    ck_assert_str_eq(d.spec.kind.env[1], env[1]);
    ck_assert_str_eq(d.spec.kind.syscalls[0], "bpf");
    message_done(&d);
    /* A kind alone; what it lacks is NULL, not empty. */
    m = (struct message){
        .type = MESSAGE_PARK, .id = "", .spec.kind = {.runtime_root = "/r"}, .count = 3};
    buffer_clear(&b);
    ck_assert_int_eq(message_encode(&b, &m), 0);
    ck_assert_int_eq(message_decode(buffer_bytes(&b), buffer_size(&b), &d), 0);
    ck_assert_str_eq(d.spec.kind.runtime_root, "/r");
    ck_assert_int_eq(d.spec.kind.network, SANDBOX_NETWORK_EGRESS);
    ck_assert_ptr_null(d.spec.kind.argv);
    ck_assert_ptr_null(d.spec.kind.syscalls);
    ck_assert_uint_eq(d.count, 3);
    message_done(&d);
    m = (struct message){
        .type = MESSAGE_PORTS, .id = "", .ports = (const char *const[]){"tcp://10.0.0.2:81", NULL}};
    buffer_clear(&b);
    ck_assert_int_eq(message_encode(&b, &m), 0);
    ck_assert_int_eq(message_decode(buffer_bytes(&b), buffer_size(&b), &d), 0);
    ck_assert_str_eq(d.ports[0], "tcp://10.0.0.2:81");
    ck_assert_ptr_null(d.ports[1]);
    message_done(&d);
}
END_TEST

START_TEST(answers_round_trip)
{
    cleanup_buffer struct buffer b = {0};
    struct message d;
    const struct message started = {.type = MESSAGE_STARTED,
                                    .id = "x",
                                    .fds = 5,
                                    .started = {.cgroup = "box-7", .pid = 42, .create_ns = 77}};
    const struct message failed = {
        .type = MESSAGE_FAILED, .id = "x", .error = {.code = ENOENT, .message = "exec /x: no"}};
    const struct message ended = {
        .type = MESSAGE_EXIT,
        .id = "x",
        .exit = {.code = -1, .signal = 9, .oom = true, .memory_peak = 1ull << 33, .cpu_ns = 5}};

    ck_assert_int_eq(message_encode(&b, &started), 0);
    ck_assert_int_eq(message_decode(buffer_bytes(&b), buffer_size(&b), &d), 0);
    ck_assert_int_eq(d.started.pid, 42);
    ck_assert_str_eq(d.started.cgroup, "box-7");
    ck_assert_uint_eq(d.started.create_ns, 77);
    ck_assert_int_eq(d.started.api_listen_fd, -1);
    ck_assert_uint_eq(d.fds, 5);
    buffer_clear(&b);
    ck_assert_int_eq(message_encode(&b, &failed), 0);
    ck_assert_int_eq(message_decode(buffer_bytes(&b), buffer_size(&b), &d), 0);
    ck_assert_int_eq(d.error.code, ENOENT);
    ck_assert_str_eq(d.error.message, "exec /x: no");
    buffer_clear(&b);
    ck_assert_int_eq(message_encode(&b, &ended), 0);
    ck_assert_int_eq(message_decode(buffer_bytes(&b), buffer_size(&b), &d), 0);
    ck_assert_int_eq(d.exit.code, -1);
    ck_assert_int_eq(d.exit.signal, 9);
    ck_assert(d.exit.oom);
    ck_assert_uint_eq(d.exit.memory_peak, 1ull << 33);
}
END_TEST

/* Every prefix, every single changed byte: refused or decoded, never past the end (ASan watches).
 */
START_TEST(damaged)
{
    cleanup_buffer struct buffer b = {0};
    struct message m = create(), d;
    size_t n;

    ck_assert_int_eq(message_encode(&b, &m), 0);
    n = buffer_size(&b);
    for (size_t i = 0; i < n; i++) {
        cleanup_free uint8_t *part = malloc(i ? i : 1);

        memcpy(part, buffer_bytes(&b), i);
        ck_assert_int_eq(message_decode(part, i, &d), -EPROTO);
    }
    for (size_t i = 0; i < n; i++) {
        cleanup_free uint8_t *copy = malloc(n);

        memcpy(copy, buffer_bytes(&b), n);
        for (int bit = 0; bit < 8; bit++) {
            copy[i] = (uint8_t)(buffer_bytes(&b)[i] ^ 1u << bit);
            if (message_decode(copy, n, &d) == 0)
                message_done(&d);
        }
    }
    ck_assert_int_eq(buffer_append(&b, "x", 1), 0);
    ck_assert_int_eq(message_decode(buffer_bytes(&b), n + 1, &d), -EPROTO);
}
END_TEST

START_TEST(too_large)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *big = malloc(MESSAGE_MAX + 1);
    static const char *many[MESSAGE_LIST_MAX + 2];
    struct message m = create();

    memset(big, 'x', MESSAGE_MAX);
    big[MESSAGE_MAX] = '\0';
    m.spec.kind.runtime_root = big;
    ck_assert_int_eq(message_encode(&b, &m), -EMSGSIZE);
    buffer_clear(&b);
    m = create();
    for (size_t i = 0; i <= MESSAGE_LIST_MAX; i++)
        many[i] = "x";
    m.spec.env = many;
    ck_assert_int_eq(message_encode(&b, &m), -EMSGSIZE);
}
END_TEST

START_TEST(descriptors_travel)
{
    int pair[2], fds[MESSAGE_FDS_MAX], p[2];
    char bytes[16];
    size_t n, n_fds;
    struct stat a, c;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    ck_assert_int_eq(pipe(p), 0);
    ck_assert_int_eq(message_recv(pair[1], bytes, sizeof(bytes), &n, fds, &n_fds), -EAGAIN);
    ck_assert_int_eq(message_send(pair[0], "hello", 5, p, 2), 0);
    ck_assert_int_eq(message_recv(pair[1], bytes, sizeof(bytes), &n, fds, &n_fds), 0);
    ck_assert_uint_eq(n, 5);
    ck_assert_uint_eq(n_fds, 2);
    ck_assert_int_eq(fstat(fds[0], &a), 0);
    ck_assert_int_eq(fstat(p[0], &c), 0);
    ck_assert_uint_eq(a.st_ino, c.st_ino);
    ck_assert(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    /* Cut short: refused, and the descriptors do not leak. */
    ck_assert_int_eq(message_send(pair[0], "a long one of 20 byte", 20, p, 2), 0);
    ck_assert_int_eq(message_recv(pair[1], bytes, sizeof(bytes), &n, fds, &n_fds), -EPROTO);
    close(pair[0]);
    ck_assert_int_eq(message_recv(pair[1], bytes, sizeof(bytes), &n, fds, &n_fds), 0);
    ck_assert_uint_eq(n, 0);
}
END_TEST

UNIT_MAIN("message", create_round_trip, answers_round_trip, damaged, too_large, descriptors_travel)
