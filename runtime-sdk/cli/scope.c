#include "cli/scope.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

/* Where systemd-run finds it; who has changed the user may lack the variable. */
static bool find_user_manager(void)
{
    char dir[64], path[PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    snprintf(dir, sizeof(dir), "/run/user/%u", geteuid());
    if (!runtime || !*runtime)
        runtime = dir;
    if (snprintf(path, sizeof(path), "%s/systemd/private", runtime) >= (int)sizeof(path) ||
        access(path, W_OK) < 0)
        return false;
    return setenv("XDG_RUNTIME_DIR", runtime, 0) == 0;
}

struct scope_machine scope_look(void)
{
    struct statfs fs;

    return (struct scope_machine){
        .root = geteuid() == 0,
        .user = geteuid() != 0 && find_user_manager(),
        .v2_alone = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC,
        .by_systemd = access("/run/systemd/system", F_OK) == 0,
        .program = access(SCOPE_PROGRAM, X_OK) == 0,
    };
}

bool scope_wanted(const struct scope_machine *m)
{
    return (m->root || m->user) && m->v2_alone && m->by_systemd && m->program;
}

void scope_words(bool root, const char *platform, const char *node, uint64_t now,
                 char unit[SCOPE_UNIT_MAX], const char *words[SCOPE_WORDS])
{
    /* TasksMax: by default a scope gets a small share of the machine's tasks for all instances
     * together, and each of them has a limit of its own. */
    const char *const all[SCOPE_WORDS] = {SCOPE_PROGRAM,
                                          root ? "--system" : "--user",
                                          "--scope",
                                          "--quiet",
                                          "--collect",
                                          "-p",
                                          "Delegate=yes",
                                          "-p",
                                          "TasksMax=infinity",
                                          "--unit",
                                          unit,
                                          "--"};

    snprintf(unit, SCOPE_UNIT_MAX, "rouse-%s-%s-%llx.scope", platform, node, (unsigned long long)now);
    memcpy(words, all, sizeof(all));
}

bool scope_holds(const char *cgroup, const char *unit)
{
    size_t n = strlen(unit);

    for (const char *p = cgroup; (p = strstr(p, unit)); p += n)
        if (p > cgroup && p[-1] == '/' && (p[n] == '/' || p[n] == '\n' || !p[n]))
            return true;
    return false;
}

static bool moved(const struct process *p, const char *unit)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *text = NULL;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)p->pid);
    if (file_read(AT_FDCWD, path, 1u << 16, &b) < 0)
        return false;
    text = buffer_take_string(&b);
    return text && scope_holds(text, unit);
}

int scope_await(const struct process *p, const char *unit, uint64_t deadline)
{
    enum { LOOK_MS = 2 };
    int r = -ETIMEDOUT;

    while (r == -ETIMEDOUT && clock_monotonic_ns() < deadline) {
        r = process_wait(p, clock_monotonic_ns() + LOOK_MS * NS_PER_MS);
        if (r == 0)
            return -ECHILD;
        if (r == -ETIMEDOUT && moved(p, unit))
            return 0;
    }
    process_signal(p, SIGKILL);
    process_wait(p, clock_monotonic_ns() + NS_PER_S);
    return r;
}
