/* life.c - an instance from its start to its end, and again. See instance.h. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "invoke/environment.h"
#include "local/instance_internal.h"
#include "local/sockets.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define READY_NS      (10 * NS_PER_S)
#define STOP_NS       (2 * NS_PER_S)
#define LAST_WORDS_NS (50 * NS_PER_MS)
#define SHORT_LIFE_NS (1 * NS_PER_S)

static const char *const state_names[] = {"None", "Starting", "Ready", "Ending"};

void instance_set_state(struct instance *i, enum instance_state to)
{
    static const unsigned edges[] = {[INSTANCE_NONE] = 1u << INSTANCE_STARTING,
                                     [INSTANCE_STARTING] =
                                         1u << INSTANCE_READY | 1u << INSTANCE_ENDING,
                                     [INSTANCE_READY] = 1u << INSTANCE_ENDING,
                                     [INSTANCE_ENDING] = 1u << INSTANCE_NONE};

    assert(edges[i->state] & 1u << to);
    log_debug("instance: %s -> %s", state_names[i->state], state_names[to]);
    i->state = to;
}

void instance_set_timer(struct instance *i, uint64_t in_ns, void (*fn)(struct loop_timer *t))
{
    i->timer.fn = fn;
    loop_timer_set(i->config.loop, &i->timer, loop_now(i->config.loop) + in_ns);
}

/* ---------------------------------------------------------------- its end */

static void close_sockets(struct instance *i)
{
    if (i->frames_fd >= 0)
        close(i->frames_fd);
    if (i->api_fd >= 0)
        close(i->api_fd);
    i->frames_fd = i->api_fd = -1;
}

/* What became of it, and what follows. */
static void tell(const struct instance *i, const char *next)
{
    char status[CHILD_STATUS_MAX];
    bool silent = i->killed && *i->why;

    child_status_text(i->status, status);
    if (i->cut)
        console_note(i->config.console, "the function was ended%s", next);
    else
        console_note(i->config.console, "the function %s: %s%s%s%s",
                     i->ready_once ? "ended" : "did not start", i->why,
                     *i->why && !silent ? "; " : "", silent ? "" : status, next);
}

static void go_on(struct instance *i)
{
    bool brief = !i->served && loop_now(i->config.loop) - i->started_ns < SHORT_LIFE_NS;

    if (i->stopping) {
        i->on_stopped(i->stopped_user);
    } else if (i->config.debug) {
        i->config.on_ended(i->config.user);
    } else if (!i->ready_once) {
        tell(i, "");
        if (!*i->why)
            child_status_text(i->status, i->why);
        requests_fail(i, 502, "InitFailed", i->why);
    } else if (brief && list_empty(&i->waiting)) {
        tell(i, "; the next request starts it again");
    } else {
        tell(i, "; it is started again");
        instance_start(i);
    }
}

/* Its processes are gone and its link has told all. */
static void on_over(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    work_close(i);
    close_sockets(i);
    instance_set_state(i, INSTANCE_NONE);
    go_on(i);
}

static void on_impatient(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    child_signal(&i->child, SIGKILL);
}

bool instance_debugged(const struct instance *i)
{
    return i->config.debug && i->child.pid && !i->stopping;
}

void instance_end(struct instance *i, bool kill)
{
    if (i->state != INSTANCE_ENDING)
        instance_set_state(i, INSTANCE_ENDING);
    if (!i->child.pid || instance_debugged(i))
        return;
    if (kill) {
        i->killed = true;
        child_signal(&i->child, SIGKILL);
    }
    instance_set_timer(i, STOP_NS, on_impatient);
}

/* The program ended in its debugger, which may run it again. */
static void on_ended_in_debugger(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    work_close(i);
    instance_set_state(i, INSTANCE_NONE);
    instance_set_state(i, INSTANCE_STARTING);
    if (work_open_link(i) < 0)
        console_note(i->config.console, "the program cannot be run once more");
}

void instance_hung_up(struct instance *i)
{
    instance_end(i, false);
    if (!i->child.pid)
        instance_set_timer(i, 0, on_over);
    else if (instance_debugged(i))
        instance_set_timer(i, 0, on_ended_in_debugger);
}

/* What it said last may still lie in its socket. */
static void on_exit_of(struct child *c, int status)
{
    struct instance *i = container_of(c, struct instance, child);

    i->status = status;
    if (i->state != INSTANCE_ENDING)
        instance_set_state(i, INSTANCE_ENDING);
    if (i->link)
        runtime_link_deafen(i->link);
    instance_set_timer(i, i->link && runtime_link_open(i->link) ? LAST_WORDS_NS : 0, on_over);
}

/* ---------------------------------------------------------------- its start */

static void on_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    snprintf(i->why, sizeof(i->why), "it was not ready after %llu s", READY_NS / NS_PER_S);
    instance_end(i, true);
}

