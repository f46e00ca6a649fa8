/* outside.c - what the pool asks of the launcher and of the code cache: called directly where they are
 * on its own loop, through the bridge where they are on another. */
#include "code/cache.h"
#include "pool/internal.h"

int outside_attach(struct pool *p)
{
    return p->config.bridge ? 0 : launcher_attach(p->config.launcher, p->loop, &pool_launcher_ops, p);
}

int outside_create(struct pool *p, const struct sandbox_spec *s)
{
    const struct pool_bridge *b = p->config.bridge;

    return b ? b->create(b->user, s) : launcher_create(p->config.launcher, s);
}

int outside_adopt(struct pool *p, const struct sandbox_adoption *a)
{
    const struct pool_bridge *b = p->config.bridge;

    return b ? b->adopt(b->user, a) : launcher_adopt(p->config.launcher, a);
}

void outside_stop(struct pool *p, const char *id, uint64_t grace_ns)
{
    const struct pool_bridge *b = p->config.bridge;

    if (b)
        b->stop(b->user, id, grace_ns);
    else
        launcher_stop_sandbox(p->config.launcher, id, grace_ns);
}

int outside_code_get(struct pool *p, const char *digest,
                     void (*on_ready)(void *user, const char *dir, const struct err *e), void *of)
{
    const struct pool_bridge *b = p->config.bridge;

    return b ? b->code_get(b->user, digest, on_ready, of)
             : code_cache_get(p->config.code, digest, on_ready, of);
}

void outside_code_release(struct pool *p, const char *digest)
{
    const struct pool_bridge *b = p->config.bridge;

    if (b)
        b->code_release(b->user, digest);
    else
        code_cache_release(p->config.code, digest);
}

void outside_code_forget(struct pool *p, void *of)
{
    const struct pool_bridge *b = p->config.bridge;

    if (b)
        b->code_forget(b->user, of);
    else
        code_cache_forget(p->config.code, of);
}
