#include "cli/daemons.h"
#include "cli/http.h"
#include "cli/network.h"
#include "cli/process.h"
#include "cli/scope.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

void daemon_agent_name(const struct platform_node *n, char out[80])
{
    snprintf(out, 80, "agent-%s", n->name);
}

int daemons_lock(const char *state)
{
    char path[PATH_MAX];
    cleanup_fd int fd = -1;

    if (snprintf(path, sizeof(path), "%s/lock", state) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* ---- starting */
enum { ARGV_MAX = 48 };
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

/* ---- ready */

static bool ready(const char *url, const char *token)
{
    cleanup_response struct http_response a = {0};
    char full[2 * URL_MAX];
    struct http_request q = {.method = "GET", .url = full, .token = token, .timeout_ms = 1000};

    snprintf(full, sizeof(full), "%s/readyz", url);
    return http_do(&q, &a) == 0 && a.status == 200;
}

static void show_log(const char *state, const char *name)
{
    enum { LINES = 10 };
    cleanup_buffer struct buffer b = {0};
    char path[PATH_MAX];
    const char *p, *end;
    unsigned lines = 0;

    if (snprintf(path, sizeof(path), "%s/logs/%s.log", state, name) >= (int)sizeof(path) ||
        file_read(AT_FDCWD, path, 64u << 20, &b) < 0 || !buffer_size(&b))
        return;
    p = (const char *)buffer_bytes(&b);
    end = p + buffer_size(&b);
    for (const char *s = end - 1; s > p && lines < LINES; s--)
        if (s[-1] == '\n' && ++lines == LINES)
            p = s;
    fprintf(stderr, "The end of %s:\n%.*s", path, (int)(end - p), p);
}

/* Until it answers 200, ends, or the deadline passes. */
static int wait_one(const char *state, const char *name, const char *url, const char *token,
                    uint64_t deadline)
{
    for (;;) {
        struct timespec pause = {0, 15 * 1000000};

        if (!process_running(state, name)) {
            fail("%s ended before it was ready", name);
            break;
        }
        if (ready(url, token))
            return EXIT_DONE;
        if (clock_monotonic_ns() >= deadline) {
            fail("%s is not ready in time: %s/readyz does not answer 200", name, url);
            break;
        }
        nanosleep(&pause, NULL);
    }
    show_log(state, name);
    return EXIT_FAILED;
}

int daemons_wait_ready(const char *state, const struct platform *p, const char *token,
                       unsigned seconds)
{
    uint64_t deadline = clock_monotonic_ns() + seconds * NS_PER_S;
    int r = wait_one(state, CONTROLLER_NAME, p->api, token, deadline);

    for (unsigned i = 0; i < p->node_count && r == EXIT_DONE; i++) {
        struct process process;
        char name[80];

        daemon_agent_name(&p->nodes[i], name);
        if (process_read(state, name, &process) == 0)
            r = wait_one(state, name, p->nodes[i].metrics, token, deadline);
    }
    return r;
}

/* ---- what is not enforced */
enum { LOG_TAIL = 64 << 10 };

static char *log_tail(const char *state, const char *name)
{
    cleanup_free char *text = malloc(LOG_TAIL + 1);
    char path[PATH_MAX];
    cleanup_fd int fd = -1;
    struct stat st;
    ssize_t n;

    if (!text || snprintf(path, sizeof(path), "%s/logs/%s.log", state, name) >= (int)sizeof(path))
        return NULL;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    n = pread(fd, text, LOG_TAIL, st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    return TAKE_PTR(text);
}

/* The log holds earlier lives, too: a life begins with the node's line. */
void daemons_print_warnings(const char *state, const struct platform *p)
{
    static const char begins[] = " info agent: node ", warns[] = " warn agent: sandbox: ";

    for (unsigned i = 0; i < p->node_count; i++) {
        char name[80];
        cleanup_free char *text = NULL;
        const char *life = NULL, *said;

        daemon_agent_name(&p->nodes[i], name);
        text = log_tail(state, name);
        for (const char *at = text; at && (at = strstr(at, begins)); at++)
            life = at;
        said = life ? strstr(life, warns) : NULL;
        if (!said)
            continue;
        said += strlen(warns);
        printf("%s: %.*s\n", p->nodes[i].name, (int)strcspn(said, "\n"), said);
    }
}

/* ---- stopping */

struct running {
    char name[80];
    struct process process;
};

/* Those of STATE/run that are alive: agents, or the controller. Files of dead ones are removed. */
static unsigned find_running(const char *state, bool controller, struct running *out, unsigned max)
{
    char path[PATH_MAX];
    struct dirent *d;
    unsigned n = 0;
    DIR *dir;

    if (snprintf(path, sizeof(path), "%s/run", state) >= (int)sizeof(path))
        return 0;
    dir = opendir(path);
    while (dir && (d = readdir(dir)) && n < max) {
        size_t size = strlen(d->d_name);
        struct running *r = &out[n];

        if (size < 5 || size >= sizeof(r->name) || strcmp(d->d_name + size - 4, ".pid") != 0)
            continue;
        snprintf(r->name, sizeof(r->name), "%.*s", (int)(size - 4), d->d_name);
        if ((strcmp(r->name, CONTROLLER_NAME) == 0) != controller)
            continue;
        if (process_read(state, r->name, &r->process) == 0 && process_alive(&r->process))
            n++;
        else
            process_forget(state, r->name);
    }
    if (dir)
        closedir(dir);
    return n;
}

static int stop_all(const char *state, bool controller)
{
    enum { SECONDS = 10, KILL_SECONDS = 5 };
    struct running all[NODES_MAX];
    unsigned n = find_running(state, controller, all, NODES_MAX);
    uint64_t deadline = clock_monotonic_ns() + SECONDS * NS_PER_S;
    int r = 0;

    for (unsigned i = 0; i < n; i++)
        process_signal(&all[i].process, SIGTERM);
    for (unsigned i = 0; i < n; i++) {
        if (process_wait(&all[i].process, deadline) == -ETIMEDOUT) {
            fprintf(stderr, "rouse: %s did not end within %d s and is killed\n", all[i].name,
                    SECONDS);
            process_signal(&all[i].process, SIGKILL);
            if (process_wait(&all[i].process, clock_monotonic_ns() + KILL_SECONDS * NS_PER_S) < 0)
                r = -ETIMEDOUT;
        }
        process_forget(state, all[i].name);
    }
    return r < 0 ? r : (int)n;
}

int daemons_stop(const char *state, struct err *e)
{
    int agents = stop_all(state, false), controller = stop_all(state, true);
    struct platform p;
    char path[PATH_MAX];

    if (agents < 0 || controller < 0)
        return err_set(e, ETIMEDOUT, "a process does not end, not even killed");
    if (platform_load(state, &p) == 0 && network_remove(&p, e) < 0)
        return -EIO;
    if (snprintf(path, sizeof(path), "%s/platform.json", state) < (int)sizeof(path))
        unlink(path);
    return agents + controller;
}
