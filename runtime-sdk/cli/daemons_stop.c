/* daemons_stop.c - the end of whatever runs of a platform. */
#include "cli/daemons.h"
#include "cli/network.h"
#include "cli/process.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

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

int daemon_stop(const char *state, const char *name, unsigned seconds)
{
    enum { KILL_SECONDS = 5 };
    struct process p;
    int r = process_read(state, name, &p);

    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = process_signal(&p, SIGTERM);
    if (r == 0 && process_wait(&p, clock_monotonic_ns() + seconds * NS_PER_S) == -ETIMEDOUT) {
        process_signal(&p, SIGKILL);
        r = process_wait(&p, clock_monotonic_ns() + KILL_SECONDS * NS_PER_S);
    }
    return r < 0 && r != -ESRCH ? r : process_forget(state, name);
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
