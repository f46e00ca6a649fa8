/* Datagrams of <rouse/reactor.h>: batches, senders, what the kernel refuses. */
#include "serve_fixture.h"

static atomic_int packets, prewrites;

static enum rouse_action answer_packet(struct rouse_conn *c, struct rouse_input *in,
                                       struct rouse_output *out)
{
    char remote[ROUSE_ADDRESS_MAX], local[ROUSE_ADDRESS_MAX];
    socklen_t size;

    packets++;
    ck_assert_ptr_eq(rouse_conn_context(c), NULL);
    ck_assert_int_ne(rouse_conn_remote_sockaddr(c, &size)->sa_family, AF_UNSPEC);
    rouse_conn_remote_address(c, remote);
    rouse_conn_local_address(c, local);
    ck_assert_str_eq(local, server.bound[rouse_conn_address_index(c)]);
    if (in->size && in->data[0] == 'B') { /* more than a datagram holds */
        rouse_reserve(out, 70000);
        return ROUSE_NONE;
    }
    rouse_appendf(out, "%zu %s %.*s", rouse_conn_address_index(c), remote, (int)in->size, in->data);
    rouse_wake(c); /* no-op */
    return in->size && in->data[0] == 'S' ? ROUSE_SHUTDOWN
           : packets % 2                  ? ROUSE_DETACH
                                          : ROUSE_CLOSE; /* as none */
}
static void count_prewrite(struct rouse_conn *c)
{
    (void)c;
    prewrites++;
}

/* A socket connected to "udp://...", which the engine's own parser does not know. */
static int dial_udp(const char *bound, char text[128])
{
    struct sockaddr_storage sa;
    socklen_t size;
    char tcp[128];
    int fd;

    snprintf(tcp, sizeof(tcp), "tcp%s", bound + 3);
    ck_assert_int_eq(address_parse(tcp, &sa, &size), 0);
    fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    set_timeouts(fd);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, size), 0);
    size = sizeof(sa);
    getsockname(fd, (struct sockaddr *)&sa, &size);
    address_text(&sa, size, text);
    memcpy(text, "udp", 3);
    return fd;
}
static void hear_packet(int fd, const char *text)
{
    char got[256];
    ssize_t n = receive(fd, got, sizeof(got) - 1, 0);

    ck_assert_msg(n >= 0, "no packet: %s", strerror(errno));
    got[n] = '\0';
    ck_assert_str_eq(got, text);
}

static void start(int backend, int loops, const char *a, const char *b)
{
    server.events =
        (struct rouse_events){.data = answer_packet, .prewrite = count_prewrite, .loops = loops};
    server.addresses[0] = a;
    server.addresses[1] = b;
    server_start(backend);
}

START_TEST(each_sender_gets_its_own_answer)
{
    char from[8][128], text[1200];
    int fds[8];

    start(_i, 2, "udp4://localhost:0", "udp6://[::1]:0");
    for (int i = 0; i < 8; i++)
        fds[i] = dial_udp(server.bound[i % 2], from[i]);
    for (int i = 0; i < 8; i++)
        say(fds[i], "hi");
    for (int i = 0; i < 8; i++) {
        snprintf(text, sizeof(text), "%d %s hi", i % 2, from[i]);
        hear_packet(fds[i], text);
        close(fds[i]);
    }
    ck_assert_int_eq(packets, 8);
    ck_assert_int_eq(prewrites, 8);
    AWAIT(stats_of(0).datagrams_out == 4 && stats_of(1).datagrams_out == 4);
    server_stop();
}
END_TEST

/* The loop is held up while many packets come, then takes them in few turns. */
static sem_t gate;
static enum rouse_action echo_at_gate(struct rouse_conn *c, struct rouse_input *in,
                                      struct rouse_output *out)
{
    (void)c;
    if (in->data[0] == 'G')
        sem_wait(&gate);
    rouse_append(out, in->data, in->size);
    return ROUSE_NONE;
}

START_TEST(packets_and_answers_go_in_batches)
{
    char from[128];
    uint64_t turns;
    int fd;

    sem_init(&gate, 0, 0);
    server.events = (struct rouse_events){.data = echo_at_gate};
    server.addresses[0] = "udp://127.0.0.1:0";
    server_start(_i);
    fd = dial_udp(server.bound[0], from);
    say(fd, "G");
    AWAIT(stats_of(0).datagrams_in == 1);
    turns = stats_of(0).turns;
    for (int i = 0; i < 100; i++)
        say(fd, (char[]){(char)('a' + i % 26), '\0'});
    sem_post(&gate);
    hear_packet(fd, "G");
    for (int i = 0; i < 100; i++)
        hear_packet(fd, (char[]){(char)('a' + i % 26), '\0'}); /* in order */
    ck_assert_uint_le(stats_of(0).turns - turns, 10);
    close(fd);
    server_stop();
}
END_TEST

START_TEST(an_answer_too_large_is_dropped_and_counted)
{
    char from[128], text[256];
    int fd;

    start(_i, 1, "udp://:0", NULL);
    snprintf(text, sizeof(text), "udp://127.0.0.1%s", strrchr(server.bound[0], ':'));
    fd = dial_udp(text, from);
    say(fd, "B");
    say(fd, "S");
    snprintf(text, sizeof(text), "0 udp://[::ffff:127.0.0.1]%s S", strrchr(from, ':'));
    hear_packet(fd, text);
    ck_assert_int_eq(packets, 2);
    close(fd);
    server_join(); /* by the packet's ROUSE_SHUTDOWN */
}
END_TEST

START_TEST(largest_and_empty_packets)
{
    static char big[65507], got[65507];
    char from[128];
    int fd;

    sem_init(&gate, 0, 0);
    server.events = (struct rouse_events){.data = echo_at_gate};
    server.addresses[0] = "udp://127.0.0.1:0?reuseport=true";
    server.events.loops = 2;
    server_start(_i);
    fd = dial_udp(server.bound[0], from);
    memset(big, 'x', sizeof(big));
    ck_assert_int_eq(send(fd, big, sizeof(big), 0), (ssize_t)sizeof(big));
    ck_assert_int_eq(receive(fd, got, sizeof(got), 0), (ssize_t)sizeof(big));
    ck_assert_int_eq(memcmp(big, got, sizeof(big)), 0);
    ck_assert_int_eq(send(fd, "", 0, 0), 0); /* no answer to nothing */
    say(fd, "x");
    hear_packet(fd, "x");
    close(fd);
    server_stop();
}
END_TEST

SERVE_MAIN("datagram", each_sender_gets_its_own_answer, packets_and_answers_go_in_batches,
           an_answer_too_large_is_dropped_and_counted, largest_and_empty_packets)
