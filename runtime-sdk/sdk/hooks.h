/* hooks.h - the hooks that rouse_hook() registered. Before rouse_start() one thread writes; then all read. */
#pragma once
#include "rouse/rouse.h"

rouse_hook_fn *hooks_find(const char *name, size_t n); /* NULL: there is none of that name */
int hooks_missing(struct rouse_context *ctx);          /* fails as Runtime.NoSuchHook */
