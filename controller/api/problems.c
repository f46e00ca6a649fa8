/* problems.c - bounded lists of field errors. */
#include "api/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void problems_add(struct problems *p, const char *reason, const char *field, const char *fmt, ...)
{
    struct problem *x;
    va_list ap;

    if (p->count == PROBLEMS_MAX) {
        p->dropped++;
        return;
    }
    x = &p->items[p->count];
    x->field = strdup(field);
    va_start(ap, fmt);
    if (vasprintf(&x->message, fmt, ap) < 0)
        x->message = NULL;
    va_end(ap);
    if (!x->field || !x->message)
        abort(); /* a bounded text; to lose it would let the object pass */
    x->reason = reason;
    p->count++;
}

void problems_done(struct problems *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].field);
        free(p->items[i].message);
    }
    *p = (struct problems){0};
}

void field_list_add(struct field_list *l, const char *field)
{
    char *copy = l->count < PROBLEMS_MAX ? strdup(field) : NULL;

    if (copy)
        l->items[l->count++] = copy;
    else
        l->dropped++;
}

void field_list_done(struct field_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i]);
    *l = (struct field_list){0};
}
