/* backend.c - which backend a loop takes: asked for, the process's default, or what the kernel can. */
#include "base/cleanup.h"
#include "base/daemon_flags.h"
#include "base/log.h"
#include "reactor/uring_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"auto", "epoll", "io_uring"};
static _Atomic int chosen = -1; /* -1: the environment's word */

int loop_backend_parse(const char *text, enum loop_backend *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!strcmp(text, names[i])) {
            *ret = (enum loop_backend)i;
            return 0;
        }
    }
    return -EINVAL;
}

int loop_backend_flag(const struct daemon_flag *f, const char *said, char *value, void *options,
                      struct err *e)
{
    enum loop_backend b;

    if (loop_backend_parse(value, &b) < 0)
        return daemon_flag_bad(e, said, value, "is none of auto, epoll, io_uring");
    *(int *)((char *)options + f->offset) = (int)b;
    return 0;
}

void loop_backend_default(enum loop_backend backend)
{
    atomic_store(&chosen, (int)backend);
}

static enum loop_backend process_default(void)
{
    int c = atomic_load(&chosen);
    const char *text = getenv("ROUSE_REACTOR");
    enum loop_backend b = LOOP_AUTO;

    if (c >= 0)
        return (enum loop_backend)c;
    if (text && *text && loop_backend_parse(text, &b) < 0)
        log_debug("ROUSE_REACTOR \"%s\" is none of auto, epoll, io_uring: auto", text);
    return b;
}

const struct backend *backend_choose(enum loop_backend b)
{
    if (b == LOOP_AUTO)
        b = process_default();
    if (b == LOOP_EPOLL || (b == LOOP_AUTO && *loop_backend_reason()))
        return &backend_epoll;
    return &backend_uring;
}

const char *loop_backend_reason(void)
{
    return uring_abilities()->reason;
}
