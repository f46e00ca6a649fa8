#include "nodes/nodes.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static char python[] = "python3", name_a[] = "node-a", peer_address[] = "tcp://127.0.0.1:8081",
            empty[] = "";
static Rouse__Control__V1__Resources resources = ROUSE__CONTROL__V1__RESOURCES__INIT;
static Rouse__Control__V1__RuntimeInfo runtime = ROUSE__CONTROL__V1__RUNTIME_INFO__INIT;
static Rouse__Control__V1__RuntimeInfo *runtime_list[] = {&runtime};

static Rouse__Control__V1__Hello hello(void)
{
    Rouse__Control__V1__Hello h = ROUSE__CONTROL__V1__HELLO__INIT;

    resources.memory = 1 << 30;
    resources.cpu = 2000;
    runtime.name = python;
    h.protocol = 1;
    h.node = name_a;
    h.incarnation = 7;
    h.peer_address = peer_address;
    h.allocatable = &resources;
    h.runtimes = runtime_list;
    h.n_runtimes = 1;
    return h;
}

START_TEST(a_life)
{
    Rouse__Control__V1__Hello h = hello();
    struct nodes *t;
    struct node *n, *again;
    uint64_t replaced;
    const char *why;

    ck_assert_int_eq(nodes_new(&t), 0);
    ck_assert_int_eq(nodes_hello(t, 11, &h, 5, &n, &replaced, &why), 0);
    ck_assert_uint_eq(replaced, 0);
    ck_assert_ptr_eq(nodes_of_peer(t, 11), n);
    ck_assert_ptr_eq(nodes_find(t, "node-a"), n);
    ck_assert_int_eq(n->state, NODE_READY);
    ck_assert(node_has_runtime(n, "python3"));
    ck_assert(!node_has_runtime(n, "nodejs"));
    /* A second channel with the same name wins. */
    ck_assert_int_eq(nodes_hello(t, 12, &h, 6, &again, &replaced, &why), 0);
    ck_assert_ptr_eq(again, n);
    ck_assert_uint_eq(replaced, 11);
    ck_assert_ptr_null(nodes_of_peer(t, 11));
    nodes_closed(t, n, 7);
    ck_assert_int_eq(n->state, NODE_NOT_READY);
    nodes_lost(n, 8);
    ck_assert_str_eq(node_state_name(n->state), "Lost");
    ck_assert_int_eq(nodes_hello(t, 13, &h, 9, &again, &replaced, &why), 0);
    ck_assert_uint_eq(replaced, 0);
    ck_assert_int_eq(n->state, NODE_READY);
    nodes_closed(t, n, 10);
    nodes_forget(t, n);
    ck_assert_uint_eq(nodes_count(t), 0);
    ck_assert_ptr_null(nodes_find(t, "node-a"));
    nodes_free(t);
}
END_TEST

START_TEST(refused)
{
    struct nodes *t;
    struct node *n;
    uint64_t replaced;
    static char upper[] = "Node", spaces[] = "a b", longer[66];
    char *names[] = {empty, upper, spaces, longer};
    const char *why = NULL;

    memset(longer, 'a', 64);
    ck_assert_int_eq(nodes_new(&t), 0);
    for (size_t i = 0; i < 4; i++) {
        Rouse__Control__V1__Hello h = hello();

        h.node = names[i];
        ck_assert_int_eq(nodes_hello(t, 1, &h, 1, &n, &replaced, &why), -EINVAL);
        ck_assert_ptr_nonnull(strstr(why, "name"));
    }
    for (int i = 0; i < 4; i++) {
        Rouse__Control__V1__Hello h = hello();

        if (i == 0)
            h.protocol = 2;
        else if (i == 1)
            h.incarnation = 0;
        else if (i == 2)
            h.allocatable = NULL;
        else
            h.peer_address = empty;
        ck_assert_msg(nodes_hello(t, 1, &h, 1, &n, &replaced, &why) == -EINVAL, "%d", i);
    }
    ck_assert_uint_eq(nodes_count(t), 0);
    nodes_free(t);
}
END_TEST

