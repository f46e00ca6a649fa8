#include "brain/notes.h"

#include "base/list.h"
#include "base/map.h"
#include "base/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct subject { /* an object that something happened to */
    struct map_node node;
    struct list items; /* the one that was heard of last is last */
    size_t count;
    char key[];
};
struct item { /* the place of a note, which is another one each time that it happens again */
    struct list link, all_link;
    struct subject *subject;
    struct note *note;
};
struct notes {
    struct map subjects;
    struct list all; /* as subject.items */
    size_t count;
    uint64_t rv;
};

struct note *note_ref(struct note *n)
{
    atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    return n;
}

struct note *note_unref(struct note *n)
{
    if (n && atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) == 1)
        free(n);
    return NULL;
}

int notes_new(uint64_t rv, struct notes **ret)
{
    struct notes *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    list_init(&s->all);
    s->rv = rv;
    *ret = s;
    return 0;
}

static void drop(struct notes *s, struct item *i)
{
    struct subject *of = i->subject;

    list_del(&i->link);
    list_del(&i->all_link);
    s->count--;
    if (!--of->count) {
        map_del(&s->subjects, &of->node);
        free(of);
    }
    note_unref(i->note);
    free(i);
}

static struct note *note_at(const struct list *all_link)
{
    return list_entry(all_link, struct item, all_link)->note;
}

static struct item *oldest(struct notes *s)
{
    return list_entry(s->all.next, struct item, all_link);
}

static void expire(struct notes *s, uint64_t now_s)
{
    while (s->count && oldest(s)->note->last_s + NOTE_SECONDS < now_s)
        drop(s, oldest(s));
}

struct notes *notes_free(struct notes *s)
{
    if (!s)
        return NULL;
    while (s->count)
        drop(s, oldest(s));
    map_done(&s->subjects);
    free(s);
    return NULL;
}

/* ---- one */

static int note_new(const struct note_of *of, struct note **ret)
{
    size_t ns = strlen(of->ns) + 1, name = strlen(of->name) + 1;
    size_t message = strnlen(of->message, NOTE_MESSAGE_MAX);
    struct note *n = calloc(1, sizeof(*n) + ns + name + message + 1);
    char *text = (char *)(n + 1);

    if (!n)
        return -ENOMEM;
    *n = (struct note){.refs = 1,
                       .warning = of->warning,
                       .kind = of->kind,
                       .reason = of->reason,
                       .ns = memcpy(text, of->ns, ns),
                       .name = memcpy(text + ns, of->name, name),
                       .message = memcpy(text + ns + name, of->message, message)};
    snprintf(n->object_uid, sizeof(n->object_uid), "%s", of->object_uid);
    random_uuid(n->uid);
    *ret = n;
    return 0;
}

static struct subject *subject_of(struct notes *s, const struct note_of *of)
{
    char key[400];
    size_t n = (size_t)snprintf(key, sizeof(key), "%s/%s/%s/%s", of->kind, of->ns, of->name,
                                of->object_uid);
    struct map_node *m = map_get_str(&s->subjects, key);
    struct subject *to;

    if (m)
        return map_entry(m, struct subject, node);
    if (n >= sizeof(key))
        return NULL;
    to = calloc(1, sizeof(*to) + n + 1);
    if (!to)
        return NULL;
    memcpy(to->key, key, n + 1);
    list_init(&to->items);
    if (map_put(&s->subjects, &to->node, to->key, n) < 0) {
        free(to);
        return NULL;
    }
    return to;
}

static struct item *same(const struct subject *of, const struct note *n)
{
    list_for_each(it, (struct list *)&of->items)
    {
        struct item *i = list_entry(it, struct item, link);

        if (!strcmp(i->note->reason, n->reason) && !strcmp(i->note->message, n->message))
            return i;
    }
    return NULL;
}

static void make_room(struct notes *s, struct subject *of)
{
    of->count++; /* it stays, whatever of it goes */
    if (of->count > NOTES_PER_OBJECT)
        drop(s, list_entry(of->items.next, struct item, link));
    else if (s->count >= NOTES_MAX)
        drop(s, oldest(s));
}

int notes_add(struct notes *s, const struct note_of *of, uint64_t now_s)
{
    struct subject *to;
    struct item *i;
    struct note *n;

    expire(s, now_s);
    if (note_new(of, &n) < 0)
        return -ENOMEM;
    to = subject_of(s, of);
    if (!to) {
        note_unref(n);
        return -ENOMEM;
    }
    n->rv = n->first_rv = ++s->rv;
    n->first_s = n->last_s = now_s;
    n->count = 1;
    i = same(to, n);
    if (i) {
        n->first_s = i->note->first_s;
        n->first_rv = i->note->first_rv;
        n->count += i->note->count;
        memcpy(n->uid, i->note->uid, sizeof(n->uid));
        list_del(&i->link);
        list_del(&i->all_link);
        note_unref(i->note);
    } else {
        i = calloc(1, sizeof(*i));
        if (!i)
            abort(); /* a small fixed size; the object is in the map already */
        make_room(s, to);
        i->subject = to;
        s->count++;
    }
    i->note = n;
    list_push_back(&to->items, &i->link);
    list_push_back(&s->all, &i->all_link);
    return 0;
}

/* From the end: whoever watches asks again and again, and mostly for the last few. */
int notes_since(struct notes *s, const char *ns, uint64_t rv, size_t most, uint64_t now_s,
                struct note ***ret, size_t *ret_count, uint64_t *ret_rv)
{
    struct list *from = &s->all;
    struct note **all;
    size_t later = 0, n = 0;

    expire(s, now_s);
    for (; from->prev != &s->all && note_at(from->prev)->rv > rv; later++)
        from = from->prev;
    if (!most || most > later)
        most = later;
    all = calloc(most + 1, sizeof(struct note *));
    if (!all)
        return -ENOMEM;
    for (; from != &s->all && n < most; from = from->next) {
        struct note *x = note_at(from);

        if (!ns || !*ns || !strcmp(ns, note_namespace(x)))
            all[n++] = note_ref(x);
    }
    *ret = all;
    *ret_count = n;
    *ret_rv = from == &s->all ? s->rv : note_at(from->prev)->rv;
    return 0;
}
