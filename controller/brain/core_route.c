/* core_route.c - the table of paths: exact path and method to a function; the oldest function wins
 * a conflict. */
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

static struct path *path_find(struct core *c, const char *text, size_t n)
{
    struct map_node *m = map_get(&c->paths, text, n);

    return m ? map_entry(m, struct path, node) : NULL;
}

static int path_make(struct core *c, const char *text, struct path **ret)
{
    struct path *p = calloc(1, sizeof(*p));

    if (!p || !(p->text = strdup(text)) ||
        map_put(&c->paths, &p->node, p->text, strlen(p->text)) < 0) {
        if (p)
            free(p->text);
        free(p);
        return -ENOMEM;
    }
    list_init(&p->claims);
    *ret = p;
    return 0;
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

int route_claim(struct core *c, struct fn *f)
{
    size_t n = f->spec->trigger_count;

    f->claims = calloc(n ? n : 1, sizeof(*f->claims));
    if (!f->claims)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct http_trigger *t = &f->spec->triggers[i];
        struct claim *claim = &f->claims[f->claim_count];
        struct path *p = path_find(c, t->path, strlen(t->path));
        struct list *at;

        if (!p && path_make(c, t->path, &p) < 0)
            return -ENOMEM;
        *claim = (struct claim){.path = p, .fn = f, .trigger = t};
        at = p->claims.next;
        while (at != &p->claims && !older(f, list_entry(at, struct claim, link)->fn))
            at = at->next;
        list_add_before(at, &claim->link);
        f->claim_count++;
        settle(c, p);
    }
    return 0;
}

void route_unclaim(struct core *c, struct fn *f)
{
    for (size_t i = 0; i < f->claim_count; i++) {
        struct path *p = f->claims[i].path;

        list_del(&f->claims[i].link);
        if (list_empty(&p->claims)) {
            map_del(&c->paths, &p->node);
            free(p->text);
            free(p);
        } else {
            settle(c, p);
        }
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

static void allow_add(char *allow, size_t size, const char *method)
{
    size_t n = strlen(allow);

    for (const char *at = allow; (at = strstr(at, method)); at++)
        if ((at == allow || at[-1] == ' ') && (!at[strlen(method)] || at[strlen(method)] == ','))
            return;
    snprintf(allow + n, size - n, "%s%s", n ? ", " : "", method);
}

int route_resolve(struct core *c, const char *method, const char *path, struct fn **ret,
                  char *allow, size_t size)
{
    struct path *p = path_find(c, path, strcspn(path, "?"));

    *allow = 0;
    if (!p) {
        *ret = by_name(c, path);
        return *ret ? 0 : -ENOENT;
    }
    list_for_each(it, &p->claims)
    {
        struct claim *claim = list_entry(it, struct claim, link);

        if (claim->lost_to)
            continue;
        if (takes(claim->trigger, method)) {
            *ret = claim->fn;
            return 0;
        }
        for (size_t i = 0; i < claim->trigger->method_count; i++)
            allow_add(allow, size, claim->trigger->methods[i]);
    }
    return *allow ? -EPERM : -ENOENT;
}
