/* core_route.c - who has which path: host, pattern and method to a function; the oldest function wins
 * a conflict of two patterns that are the same but for their parameters' names. */
#include "brain/core_internal.h"

#include <stdio.h>

static bool older(const struct fn *a, const struct fn *b)
{
    if (a->spec->created_ms != b->spec->created_ms)
        return a->spec->created_ms < b->spec->created_ms;
    return strcmp(a->spec->key, b->spec->key) < 0;
}

static bool takes(const struct http_trigger *t, const char *method)
{
    if (!t->method_count)
        return true;
    for (size_t i = 0; i < t->method_count; i++)
        if (!strcmp(t->methods[i], method))
            return true;
    return false;
}

static bool overlap(const struct http_trigger *a, const struct http_trigger *b)
{
    if (!a->method_count || !b->method_count)
        return true;
    for (size_t i = 0; i < b->method_count; i++)
        if (takes(a, b->methods[i]))
            return true;
    return false;
}

static int path_make(struct core *c, const char *host, const char *pattern, struct path **ret)
{
    char key[ROUTE_KEY_MAX];
    int n = route_key(str_of(host), str_of(pattern), key), r;
    struct map_node *known = n > 0 ? map_get(&c->paths, key, (size_t)n) : NULL;
    struct route_table made = c->table;
    struct epoch_edit e;
    struct path *p;

    if (n < 0)
        return n;
    if (known) {
        *ret = map_entry(known, struct path, node);
        return 0;
    }
    p = calloc(1, sizeof(*p) + (size_t)n);
    if (!p)
        return -ENOMEM;
    memcpy(p->key, key, (size_t)n);
    list_init(&p->claims);
    epoch_edit_begin(&c->epochs, &e);
    r = route_table_add(&e, &made, str_of(host), str_of(pattern), ROUTE_METHODS_ALL, p, NULL);
    if (r == 0)
        r = map_put(&c->paths, &p->node, p->key, (size_t)n);
    if (r < 0) {
        route_table_abandon(&e, &made);
        free(p);
        return r;
    }
    c->table = made;
    epoch_commit(&e);
    *ret = p;
    return 0;
}

/* Nobody claims it any more; `last` tells what it was. */
static void path_free(struct core *c, struct path *p, const struct claim *last)
{
    struct epoch_edit e;

    epoch_edit_begin(&c->epochs, &e);
    if (route_table_del(&e, &c->table, str_of(last->host), str_of(last->trigger->path), p) < 0)
        abort(); /* it is there; without memory for that much nothing can be decided */
    epoch_commit(&e);
    map_del(&c->paths, &p->node);
    free(p);
}

void route_done(struct core *c)
{
    map_done(&c->paths);
    route_table_free(&c->table);
    epoch_domain_done(&c->epochs);
}

/* Who has what of a path; claims are sorted by age. */
static void settle(struct core *c, struct path *p)
{
    list_for_each(it, &p->claims)
    {
        struct claim *claim = list_entry(it, struct claim, link);
        struct fn *lost_to = NULL;

        for (struct list *b = p->claims.next; b != it && !lost_to; b = b->next) {
            struct claim *before = list_entry(b, struct claim, link);

            if (!before->lost_to && before->fn != claim->fn &&
                overlap(before->trigger, claim->trigger))
                lost_to = before->fn;
        }
        if (lost_to == claim->lost_to)
            continue;
        claim->lost_to = lost_to;
        sync_change_route(c, claim->fn);
        fn_status_dirty(c, claim->fn, true);
    }
}

static int claim_one(struct core *c, struct fn *f, const struct http_trigger *t, const char *host)
{
    struct claim *claim = &f->claims[f->claim_count];
    struct path *p;
    struct list *at;
    int r = path_make(c, host, t->path, &p);

    if (r == -EINVAL) { /* stored by a version that took it as it stands */
        core_log(c, true, "function %s: path %.200s is no pattern in this version", f->spec->key,
                 t->path);
        return 0;
    }
    if (r < 0)
        return r;
    *claim = (struct claim){.path = p, .fn = f, .trigger = t, .host = host};
    at = p->claims.next;
    while (at != &p->claims && !older(f, list_entry(at, struct claim, link)->fn))
        at = at->next;
    list_add_before(at, &claim->link);
    f->claim_count++;
    settle(c, p);
    return 0;
}

