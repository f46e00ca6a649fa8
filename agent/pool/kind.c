/* kind.c - what of an instance's sandbox follows from its Runtime, and is made ahead of any function. */
#include "base/log.h"
#include "pool/internal.h"

#include <string.h>

void instance_kind(const struct runtime *r, bool network_none, bool has_port, struct sandbox_kind *ret)
{
    *ret = (struct sandbox_kind){
        .runtime_root = r->rootfs,
        .network = network_none ? SANDBOX_NETWORK_NONE : SANDBOX_NETWORK_EGRESS,
        .frames_socket = true,
        .api_port = r->protocol == RUNTIME_ANY && !has_port ? API_PORT : 0,
        .syscalls = (const char *const *)r->syscalls,
    };
}

void pool_park(struct launcher *l, const struct runtimes *runtimes, unsigned count)
{
    for (size_t i = 0; i < runtimes_count(runtimes); i++) {
        const struct runtime *r = runtimes_at(runtimes, i);
        struct sandbox_kind k;
        int e;

        instance_kind(r, false, false, &k);
        if (r->park)
            parking_kind(r, &k);
        e = launcher_park(l, &k, count);
        if (e < 0)
            log_warn("runtime %s: no sandboxes are made ahead: %s", r->name, strerror(-e));
    }
}
