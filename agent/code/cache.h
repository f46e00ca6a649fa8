/* cache.h - packages on this node: fetched by digest, checked, unpacked once, shared read-only.
 *
 * Lies in STATE/cache as shelf.h says. What waits for network or disk runs in
 * worker threads; results come on the loop. Two wishes for one digest are one
 * download. Where the package is here already, nothing is asked of the disk. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "reactor/loop.h"

struct code_cache;
struct code_cache_config {
    struct loop *loop;
    const char *state_dir;
    const char *api_url;        /* "http://127.0.0.1:7080" */
    const char *token;          /* NULL: none */
    const char *unpack_program; /* rouse-unpack, or a program that is it when it is called so */
    /* Bytes unpacked; beyond it the least recently used go, but for those in use. 0: a tenth of the
     * disk, 10 GiB at most. */
    uint64_t size_limit;
};
int code_cache_new(const struct code_cache_config *c, struct code_cache **ret, struct err *e);
struct code_cache *code_cache_free(struct code_cache *c);
/* on_ready: dir is an absolute path, held until code_cache_release(); or e is set. Not before the
 * return. */
int code_cache_get(struct code_cache *c, const char *digest,
                   void (*on_ready)(void *user, const char *dir, const struct err *e), void *user);
void code_cache_release(struct code_cache *c, const char *digest);
/* Drops the waiting wishes of that user: no callback follows. */
void code_cache_forget(struct code_cache *c, void *user);
/* /metrics: what is here, hits, misses, evictions. */
void code_cache_metrics(const struct code_cache *c, struct buffer *out);
#define UNPACK_PROGRAM "rouse-unpack"
/* What is called by that name calls it before anything else; it does not come back. */
_Noreturn void code_unpack_main(void);
