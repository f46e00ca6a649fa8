/* letter.c - see the header. Any thread. */
#include "shard/letter.h"
#include "base/list.h"

#include <stdlib.h>

void *letter_new(size_t size)
{
    return calloc(1, size);
}

void *letter_make(size_t size)
{
    void *l = calloc(1, size);

    if (!l)
        abort();
    return l;
}

static void deliver(struct mail *m)
{
    struct letter *l = list_entry(m, struct letter, mail);

    l->fn(l, l->to->closed);
    free(l);
}

void letter_post(struct letterbox *to, struct letter *l, void (*fn)(struct letter *l, bool late))
{
    l->to = to;
    l->fn = fn;
    l->mail.fn = deliver;
    loop_post(to->loop, &l->mail);
}
