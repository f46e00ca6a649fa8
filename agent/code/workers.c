#include "code/workers.h"
#include "base/cleanup.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { WORKERS = 2 };

struct workers {
    struct loop *loop;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct list fetches, chores;
    bool stop;
    pthread_t threads[WORKERS];
    unsigned count;
};
struct place { /* a thread's own */
    struct workers *workers;
    bool chores;
};

static void on_done(struct mail *m)
{
    struct worker_job *j = container_of(m, struct worker_job, mail);

    j->done(j, false);
}

static struct list *next(struct workers *w, bool chores)
{
    struct list *l = list_pop_front(&w->fetches);

    return l || !chores ? l : list_pop_front(&w->chores);
}

static void *work(void *user)
{
    struct place p = *(struct place *)user;
    struct workers *w = p.workers;

    free(user);
    for (;;) {
        struct list *l = NULL;
        struct worker_job *j;

        pthread_mutex_lock(&w->lock);
        while (!w->stop && !(l = next(w, p.chores)))
            pthread_cond_wait(&w->wake, &w->lock);
        pthread_mutex_unlock(&w->lock);
        if (!l)
            return NULL;
        j = list_entry(l, struct worker_job, link);
        j->run(j);
        j->mail.fn = on_done;
        loop_post(w->loop, &j->mail);
    }
}

static void post(struct workers *w, struct list *queue, struct worker_job *j)
{
    pthread_mutex_lock(&w->lock);
    list_push_back(queue, &j->link);
    /* All: one alone might wake the thread that does no chores. */
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void workers_fetch(struct workers *w, struct worker_job *j)
{
    post(w, &w->fetches, j);
}

void workers_chore(struct workers *w, struct worker_job *j)
{
    post(w, &w->chores, j);
}

static int start_one(struct workers *w)
{
    struct place *p = malloc(sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    *p = (struct place){.workers = w, .chores = w->count > 0};
    r = thread_start(&w->threads[w->count], work, p);
    if (r < 0)
        free(p);
    else
        w->count++;
    return r;
}

int workers_new(struct loop *loop, struct workers **ret)
{
    struct workers *w = calloc(1, sizeof(*w));
    int r = 0;

    if (!w)
        return -ENOMEM;
    w->loop = loop;
    list_init(&w->fetches);
    list_init(&w->chores);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    while (w->count < WORKERS && r == 0)
        r = start_one(w);
    if (r < 0) {
        workers_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

struct workers *workers_free(struct workers *w)
{
    struct list *l;

    if (!w)
        return NULL;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->count; i++)
        pthread_join(w->threads[i], NULL);
    while ((l = next(w, true))) {
        struct worker_job *j = list_entry(l, struct worker_job, link);

        j->done(j, true);
    }
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w);
    return NULL;
}
