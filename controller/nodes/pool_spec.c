#include "nodes/pool_spec.h"

#include <stdatomic.h>
#include <stdlib.h>

struct pool_spec *pool_spec_ref(struct pool_spec *s)
{
    if (s)
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

struct pool_spec *pool_spec_unref(struct pool_spec *s)
{
    struct pool_template *t = s ? &s->template : NULL;

    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (size_t i = 0; i < t->label_count; i++) {
        free(t->labels[i].key);
        free(t->labels[i].value);
    }
    for (size_t i = 0; i < t->taint_count; i++) {
        free(t->taints[i].key);
        free(t->taints[i].value);
    }
    free(t->labels);
    free(t->taints);
    free(t->architecture);
    free(s->template_json);
    free(s);
    return NULL;
}
