/* conn_splice.c - bytes that pass from one connection to another inside the kernel: splice(2) through a pipe.
 *
 * On the loop's thread. The splice has a place in the output of `to`, as a file has: what is written
 * later waits behind it. The pipe is filled only when it is empty: then "would block" always says that
 * nothing has come, and never that the pipe has no slot left for a small segment. Each fill goes out as
 * far as `to` takes it; while it takes nothing, nothing is read. Progress needs no event as long as there
 * was any: whoever stops short of "would block" comes back in the next turn. */
#include "base/cleanup.h"
#include "reactor/conn_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A turn of one splice moves no more: others wait. */
enum { SPLICE_STEP = 4 << 20, PIPE_SIZE = 1 << 20 };

struct conn_splice {
    struct loop *loop;
    struct conn *from, *to; /* NULL: gone */
    struct conn_file *at; /* its place in to's output; `left` is what the pipe holds. NULL: over */
    int pipe[2];
    uint64_t left;  /* still to be read */
    uint64_t moved; /* handed to `to` */
    bool all;       /* to the end of the stream */
    bool ended;     /* of `from`: no more will come; its owner is told behind the splice */
    int end_error;  /* how; 0: the peer's FIN */
    bool moving;    /* move() is on the stack */
    int error;      /* what on_done() is told */
    struct loop_deferred step, over;
    const struct conn_splice_ops *ops;
    void *user;
};

/* ---- pipes */

