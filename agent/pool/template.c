/* template.c - a template's life: made of an instance, ended. */
#include "pool/template.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------- the end */
static struct template *template_free(struct template *t)
{
    struct pool *p = t->pool;

    while (!list_empty(&t->children))
        forked_drop(list_entry(t->children.next, struct forked, link));
    list_for_each(it, &t->taken) list_entry(it, struct forked, link)->template = NULL;
    while (list_pop_front(&t->taken))
        ;
    if (t->revision->template == t)
        t->revision->template = NULL;
    template_door_close(t);
    loop_timer_cancel(p->loop, &t->reap);
    if (t->init.events) {
        loop_watch_cancel(p->loop, &t->init);
        close(t->init.fd);
    }
    t->link_to = runtime_link_free(t->link_to);
    log_pipe_close(&t->out);
    log_pipe_close(&t->err);
    function_log_put(t->log);
    if (t->code_held)
        outside_code_release(p, t->revision->spec->package);
    if (t->stands) {
        map_del(&p->template_boxes, &t->node);
        list_del(&t->link);
        p->template_count--;
        report_template(p->config.report, -1);
    }
    t->revision->templates--;
    free(t->id);
    free(t);
    return NULL;
}

static void on_reap(struct loop_timer *t)
{
    template_free(container_of(t, struct template, reap));
}

static void stop_if_unused(struct template *t)
{
    if (!t->ending || !t->stands || t->stopped || !list_empty(&t->taken))
        return;
    t->stopped = true;
    template_wake(
        t); /* behind a freeze that may still be on its way, and that the launcher knows nothing of */
    outside_stop(t->pool, t->id, 0);
}

static void retire(struct template *t)
{
    struct revision *r = t->revision;

    t->ending = true;
    if (r->template == t)
        r->template = NULL;
    template_door_close(t);
    while (!list_empty(&t->children))
        forked_drop(list_entry(t->children.next, struct forked, link));
    template_step_soon(r, 0);
    if (t->stands) {
        stop_if_unused(t);
        return;
    }
    t->host = NULL;
    r->candidate = NULL;
    t->reap.fn = on_reap;
    loop_timer_set(t->pool->loop, &t->reap, loop_now(t->pool->loop));
}

void template_end(struct template *t, const char *why)
{
    struct instance *host = t->host;

    if (t->ending)
        return;
    log_info("template %s of %s ends: %s", t->id, t->revision->function_key, why);
    retire(t);
    if (!host)
        return;
    template_say(t, "spec.start: fork: this instance starts as others do, and is no template", why);
    instance_ready(host, host->slots);
}

void template_failed(struct template *t, const char *why)
{
    struct revision *r = t->revision;

    if (t->ending)
        return;
    if (++r->fork_failures == TEMPLATE_FAILURES_MAX) {
        r->fork_refused = true;
        template_say(t, "spec.start: fork: instances start as others do from now on", why);
    }
    template_end(t, why);
}

void template_used(struct template *t)
{
    t->revision->fork_failures = 0;
    report_fork(t->pool->config.report);
    list_del(&t->link);
    list_push_back(&t->pool->templates, &t->link);
}

/* A child that was an instance is gone. */
void template_returned(struct template *t)
{
    stop_if_unused(t);
    if (!t->ending)
        template_step(t->revision);
}

static struct template *find(struct pool *p, const char *id)
{
    struct map_node *n = map_get_str(&p->template_boxes, id);

    return n ? map_entry(n, struct template, node) : NULL;
}

bool template_told(struct pool *p, const char *id)
{
    return find(p, id) != NULL;
}

void template_exited(struct pool *p, const char *id)
{
    struct template *t = find(p, id);

    template_end(t, "its sandbox is gone");
    template_free(t);
}

/* The launcher ends them with all else. */
void templates_done(struct pool *p)
{
    loop_timer_cancel(p->loop, &p->template_check);
    map_for_each(it, &p->revisions)
    {
        struct revision *r = map_entry(it, struct revision, node);

        loop_timer_cancel(p->loop, &r->fork_timer);
        if (r->template && !r->template->stands)
            template_free(r->template);
    }
    list_for_each(it, &p->templates) template_free(list_entry(it, struct template, link));
    map_for_each(it, &p->forks) forked_free(map_entry(it, struct forked, node));
    map_done(&p->forks);
    map_done(&p->template_boxes);
}

/* ---------------------------------------------------------------- the beginning */
bool template_takes(struct instance *i)
{
    struct revision *r = i->revision;

    if (!r->spec->fork || r->fork_refused || !i->pool->config.templates)
        return false;
    if (!r->template && !r->candidate) {
        r->candidate = i;
        return false;
    }
    list_push_back(&r->waiting, &i->waiting);
    template_step(r);
    return true;
}

void template_keep_socket(struct instance *i, int listen_fd)
{
    if (i->revision->candidate == i && listen_fd >= 0)
        i->fork_socket = fcntl(listen_fd, F_DUPFD_CLOEXEC, 3);
}

bool template_tries(struct instance *i)
{
    struct revision *r = i->revision;
    struct template *t;

    if (r->candidate != i || r->template)
        return false;
    t = i->fork_socket >= 0 ? calloc(1, sizeof(*t)) : NULL;
    if (!t) {
        r->candidate = NULL;
        template_step_soon(r, 0);
        return false;
    }
    t->pool = i->pool;
    t->revision = r;
    t->host = i;
    list_init(&t->children);
    list_init(&t->taken);
    r->templates++;
    t->log = logs_get(i->pool->logs, r->function_key);
    t->id = strdup(i->id);
    template_listen(t, i->fork_socket);
    i->fork_socket = -1;
    r->template = t;
    if (!t->log || !t->id || forked_ask(t) < 0) {
        retire(t);
        return false;
    }
    loop_timer_cancel(i->pool->loop, &i->timer);
    return true;
}

void template_refused(struct instance *i, const struct function_error *e)
{
    struct template *t = i->revision->template;

    if (!t || t->host != i)
        return;
    i->revision->fork_refused = true;
    template_end(t, e->message);
}

void template_stand(struct template *t)
{
    struct pool *p = t->pool;
    struct revision *r = t->revision;
    struct instance *i = t->host;

    if (map_put(&p->template_boxes, &t->node, t->id, strlen(t->id)) < 0) {
        template_end(t, "the agent is out of memory");
        return;
    }
    t->stands = true;
    t->host = NULL;
    r->candidate = NULL;
    template_take_link(t, i);
    report_template(p->config.report, 1);
    list_push_back(&p->templates, &t->link);
    list_push_front(&r->waiting, &i->waiting);
    log_info("template %s of %s: forks from now on", t->id, r->function_key);
    p->template_count++;
    templates_watch(p);
}

void template_forget(struct instance *i)
{
    struct revision *r = i->revision;

    list_del(&i->waiting);
    if (i->fork_socket >= 0)
        close(i->fork_socket);
    i->fork_socket = -1;
    if (r->candidate != i)
        return;
    r->candidate = NULL;
    if (r->template && r->template->host == i)
        retire(r->template);
    template_step_soon(r, 0);
}
