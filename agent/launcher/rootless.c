#include "launcher/rootless.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/idmap.h"
#include "sandbox/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUBIDS_MAX (1u << 20)

/* ---- what there is */
static bool has_own_cgroup(const char *dir)
{
    static const char *const files[] = {"", "/cgroup.procs", "/cgroup.subtree_control"};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[PATH_MAX + 32];

        snprintf(path, sizeof(path), "%s%s", dir, files[i]);
        if (access(path, W_OK) < 0)
            return false;
    }
    return true;
}

/* What cannot be used is left out before it is tried: v1 has no delegation. */
static unsigned prepare_cgroups(struct cgroups *c, const pid_t *pids, size_t n)
{
    char said[ERR_MESSAGE_MAX] = "";
    unsigned controllers = 0;

    for (size_t i = 0; i < c->count;) {
        if (c->trees[i].v2 && has_own_cgroup(c->trees[i].own))
            i++;
        else
            memmove(&c->trees[i], &c->trees[i + 1], (--c->count - i) * sizeof(c->trees[0]));
    }
    if (!c->count)
        return 0;
    cgroups_clean(c, NULL);
    cgroups_prepare(c, pids, n, said, sizeof(said));
    for (size_t i = 0; i < c->count; i++)
        controllers |= c->trees[i].controllers;
    return controllers;
}

bool rootless_subids(const char *text, const char *name, unsigned long id, unsigned *ret_base,
                     unsigned *ret_count)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t n = strcspn(line, ":\n");
        char number[24], *end;
        unsigned long base, count;

        snprintf(number, sizeof(number), "%lu", id);
        if (line[n] != ':' || !((n == strlen(name) && !strncmp(line, name, n)) ||
                                (n == strlen(number) && !strncmp(line, number, n))))
            continue;
        base = strtoul(line + n + 1, &end, 10);
        if (end == line + n + 1 || *end != ':')
            continue;
        count = strtoul(end + 1, NULL, 10);
        if (!base || count < IDMAP_PAIR || base > UINT_MAX || count > UINT_MAX - base)
            continue;
        *ret_base = (unsigned)base;
        *ret_count = (unsigned)count;
        return true;
    }
    return false;
}

static bool read_subids(const char *path, unsigned *ret_base, unsigned *ret_count)
{
    const struct passwd *user = getpwuid(getuid());
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *text = NULL;

    /* The programs map for nobody without a name. */
    if (!user || file_read(AT_FDCWD, path, SUBIDS_MAX, &b) < 0)
        return false;
    text = buffer_take_string(&b);
    return text && rootless_subids(text, user->pw_name, user->pw_uid, ret_base, ret_count);
}

static void find_ids(struct rootless *r)
{
    unsigned uids, gids, least;

    if (access(IDMAP_UIDS, X_OK) < 0 || access(IDMAP_GIDS, X_OK) < 0 ||
        !read_subids("/etc/subuid", &r->uid_base, &uids) ||
        !read_subids("/etc/subgid", &r->gid_base, &gids))
        return;
    least = uids < gids ? uids : gids;
    r->boxes = least / IDMAP_PAIR;
}

/* ---- what is said of it */
void rootless_text(unsigned controllers, bool own_ids, bool counted, char *out, size_t size)
{
    const struct {
        bool missing;
        const char *name;
    } all[] = {{!(controllers & 1u << CGROUP_MEMORY), "no memory limit"},
               {!(controllers & 1u << CGROUP_CPU), "no cpu limit"},
               {!(controllers & 1u << CGROUP_PIDS) && !counted, "no limit of processes"},
               {true, "no network beyond loopback"},
               {true, "no functions with a port"},
               {!own_ids, "no user ids of their own"}};
    size_t used = (size_t)snprintf(out, size, "not root: instances have");
    const char *before = " ";

    for (size_t i = 0; i < ARRAY_LEN(all) && used < size; i++) {
        if (!all[i].missing)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", before, all[i].name);
        before = ", ";
    }
}

void rootless_prepare(struct rootless *r, struct cgroups *c, const pid_t *pids, size_t n,
                      char *warning, size_t size)
{
    unsigned controllers = prepare_cgroups(c, pids, n);

    *r = (struct rootless){0};
    find_ids(r);
    rootless_text(controllers, r->boxes > 0, privilege_counts_processes(), warning, size);
}