static int pipe_get(struct loop *l, int ret[2])
{
    if (l->pipe_count) {
        l->pipe_count--;
        ret[0] = l->pipes[l->pipe_count][0];
        ret[1] = l->pipes[l->pipe_count][1];
        return 0;
    }
    if (pipe2(ret, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    /* Where a limit of the user's pipes forbids it, it does with what it has. */
    (void)fcntl(ret[1], F_SETPIPE_SZ, PIPE_SIZE);
    return 0;
}

static void pipe_put(struct loop *l, const int pipe[2], bool empty)
{
    if (empty && l->pipe_count < CONN_PIPES_KEPT) {
        l->pipes[l->pipe_count][0] = pipe[0];
        l->pipes[l->pipe_count++][1] = pipe[1];
        return;
    }
    close(pipe[0]);
    close(pipe[1]);
}

void pipes_done(struct loop *l)
{
    while (l->pipe_count) {
        l->pipe_count--;
        close(l->pipes[l->pipe_count][0]);
        close(l->pipes[l->pipe_count][1]);
    }
}

/* ---- its place in the output */

/* Where what goes before it is put. */
static struct chunk **before(struct conn_splice *s)
{
    struct conn_file *f = s->to->files;

    if (f == s->at)
        return &s->to->out;
    while (f->next != s->at)
        f = f->next;
    return &f->after;
}

/* What was written behind it follows what is before it. */
static int leave_place(struct conn_splice *s)
{
    struct conn_file *f = s->at, **link = &s->to->files;
    struct chunk **tail = before(s);
    int r = 0;

    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    if (!*tail) {
        *tail = f->after;
    } else if (f->after) {
        r = chunk_append(s->loop, tail, chunk_bytes(f->after), chunk_size(f->after), false);
        chunk_free(s->loop, &f->after);
    }
    return r;
}

/* ---- the end */

/* What the pipe holds is `from`'s again, before what it receives next. */
static void give_back(struct conn_splice *s)
{
    size_t n = (size_t)s->at->left;
    uint8_t *to;

    if (!n || !s->from || s->from->state != CONN_OPEN)
        return;
    to = chunk_reserve(s->loop, &s->from->in, n, true);
    if (!to || read(s->pipe[0], to, n) != (ssize_t)n) {
        s->ended = true;
        s->end_error = -ENOMEM; /* a stream with a hole is of no use */
        return;
    }
    s->from->in->end += n;
    s->at->left = 0;
}

/* Lets go of the pipe and of the place in the output. */
static void release(struct conn_splice *s)
{
    struct conn *to = s->to;
    int r = leave_place(s);

    pipe_put(s->loop, s->pipe, s->at->left == 0);
    free(s->at);
    s->at = NULL;
    s->to = NULL;
    list_del(&s->step.link);
    if (r < 0)
        conn_abort(to, r);
    else if (to->state != CONN_CLOSED && !to->blocked && !to->busy)
        conn_todo(to, TURN_FLUSH); /* what is behind it, or an end that waited for it */
}

static void settle(struct conn_splice *s, int error)
{
    s->error = error;
    release(s);
    loop_defer(s->loop, &s->over);
}

/* A splice that is over wants nothing: wanting input again looks at what has come already. */
static void leave_input(struct conn *from)
{
    if (from->state == CONN_OPEN)
        from->loop->backend->conn_want(from);
    from->splice = NULL;
}

/* `from` is read again as before; it hears of its end in the next turn. */
static void resume_input(struct conn *from, bool ended, int error)
{
    if (from->state != CONN_OPEN)
        return;
    if (ended && !from->end_kept) {
        from->end_kept = true;
        from->error = error;
    }
    from->hung = false;
    from->loop->backend->conn_want(from);
    if (from->state == CONN_OPEN && !from->paused && (from->in || from->end_kept))
        conn_todo(from, TURN_RESUME);
}

static void tell_over(struct loop_deferred *d)
{
    struct conn_splice *s = list_entry(d, struct conn_splice, over);
    struct conn_splice was = *s;
    struct conn *from = s->from;

    if (from)
        leave_input(from);
    free(s);
    was.ops->on_done(was.user, was.error, was.moved);
    if (!from)
        return;
    resume_input(from, was.ended, was.end_error); /* closed meanwhile, it is freed in the next turn */
    if (from->state == CONN_OPEN && from->paused && from->end_kept)
        conn_got_left(from);
}

void conn_splice_cancel(struct conn_splice *s)
{
    struct conn *from = s->from;

    if (s->at) {
        give_back(s);
        release(s);
    }
    list_del(&s->over.link);
    if (from) {
        leave_input(from);
        resume_input(from, s->ended, s->end_error);
    }
    free(s);
}

/* All that will come went on. */
static bool finished(struct conn_splice *s)
{
    if (s->at->left || (s->left && !s->ended))
        return false;
    settle(s, !s->left || (s->all && !s->end_error) ? 0 : s->end_error ? s->end_error : -EIO);
    return true;
}

/* ---- the two ways */

bool conn_splice_wants(const struct conn *c)
{
    const struct conn_splice *s = c->splice;

    return s->at && !s->at->left && s->left && !s->ended && !c->paused && c->state == CONN_OPEN &&
           !c->loop->backend->conn_receiving(c);
}

static void count_moved(struct conn_splice *s, size_t n)
{
    s->moved += n;
    if (n && s->ops->on_moved)
        s->ops->on_moved(s->user, n);
}

/* What had been received before. */
static int pass_kept(struct conn_splice *s)
{
    struct conn *from = s->from;
    size_t n = chunk_size(from->in);
    int r;

    n = n < s->left ? n : (size_t)s->left;
    if (!n || from->paused)
        return 0;
    r = chunk_append(s->loop, before(s), chunk_bytes(from->in), n, false);
    if (r < 0)
        return r;
    chunk_consume(s->loop, &from->in, n);
    s->left -= s->all ? 0 : n;
    count_moved(s, n);
    return 0;
}

/* False: nothing is there. */
static bool fill(struct conn_splice *s)
{
    size_t want = s->left < PIPE_SIZE ? (size_t)s->left : PIPE_SIZE;
    ssize_t n;

    do {
        n = splice(s->from->watch.fd, NULL, s->pipe[1], NULL, want,
                   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        loop_count(&s->loop->stats.system_calls, 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        s->ended = true;
        s->end_error = n < 0 ? -errno : 0;
        return true;
    }
    s->loop->stats.bytes_in += (uint64_t)n;
    s->at->left = (uint64_t)n;
    s->left -= s->all ? 0 : (uint64_t)n;
    return true;
}

struct pipe_end {
    int fd;
    size_t n;
};

static ssize_t splice_out(int to, void *from)
{
    const struct pipe_end *p = from;

    return splice(p->fd, NULL, to, NULL, p->n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}

int conn_splice_out(struct conn *c, bool *ret_full)
{
    struct conn_splice *s = c->files->splice;
    struct pipe_end end = {s->pipe[0], (size_t)c->files->left};
    ssize_t n;

    *ret_full = false;
    if (end.n) {
        loop_count(&c->loop->stats.system_calls, 3);
        n = conn_send_quietly(c->watch.fd, splice_out, &end);
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        n = n < 0 ? 0 : n;
        conn_count_sent(c, (size_t)n, end.n);
        c->loop->stats.bytes_spliced += (uint64_t)n;
        s->at->left -= (uint64_t)n;
        *ret_full = (size_t)n < end.n;
        count_moved(s, (size_t)n);
    }
    if (!s->at->left && !finished(s) && !s->moving)
        loop_queue(&c->loop->soon, &s->step);
    return 0;
}

/* One fill and what of it goes out. False: no more for now. */
static bool move_once(struct conn_splice *s)
{
    if (s->from && conn_splice_wants(s->from) && !fill(s)) {
        s->from->hung = false;
        s->from->loop->backend->conn_want(s->from);
        return false;
    }
    if (!s->at->left)
        return s->ended;
    conn_flush(s->to);
    return s->at && !s->at->left;
}

static void move(struct conn_splice *s)
{
    uint64_t until = s->moved + SPLICE_STEP;

    if (!s->at)
        return;
    if (s->from && pass_kept(s) < 0) {
        conn_abort(s->to, -ENOMEM);
        return;
    }
    if (s->from && s->from->end_kept && !s->from->in) {
        s->ended = true;
        s->end_error = s->from->error;
    }
    s->moving = true;
    while (s->at && !finished(s) && move_once(s)) {
        if (s->at && s->moved >= until) {
            loop_queue(&s->loop->soon, &s->step);
            break;
        }
    }
    s->moving = false;
    if (s->at && !s->to->blocked && !s->to->busy && conn_pending(s->to))
        conn_todo(s->to, TURN_FLUSH);
}

static void on_step(struct loop_deferred *d)
{
    move(list_entry(d, struct conn_splice, step));
}

/* ---- what its connections tell */

void conn_splice_readable(struct conn *c)
{
    move(c->splice);
}

void conn_splice_step(struct conn *c)
{
    if (c->splice->at)
        loop_queue(&c->loop->soon, &c->splice->step);
}

void conn_splice_got_end(struct conn *c, int error)
{
    c->splice->ended = true;
    c->splice->end_error = error;
    conn_splice_step(c);
}

/* Its part in the pipe still goes on. */
static void lose_from(struct conn_splice *s, int error)
{
    s->from->splice = NULL;
    s->from = NULL;
    if (!s->at)
        return;
    s->ended = true;
    s->end_error = error < 0 ? error : -ECANCELED;
    finished(s);
}

void conn_splice_lost(struct conn *c, int error)
{
    struct conn_file *f, *next;

    if (c->splice)
        lose_from(c->splice, error);
    for (f = c->state == CONN_CLOSED ? c->files : NULL; f; f = next) {
        next = f->next;
        if (f->splice) {
            give_back(f->splice);
            settle(f->splice, error < 0 ? error : -EPIPE);
        }
    }
}

bool conn_splice_unfinished(const struct conn *c)
{
    for (const struct conn_file *f = c->files; f; f = f->next) {
        if (f->splice && f->splice->left && !f->splice->ended)
            return true;
    }
    return false;
}

/* ---- the beginning */

bool conn_splice_pays(const struct conn *from)
{
    return from->stream_tcp;
}

int conn_splice(struct conn *from, struct conn *to, uint64_t n, const struct conn_splice_ops *ops,
                void *user, struct conn_splice **ret)
{
    struct conn_file **at = &to->files;
    struct conn_splice *s;
    int r;

    if (from == to || from->loop != to->loop)
        return -EINVAL;
    if (from->splice)
        return -EBUSY;
    if (from->state != CONN_OPEN || from->eof || to->state > CONN_OPEN || to->shut)
        return -EPIPE;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->at = calloc(1, sizeof(*s->at));
    r = s->at ? pipe_get(from->loop, s->pipe) : -ENOMEM;
    if (r < 0) {
        free(s->at);
        free(s);
        return r;
    }
    s->loop = from->loop;
    s->from = from;
    s->to = to;
    s->left = n;
    s->all = n == CONN_SPLICE_ALL;
    s->step.fn = on_step;
    s->over.fn = tell_over;
    list_init(&s->step.link);
    list_init(&s->over.link);
    s->ops = ops;
    s->user = user;
    s->at->fd = -1;
    s->at->splice = s;
    while (*at)
        at = &(*at)->next;
    *at = s->at;
    from->splice = s;
    conn_not_todo(from, TURN_RESUME);
    from->loop->backend->conn_want(from);
    if (from->splice)
        loop_queue(&s->loop->soon, &s->step); /* once the kernel hands over nothing by itself */
    *ret = s;
    return 0;
}
