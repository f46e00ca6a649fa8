/* core_note.c - what happened to functions, nodes and pools, in a sentence each: Kubernetes' Events.
 *
 * Only what a person would want to be told of, and once: a number that changes many times within a
 * tick is one note. */
#include "brain/core_internal.h"

#include <stdarg.h>
#include <stdio.h>

struct what {
    enum object_kind kind;
    const char *key, *reason;
    bool warning;
};

static void note(struct core *c, const struct what *w, const char *fmt, va_list ap)
{
    struct action *a = actions_add(c->out, ACTION_NOTE);
    char text[NOTE_TEXT], clean[NOTE_TEXT];

    vsnprintf(text, sizeof(text), fmt, ap);
    copy_text(clean, sizeof(clean), text); /* what was cut may end within a character */
    a->note.kind = w->kind;
    a->note.key = actions_strdup(c->out, w->key);
    a->note.reason = w->reason;
    a->note.warning = w->warning;
    a->note.message = actions_strdup(c->out, clean);
}

void note_fn(struct core *c, const struct fn *f, bool warning, const char *reason, const char *fmt,
             ...)
{
    va_list ap;

    if (f->gone)
        return;
    va_start(ap, fmt);
    note(c, &(struct what){KIND_FUNCTION, f->spec->key, reason, warning}, fmt, ap);
    va_end(ap);
}

void note_node(struct core *c, const struct node *n, bool warning, const char *reason,
               const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(c, &(struct what){KIND_NODE, n->name, reason, warning}, fmt, ap);
    va_end(ap);
}

void note_pool(struct core *c, const char *pool, bool warning, const char *reason, const char *fmt,
               ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(c, &(struct what){KIND_NODE_POOL, pool, reason, warning}, fmt, ap);
    va_end(ap);
}

void note_scaled(struct core *c, struct fn *f)
{
    if (f->requested == f->noted)
        return;
    note_fn(c, f, false, f->requested > f->noted ? "ScaledUp" : "ScaledDown",
            "from %u to %u instances: %s", f->noted, f->requested, autoscaler_reason_name(f->why));
    f->noted = f->requested;
}
