/* invocation.c - see invocation.h. */
#include "sdk/invocation.h"

#include "base/cleanup.h"
#include "sched/internal.h"
#include "sched/scope.h"
#include "sched/scope_internal.h" /* who owns a scope */
#include "sdk/crash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENT_MAX = 64 << 20, KEEP_MAX = 64 << 10 };

static struct invocation **place_of(struct server *s, uint64_t id)
{
    struct invocation **at = &s->table[id % SERVER_TABLE];

    while (*at && (*at)->context.id != id)
        at = &(*at)->next;
    return at;
}

/* ---- memory */

static struct invocation *make(struct server *s)
{
    struct invocation *i = calloc(1, sizeof(*i));

    if (i)
        i->scope = scope_new(NULL);
    if (!i || !i->scope) {
        free(i);
        return NULL;
    }
    i->server = s;
    i->event.limit = EVENT_MAX;
    i->context.outbox = &s->outbox;
    i->context.hello = &s->hello;
    return i;
}

static void discard(struct invocation *i)
{
    if (i->stream)
        i->server->handler->ops->stream_free(i->stream);
    scope_free(i->scope);
    buffer_done(&i->context.texts);
    failure_done(&i->context.failure);
    response_done(&i->response);
    buffer_done(&i->event);
    free(i);
}

static void trim(struct buffer *b)
{
    if (b->capacity > KEEP_MAX)
        buffer_done(b);
    buffer_clear(b);
}

static void clear(struct invocation *i)
{
    trim(&i->context.texts);
    trim(&i->event);
    trim(&i->response.body);
    failure_reset(&i->context.failure);
    response_reset(&i->response);
    scope_renew(i->scope);
    i->hook = NULL;
    i->started = false;
    i->context.request_id = i->context.trace = NULL;
}

/* ---- the reader */

int invocation_new(struct server *s, uint64_t id, bool hook, struct invocation **ret)
{
    struct invocation *i, **at;
    bool refused;

    spin_acquire(&s->lock);
    i = s->free;
    if (i)
        s->free = i->next;
    spin_release(&s->lock);
    if (!i)
        i = make(s);
    if (!i)
        return -ENOMEM;
    spin_acquire(&s->lock);
    at = place_of(s, id);
    refused = *at || (hook ? s->hooks : s->active >= s->hello.concurrency);
    if (refused) {
        i->next = s->free;
        s->free = i;
    } else {
        i->context.id = id;
        i->next = NULL;
        i->holders = 2;
        *at = i;
        *(hook ? &s->hooks : &s->active) += 1;
    }
    spin_release(&s->lock);
    if (refused)
        return -EPROTO;
    *ret = i;
    return 0;
}

struct invocation *invocation_find(struct server *s, uint64_t id)
{
    struct invocation *i;

    spin_acquire(&s->lock);
    i = *place_of(s, id);
    if (i)
        i->holders++;
    spin_release(&s->lock);
    return i;
}

/* It is kept: its scope may still be left by its task. There are as many as ran at once. */
void invocation_drop(struct invocation *i)
{
    struct server *s = i->server;
    bool last;

    spin_acquire(&s->lock);
    last = --i->holders == 0;
    spin_release(&s->lock);
    if (!last)
        return;
    clear(i);
    spin_acquire(&s->lock);
    i->next = s->free;
    s->free = i;
    spin_release(&s->lock);
}

void invocation_cancel(struct invocation *i)
{
    rouse_scope_cancel(i->scope);
}

void invocations_done(struct server *s)
{
    for (size_t k = 0; k <= SERVER_TABLE; k++) {
        struct invocation **all = k < SERVER_TABLE ? &s->table[k] : &s->free;

        while (*all) {
            struct invocation *i = *all;

            *all = i->next;
            discard(i);
        }
    }
}

/* ---- its task */

static int call(struct invocation *i)
{
    const struct handler *h = i->server->handler;

    return i->hook ? i->hook(&i->context) : h->call(i, h->fn);
}

static int answer(struct invocation *i)
{
    if (i->hook)
        return outbox_queue(&i->server->outbox, FRAME_END, 0, i->context.id, NULL, 0);
    return i->server->handler->ops->answer(i);
}

static void invocation_task(void *arg)
{
    struct invocation *i = arg;
    int r;

    crash_running(i->context.id);
    i->result = call(i);
    fflush(stdout);
    invocation_leave(i);
    if (i->result || i->context.failure.failed)
        invocation_fail(i);
    else if ((r = answer(i)) < 0)
        server_end(i->server, r);
    invocation_flush(i);
    invocation_drop(i);
}

static void swap_scopes(struct invocation *i)
{
    struct rouse_scope *scope = i->scope;

    i->scope = i->server->reader_scope;
    i->server->reader_scope = scope;
}

/* The reader's task becomes the invocation's. False: it is the reader still. */
static bool become(struct invocation *i)
{
    struct task *t = machine_self()->current;

    swap_scopes(i);
    if (server_next_reader(i->server) < 0) {
        swap_scopes(i);
        return false;
    }
    t->fn = invocation_task;
    t->arg = i;
    strncpy(t->name, i->context.request_id, TASK_NAME - 1);
    invocation_task(i);
    return true;
}

void invocation_start(struct invocation *i)
{
    struct server *s = i->server;
    struct rouse_task_options options = {
        .name = i->hook ? "hook" : i->context.request_id, .stack = s->stack, .scope = i->scope};
    int r;

    i->started = true;
    if (s->hello.concurrency == 1 && !i->hook && become(i))
        return;
    r = rouse_spawn_with(&options, invocation_task, i);
    if (r == 0)
        return;
    i->result = r;
    invocation_leave(i);
    invocation_fail(i);
    invocation_flush(i);
    invocation_drop(i);
}

void invocation_leave(struct invocation *i)
{
    struct server *s = i->server;

    crash_ended(i->context.id);
    spin_acquire(&s->lock);
    *place_of(s, i->context.id) = i->next;
    *(i->hook ? &s->hooks : &s->active) -= 1;
    spin_release(&s->lock);
}

/* With others at work their answers may go with this one. */
void invocation_flush(struct invocation *i)
{
    struct server *s = i->server;

    if (atomic_load_explicit(&s->active, memory_order_relaxed))
        outbox_flush_soon(&s->outbox);
    else
        outbox_flush(&s->outbox);
}

void invocation_fail(struct invocation *i)
{
    static const char no_memory[] =
        "{\"errorType\":\"Error\",\"errorMessage\":\"Cannot allocate memory\",\"stackTrace\":[]}";
    struct outbox *o = &i->server->outbox;
    cleanup_buffer struct buffer json = {0};
    int r = failure_json(&i->context.failure, i->result, &json);

    if (r >= 0)
        r = outbox_queue(o, FRAME_ERROR, 0, i->context.id, buffer_bytes(&json), buffer_size(&json));
    if (r < 0)
        r = outbox_queue(o, FRAME_ERROR, 0, i->context.id, no_memory, sizeof(no_memory) - 1);
    if (r < 0)
        server_end(i->server, r);
}

/* ---- anybody */

static struct invocation *run_by(const struct task *t)
{
    return t && t->fn == invocation_task ? t->arg : NULL;
}

/* A scope lives as long as a task is in it, and its owner as long as the scope. */
struct invocation *invocation_current(void)
{
    const struct task *t = machine_self()->current;

    while (t && !run_by(t))
        t = t->scope ? t->scope->owner : NULL;
    return run_by(t);
}

struct rouse_context *rouse_context_current(void)
{
    struct invocation *i = invocation_current();

    return i ? &i->context : NULL;
}
