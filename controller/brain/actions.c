#include "brain/actions.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 16 << 10 };
struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(16) char data[];
};

void *actions_alloc(struct actions *a, size_t n)
{
    struct arena_block *b = a->arena;
    void *p;

    n = (n + 15) & ~(size_t)15;
    if (!b || b->size - b->used < n) {
        size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;

        b = malloc(sizeof(*b) + size);
        if (!b)
            abort();
        *b = (struct arena_block){.next = a->arena, .size = size};
        a->arena = b;
    }
    p = b->data + b->used;
    b->used += n;
    return memset(p, 0, n);
}

char *actions_strdup(struct actions *a, const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(actions_alloc(a, n), s, n);
}

char *actions_printf(struct actions *a, const char *fmt, ...)
{
    va_list ap;
    char *s;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    s = actions_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

struct action *actions_add(struct actions *a, enum action_kind kind)
{
    struct action *it = actions_alloc(a, sizeof(*it));

    it->kind = kind;
    if (!a->first)
        a->last = &a->first;
    *a->last = it;
    a->last = &it->next;
    return it;
}

ControllerMessage *actions_send(struct actions *a, uint64_t peer)
{
    struct action *it = actions_add(a, ACTION_SEND);

    it->send.peer = peer;
    it->send.message = actions_alloc(a, sizeof(*it->send.message));
    rouse__control__v1__controller_message__init(it->send.message);
    return it->send.message;
}

void actions_send_too(struct actions *a, uint64_t peer, ControllerMessage *m)
{
    struct action *it = actions_add(a, ACTION_SEND);

    it->send.peer = peer;
    it->send.message = m;
}

void actions_done(struct actions *a)
{
    for (struct action *it = a->first; it; it = it->next)
        if (it->kind == ACTION_PUBLISH)
            function_unref(it->object.owner);
        else if (it->kind == ACTION_PROVIDER)
            pool_spec_unref(it->provider->pool);
    for (struct arena_block *b = a->arena, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct actions){0};
}