int route_claim(struct core *c, struct fn *f)
{
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < f->spec->trigger_count; i++)
        n += f->spec->triggers[i].host_count ?: 1;
    f->claims = calloc(n ? n : 1, sizeof(*f->claims));
    if (!f->claims)
        return -ENOMEM;
    for (size_t i = 0; i < f->spec->trigger_count && r == 0; i++) {
        const struct http_trigger *t = &f->spec->triggers[i];

        if (!t->host_count)
            r = claim_one(c, f, t, "");
        for (size_t h = 0; h < t->host_count && r == 0; h++)
            r = claim_one(c, f, t, t->hosts[h]);
    }
    return r;
}

void route_unclaim(struct core *c, struct fn *f)
{
    for (size_t i = 0; i < f->claim_count; i++) {
        struct path *p = f->claims[i].path;

        list_del(&f->claims[i].link);
        if (list_empty(&p->claims))
            path_free(c, p, &f->claims[i]);
        else
            settle(c, p);
    }
    free(f->claims);
    f->claims = NULL;
    f->claim_count = 0;
}

/* "/function/NS/NAME..." and "/2015-03-31/functions/[NS:]NAME/invocations" reach a function by its
 * name. */
static struct fn *by_name(struct core *c, const char *path)
{
    char ns[64], name[254], key[320], rest[16];

    if (sscanf(path, "/function/%63[^/]/%253[^/?]", ns, name) == 2) {
        snprintf(key, sizeof(key), "%s/%s", ns, name);
        return fn_find(c, key);
    }
    if (sscanf(path, "/2015-03-31/functions/%63[^:/]:%253[^/]/%15[^/?]", ns, name, rest) == 3 &&
        !strcmp(rest, "invocations")) {
        snprintf(key, sizeof(key), "%s/%s", ns, name);
        return fn_find(c, key);
    }
    if (sscanf(path, "/2015-03-31/functions/%253[^/]/%15[^/?]", name, rest) == 2 &&
        !strcmp(rest, "invocations")) {
        snprintf(key, sizeof(key), "default/%s", name);
        return fn_find(c, key);
    }
    return NULL;
}

static uint32_t methods_of(const struct http_trigger *t)
{
    uint32_t methods = t->method_count ? 0 : ROUTE_METHODS_ALL;

    for (size_t i = 0; i < t->method_count; i++)
        methods |= route_method(str_of(t->methods[i]));
    return methods;
}

int route_resolve(struct core *c, const char *method, const char *host, const char *path,
                  struct fn **ret_fn, struct resolved_route *ret)
{
    struct str sent = {path, strcspn(path, "?")}, canonical;
    char buffer[HTTP_TARGET_MAX];
    uint32_t allow = 0;
    struct route_match m;

    if (sent.n > sizeof(buffer) || route_path_canonical(sent, buffer, &canonical) < 0)
        return -ENOENT;
    if (route_table_match(&c->table, str_of(host), str_of(method), sent, &m) != ROUTE_FOUND) {
        *ret_fn = by_name(c, path);
        return *ret_fn ? 0 : -ENOENT;
    }
    list_for_each(it, &((struct path *)m.value)->claims)
    {
        struct claim *claim = list_entry(it, struct claim, link);

        if (claim->lost_to)
            continue;
        if (takes(claim->trigger, method)) {
            *ret_fn = claim->fn;
            snprintf(ret->name, sizeof(ret->name), "%.32s %s",
                     claim->trigger->method_count ? method : "ANY", claim->trigger->path);
            return 0;
        }
        allow |= methods_of(claim->trigger);
    }
    route_methods_text(allow, ret->allow);
    return *ret->allow ? -EPERM : -ENOENT;
}
