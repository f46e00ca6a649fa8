/* capacity.c - memory and cpus of this machine as the agent may use them. */
#include "router/capacity.h"
#include "base/buffer.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL_FILE = 65536 };

static bool has_controller(const char *list, size_t n, const char *controller)
{
    size_t size = strlen(controller);

    if (!size)
        return n == 0;
    for (const char *p = list, *end = list + n; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        size_t part = (size_t)((comma ? comma : end) - p);

        if (part == size && !memcmp(p, controller, size))
            return true;
        p += part + 1;
    }
    return false;
}

bool capacity_cgroup_path(const char *text, const char *controller, char *ret, size_t size)
{
    /* Lines "ID:CONTROLLERS:PATH"; v2's is "0::PATH". */
    for (const char *line = text; line && *line;) {
        const char *end = strchrnul(line, '\n');
        const char *list = memchr(line, ':', (size_t)(end - line));
        const char *path = list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;

        if (path && has_controller(list + 1, (size_t)(path - list - 1), controller))
            return snprintf(ret, size, "%.*s", (int)(end - path - 1), path + 1) < (int)size;
        line = *end ? end + 1 : end;
    }
    return false;
}

bool capacity_limit(const char *text, uint64_t *ret)
{
    char *end;
    unsigned long long v;

    errno = 0;
    v = strtoull(text, &end, 10);
    /* v1 says "no limit" by the largest page-aligned number. */
    if (end == text || (*end && *end != '\n') || errno || !v ||
        v >= (unsigned long long)LLONG_MAX - 65536)
        return false;
    *ret = v;
    return true;
}

static bool read_text(const char *path, struct buffer *to)
{
    buffer_clear(to);
    return file_read(AT_FDCWD, path, SMALL_FILE, to) == 0 && buffer_append(to, "", 1) == 0;
}

struct memory_limit {
    uint64_t bytes;
    char dir[PATH_MAX]; /* "": the machine's own */
};

/* The smallest limit from `path` up to the root of that tree; ret stays if there is none. */
static void smallest_limit(const char *root, const char *path, const char *file,
                           struct memory_limit *ret)
{
    cleanup_buffer struct buffer text = {0};
    char dir[PATH_MAX], full[2 * PATH_MAX];
    uint64_t v;

    snprintf(dir, sizeof(dir), "%s", path);
    for (;;) {
        char *slash;

        snprintf(full, sizeof(full), "%s%s/%s", root, dir, file);
        if (read_text(full, &text) && capacity_limit((const char *)buffer_bytes(&text), &v) &&
            v < ret->bytes &&
            snprintf(ret->dir, sizeof(ret->dir), "%s%s", root, dir) < (int)sizeof(ret->dir))
            ret->bytes = v;
        slash = strrchr(dir, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

static void find_limit(struct memory_limit *ret)
{
    cleanup_buffer struct buffer text = {0};
    char path[PATH_MAX];

    ret->bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    ret->dir[0] = '\0';
    if (!read_text("/proc/self/cgroup", &text))
        return;
    if (capacity_cgroup_path((const char *)buffer_bytes(&text), "memory", path, sizeof(path)))
        smallest_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", ret);
    if (capacity_cgroup_path((const char *)buffer_bytes(&text), "", path, sizeof(path)))
        smallest_limit("/sys/fs/cgroup", path, "memory.max", ret);
}

uint64_t capacity_memory(void)
{
    struct memory_limit limit;

    find_limit(&limit);
    return limit.bytes;
}

bool capacity_memory_cgroup(char *ret, size_t size)
{
    struct memory_limit limit;

    find_limit(&limit);
    return limit.dir[0] && snprintf(ret, size, "%s", limit.dir) < (int)size;
}

unsigned capacity_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    return 1;
}
