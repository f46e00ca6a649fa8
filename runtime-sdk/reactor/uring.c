/* uring.c - the io_uring backend: one io_uring_enter(2) a turn hands over what is asked for and waits.
 *
 * On the loop's thread, which is the ring's one submitter (SINGLE_ISSUER) and
 * the only one that runs its work, while it waits (DEFER_TASKRUN): completions
 * come where the loop asks for them and interrupt nothing. */
#include "reactor/uring_internal.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void vector_push(struct uring_vector *v, uintptr_t x)
{
    if (v->count == v->capacity) {
        v->capacity = v->capacity ? v->capacity * 2 : 64;
        v->at = realloc(v->at, v->capacity * sizeof(*v->at));
        if (!v->at)
            abort(); /* a word for an object that was just allocated */
    }
    v->at[v->count++] = x;
}

void vector_remove(struct uring_vector *v, uintptr_t x)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->at[i] == x) {
            memmove(v->at + i, v->at + i + 1, (v->count - i - 1) * sizeof(*v->at));
            v->count--;
            return;
        }
    }
}

static int open_ring(struct uring *u)
{
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                 IORING_SETUP_TASKRUN_FLAG,
        .cq_entries = URING_CQ,
    };
    int r = io_uring_queue_init_params(URING_SQ, &u->ring, &p);

    u->opened = r == 0;
    for (unsigned i = 0; r == 0 && i < u->ring.sq.ring_entries; i++)
        u->ring.sq.array[i] = i;
    u->absolute =
        r == 0 && (p.features & URING_FEAT_MIN_TIMEOUT) && !(uring_without & WITHOUT_ABSOLUTE);
    return r;
}

static int uring_open(struct loop *l)
{
    const struct uring_abilities *can = uring_abilities();
    struct uring *u;
    int r;

    if (can->reason[0])
        return -EOPNOTSUPP;
    u = l->kernel = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->loop = l;
    r = open_ring(u);
    if (r < 0)
        return r;
    u->incremental = can->incremental && !(uring_without & WITHOUT_INCREMENTAL);
    if (can->fixed && !(uring_without & WITHOUT_FIXED)) {
        u->slots = URING_SLOTS;
        while (u->slots && io_uring_register_files_sparse(&u->ring, u->slots) < 0)
            u->slots /= 2; /* bounded by RLIMIT_NOFILE */
        u->fixed = u->slots != 0;
    }
    return 0;
}

bool uring_mine(const struct uring *u)
{
    return u->started && u->thread == gettid();
}

/* The thread that ran the loop has ended. What it had asked for is still there, but completions come to
 * that thread alone: a new ring asks for it again, with plain descriptors, since their slots are gone. */
static int take_over(struct uring *u)
{
    bool buffers = u->buffers != NULL;
    int r;

    uring_run_completions(u);
    io_uring_queue_exit(&u->ring);
    uring_buffers_close(u);
    u->returned = 0;
    u->fixed = false;
    u->wake_armed = false;
    uring_watches_forget(u);
    uring_accepts_forget(u);
    uring_conns_forget(u, false);
    r = open_ring(u);
    return r == 0 && buffers ? uring_buffers_open(u) : r;
}

static int uring_start(struct loop *l)
{
    struct uring *u = uring_of(l);
    int r;

    if (uring_mine(u))
        return 0;
    if (u->started && (r = take_over(u)) < 0)
        return r;
    r = io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (r < 0)
        return r;
    u->started = true;
    u->thread = gettid();
    io_uring_register_ring_fd(&u->ring); /* saves a look-up a turn; does without */
    return 0;
}

struct io_uring_sqe *uring_sqe(struct uring *u)
{
    struct io_uring_sqe *e;

    while (!(e = io_uring_get_sqe(&u->ring))) {
        u->loop->stats.system_calls++;
        io_uring_submit(&u->ring);
    }
    memset(e, 0, sizeof(*e));
    return e;
}

void uring_cancel(struct uring *u, uint64_t name)
{
    struct io_uring_sqe *e = uring_sqe(u);

    e->opcode = IORING_OP_ASYNC_CANCEL;
    e->fd = -1;
    e->addr = name;
    e->flags = IOSQE_CQE_SKIP_SUCCESS;
}

static void prepare(struct uring *u)
{
    struct io_uring_sqe *e;

    if (!u->wake_armed) {
        e = uring_sqe(u);
        e->opcode = IORING_OP_READ;
        e->fd = u->loop->wake_fd;
        e->addr = (uintptr_t)&u->wake_count;
        e->len = sizeof(u->wake_count);
        e->user_data = TAG_WAKE;
        u->wake_armed = true;
    }
    if (u->polls_dirty.count)
        uring_watches_prepare(u);
    if (u->listeners.count)
        uring_accepts_prepare(u);
    for (size_t i = 0; i < u->dirty.count; i++)
        uring_conn_prepare(u, (struct conn *)u->dirty.at[i]);
    u->dirty.count = 0;
}

