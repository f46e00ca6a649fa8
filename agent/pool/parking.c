/* parking.c - whether an instance can be an interpreter that was started before there was a function for it. */
#include "base/cleanup.h"
#include "invoke/environment.h"
#include "pool/internal.h"

#include <string.h>

/* What an interpreter, its C library or its allocator reads when it starts: it is too late to set that in one
 * that has started. (TZ is none: it is read again.) */
static const char *const read_at_start[] = {
    "PYTHON",  "NODE_",      "LD_",   "MALLOC_", "GLIBC_",   "LC_",      "LANG", "LOCPATH",
    "NLSPATH", "GCONV_PATH", "TZDIR", "UV_",     "OPENSSL_", "SSL_CERT", "ICU_", "V8_",
};

static bool is_read_at_start(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(read_at_start); i++)
        if (!strncmp(text, read_at_start[i], strlen(read_at_start[i])))
            return true;
    return false;
}

static bool has(char *const *env, const char *text)
{
    for (; *env; env++)
        if (!strcmp(*env, text))
            return true;
    return false;
}

bool parking_suits(const struct runtime *r, const struct environment *e)
{
    size_t size = 0;

    if (!r->park)
        return false;
    for (char **v = e->all; *v; v++) {
        size += strlen(*v) + 1;
        if (is_read_at_start(*v) && !has(r->env, *v))
            return false;
    }
    return size <= LINK_ENVIRONMENT_MAX;
}

void parking_kind(const struct runtime *r, struct sandbox_kind *k)
{
    k->argv = (const char *const *)r->argv;
    k->env = (const char *const *)r->parked_env;
    k->zygote = r->park == RUNTIME_PARK_ZYGOTE;
}
