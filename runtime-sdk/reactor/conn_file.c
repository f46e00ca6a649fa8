/* conn_file.c - files in a connection's output: the kernel moves their bytes (sendfile(2)).
 *
 * On the loop's thread. What is written behind a file waits in the file's own
 * segment, so that the order of the calls is the order on the wire. */
#include "base/cleanup.h"
#include "reactor/conn_internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum { FILE_STEP = 1 << 20 }; /* a turn of one connection sends no more: others wait */

int conn_send_file(struct conn *c, int file, off_t offset, uint64_t n)
{
    struct conn_file *f, **at = &c->files;

    if (c->state > CONN_OPEN || c->shut)
        return -EPIPE;
    f = malloc(sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct conn_file){.fd = file, .offset = offset, .left = n};
    while (*at)
        at = &(*at)->next;
    *at = f;
    conn_offered(c);
    return 0;
}

struct chunk **conn_tail(struct conn *c)
{
    struct conn_file *f = c->files;

    if (!f)
        return &c->out;
    while (f->next)
        f = f->next;
    return &f->after;
}

size_t conn_files_size(const struct conn *c)
{
    size_t n = 0;

    for (const struct conn_file *f = c->files; f; f = f->next)
        n += f->left + chunk_size(f->after);
    return n;
}

static void next_file(struct conn *c)
{
    struct conn_file *f = c->files;

    c->files = f->next;
    c->out = f->after;
    close(f->fd);
    free(f);
}

static ssize_t send_step(int to, void *from)
{
    struct conn_file *f = from;

    return sendfile(to, f->fd, &f->offset, f->left < FILE_STEP ? f->left : FILE_STEP);
}

/* sendfile(2) knows no MSG_NOSIGNAL: the signal is held back and taken. */
ssize_t conn_send_quietly(int to, ssize_t (*send)(int to, void *from), void *from)
{
    const struct timespec now = {0};
    sigset_t pipe_signal, old;
    ssize_t sent;

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
    do
        sent = send(to, from);
    while (sent < 0 && errno == EINTR);
    sent = sent < 0 ? -errno : sent;
    if (sent == -EPIPE && !sigismember(&old, SIGPIPE))
        sigtimedwait(&pipe_signal, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return sent;
}

int conn_write_file(struct conn *c, bool *ret_full)
{
    struct conn_file *f = c->files;
    size_t want = f->left < FILE_STEP ? f->left : FILE_STEP;
    ssize_t n = 0;

    if (f->splice)
        return conn_splice_out(c, ret_full);
    *ret_full = false;
    if (want) {
        loop_count(&c->loop->stats.system_calls, 3);
        n = conn_send_quietly(c->watch.fd, send_step, f);
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        if (n == 0)
            return -EIO; /* shorter than promised: what was announced cannot be kept */
        *ret_full = n < 0;
        conn_count_sent(c, n < 0 ? 0 : (size_t)n, want);
        f->left -= n < 0 ? 0 : (uint64_t)n;
    }
    if (!f->left)
        next_file(c);
    return 0;
}

void conn_files_drop(struct conn *c)
{
    while (c->files) {
        next_file(c);
        chunk_free(c->loop, &c->out);
    }
}
