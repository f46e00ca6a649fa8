#include "local/run.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "local/gateway.h"
#include "local/once.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct run {
    const struct local_run *config;
    struct loop *loop;
    struct console console;
    struct instance *instance;
    struct gateway *gateway;
    struct once *once;
    struct loop_watch signals;
    bool stopping;
    int result;
};

/* ---------------------------------------------------------------- the end */

static void on_stopped(void *user)
{
    struct run *r = user;

    loop_stop(r->loop);
}

static void stop(struct run *r)
{
    if (r->stopping)
        return;
    r->stopping = true;
    instance_stop(r->instance, on_stopped, r);
}

static void on_debugger_ended(void *user)
{
    on_stopped(user);
}

static void on_signal(struct loop_watch *w, uint32_t events)
{
    struct run *r = container_of(w, struct run, signals);
    struct signalfd_siginfo info;

    (void)events;
    if (read(w->fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (r->stopping) { /* a second one: at once */
        loop_stop(r->loop);
        return;
    }
    if (r->once)
        r->result = 128 + (int)info.ssi_signo;
    stop(r);
}

/* The terminal's Ctrl-C is the debugger's while there is one. */
static int watch_signals(struct run *r)
{
    sigset_t set;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (r->config->debug)
        signal(SIGINT, SIG_IGN);
    else
        sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    r->signals = (struct loop_watch){.fd = fd, .fn = on_signal};
    return loop_watch_set(r->loop, &r->signals, LOOP_READ);
}

/* ---------------------------------------------------------------- one event */

static void on_outcome(void *user, const struct once_outcome *o)
{
    struct run *r = user;

    if (o->failed) {
        console_note(&r->console, "the function failed: %.*s", (int)o->n, (const char *)o->data);
        r->result = 1;
    } else {
        fwrite(o->data, 1, o->n, stdout);
        /* A prompt after a result without a newline would be hard to read. */
        if (o->n && o->data[o->n - 1] != '\n' && isatty(STDOUT_FILENO))
            putchar('\n');
        if (fflush(stdout) != 0)
            r->result = 1;
    }
    stop(r);
}

static int begin_event(struct run *r, struct err *e)
{
    const struct local_function *f = r->config->function;
    char address[PATH_MAX];
    uint16_t port;
    int n = snprintf(address, sizeof(address), "unix://%s/gateway.sock", r->config->directory);
    int e_code =
        n < (int)sizeof(address) ? gateway_listen(r->gateway, address, &port) : -ENAMETOOLONG;

    if (e_code == 0)
        e_code = once_start(r->loop, address, f->namespace, f->name, r->config->event,
                            r->config->event_size, on_outcome, r, &r->once);
    return e_code < 0 ? err_errno(e, -e_code, "%s", address) : 0;
}

/* ---------------------------------------------------------------- serving */

static void print_address(const struct run *r, uint16_t port, const struct local_trigger *t)
{
    const struct local_function *f = r->config->function;
    char methods[ROUTE_METHODS_TEXT] = "";

    fprintf(r->console.to, "  http://127.0.0.1:%u", port);
    if (!t) {
        fprintf(r->console.to, "/function/%s/%s/\n", f->namespace, f->name);
        return;
    }
    route_methods_text(t->methods, methods);
    fprintf(r->console.to, "%s%s%s%s%s\n", t->path, *methods ? "  " : "", methods,
            t->host ? "  Host: " : "", t->host ? t->host : "");
}

static int begin_serving(struct run *r, struct err *e)
{
    const struct local_function *f = r->config->function;
    char address[64];
    uint16_t port;
    int code;

    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", r->config->port);
    code = gateway_listen(r->gateway, address, &port);
    if (code == -EADDRINUSE)
        return err_set(e, EADDRINUSE,
                       "port %u of 127.0.0.1 is in use; --port N takes another one, --port 0 any",
                       r->config->port);
    if (code < 0)
        return err_errno(e, -code, "cannot listen on %s", address);
    console_note(&r->console, "%s/%s runs here:", f->namespace, f->name);
    for (size_t i = 0; i < f->trigger_count; i++)
        print_address(r, port, &f->triggers[i]);
    print_address(r, port, NULL);
    if (!r->config->debug)
        console_note(&r->console, "Ctrl-C ends it");
    return 0;
}

/* ---------------------------------------------------------------- all of it */

static int begin(struct run *r, struct err *e)
{
    const struct local_run *config = r->config;
    struct instance_config c = {
        .function = config->function,
        .console = &r->console,
        .directory = config->directory,
        .debug = config->debug,
        .on_ended = on_debugger_ended,
        .user = r,
    };
    int code = loop_new(&r->loop);

    if (code == 0)
        code = watch_signals(r);
    c.loop = r->loop;
    if (code == 0)
        code = instance_new(&c, &r->instance);
    if (code < 0)
        return err_errno(e, -code, "cannot begin");
    code = gateway_new(r->loop, config->function, r->instance, &r->console, &r->gateway, e);
    if (code == 0)
        code = config->event ? begin_event(r, e) : begin_serving(r, e);
    if (code == 0)
        instance_start(r->instance);
    return code;
}

int local_run(const struct local_run *config, struct err *e)
{
    struct run r = {.config = config, .signals = {.fd = -1}};
    int code;

    console_init(&r.console, config->event ? stderr : stdout);
    r.console.no_requests = config->event != NULL;
    code = begin(&r, e);
    if (code == 0)
        loop_run(r.loop);
    once_free(r.once);
    gateway_free(r.gateway);
    instance_free(r.instance);
    if (r.signals.fd >= 0) {
        loop_watch_cancel(r.loop, &r.signals);
        close(r.signals.fd);
    }
    loop_free(r.loop);
    return code < 0 ? code : r.result;
}
