/* epoch_test.c - what is retired lives as long as a reader may look at it, and no longer. */
#include "base/cleanup.h"
#include "base/epoch.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>

struct thing {
    struct epoch_garbage garbage;
    int *released;
};

static void release(struct epoch_garbage *g)
{
    ++*container_of(g, struct thing, garbage)->released;
}

static void retire(struct epoch_domain *d, struct thing *t)
{
    struct epoch_edit e;

    epoch_edit_begin(d, &e);
    epoch_retire(&e, &t->garbage, release);
    epoch_commit(&e);
}

START_TEST(waits_for_readers_that_are_inside)
{
    int first = 0, second = 0, third = 0;
    struct thing a = {.released = &first}, b = {.released = &second}, c = {.released = &third};
    struct epoch_domain d = {0};
    struct epoch_reader early, late;

    epoch_reader_init(&d, &early);
    epoch_reader_init(&d, &late);
    retire(&d, &a); /* nobody is inside */
    ck_assert_int_eq(first, 1);
    epoch_enter(&early);
    retire(&d, &b);
    epoch_enter(&late); /* came after b was gone */
    retire(&d, &c);
    ck_assert_int_eq(second, 0);
    epoch_leave(&early);
    epoch_reclaim(&d);
    ck_assert_int_eq(second, 1);
    ck_assert_int_eq(third, 0);
    ck_assert_uint_eq(d.waiting, 1);
    epoch_leave(&late);
    epoch_reclaim(&d);
    ck_assert_int_eq(third, 1);
    ck_assert_uint_eq(d.waiting, 0);
    epoch_reader_done(&early);
    epoch_reader_done(&late);
    epoch_domain_done(&d);
}
END_TEST

/* ---- several threads read while versions come and go: a freed one would show another number */
enum { READERS = 2, VERSIONS = 20000 };

struct value {
    struct epoch_garbage garbage;
    unsigned a, not_a;
};
struct shared {
    _Atomic(struct value *) current;
    struct epoch_reader readers[READERS];
    _Atomic unsigned bad, looked, next;
    _Atomic int stop;
};

static void value_release(struct epoch_garbage *g)
{
    struct value *v = container_of(g, struct value, garbage);

    v->a = v->not_a = 0;
    free(v);
}

static void *read_on(void *user)
{
    struct shared *s = user;
    struct epoch_reader *r = &s->readers[atomic_fetch_add(&s->next, 1)];

    while (!atomic_load(&s->stop)) {
        epoch_enter(r);
        for (int i = 0; i < 20; i++) {
            const struct value *v = atomic_load(&s->current);

            if (v->a != ~v->not_a)
                atomic_fetch_add(&s->bad, 1);
        }
        atomic_fetch_add(&s->looked, 1);
        epoch_leave(r);
    }
    return NULL;
}

static struct value *value_new(unsigned a)
{
    struct value *v = calloc(1, sizeof(*v));

    v->a = a;
    v->not_a = ~a;
    return v;
}

START_TEST(readers_never_see_what_is_freed)
{
    struct epoch_domain d = {0};
    struct shared s = {0};
    pthread_t threads[READERS];

    atomic_store(&s.current, value_new(1));
    for (int i = 0; i < READERS; i++)
        epoch_reader_init(&d, &s.readers[i]);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &s), 0);
    for (unsigned i = 2; i < VERSIONS || atomic_load(&s.looked) < 1000; i++) {
        struct value *old = atomic_load(&s.current);
        struct epoch_edit e;

        epoch_edit_begin(&d, &e);
        epoch_retire(&e, &old->garbage, value_release);
        atomic_store(&s.current, value_new(i));
        epoch_commit(&e);
        if (i % 64 == 0)
            sched_yield();
    }
    atomic_store(&s.stop, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < READERS; i++) /* whichever thread had it */
        epoch_reader_done(&s.readers[i]);
    ck_assert_uint_eq(atomic_load(&s.bad), 0);
    epoch_reclaim(&d);
    ck_assert_uint_eq(d.waiting, 0);
    epoch_domain_done(&d);
    free(atomic_load(&s.current));
}
END_TEST

UNIT_MAIN("epoch", waits_for_readers_that_are_inside, readers_never_see_what_is_freed)
