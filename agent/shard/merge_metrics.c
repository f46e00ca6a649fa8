/* merge_metrics.c - see the header. A line "name{labels} value" is known by all but its value. */
#include "shard/merge_metrics.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct family {
    struct map_node node; /* by name */
    struct list link, samples;
    struct buffer head; /* its comments */
    bool of_whole;
    char name[];
};
struct sample {
    struct map_node node; /* by head */
    struct list link;
    double value;
    char head[];
};
struct merge {
    struct map families, samples;
    struct list order;
    struct family *current;
    bool known; /* an earlier text had it: its comments too */
};

static bool says_of_whole(const char *name)
{
    static const char *const names[] = {
        "rouse_gateway_controller_connected",
        "rouse_gateway_functions",
        "rouse_gateway_paths",
        "rouse_gateway_endpoints",
        "rouse_gateway_routes_refused",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return !strncmp(name, "process_", 8);
}

static int family_enter(struct merge *m, const char *name, size_t n)
{
    struct map_node *had = map_get(&m->families, name, n);
    struct family *f = had ? map_entry(had, struct family, node) : calloc(1, sizeof(*f) + n + 1);

    if (!f)
        return -ENOMEM;
    m->current = f;
    m->known = had != NULL;
    if (had)
        return 0;
    memcpy(f->name, name, n);
    f->of_whole = says_of_whole(f->name);
    list_init(&f->samples);
    list_push_back(&m->order, &f->link);
    return map_put(&m->families, &f->node, f->name, n);
}

/* "# HELP name ..." and "# TYPE name ...": of a family, once. */
static int take_comment(struct merge *m, const char *line, size_t n)
{
    const char *name = memchr(line + 2, ' ', n - 2), *end;
    bool help = n > 7 && !memcmp(line, "# HELP ", 7);
    int r = 0;

    if (!name)
        return 0;
    name++;
    end = memchr(name, ' ', n - (size_t)(name - line));
    if (!end)
        return 0;
    if (help || !m->current)
        r = family_enter(m, name, (size_t)(end - name));
    if (r < 0 || m->known)
        return r;
    r = buffer_append(&m->current->head, line, n);
    return r < 0 ? r : buffer_puts(&m->current->head, "\n");
}

static int take_sample(struct merge *m, const char *line, size_t n)
{
    const char *space = memrchr(line, ' ', n);
    size_t head = space ? (size_t)(space - line) : 0;
    double value = space ? strtod(space + 1, NULL) : 0;
    struct map_node *had = map_get(&m->samples, line, head);
    struct sample *s = had ? map_entry(had, struct sample, node) : NULL;

    if (!head || !m->current)
        return 0;
    if (s && m->current->of_whole)
        s->value = value > s->value ? value : s->value;
    else if (s)
        s->value += value;
    if (s)
        return 0;
    s = calloc(1, sizeof(*s) + head + 1);
    if (!s)
        return -ENOMEM;
    memcpy(s->head, line, head);
    s->value = value;
    list_push_back(&m->current->samples, &s->link);
    return map_put(&m->samples, &s->node, s->head, head);
}

static int take_text(struct merge *m, const char *text, size_t n)
{
    int r = 0;

    m->current = NULL;
    while (n && r == 0) {
        const char *end = memchr(text, '\n', n);
        size_t line = end ? (size_t)(end - text) : n;

        if (line > 2 && text[0] == '#')
            r = take_comment(m, text, line);
        else if (line)
            r = take_sample(m, text, line);
        text += line + (end != NULL);
        n -= line + (end != NULL);
    }
    return r;
}

static void free_all(struct merge *m)
{
    struct list *l, *k;

    while ((l = list_pop_front(&m->order))) {
        struct family *f = list_entry(l, struct family, link);

        while ((k = list_pop_front(&f->samples)))
            free(list_entry(k, struct sample, link));
        buffer_done(&f->head);
        free(f);
    }
    map_done(&m->families);
    map_done(&m->samples);
}

static int print(struct buffer *out, const struct merge *m)
{
    int r = 0;

    list_for_each(it, &m->order)
    {
        const struct family *f = list_entry(it, struct family, link);

        if (r == 0 && buffer_size(&f->head))
            r = buffer_append(out, buffer_bytes(&f->head), buffer_size(&f->head));
        list_for_each(at, &f->samples)
        {
            const struct sample *s = list_entry(at, struct sample, link);

            if (r == 0)
                r = buffer_printf(out, "%s %.15g\n", s->head, s->value);
        }
    }
    return r;
}

int merge_metrics(struct buffer *out, const struct buffer *const *texts, unsigned count)
{
    struct merge m = {0};
    int r = 0;

    list_init(&m.order);
    for (unsigned i = 0; r == 0 && i < count; i++)
        if (buffer_size(texts[i]))
            r = take_text(&m, (const char *)buffer_bytes(texts[i]), buffer_size(texts[i]));
    if (r == 0)
        r = print(out, &m);
    free_all(&m);
    return r;
}
