/* yardstick_uring.c - the floor on io_uring: one ring, one io_uring_enter for all that one turn answers.
 *
 *   yardstick_uring --port P [--echo]
 *
 * Multishot accept into registered descriptors, multishot receive into a ring of buffers, sends without a
 * completion when they succeed. It measures what the kernel's interface costs and is no server: a peer that
 * does not take its answers is cut off, and requests are counted by their empty lines. */
/* libs: -luring */
#include "hello_answer.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 20000, BUFFERS = 4096, BUFFER = 2048, ENTRIES = 4096, PIPELINED = BUFFER / 4 };
enum op { ACCEPT, RECEIVE, SEND, ECHO, CLOSE };

static struct io_uring ring;
static struct io_uring_buf_ring *free_buffers;
static char buffers[BUFFERS][BUFFER];
static char answers[PIPELINED * sizeof(HELLO_ANSWER)];
static const size_t answer_size = sizeof(HELLO_ANSWER) - 1;
static uint8_t matched[CLIENTS]; /* of the empty line, across receives */
static bool echo;

static struct io_uring_sqe *next_sqe(void)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&ring)))
        io_uring_submit(&ring);
    return sqe;
}

static void mark(struct io_uring_sqe *sqe, enum op op, unsigned client, unsigned buffer)
{
    sqe->user_data = (uint64_t)buffer << 32 | (uint64_t)client << 8 | op;
}

static void start_accept(int listener)
{
    struct io_uring_sqe *sqe = next_sqe();

    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    mark(sqe, ACCEPT, 0, 0);
}

static void start_receive(unsigned client)
{
    struct io_uring_sqe *sqe = next_sqe();

    io_uring_prep_recv_multishot(sqe, (int)client, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    mark(sqe, RECEIVE, client, 0);
}

static void start_send(enum op op, unsigned client, const void *data, size_t n, unsigned buffer)
{
    struct io_uring_sqe *sqe = next_sqe();

    io_uring_prep_send(sqe, (int)client, data, n, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE | (op == SEND ? IOSQE_CQE_SKIP_SUCCESS : 0);
    mark(sqe, op, client, buffer);
}

static void start_close(unsigned client)
{
    struct io_uring_sqe *sqe = next_sqe();

    io_uring_prep_close_direct(sqe, client);
    mark(sqe, CLOSE, client, 0);
}

static void give_back(unsigned buffer)
{
    io_uring_buf_ring_add(free_buffers, buffers[buffer], BUFFER, (unsigned short)buffer,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(free_buffers, 1);
}

static unsigned count_requests(unsigned client, const char *at, size_t n)
{
    static const char end[] = "\r\n\r\n";
    const char *stop = at + n, *found;
    unsigned count = 0;

    if (!matched[client]) { /* whole heads, the usual case */
        while (at < stop && (found = memmem(at, (size_t)(stop - at), end, 4))) {
            at = found + 4;
            count++;
        }
        if (stop - at > 3)
            at = stop - 3;
    }
    for (; at < stop; at++) {
        matched[client] = (uint8_t)(*at == end[matched[client]] ? matched[client] + 1 : *at == '\r');
        if (matched[client] == 4) {
            count++;
            matched[client] = 0;
        }
    }
    return count;
}

static void received(const struct io_uring_cqe *cqe, unsigned client)
{
    unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT, count;

    if (cqe->res == -ENOBUFS) {
        start_receive(client);
        return;
    }
    if (cqe->res <= 0) {
        start_close(client);
        return;
    }
    if (echo) {
        start_send(ECHO, client, buffers[buffer], (size_t)cqe->res, buffer);
    } else {
        count = count_requests(client, buffers[buffer], (size_t)cqe->res);
        if (count)
            start_send(SEND, client, answers, count * answer_size, 0);
        give_back(buffer);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        start_receive(client);
}

static void complete(const struct io_uring_cqe *cqe, int listener)
{
    unsigned client = (unsigned)(cqe->user_data >> 8) & 0xffffff;

    switch ((enum op)(cqe->user_data & 0xff)) {
    case ACCEPT:
        if (cqe->res >= 0) {
            matched[cqe->res] = 0;
            start_receive((unsigned)cqe->res);
        }
        if (!(cqe->flags & IORING_CQE_F_MORE))
            start_accept(listener);
        break;
    case RECEIVE:
        received(cqe, client);
        break;
    case ECHO:
        give_back((unsigned)(cqe->user_data >> 32));
        break;
    case SEND: /* it failed; the receive ends and closes */
    case CLOSE:
        break;
    }
}

static void set_up(void)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_CQSIZE,
                                .cq_entries = 4 * ENTRIES};
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
    int r = io_uring_queue_init_params(ENTRIES, &ring, &p);

    if (r < 0)
        errx(1, "io_uring: %s", strerror(-r));
    io_uring_register_ring_fd(&ring);
    if (posix_memalign((void **)&free_buffers, 4096, BUFFERS * sizeof(struct io_uring_buf)))
        errx(1, "no memory");
    reg.ring_addr = (uint64_t)(uintptr_t)free_buffers;
    io_uring_buf_ring_init(free_buffers);
    r = io_uring_register_buf_ring(&ring, &reg, 0);
    if (r == 0)
        r = io_uring_register_files_sparse(&ring, CLIENTS);
    if (r < 0)
        errx(1, "io_uring: %s", strerror(-r));
    for (unsigned i = 0; i < BUFFERS; i++)
        give_back(i);
    for (size_t i = 0; i < PIPELINED; i++)
        memcpy(answers + i * answer_size, HELLO_ANSWER, answer_size);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"echo", no_argument, NULL, 'e'}, {0}};
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct io_uring_cqe *cqe;
    unsigned head, n;
    int listener, o, on = 1;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'p')
            sin.sin_port = htons((uint16_t)atoi(optarg));
        else if (o == 'e')
            echo = true;
        else
            errx(2, "usage: yardstick_uring --port P [--echo]");
    }
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (void *)&sin, sizeof(sin)) || listen(listener, 4096))
        err(1, "port %d", ntohs(sin.sin_port));
    set_up();
    start_accept(listener);
    for (;;) {
        io_uring_submit_and_wait(&ring, 1);
        n = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            complete(cqe, listener);
            n++;
        }
        io_uring_cq_advance(&ring, n);
    }
}