void uring_settle(struct uring *u)
{
    size_t left = 0;

    if (!uring_mine(u))
        return;
    uring_watches_prepare(u);
    /* Only what is closed: nothing that would end in an owner's function. */
    for (size_t i = 0; i < u->dirty.count; i++) {
        struct conn *c = (struct conn *)u->dirty.at[i];

        if (c->state == CONN_CLOSED)
            uring_conn_prepare(u, c);
        else
            u->dirty.at[left++] = u->dirty.at[i];
    }
    u->dirty.count = left;
    u->loop->stats.system_calls++;
    io_uring_submit_and_get_events(&u->ring);
    uring_run_work(u);
}

static int enter(struct uring *u, uint64_t until)
{
    struct io_uring_sq *sq = &u->ring.sq;
    unsigned submit = sq->sqe_tail - *sq->ktail, want = 0;
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    struct __kernel_timespec ts;
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8};

    /* The array of indices maps each slot to itself since open_ring(). */
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    if (until != UINT64_MAX && until && !u->absolute) { /* relative then */
        uint64_t now = clock_monotonic_ns();

        until = until > now ? until - now : 0;
    } else if (until <= u->loop->now) {
        until = 0;
    }
    if (until && until != UINT64_MAX) {
        ts.tv_sec = (int64_t)(until / NS_PER_S);
        ts.tv_nsec = (long long)(until % NS_PER_S);
        arg.ts = (uintptr_t)&ts;
        flags |= u->absolute ? URING_ENTER_ABS_TIMER : 0;
    }
    if (until)
        want = 1;
    if (u->ring.enter_ring_fd != u->ring.ring_fd)
        flags |= IORING_ENTER_REGISTERED_RING;
    u->loop->stats.system_calls++;
    return io_uring_enter2((unsigned)u->ring.enter_ring_fd, submit, want, flags,
                           (sigset_t *)(void *)&arg, sizeof(arg));
}

static int run_turn(struct loop *l, uint64_t until)
{
    struct uring *u = uring_of(l);
    int r;

    prepare(u);
    r = loop_fault(l, FAULT_WAIT, enter(u, u->held || u->owed || u->taken_count ? 0 : until));
    /* -EBUSY, -EAGAIN: completions first; -ETIME: a timer. */
    if (r < 0 && r != -EINTR && r != -ETIME && r != -EBUSY && r != -EAGAIN)
        return r;
    u->owed = false;
    l->now = clock_monotonic_ns();
    early_tell(l);
    if (__builtin_expect(uring_overflowed(u), 0)) {
        l->early_told = false; /* more is waited for below */
        do {                   /* what did not fit in the ring is told first: it may be a send's */
            uring_run_completions(u);
            l->stats.system_calls++;
            io_uring_get_events(&u->ring);
        } while (uring_overflowed(u));
    }
    if (u->sending.count) {
        uring_note_sends(u);
        uring_conns_sent(u);
    }
    if (u->held)
        uring_accepts_held(u);
    uring_run_completions(u);
    if (u->buffers)
        uring_buffers_return(u);
    return 0;
}

static void uring_rest(struct loop *l)
{
    struct uring *u = uring_of(l);

    if (!uring_mine(u))
        return;
    prepare(u);
    enter(u, 0);
    if (u->sending.count && !uring_overflowed(u)) {
        uring_note_sends(u);
        uring_conns_sent(u);
    }
    uring_settle(u); /* what those have closed, too */
    if (uring_overflowed(u))
        uring_take_all(u); /* another thread that takes the loop over could not */
}

/* Everything in the kernel is cancelled, so that what closed connections still hold is freed. Those that
 * are not closed are forgotten. */
static void finish(struct uring *u)
{
    struct io_uring_sync_cancel_reg reg = {.fd = -1,
                                           .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
                                           .timeout = {.tv_sec = -1, .tv_nsec = -1}};

    if (uring_mine(u)) {
        uring_settle(u);
        io_uring_register_sync_cancel(&u->ring, &reg);
        io_uring_get_events(&u->ring);
        uring_run_work(u);
    }
    uring_take_all(u);
    for (; u->taken_at < u->taken_count; u->taken_at++) {
        const struct uring_completion *c = &u->taken[u->taken_at];

        if ((c->user_data & TAG_MASK) == TAG_ACCEPT && c->res >= 0)
            close(c->res);
    }
    uring_conns_forget(u, true);
}

static void uring_close(struct loop *l)
{
    struct uring *u = uring_of(l);

    if (!u)
        return;
    if (u->opened) {
        finish(u);
        io_uring_queue_exit(&u->ring);
    }
    uring_buffers_close(u);
    free(u->conns.at);
    free(u->accepting.at);
    free(u->dirty.at);
    free(u->sending.at);
    free(u->listeners.at);
    free(u->polls_dirty.at);
    free(u->polls_free.at);
    free(u->slots_free.at);
    free(u->polls);
    free(u->watched);
    free(u->taken);
    free(u);
}

const struct backend backend_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .start = uring_start,
    .turn = run_turn,
    .rest = uring_rest,
    .watch_set = uring_watch_set,
    .watch_cancel = uring_watch_cancel,
    .conn_start = uring_conn_start,
    .conn_want = uring_conn_want,
    .conn_receiving = uring_conn_receiving,
    .conn_flush = uring_conn_flush,
    .conn_stop = uring_conn_stop,
    .accept_set = uring_accept_set,
    .accept_done = uring_accept_done,
};
