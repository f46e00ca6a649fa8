#include "pool/log_writer.h"
#include "base/file.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { QUEUE_MAX = 8 << 20, FILE_SIZE_MAX = 10 << 20 };

struct chunk {
    struct list link;
    struct buffer bytes;
    char path[];
};
struct log_writer {
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    struct list queue;
    size_t queued;
    uint64_t dropped;
    bool stop;
};

static int rotate(const char *path)
{
    char old[PATH_MAX];

    if (snprintf(old, sizeof(old), "%s.1", path) >= (int)sizeof(old))
        return -ENAMETOOLONG;
    return rename(path, old) < 0 ? -errno : 0;
}

static int open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

    return fd < 0 ? -errno : fd;
}

static int chunk_write(const struct chunk *c)
{
    size_t n = buffer_size(&c->bytes);
    const uint8_t *p = buffer_bytes(&c->bytes);
    cleanup_fd int fd = open_log(c->path);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size + n > FILE_SIZE_MAX && st.st_size > 0) {
        close(TAKE_FD(fd));
        rotate(c->path);
        fd = open_log(c->path);
        if (fd < 0)
            return fd;
    }
    return file_write_all(fd, p, n);
}

static void *writer(void *user)
{
    struct log_writer *w = user;

    for (;;) {
        struct list *l;
        struct chunk *c;
        int r;

        pthread_mutex_lock(&w->lock);
        while (list_empty(&w->queue) && !w->stop)
            pthread_cond_wait(&w->wake, &w->lock);
        l = list_pop_front(&w->queue);
        if (l)
            w->queued -= buffer_size(&list_entry(l, struct chunk, link)->bytes);
        pthread_mutex_unlock(&w->lock);
        if (!l)
            return NULL;
        c = list_entry(l, struct chunk, link);
        r = chunk_write(c);
        if (r < 0)
            log_warn("log %s: %s", c->path, strerror(-r));
        buffer_done(&c->bytes);
        free(c);
    }
}

int log_writer_new(struct log_writer **ret)
{
    struct log_writer *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return -ENOMEM;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    list_init(&w->queue);
    r = thread_start(&w->thread, writer, w);
    if (r < 0) {
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

struct log_writer *log_writer_free(struct log_writer *w)
{
    if (!w)
        return NULL;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w);
    return NULL;
}

void log_writer_append(struct log_writer *w, const char *path, struct buffer *bytes)
{
    size_t n = buffer_size(bytes), path_size = strlen(path) + 1;
    struct chunk *c = malloc(sizeof(*c) + path_size);

    if (c) {
        *c = (struct chunk){.bytes = *bytes};
        memcpy(c->path, path, path_size);
        *bytes = (struct buffer){0};
    }
    pthread_mutex_lock(&w->lock);
    if (!c || w->queued + n > QUEUE_MAX) {
        w->dropped += n;
    } else {
        list_push_back(&w->queue, &c->link);
        w->queued += n;
        c = NULL;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    buffer_done(bytes);
    if (c) {
        buffer_done(&c->bytes);
        free(c);
    }
}

uint64_t log_writer_dropped(struct log_writer *w)
{
    uint64_t n;

    pthread_mutex_lock(&w->lock);
    n = w->dropped;
    pthread_mutex_unlock(&w->lock);
    return n;
}
