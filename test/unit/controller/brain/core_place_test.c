/* Where instances go: labels, taints, names, the policy; and what is said when they go nowhere. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

static struct function *placed(const char *key, uint32_t min)
{
    struct function *f = make_function(key, "r1");

    f->scaling.min = min;
    return f;
}

static void select_label(struct function *f, const char *key, const char *value)
{
    f->placement.selector = calloc(1, sizeof(*f->placement.selector));
    f->placement.selector_count = 1;
    f->placement.selector[0] = (struct trait){strdup(key), strdup(value)};
}

static void tolerate(struct function *f, const char *key, const char *value)
{
    f->placement.tolerations = calloc(1, sizeof(*f->placement.tolerations));
    f->placement.toleration_count = 1;
    f->placement.tolerations[0] = (struct toleration){strdup(key), strdup(value), !*value};
}

static struct agent *join_with(int at, const char *label, const char *taint)
{
    w->agents[at].label[0] = label;
    w->agents[at].label[1] = "yes";
    w->agents[at].taint[0] = taint;
    w->agents[at].taint[1] = "yes";
    return join(w, at, 4096 * MI);
}

START_TEST(labels)
{
    struct agent *a, *b;
    struct function *f = placed(KEY, 3);

    world_init(w, NULL);
    a = join_with(0, NULL, NULL);
    b = join_with(1, "ssd", NULL);
    select_label(f, "ssd", "yes");
    apply(w, NULL, f);
    ck_assert_uint_eq(a->count, 0);
    ck_assert_uint_eq(b->count, 3);
    world_done(w);
}
END_TEST

START_TEST(taints)
{
    struct agent *a, *b;
    struct function *f = placed("default/tolerant", 4);

    world_init(w, NULL);
    a = join_with(0, NULL, NULL);
    b = join_with(1, NULL, "gpu");
    apply(w, NULL, placed(KEY, 4));
    ck_assert_uint_eq(a->count, 4);
    ck_assert_uint_eq(b->count, 0);
    tolerate(f, "gpu", "");
    apply(w, NULL, f);
    ck_assert_uint_eq(a->count + b->count, 8);
    ck_assert_uint_gt(b->count, 0);
    world_done(w);
}
END_TEST

START_TEST(a_node_by_its_name)
{
    struct agent *a, *b;
    struct function *f = placed(KEY, 3), *g = placed("default/nowhere", 1);

    world_init(w, NULL);
    a = join_with(0, NULL, NULL);
    b = join_with(1, NULL, NULL);
    select_label(f, "kubernetes.io/hostname", "node-1");
    apply(w, NULL, f);
    ck_assert_uint_eq(a->count, 0);
    ck_assert_uint_eq(b->count, 3);
    select_label(g, "rouse.dev/node", "node-7");
    apply(w, NULL, g);
    ck_assert_uint_eq(a->count + b->count, 3);
    world_done(w);
}
END_TEST

START_TEST(nowhere)
{
    struct agent *a;
    struct function *f = placed(KEY, 0);
    uint64_t t;

    world_init(w, NULL);
    a = join_with(0, NULL, NULL);
    select_label(f, "ssd", "yes");
    apply(w, NULL, f);
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(answer_of(w, t)->status, 503);
    ck_assert_str_eq(answer_of(w, t)->reason, "NoCapacity");
    ck_assert_ptr_nonnull(strstr(answer_of(w, t)->message, "spec.placement"));
    join_with(1, "ssd", NULL);
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(w->agents[1].count, 1);
    world_done(w);
}
END_TEST

START_TEST(policies)
{
    struct agent *a, *b;
    struct function *f = placed("default/packed", 4);

    world_init(w, NULL);
    a = join_with(0, NULL, NULL);
    b = join_with(1, NULL, NULL);
    apply(w, NULL, placed(KEY, 6));
    ck_assert_uint_eq(a->count, 3);
    ck_assert_uint_eq(b->count, 3);
    f->placement.pack = true;
    apply(w, NULL, f);
    ck_assert(a->count == 7 || b->count == 7);
    world_done(w);
}
END_TEST

/* What a node got by then is counted: an index that did not follow would fill one node alone. */
START_TEST(as_full_as_they_are)
{
    struct function *f = placed(KEY, 80);

    world_init(w, NULL);
    for (int i = 0; i < 4; i++)
        join(w, i, 1280 * MI); /* 10 each */
    f->scaling.max = 100;
    apply(w, NULL, f);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(w->agents[i].count, 10);
    ck_assert_uint_eq(counts(w, KEY).instances, 40);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_place", labels, taints, a_node_by_its_name, nowhere, policies, as_full_as_they_are)
