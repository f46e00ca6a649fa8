/* memory.c - see the header. */
#include "pool/memory.h"
#include "base/buffer.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_FILE = 65536 };
#define STALLED_PERCENT 20.0

static int read_text(const char *dir, const char *file, struct buffer *to)
{
    char path[PATH_MAX];
    int r;

    if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    buffer_clear(to);
    r = file_read(AT_FDCWD, path, SMALL_FILE, to);
    return r < 0 ? r : buffer_append(to, "", 1);
}

/* The number behind `key` at a line's beginning; 0 without. */
static uint64_t number_of(const struct buffer *text, const char *key)
{
    size_t n = strlen(key);

    for (const char *line = (const char *)buffer_bytes(text); line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, key, n))
            return strtoull(line + n, NULL, 10);
    }
    return 0;
}

static uint64_t number_in(const char *dir, const char *file, struct buffer *text)
{
    /* v2's "max" is no number: 0. */
    return read_text(dir, file, text) == 0 ? strtoull((const char *)buffer_bytes(text), NULL, 10) : 0;
}

/* Page cache that nobody used lately is not counted as used: the kernel takes it first anyway. */
static void look_at_cgroup(const char *dir, struct buffer *text, struct memory_state *m)
{
    bool v2 = read_text(dir, "memory.current", text) == 0;
    uint64_t cache = 0;

    m->limit = number_in(dir, v2 ? "memory.max" : "memory.limit_in_bytes", text);
    m->used = number_in(dir, v2 ? "memory.current" : "memory.usage_in_bytes", text);
    if (read_text(dir, "memory.stat", text) == 0)
        cache = number_of(text, v2 ? "inactive_file " : "total_inactive_file ");
    m->used -= cache < m->used ? cache : m->used;
}

int memory_look(const char *proc, const char *cgroup, struct memory_state *ret)
{
    cleanup_buffer struct buffer text = {0};
    struct memory_state m = {0};
    int r = read_text(proc, "meminfo", &text);

    if (r < 0)
        return r;
    m.total = number_of(&text, "MemTotal:") << 10;
    m.available = number_of(&text, "MemAvailable:") << 10;
    if (read_text(proc, "pressure/memory", &text) == 0) {
        const char *some = strstr((const char *)buffer_bytes(&text), "some avg10=");

        m.stalled = some ? strtod(some + strlen("some avg10="), NULL) : 0;
    }
    if (cgroup)
        look_at_cgroup(cgroup, &text, &m);
    *ret = m;
    return 0;
}

static bool is_below(uint64_t left, uint64_t of, unsigned percent)
{
    return left < of / 100 * percent;
}

bool memory_short(const struct memory_state *m, unsigned percent)
{
    unsigned p = m->stalled >= STALLED_PERCENT ? 2 * percent : percent;
    uint64_t left = m->limit > m->used ? m->limit - m->used : 0;

    return is_below(m->available, m->total, p) || is_below(left, m->limit, p);
}
