/* list.h - intrusive circular doubly linked list.
 *
 * A `struct list` is a head or a link. A link that is on no list points to
 * itself (list_init), so list_del() may be called twice. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_add_before(struct list *at, struct list *link)
{
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}
static inline void list_push_back(struct list *head, struct list *link)
{
    list_add_before(head, link);
}
static inline void list_push_front(struct list *head, struct list *link)
{
    list_add_before(head->next, link);
}
static inline void list_del(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}
/* NULL when empty; the link is taken off. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *l = head->next;

    if (l == head)
        return NULL;
    list_del(l);
    return l;
}

#define list_entry(l, type, member) ((type *)((char *)(l)-offsetof(type, member)))
/* The body may delete the current link. */
#define list_for_each(it, head)                                                                    \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)
