/* uring_probe.c - what io_uring can on this kernel and in this process, tried once, live.
 *
 * Versions tell little: sysctls, seccomp filters and memlock limits forbid, and
 * distributions backport. So a small ring receives from a real socket. */
#include "reactor/uring_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

unsigned uring_without;
static struct uring_abilities abilities;

static void say(int error, const char *what)
{
    const char *hint = "";

    if (error == -EPERM)
        hint = ": forbidden by kernel.io_uring_disabled or by a seccomp filter";
    else if (error == -ENOSYS)
        hint = ": forbidden by a seccomp filter or not in this kernel";
    else if (error == -EINVAL)
        hint = ": older than Linux 6.1";
    else if (error == -ENOMEM)
        hint = ": the locked memory limit (ulimit -l)";
    snprintf(abilities.reason, sizeof(abilities.reason), "%s: %s%s", what, strerror(-error), hint);
}

static int ring_open(struct io_uring *ring)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL};
    int r = io_uring_queue_init_params(8, ring, &p);

    return r < 0 ? r
                 : io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int wait_one(struct io_uring *ring, struct io_uring_cqe *ret)
{
    struct __kernel_timespec ts = {.tv_sec = 1};
    struct io_uring_cqe *cqe = NULL;
    int r = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts, NULL);

    if (!cqe)
        return r < 0 ? r : -ETIME;
    *ret = *cqe;
    io_uring_cqe_seen(ring, cqe);
    return 0;
}

/* A multishot receive into a ring of buffers, twice. */
static int try_receive(struct io_uring *ring, struct io_uring_buf_ring *buffers, uint8_t *memory,
                       const int fds[2], bool incremental)
{
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)buffers,
                                   .ring_entries = 2,
                                   .bgid = incremental ? 2 : 1,
                                   .pad = incremental ? URING_PBUF_INC : 0};
    struct io_uring_sqe *e;
    struct io_uring_cqe cqe;
    int r = io_uring_register_buf_ring(ring, &reg, 0);

    if (r < 0)
        return r;
    io_uring_buf_ring_init(buffers);
    for (int i = 0; i < 2; i++)
        io_uring_buf_ring_add(buffers, memory + i * 64, 64, (unsigned short)i, 1, i);
    io_uring_buf_ring_advance(buffers, 2);
    e = io_uring_get_sqe(ring);
    memset(e, 0, sizeof(*e));
    e->opcode = IORING_OP_RECV;
    e->fd = fds[0];
    e->ioprio = IORING_RECV_MULTISHOT;
    e->flags = IOSQE_BUFFER_SELECT;
    e->buf_group = reg.bgid;
    for (int i = 0; i < 2; i++) {
        if (write(fds[1], "x", 1) != 1)
            return -EIO;
        r = wait_one(ring, &cqe);
        if (r < 0 || cqe.res < 0)
            return r < 0 ? r : cqe.res;
        if (!(cqe.flags & IORING_CQE_F_MORE) || cqe.res != 1 ||
            (incremental && !(cqe.flags & URING_F_BUF_MORE)))
            return -EINVAL;
    }
    return 0;
}

/* Older kernels release a registered descriptor only after every request that was there before it has
 * ended: with receives that never end, no connection would. True: it is released at once. */
static bool try_release(struct io_uring *ring)
{
    int held[2], tried[2], none = -1;
    char octet;
    bool released = false;
    struct io_uring_sqe *e;

    if (io_uring_register_files_sparse(ring, 4) < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, held) < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, tried) == 0) {
        io_uring_register_files_update(ring, 0, &held[0], 1);
        e = io_uring_get_sqe(ring);
        memset(e, 0, sizeof(*e));
        e->opcode = IORING_OP_POLL_ADD;
        e->flags = IOSQE_FIXED_FILE;
        e->poll32_events = POLLIN;
        io_uring_submit(ring);
        io_uring_register_files_update(ring, 1, &tried[0], 1);
        close(tried[0]);
        io_uring_register_files_update(ring, 1, &none, 1);
        io_uring_get_events(ring);
        released = recv(tried[1], &octet, 1, MSG_DONTWAIT) == 0;
        close(tried[1]);
    }
    close(held[0]);
    close(held[1]);
    return released;
}

static void probe(void)
{
    struct io_uring ring;
    uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    void *page2 = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    int fds[2] = {-1, -1}, r = ring_open(&ring);

    if (r < 0) {
        say(r, "io_uring_setup");
    } else {
        r = page == MAP_FAILED || page2 == MAP_FAILED ||
                    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0
                ? -errno
                : try_receive(&ring, (struct io_uring_buf_ring *)page, page + 4096, fds, false);
        if (r < 0)
            say(r, "multishot receive");
        io_uring_queue_exit(&ring);
        close(fds[0]);
        close(fds[1]);
    }
    if (r == 0 && ring_open(&ring) == 0) {
        abilities.fixed = try_release(&ring);
        io_uring_queue_exit(&ring);
    }
    if (r == 0 && ring_open(&ring) == 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0) {
            abilities.incremental = try_receive(&ring, page2, page + 4096, fds, true) == 0;
            close(fds[0]);
            close(fds[1]);
        }
        io_uring_queue_exit(&ring);
    }
    if (page != MAP_FAILED)
        munmap(page, 8192);
    if (page2 != MAP_FAILED)
        munmap(page2, 4096);
}

const struct uring_abilities *uring_abilities(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, probe);
    return &abilities;
}
