/* letter.h - work that one loop of the agent posts to another, with copies of all it needs.
 *
 * Delivered on the receiver's thread, in the order of each sender, and freed
 * after. A letter that comes when the receiver's parts are gone is delivered as
 * `late`, for what it holds to be given back: all are delivered. */
#pragma once
#include "reactor/loop.h"

struct letterbox {
    struct loop *loop;
    bool closed; /* the receiver's thread */
};
struct letter { /* the first member of what is sent */
    struct mail mail;
    struct letterbox *to;
    void (*fn)(struct letter *l, bool late);
};

void *letter_new(size_t size);  /* zeroed; NULL: no memory, for sizes that others choose */
void *letter_make(size_t size); /* zeroed, of a fixed size: aborts without memory */
void letter_post(struct letterbox *to, struct letter *l, void (*fn)(struct letter *l, bool late));
