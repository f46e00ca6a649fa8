/* template.c - a template's life: made of an instance, kept while its function sleeps, ended. */
#include "pool/template.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK_NS NS_PER_S
enum {
    MEMORY_SHARE = 16,
    MEMINFO_MAX = 8 << 10
}; /* less than that part of the memory left: it is short */

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
        map_del(&p->boxes, &t->node);
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

static bool is_idle(const struct template *t)
{
    return list_empty(&t->taken) && list_empty(&t->revision->waiting) && !t->revision->live;
}

static void stop_if_unused(struct template *t)
{
    if (!t->ending || !t->stands || t->stopped || !list_empty(&t->taken))
        return;
    t->stopped = true;
    outside_stop(t->pool, t->id, 0);
}

/* Those who wait go on without it: at the next turn, not under whoever calls. */
static void step_soon(struct revision *r, uint64_t in_ns)
{
    struct loop *loop = r->pool->loop;
    uint64_t at = loop_now(loop) + in_ns;

    if (!loop_timer_armed(&r->fork_timer) || at < r->fork_timer.at)
        loop_timer_set(loop, &r->fork_timer, at);
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
    step_soon(r, 0);
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

/* ---------------------------------------------------------------- what it says */
void template_say(struct template *t, const char *what, const char *why)
{
    char line[640];
    int n = snprintf(line, sizeof(line), "[rouse] %s: %.400s", what, why);

    function_log_line(t->log, NULL, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void on_out_line(struct log_pipe *p, const char *line, size_t n)
{
    function_log_line(container_of(p, struct template, out)->log, NULL, line, n);
}

static void on_err_line(struct log_pipe *p, const char *line, size_t n)
{
    function_log_line(container_of(p, struct template, err)->log, NULL, line, n);
}

static void on_log(void *user, const char *request_id, const char *line, size_t n)
{
    struct template *t = user;

    (void)request_id;
    if (!log_budget_left(&t->log_budget, loop_now(t->pool->loop)))
        return;
    log_budget_spend(&t->log_budget, n, 1);
    function_log_line(t->log, NULL, line, n);
}

static void on_credit(void *user, unsigned credit)
{
    (void)user, (void)credit;
}

static void on_hook(void *user, enum frame_hook_kind hook, const struct function_error *e)
{
    (void)user, (void)hook, (void)e;
}

static void on_no_fork(void *user, uint64_t id, const struct function_error *e)
{
    (void)id;
    template_failed(user, e->message);
}

static void on_last_error(void *user, const struct function_error *e)
{
    template_failed(user, e->message);
}

static void on_closed(void *user, const char *violation)
{
    struct template *t = user;

    if (violation)
        template_failed(t, violation);
    else
        template_end(t, "its runtime closed its connection");
}

/* It has no invocation: nothing is told of one. */
static const struct runtime_link_ops link_ops = {.on_credit = on_credit,
                                                 .on_hook = on_hook,
                                                 .on_init_error = on_last_error,
                                                 .on_no_fork = on_no_fork,
                                                 .on_log = on_log,
                                                 .on_closed = on_closed};

/* Its processes are gone, and the launcher waits for its network, which our sockets hold. */
static void on_init_gone(struct loop_watch *w, uint32_t events)
{
    struct template *t = container_of(w, struct template, init);

    (void)events;
    loop_watch_cancel(t->pool->loop, w);
    close(w->fd);
    template_end(t, "its processes are gone");
    runtime_link_deafen(t->link_to);
}

bool template_told(struct pool *p, const char *id)
{
    struct map_node *n = map_get_str(&p->boxes, id);

    return n && strncmp(id, "fork-", 5) != 0;
}

void template_exited(struct pool *p, const char *id)
{
    struct template *t = map_entry(map_get_str(&p->boxes, id), struct template, node);

    template_end(t, "its sandbox is gone");
    template_free(t);
}

/* ---------------------------------------------------------------- asleep */
/* What is foreign code and nobody's instance uses no processor. While there are instances it is awake, from
 * the next child that is asked for on: the sandbox's init, which lies in the same cgroup, reaps what they leave
 * behind. (The launcher thaws it when a child ends, so that what is asleep is told so again.) */
static void sleep_again(struct template *t)
{
    if (!t->stands || t->stopped || !is_idle(t))
        return;
    t->asleep = true;
    launcher_freeze(t->pool->config.launcher, t->cgroup, true);
}

void template_wake(struct template *t)
{
    if (t->asleep)
        launcher_freeze(t->pool->config.launcher, t->cgroup, false);
    t->asleep = false;
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
        step_soon(r, 0);
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

static void take_over(struct template *t, struct instance *i)
{
    int out, err, init;

    t->link_to = work_part(i, &out, &err, &init);
    runtime_link_hand_over(t->link_to, &link_ops, t);
    memcpy(t->cgroup, i->cgroup, sizeof(t->cgroup));
    t->code_held = i->code_held;
    i->code_held = i->sandbox = i->initializing = i->parked = false;
    if (out >= 0)
        log_pipe_open(&t->out, t->pool->loop, out, &t->log_budget, on_out_line);
    if (err >= 0)
        log_pipe_open(&t->err, t->pool->loop, err, &t->log_budget, on_err_line);
    t->init = (struct loop_watch){.fd = init, .fn = on_init_gone};
    if (init >= 0)
        loop_watch_set(t->pool->loop, &t->init, LOOP_READ);
}

/* Over the limit, or short of memory: the one that was not used for longest. */
static void end_oldest(struct pool *p, const char *why)
{
    list_for_each(it, &p->templates)
    {
        struct template *t = list_entry(it, struct template, link);

        if (!t->ending && is_idle(t)) {
            template_end(t, why);
            return;
        }
    }
}

static void on_check(struct loop_timer *timer);

void template_stand(struct template *t)
{
    struct pool *p = t->pool;
    struct revision *r = t->revision;
    struct instance *i = t->host;

    if (map_put(&p->boxes, &t->node, t->id, strlen(t->id)) < 0) {
        template_end(t, "the agent is out of memory");
        return;
    }
    t->stands = true;
    t->host = NULL;
    r->candidate = NULL;
    take_over(t, i);
    report_template(p->config.report, 1);
    list_push_back(&p->templates, &t->link);
    list_push_front(&r->waiting, &i->waiting);
    log_info("template %s of %s: forks from now on", t->id, r->function_key);
    if (++p->template_count > p->config.templates)
        end_oldest(p, "more templates than this node keeps (--templates)");
    if (!loop_timer_armed(&p->template_check)) {
        p->template_check.fn = on_check;
        loop_timer_set(p->loop, &p->template_check, loop_now(p->loop) + CHECK_NS);
    }
}

/* ---------------------------------------------------------------- children for those who wait */
static unsigned length(const struct list *l)
{
    unsigned n = 0;

    list_for_each(it, l) n++;
    return n;
}

static struct instance *pop_waiting(struct revision *r)
{
    struct list *l = list_pop_front(&r->waiting);

    return l ? list_entry(l, struct instance, waiting) : NULL;
}

/* There is nothing to wait for. */
static void release(struct revision *r)
{
    struct instance *i;

    while (!r->candidate && (i = pop_waiting(r))) {
        if (i->state == STATE_INITIALIZING) {
            instance_fail(i, "ForkFailed", "its template ended before it was forked");
            continue;
        }
        if (!r->fork_refused)
            r->candidate = i;
        instance_start(i);
        while (r->candidate && (i = pop_waiting(r)))
            instance_start(i); /* not one after the other's failure */
    }
}

static void ask(struct template *t, bool refill)
{
    unsigned waiting = length(&t->revision->waiting), have = forked_awaited(t);
    unsigned want = waiting + refill;

    if (forked_parked(t))
        have++;
    while (have < want && have < FORKS_AT_ONCE) {
        if (forked_ask(t) < 0) {
            template_end(t, "it cannot be asked to fork");
            return;
        }
        have++;
    }
    if (!refill && have == waiting)
        step_soon(t->revision, FORK_REFILL_NS);
    if (!forked_awaited(t)) {
        template_door_shut(t);
        sleep_again(t);
    }
}

static void step(struct revision *r, bool refill)
{
    struct template *t = r->template;
    struct forked *f;

    if (r->pool->ending || (t && t->host))
        return;
    if (!t) {
        release(r);
        return;
    }
    while (!list_empty(&r->waiting) && (f = forked_parked(t))) {
        struct instance *i = pop_waiting(r);

        if (!forked_give(f, i)) {
            list_push_front(&r->waiting, &i->waiting);
            template_failed(t, "a child hung up before it was used");
            return;
        }
        template_used(t);
    }
    ask(t, refill);
}

void template_step(struct revision *r)
{
    step(r, false);
}

static void on_step(struct loop_timer *t)
{
    step(container_of(t, struct revision, fork_timer), true);
}

void template_init(struct revision *r)
{
    list_init(&r->waiting);
    r->fork_timer.fn = on_step;
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
    step_soon(r, 0);
}

/* ---------------------------------------------------------------- each second, while there are any */
static bool memory_is_short(void)
{
    cleanup_buffer struct buffer b = {0};
    unsigned long long total = 0, available = 0;
    const char *at;

    if (file_read(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &b) < 0 || buffer_append(&b, "", 1) < 0)
        return false;
    at = (const char *)buffer_bytes(&b);
    if ((at = strstr(at, "MemTotal:")))
        total = strtoull(at + 9, NULL, 10);
    if (at && (at = strstr(at, "MemAvailable:")))
        available = strtoull(at + 13, NULL, 10);
    return at && available < total / MEMORY_SHARE;
}

/* NULL: it is still to be kept. */
static const char *over(const struct template *t)
{
    const struct pool_config *c = &t->pool->config;
    const char *active;

    if (t->pool->cordoned)
        return "its node is cordoned";
    if (!c->active_revision)
        return NULL;
    active = c->active_revision(c->user, t->revision->function_key);
    return !active ? "its function is gone"
           : strcmp(active, t->revision->revision) != 0
               ? "its revision is not the active one any more"
               : NULL;
}

static void on_check(struct loop_timer *timer)
{
    struct pool *p = container_of(timer, struct pool, template_check);

    list_for_each(it, &p->templates)
    {
        struct template *t = list_entry(it, struct template, link);
        const char *why = !t->ending && is_idle(t) ? over(t) : NULL;

        if (why)
            template_end(t, why);
    }
    if (memory_is_short())
        end_oldest(p, "the node is short of memory");
    if (!list_empty(&p->templates))
        loop_timer_set(p->loop, timer, loop_now(p->loop) + CHECK_NS);
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
    map_for_each(it, &p->boxes) forked_free(map_entry(it, struct forked, node));
    map_done(&p->boxes);
}