void instance_ready(struct instance *i, unsigned slots)
{
    i->slots = slots;
    if (i->state == INSTANCE_STARTING) {
        loop_timer_cancel(i->config.loop, &i->timer);
        i->ready_once = true;
        instance_set_state(i, INSTANCE_READY);
    }
    requests_pump(i);
}

static int build_environment(const struct instance *i, const char *socket, const char *api,
                             struct environment *e)
{
    const struct local_function *f = i->function;
    char id[32];
    struct environment_facts facts = {
        .function = f->name,
        .namespace = f->namespace,
        .revision = "local",
        .instance = id,
        .node = "local",
        .handler = f->handler,
        .runtime = f->runtime,
        .task_root = f->code_dir,
        .runtime_dir = f->runtime_dir,
        .runtime_socket = socket,
        .api_address = api,
        .memory = f->memory,
        .cpu_millis = f->cpu_millis,
        .timeout_ms = work_timeout_ms(i),
        .concurrency = f->concurrency,
        .port = f->port,
    };

    snprintf(id, sizeof(id), "local-%u", i->lives);
    environment_set_defaults(e, &facts);
    for (const char *const *v = f->env; *v; v++)
        environment_set_text(e, *v);
    environment_set_platform(e, &facts);
    environment_set(e, "ROUSE_TASK_ROOT", f->code_dir);
    return environment_finish(e);
}

/* The program with its link, or nothing of it. */
static int bring_up(struct instance *i, struct err *e)
{
    const struct local_function *f = i->function;
    struct environment env = {0};
    struct child_options o = {.argv = f->argv, .cwd = f->code_dir, .terminal = i->config.debug};
    char socket[PATH_MAX], api_address[64];
    int out = -1, err = -1, r = 0;

    snprintf(socket, sizeof(socket), "%s/runtime.sock", i->config.directory);
    if (!f->port) {
        r = sockets_listen_unix(socket, &i->frames_fd, e);
        if (r == 0)
            r = sockets_listen_loopback(api_address, &i->api_fd, e);
    }
    if (r == 0 && build_environment(i, socket, api_address, &env) < 0)
        r = err_set(e, ENOMEM, "its environment is too large");
    if (r == 0) {
        o.env = env.all;
        r = child_start(&i->child, i->config.loop, &o, on_exit_of, &out, &err, e);
    }
    environment_done(&env);
    if (r < 0)
        return r;
    r = work_open_outputs(i, out, err);
    if (r == 0)
        r = work_open_link(i);
    return r < 0 ? err_errno(e, -r, "cannot speak with the function") : 0;
}

void instance_start(struct instance *i)
{
    struct err e = {0};

    if (i->state != INSTANCE_NONE || i->stopping)
        return;
    instance_set_state(i, INSTANCE_STARTING);
    i->started_ns = loop_now(i->config.loop);
    i->served = i->ready_once = i->cut = i->killed = i->pre_stopping = false;
    i->hook = 0;
    i->why[0] = '\0';
    i->lives++;
    if (bring_up(i, &e) == 0) {
        if (!i->config.debug)
            instance_set_timer(i, READY_NS, on_late);
        return;
    }
    child_done(&i->child);
    work_close(i);
    close_sockets(i);
    instance_set_state(i, INSTANCE_ENDING);
    instance_set_state(i, INSTANCE_NONE);
    console_note(i->config.console, "the function did not start: %s", e.message);
    requests_fail(i, 502, "InitFailed", e.message);
}

/* ---------------------------------------------------------------- for its owner */

void instance_terminate(struct instance *i)
{
    child_signal(&i->child, SIGTERM);
    instance_end(i, false);
}

void instance_stop(struct instance *i, void (*on_stopped)(void *user), void *user)
{
    i->stopping = true;
    i->on_stopped = on_stopped;
    i->stopped_user = user;
    requests_fail(i, 503, "ShuttingDown", "`rouse run` ends");
    if (i->state == INSTANCE_NONE) {
        on_stopped(user);
        return;
    }
    i->cut = true;
    if (!hooks_pre_stop(i))
        instance_terminate(i);
}

int instance_new(const struct instance_config *c, struct instance **ret)
{
    struct instance *i = calloc(1, sizeof(*i));
    int r = i ? invocations_new(c->loop, &i->invocations) : -ENOMEM;

    if (r < 0) {
        free(i);
        return r;
    }
    i->config = *c;
    i->function = c->function;
    i->frames_fd = i->api_fd = -1;
    list_init(&i->running);
    list_init(&i->waiting);
    *ret = i;
    return 0;
}

struct instance *instance_free(struct instance *i)
{
    if (!i)
        return NULL;
    i->stopping = true;
    child_done(&i->child);
    loop_timer_cancel(i->config.loop, &i->timer);
    loop_timer_cancel(i->config.loop, &i->overdue);
    work_close(i);
    close_sockets(i);
    invocations_free(i->invocations);
    free(i);
    return NULL;
}
