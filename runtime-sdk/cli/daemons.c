/* daemons.c - the start of a platform's daemons: which flags each gets. What else it is to do the environment says, which
 * they inherit. */
#include "cli/daemons.h"
#include "cli/process.h"
#include "cli/scope.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

void daemon_agent_name(const struct platform_node *n, char out[80])
{
    snprintf(out, 80, "agent-%s", n->name);
}

static int take_lock(int fd, unsigned seconds)
{
    uint64_t deadline = clock_monotonic_ns() + seconds * NS_PER_S;

    for (;;) {
        struct timespec pause = {0, 20 * 1000000};

        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK || clock_monotonic_ns() >= deadline)
            return -errno;
        nanosleep(&pause, NULL);
    }
}

int daemons_lock(const char *state, unsigned seconds)
{
    char path[PATH_MAX];
    cleanup_fd int fd = -1;
    int r;

    if (snprintf(path, sizeof(path), "%s/lock", state) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = take_lock(fd, seconds);
    return r < 0 ? r : TAKE_FD(fd);
}

/* ---- starting */
enum { ARGV_MAX = 256 };
struct words { /* an argv whose words are printed here */
    char *argv[ARGV_MAX];
    char *owned[ARGV_MAX];
    unsigned n, owned_count;
};

static void add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct words *w, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    if (w->n < ARGV_MAX - 1 && vasprintf(&text, fmt, ap) >= 0)
        w->argv[w->n++] = w->owned[w->owned_count++] = text;
    va_end(ap);
}
static void words_done(struct words *w)
{
    for (unsigned i = 0; i < w->owned_count; i++)
        free(w->owned[i]);
}

/* "http://HOST:PORT" as "tcp://HOST:PORT". */
static const char *host_of(const char *url)
{
    return url + strlen("http://");
}

static void add_token(struct words *w, const char *state, const struct platform *p)
{
    if (!p->bridge[0])
        return;
    add(w, "--token-file");
    add(w, "%s/token", state);
    add(w, "--insecure-http");
}

static void add_address(struct words *w, const char *flag, const char *url)
{
    add(w, "%s", flag);
    add(w, "tcp://%s", host_of(url));
}

int daemons_start_controller(const char *state, const struct platform *p, struct err *e)
{
    struct words w = {0};
    int r;

    add(&w, "%s/rouse-controller", p->bin);
    add(&w, "--state");
    add(&w, "%s/controller", state);
    add_address(&w, "--api-address", p->api);
    if (p->bridge[0])
        add_address(&w, "--local-api-address", p->local_api);
    add_address(&w, "--front-address", p->front);
    add_address(&w, "--control-address", p->control);
    if (p->bridge[0]) {
        add(&w, "--platform");
        add(&w, "%s", state);
    }
    add_token(&w, state, p);
    r = process_start(state, CONTROLLER_NAME, w.argv, e);
    words_done(&w);
    return r;
}

static void add_agent(struct words *w, const char *state, const struct platform *p,
                      const struct platform_node *n)
{
    /* Into the network namespace and no other: `ip netns exec` would hide the cgroup mounts. */
    if (n->netns[0]) {
        add(w, "nsenter");
        add(w, "--net=/run/netns/%s", n->netns);
        add(w, "--");
    }
    add(w, "%s/rouse-agent", p->bin);
    add(w, "--state");
    add(w, "%s/agents/%s", state, n->name);
    add(w, "--node");
    add(w, "%s", n->name);
    add(w, "--runtimes");
    add(w, "%s", p->runtimes);
    add_address(w, "--controller", p->control);
    add(w, "--api");
    add(w, "%s", p->api);
    add_address(w, "--gateway-address", n->gateway);
    add_address(w, "--peer-address", n->peer);
    add_address(w, "--metrics-address", n->metrics);
    add_token(w, state, p);
    for (const char *at = n->flags; *at; at += strcspn(at, "\n"), at += *at == '\n')
        add(w, "%.*s", (int)strcspn(at, "\n"), at);
}

/* In a scope of its own. Where systemd refuses that, its reason is in the agent's log. */
static int start_in_scope(const char *state, const struct platform *p,
                          const struct platform_node *n, struct err *e)
{
    enum { SECONDS = 10 };
    const char *first[SCOPE_WORDS];
    char unit[SCOPE_UNIT_MAX], name[80];
    struct process process;
    struct words w = {0};
    int r;

    scope_words(geteuid() == 0, p->id, n->name, clock_monotonic_ns(), unit, first);
    for (size_t i = 0; i < SCOPE_WORDS; i++)
        add(&w, "%s", first[i]);
    add_agent(&w, state, p, n);
    daemon_agent_name(n, name);
    r = process_start(state, name, w.argv, e);
    words_done(&w);
    if (r == 0)
        r = process_read(state, name, &process);
    return r < 0 ? r : scope_await(&process, unit, clock_monotonic_ns() + SECONDS * NS_PER_S);
}

int daemons_start_agent(const char *state, const struct platform *p, const struct platform_node *n,
                        struct err *e)
{
    struct scope_machine machine = scope_look();
    struct words w = {0};
    char name[80];
    int r;

    if (scope_wanted(&machine) && start_in_scope(state, p, n, e) == 0)
        return 0;
    add_agent(&w, state, p, n);
    daemon_agent_name(n, name);
    r = process_start(state, name, w.argv, e);
    words_done(&w);
    return r;
}