START_TEST(labels_and_taints)
{
    static char zone[] = "zone", disk[] = "disk", a[] = "a", bad[] = "no label",
                arch[] = "kubernetes.io/arch";
    Rouse__Control__V1__Hello__LabelsEntry l[2], *labels[] = {&l[0], &l[1]};
    Rouse__Control__V1__Taint t = ROUSE__CONTROL__V1__TAINT__INIT, *taints[] = {&t};
    Rouse__Control__V1__Hello h = hello();
    struct nodes *all;
    struct node *n;
    uint64_t replaced;
    const char *why;

    rouse__control__v1__hello__labels_entry__init(&l[0]);
    l[1] = l[0];
    l[0].key = zone;
    l[1].key = disk;
    l[0].value = l[1].value = a;
    t.key = zone;
    h.labels = labels;
    h.n_labels = 2;
    h.taints = taints;
    h.n_taints = 1;
    ck_assert_int_eq(nodes_new(&all), 0);
    ck_assert_int_eq(nodes_hello(all, 1, &h, 1, &n, &replaced, &why), 0);
    ck_assert_str_eq(node_traits_label(&n->traits, "zone"), "a");
    ck_assert_str_eq(node_traits_label(&n->traits, "disk"), "a");
    ck_assert_uint_eq(n->traits.taint_count, 1);
    l[0].key = bad;
    ck_assert_int_eq(nodes_hello(all, 2, &h, 1, &n, &replaced, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "key"));
    l[0].key = arch;
    ck_assert_int_eq(nodes_hello(all, 2, &h, 1, &n, &replaced, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "platform"));
    l[0].key = zone;
    t.value = bad;
    ck_assert_int_eq(nodes_hello(all, 2, &h, 1, &n, &replaced, &why), -EINVAL);
    nodes_free(all);
}
END_TEST

/* What the scheduler is told follows what is reserved, cordoned and connected. */
START_TEST(open_to_the_scheduler)
{
    const struct placement_request q = {.memory = 1 << 29, .cpu = 1, .demand = {.runtime = python}};
    Rouse__Control__V1__Hello h = hello();
    struct placement_node *to;
    struct nodes *t;
    struct node *n;
    uint64_t replaced;
    const char *why;

    ck_assert_int_eq(nodes_new(&t), 0);
    ck_assert_int_eq(nodes_hello(t, 1, &h, 1, &n, &replaced, &why), 0);
    ck_assert_uint_eq(nodes_in_state(t, NODE_READY), 1);
    ck_assert_int_eq(placement_find(nodes_index(t), &q, &to), 0);
    ck_assert_ptr_eq(node_of_place(to), n);
    node_reserve(n, (1 << 29) + 1, 0);
    ck_assert_int_eq(placement_find(nodes_index(t), &q, &to), -ENOSPC);
    node_release(n, (1 << 29) + 1, 0);
    n->cordoned = NODE_HELD_BY_USER;
    node_moved(n);
    ck_assert_int_eq(placement_find(nodes_index(t), &q, &to), -ENOENT);
    n->cordoned = 0;
    node_moved(n);
    ck_assert_int_eq(placement_find(nodes_index(t), &q, &to), 0);
    nodes_closed(t, n, 2);
    ck_assert_int_eq(placement_find(nodes_index(t), &q, &to), -ENOENT);
    ck_assert_uint_eq(nodes_in_state(t, NODE_NOT_READY), 1);
    nodes_lost(n, 3);
    nodes_forget(t, n);
    ck_assert_uint_eq(placement_classes(nodes_index(t)), 0);
    nodes_free(t);
}
END_TEST

START_TEST(once_a_channel)
{
    Rouse__Control__V1__Hello h = hello();
    struct nodes *t;
    struct node *n;
    uint64_t replaced;
    const char *why;

    ck_assert_int_eq(nodes_new(&t), 0);
    ck_assert_int_eq(nodes_hello(t, 1, &h, 1, &n, &replaced, &why), 0);
    ck_assert_int_eq(nodes_hello(t, 1, &h, 1, &n, &replaced, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "once"));
    nodes_free(t);
}
END_TEST

START_TEST(what_is_removed)
{
    Rouse__Control__V1__Hello h = hello();
    struct nodes *t;
    struct node *n;
    uint64_t replaced;
    const char *why;

    ck_assert_int_eq(nodes_new(&t), 0);
    ck_assert_int_eq(nodes_hello(t, 1, &h, 1, &n, &replaced, &why), 0);
    ck_assert_int_eq(node_removed(n, "i1"), 0);
    ck_assert_int_eq(node_removed(n, "i2"), 0);
    ck_assert_uint_eq(n->removed_count, 2);
    ck_assert_str_eq(n->removed[1], "i2");
    node_removed_clear(n);
    ck_assert_uint_eq(n->removed_count, 0);
    node_reserve(n, 10, 2);
    node_reserve(n, 5, 1);
    node_release(n, 10, 2);
    ck_assert_uint_eq(n->reserved_memory, 5);
    ck_assert_uint_eq(n->reserved_cpu, 1);
    nodes_free(t);
}
END_TEST

UNIT_MAIN("nodes", a_life, refused, labels_and_taints, open_to_the_scheduler, once_a_channel,
          what_is_removed)
