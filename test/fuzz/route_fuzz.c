/* module: runtime-sdk/http */
/* Lines of changes and questions, held against the naive matcher: "+HOST PATTERN" adds, "-HOST
 * PATTERN" takes away, "?HOST PATH" asks. */
#include "../unit/runtime-sdk/http/route_naive.h"
#include "http/route_table.h"

#include <errno.h>
#include <stdlib.h>

enum { HELD_MAX = 64 };

struct held {
    char host[ROUTE_HOST_MAX], pattern[ROUTE_PATTERN_MAX];
    struct naive_route route;
    char key[ROUTE_KEY_MAX];
    int key_size;
};
static struct held *held[HELD_MAX];
static size_t count;
static struct epoch_domain domain;
static struct route_table table;

static size_t find(const char *key, int n)
{
    size_t i = 0;

    while (i < count && (held[i]->key_size != n || memcmp(held[i]->key, key, (size_t)n) != 0))
        i++;
    return i;
}

static void add(struct str host, struct str pattern)
{
    char key[ROUTE_KEY_MAX];
    int n = route_key(host, pattern, key), r;
    bool is_new = n > 0 && find(key, n) == count;
    struct held *h;
    struct epoch_edit e;

    if (count == HELD_MAX)
        return;
    h = calloc(1, sizeof(*h));
    if (!h)
        abort();
    epoch_edit_begin(&domain, &e);
    r = route_table_add(&e, &table, host, pattern, ROUTE_METHODS_ALL, h, NULL);
    epoch_commit(&e);
    if (r != (n < 0 ? -EINVAL : is_new ? 0 : -EEXIST))
        abort();
    if (r < 0) {
        free(h);
        return;
    }
    memcpy(h->key, key, (size_t)n);
    h->key_size = n;
    if (host.n)
        memcpy(h->host, host.at, host.n);
    h->route.host = (struct str){h->host, host.n};
    if (route_path_canonical(pattern, h->pattern, &h->route.pattern) < 0)
        abort();
    if (h->route.pattern.at != h->pattern) {
        memcpy(h->pattern, pattern.at, pattern.n);
        h->route.pattern.at = h->pattern;
    }
    held[count++] = h;
}

static void take(struct str host, struct str pattern)
{
    char key[ROUTE_KEY_MAX];
    int n = route_key(host, pattern, key);
    size_t i = n > 0 ? find(key, n) : count;
    struct epoch_edit e;
    int r;

    epoch_edit_begin(&domain, &e);
    r = route_table_del(&e, &table, host, pattern, i < count ? held[i] : NULL);
    epoch_commit(&e);
    if (r != (i < count ? 0 : -ENOENT))
        abort();
    if (r == 0) {
        free(held[i]);
        held[i] = held[--count];
    }
}

static void ask(struct str host, struct str path)
{
    char buffer[HTTP_TARGET_MAX], name[ROUTE_HOST_MAX], best[NAIVE_RANK_MAX] = "",
                                                        one[NAIVE_RANK_MAX];
    const struct held *expected = NULL;
    struct route_param params[ROUTE_PARAMS_MAX];
    enum route_found r;
    struct route_match m;
    struct str canonical;

    if (path.n > sizeof(buffer))
        return;
    r = route_table_match(&table, host, STR("GET"), path, &m);
    if (route_path_canonical(path, buffer, &canonical) == 0 && !route_path_reserved(canonical))
        for (size_t i = 0; i < count; i++)
            if (naive_rank(&held[i]->route, route_host_canonical(host, name), canonical, one) &&
                strcmp(one, best) > 0) {
                memcpy(best, one, sizeof(one));
                expected = held[i];
            }
    if (r != (expected ? ROUTE_FOUND : ROUTE_UNKNOWN) || (expected && m.value != expected))
        abort();
    for (size_t i = 0, n = expected ? route_params(m.pattern, path, params) : 0; i < n; i++)
        if (!params[i].value.n || params[i].value.at < path.at ||
            params[i].value.at + params[i].value.n > path.at + path.n)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    for (const char *at = (const char *)data, *end = at + n; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)) ?: end, *space;
        char kind = *at++;

        space = stop > at ? memchr(at, ' ', (size_t)(stop - at)) : NULL;
        if (space) {
            struct str host = {at, (size_t)(space - at)},
                       path = {space + 1, (size_t)(stop - space - 1)};

            if (kind == '+')
                add(host, path);
            else if (kind == '-')
                take(host, path);
            else
                ask(host, path);
        }
        at = stop + 1;
    }
    while (count)
        free(held[--count]);
    route_table_free(&table);
    epoch_domain_done(&domain);
    domain = (struct epoch_domain){0};
    return 0;
}
