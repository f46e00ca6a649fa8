/* notes.h - what happened to objects, for people: Kubernetes' Events. They are called notes here,
 * since an event is what comes to the core.
 *
 * In memory, of the last hour: at most NOTES_MAX, of one object NOTES_PER_OBJECT, the oldest go.
 * What happens again is counted, as Kubernetes does. A note is immutable and reference counted: any
 * thread may hold one. The collection belongs to the brain's thread and has no clock of its own. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOTES_MAX = 10000, NOTES_PER_OBJECT = 32, NOTE_SECONDS = 3600, NOTE_MESSAGE_MAX = 1024 };

struct note {
    _Atomic unsigned refs;
    uint64_t rv, first_rv; /* that of when it happened first */
    char uid[37], object_uid[37];
    bool warning;
    const char *kind, *reason; /* static: "Function"; CamelCase */
    const char *ns, *name;     /* of the object; ns "": it has none */
    const char *message;
    uint64_t first_s, last_s; /* epoch */
    uint32_t count;
};
struct note *note_ref(struct note *n);
struct note *note_unref(struct note *n); /* NULL is a no-op */

struct notes;
int notes_new(uint64_t rv, struct notes **ret); /* the first one's is rv + 1 */
struct notes *notes_free(struct notes *s);      /* NULL is a no-op */

struct note_of { /* as in struct note; the texts are copied but for kind and reason */
    const char *kind, *ns, *name, *object_uid;
    bool warning;
    const char *reason, *message;
};
/* A longer message is cut. -ENOMEM: it is not noted. */
int notes_add(struct notes *s, const struct note_of *of, uint64_t now_s);
/* Those after `rv` of the namespace (NULL or "": of all), the oldest first, and the latest rv. If they
 * are more than `most` (0: no limit), the first so many and the last one's rv: the next ones are after it.
 * An object without a namespace has its notes in "default". The caller gives the references back
 * and frees the array. -ENOMEM. */
int notes_since(struct notes *s, const char *ns, uint64_t rv, size_t most, uint64_t now_s,
                struct note ***ret, size_t *ret_count, uint64_t *ret_rv);
/* Where it is listed. */
static inline const char *note_namespace(const struct note *n)
{
    return *n->ns ? n->ns : "default";
}
