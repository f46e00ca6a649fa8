/* hooks.c - see hooks.h. */
#include "sdk/hooks.h"

#include <errno.h>
#include <string.h>

enum { HOOKS_MAX = 16 };

static struct {
    const char *name;
    rouse_hook_fn *fn;
} hooks[HOOKS_MAX];
static size_t count;

int rouse_hook(const char *name, rouse_hook_fn *fn)
{
    if (count == HOOKS_MAX)
        return -ENOBUFS;
    hooks[count].name = name;
    hooks[count++].fn = fn;
    return 0;
}

rouse_hook_fn *hooks_find(const char *name, size_t n)
{
    for (size_t i = count; i-- > 0;) {
        if (strlen(hooks[i].name) == n && !memcmp(hooks[i].name, name, n))
            return hooks[i].fn;
    }
    return NULL;
}

int hooks_missing(struct rouse_context *ctx)
{
    return rouse_fail(ctx, "Runtime.NoSuchHook",
                      "spec.lifecycle names a hook that the program did not register by rouse_hook()");
}
