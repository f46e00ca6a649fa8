/* family.h - for tests that look at the launcher's own processes: which there are, by their names. */
#pragma once
#include "base/cleanup.h"
#include "base/file.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline size_t children_of(pid_t pid, pid_t *to, size_t max)
{
    cleanup_buffer struct buffer b = {0};
    char path[64], *at, *end;
    size_t n = 0;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    ck_assert_int_eq(file_read(AT_FDCWD, path, 65536, &b), 0);
    buffer_append(&b, "", 1);
    for (at = (char *)b.data + b.start; n < max; at = end) {
        long one = strtol(at, &end, 10);

        if (end == at)
            break;
        to[n++] = (pid_t)one;
    }
    return n;
}

static inline pid_t launcher_pid(void)
{
    pid_t pids[4];

    ck_assert_uint_eq(children_of(getpid(), pids, 4), 1);
    return pids[0];
}

static inline bool is_called(pid_t pid, const char *name)
{
    cleanup_buffer struct buffer b = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    if (file_read(AT_FDCWD, path, 64, &b) < 0)
        return false;
    return buffer_size(&b) == strlen(name) + 1 && !memcmp(buffer_bytes(&b), name, strlen(name));
}

/* The launcher's children of that name. */
static inline size_t find_children(const char *name, pid_t *to, size_t max)
{
    pid_t all[64];
    size_t n = children_of(launcher_pid(), all, 64), k = 0;

    for (size_t i = 0; i < n && k < max; i++)
        if (is_called(all[i], name))
            to[k++] = all[i];
    return k;
}
