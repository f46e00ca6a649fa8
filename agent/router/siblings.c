/* siblings.c - see the header. Any thread. */
#include "router/siblings.h"

int siblings_owner(const struct siblings *s, uint64_t slot)
{
    unsigned owner = loop_of_id(slot);

    return s && slot && owner < s->count && owner != s->self ? (int)owner : -1;
}

int siblings_free(const struct siblings *s, const char *function_key, const char *revision,
                  unsigned from)
{
    unsigned place;

    if (!s)
        return -1;
    place = slot_hint_place(function_key, revision);
    for (unsigned i = 0; i < s->count; i++) {
        unsigned at = (from + i) % s->count;

        if (at != s->self && slot_hint_get(s->hints[at], place))
            return (int)at;
    }
    return -1;
}
