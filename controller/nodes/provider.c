/* provider.c - questions to providers: a queue, a few threads that run programs, answers by mail. */
#include "nodes/provider.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/thread.h"
#include "nodes/provider_run.h"

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char *const verbs[] = {
    [PROVIDER_CREATE] = "create", [PROVIDER_DELETE] = "delete", [PROVIDER_LIST] = "list"};

struct question {
    struct list link;
    struct mail mail;
    struct providers *providers;
    struct pool_spec *pool;
    struct provider_answer answer;
};

enum {
    OF_ONE_POOL = PROVIDER_THREADS / 2
}; /* threads: a provider that hangs leaves some to the others */

struct providers {
    struct providers_config config;
    pthread_mutex_t lock; /* guards what follows, which any thread uses */
    pthread_cond_t some;
    struct list queue;
    bool stopping;
    int stop;            /* readable when it is over: programs are killed */
    struct list running; /* questions that threads are about */
    pthread_t threads[PROVIDER_THREADS];
    unsigned thread_count;
};

static void question_free(struct question *q)
{
    pool_spec_unref(q->pool);
    free(q->answer.nodes);
    free(q);
}

/* ---- what is said */

static void put(struct buffer *b, const char *name, const char *value)
{
    buffer_printf(b, ",\"%s\":\"", name);
    buffer_json_string(b, value, strlen(value));
    buffer_puts(b, "\"");
}

static char *text_of(const struct question *q)
{
    struct buffer b = {0};

    buffer_printf(&b, "{\"protocol\":\"rouse.provider.v1\",\"verb\":\"%s\"", verbs[q->answer.verb]);
    put(&b, "pool", q->pool->name);
    if (q->answer.node[0])
        put(&b, "node", q->answer.node);
    if (q->providers->config.control)
        put(&b, "control", q->providers->config.control);
    buffer_printf(&b, ",\"template\":%s", q->pool->template_json);
    if (buffer_puts(&b, "}\n") < 0) {
        buffer_done(&b);
        return NULL;
    }
    return buffer_take_string(&b);
}

static int failed(struct provider_answer *a, int error, const char *message)
{
    snprintf(a->message, sizeof(a->message), "%s", message);
    return error;
}

static int take_nodes(struct json_object *list, struct provider_answer *a)
{
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    if (!json_object_is_type(list, json_type_array))
        return failed(a, -EPROTO, "the answer to list has no array \"nodes\"");
    if (n > PROVIDER_NODES_MAX)
        return failed(a, -E2BIG, "the answer to list has more than 2000 nodes");
    a->nodes = calloc(n + 1, sizeof(*a->nodes));
    if (!a->nodes)
        return failed(a, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(list, i), *name;
        const char *text =
            json_object_object_get_ex(o, "name", &name) ? json_object_get_string(name) : NULL;
        size_t size = text ? strlen(text) : 0;

        if (!size || size > 63 || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != size)
            return failed(a, -EPROTO,
                          "a node of the answer to list has no \"name\" of 1 to 63 of a-z, "
                          "0-9 and '-'");
        strcpy(a->nodes[a->node_count++], text);
    }
    return 0;
}

static int read_answer(const struct buffer *b, struct provider_answer *a)
{
    struct json_tokener *t = json_tokener_new_ex(16);
    struct json_object *o = json_tokener_parse_ex(t, (const char *)buffer_bytes(b),
                                                  (int)buffer_size(b)),
                       *v = NULL;
    int r = 0;

    if (!json_object_is_type(o, json_type_object))
        r = failed(a, -EPROTO, "it answered with no JSON object");
    else if ((v = json_get(o, "error")))
        r = failed(a, -EREMOTEIO,
                   *json_object_get_string(v) ? json_object_get_string(v) : "it gave no reason");
    else if (a->verb == PROVIDER_LIST) {
        json_object_object_get_ex(o, "nodes", &v);
        r = take_nodes(v, a);
    }
    json_object_put(o);
    json_tokener_free(t);
    return r;
}

static int run(struct providers *p, struct question *q, char *const *argv)
{
    cleanup_free char *input = text_of(q);
    struct provider_run r = {.argv = argv,
                             .input = input,
                             .deadline = clock_monotonic_ns() + q->pool->hook_timeout_ms * NS_PER_MS,
                             .stop = p->stop,
                             .limit = PROVIDER_OUTPUT_MAX};
    int e = input ? provider_run(&r) : -ENOMEM;

    if (e < 0)
        failed(&q->answer, e, r.message);
    else
        e = read_answer(&r.out, &q->answer);
    buffer_done(&r.out);
    return e;
}

static int answer(struct providers *p, struct question *q)
{
    const struct providers_config *c = &p->config;
    char program[4096];
    char *process[] = {(char *)(uintptr_t)c->process, "node-provider", "--state",
                       (char *)(uintptr_t)c->platform, NULL};
    char *hook[] = {program, NULL};

    if (q->pool->provider == POOL_PROCESS)
        return c->process ? run(p, q, process)
                          : failed(&q->answer, -ENOTSUP, "this controller has no provider process");
    if (!c->hooks)
        return failed(&q->answer, -ENOTSUP, "this controller has no directory of hooks");
    if (snprintf(program, sizeof(program), "%s/%s", c->hooks, q->pool->hook) >= (int)sizeof(program))
        return failed(&q->answer, -ENAMETOOLONG, "the path of the hook is too long");
    return run(p, q, hook);
}

/* ---- threads */

static void on_answered(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    const struct providers_config *c = &q->providers->config;

    c->on_answer(c->user, &q->answer);
    question_free(q);
}

static unsigned running(struct providers *p, const char *pool)
{
    unsigned n = 0;

    list_for_each(it, &p->running) n +=
        !strcmp(list_entry(it, struct question, link)->pool->name, pool);
    return n;
}

/* The oldest of a pool that has a thread left. */
static struct question *first(struct providers *p)
{
    list_for_each(it, &p->queue)
    {
        struct question *q = list_entry(it, struct question, link);

        if (running(p, q->pool->name) < OF_ONE_POOL)
            return q;
    }
    return NULL;
}

static struct question *next(struct providers *p)
{
    struct question *q = NULL;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping && !(q = first(p)))
        pthread_cond_wait(&p->some, &p->lock);
    if (q) {
        list_del(&q->link);
        list_push_back(&p->running, &q->link);
    }
    pthread_mutex_unlock(&p->lock);
    return q;
}

/* What waited for this pool's thread is this thread's to take: nobody is woken. */
static void ended(struct providers *p, struct question *q)
{
    pthread_mutex_lock(&p->lock);
    list_del(&q->link);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg)
{
    struct providers *p = arg;
    struct question *q;

    pthread_setname_np(pthread_self(), "provider");
    while ((q = next(p))) {
        q->answer.error = answer(p, q);
        q->mail.fn = on_answered;
        ended(p, q);
        loop_post(p->config.loop, &q->mail);
    }
    return NULL;
}

static char *copy(const char *s)
{
    return s ? strdup(s) : NULL;
}

int providers_new(const struct providers_config *c, struct providers **ret)
{
    struct providers *p = calloc(1, sizeof(*p));
    int r = 0;

    if (!p)
        return -ENOMEM;
    p->config = *c;
    p->config.process = copy(c->process);
    p->config.platform = copy(c->platform);
    p->config.hooks = copy(c->hooks);
    p->config.control = copy(c->control);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    list_init(&p->queue);
    list_init(&p->running);
    p->stop = eventfd(0, EFD_CLOEXEC);
    if (p->stop < 0)
        r = -errno;
    for (; r == 0 && p->thread_count < PROVIDER_THREADS; p->thread_count += r == 0)
        r = thread_start(&p->threads[p->thread_count], work, p);
    if (r < 0) {
        providers_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void providers_ask(struct providers *p, const struct provider_request *q)
{
    struct question *to = calloc(1, sizeof(*to));

    if (!to)
        abort();
    list_init(&to->link);
    to->providers = p;
    to->pool = pool_spec_ref(q->pool);
    to->answer.verb = q->verb;
    snprintf(to->answer.pool, sizeof(to->answer.pool), "%s", q->pool->name);
    snprintf(to->answer.node, sizeof(to->answer.node), "%s", q->node ? q->node : "");
    pthread_mutex_lock(&p->lock);
    list_push_back(&p->queue, &to->link);
    pthread_cond_signal(&p->some);
    pthread_mutex_unlock(&p->lock);
}

void providers_stop(struct providers *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->some);
    pthread_mutex_unlock(&p->lock);
    if (p->stop >= 0)
        eventfd_write(p->stop, 1);
    for (unsigned i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    p->thread_count = 0;
}

struct providers *providers_free(struct providers *p)
{
    struct list *l;

    if (!p)
        return NULL;
    providers_stop(p);
    while ((l = list_pop_front(&p->queue)))
        question_free(list_entry(l, struct question, link));
    if (p->stop >= 0)
        close(p->stop);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->some);
    free((char *)(uintptr_t)p->config.process);
    free((char *)(uintptr_t)p->config.platform);
    free((char *)(uintptr_t)p->config.hooks);
    free((char *)(uintptr_t)p->config.control);
    free(p);
    return NULL;
}
