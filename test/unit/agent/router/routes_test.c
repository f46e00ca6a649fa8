/* routes_test.c - the route table: whole and delta messages, paths and methods, endpoints, many routes. */
#include "router/routes.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

typedef Rouse__Control__V1__Routes Routes;
typedef Rouse__Control__V1__Route Route;
typedef Rouse__Control__V1__Endpoint Endpoint;
typedef Rouse__Control__V1__Epoch Epoch;
typedef Rouse__Control__V1__HttpTrigger HttpTrigger;

/* One route with one trigger; methods: NULL or one. */
struct one_route {
    Route route;
    HttpTrigger trigger;
    HttpTrigger *triggers[1];
    char *methods[1];
};

static Route *make_route(struct one_route *o, const char *key, const char *revision,
                         const char *path, const char *method)
{
    rouse__control__v1__route__init(&o->route);
    rouse__control__v1__http_trigger__init(&o->trigger);
    o->route.function_key = (char *)key;
    o->route.revision = (char *)revision;
    o->route.timeout_ms = 3000;
    o->route.body_limit = 100;
    o->trigger.path = (char *)path;
    o->methods[0] = (char *)method;
    o->trigger.methods = o->methods;
    o->trigger.n_methods = method ? 1 : 0;
    o->triggers[0] = &o->trigger;
    o->route.triggers = o->triggers;
    o->route.n_triggers = path ? 1 : 0;
    return &o->route;
}

static Endpoint make_endpoint(const char *instance, const char *key, const char *revision,
                              const char *node)
{
    Endpoint e = ROUSE__CONTROL__V1__ENDPOINT__INIT;

    e.instance = (char *)instance;
    e.function_key = (char *)key;
    e.revision = (char *)revision;
    e.node = (char *)node;
    e.peer_address = (char *)"tcp://127.0.0.1:1";
    e.slots = 1;
    return e;
}

static Epoch epoch_of(uint64_t incarnation, uint64_t sequence)
{
    Epoch e = ROUSE__CONTROL__V1__EPOCH__INIT;

    e.incarnation = incarnation;
    e.sequence = sequence;
    return e;
}

static int apply(struct routes *r, Epoch *since, uint64_t sequence, Route **routes, size_t n_routes,
                 Endpoint **endpoints, size_t n_endpoints)
{
    Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;
    Epoch epoch = epoch_of(7, sequence);

    m.epoch = &epoch;
    m.since = since;
    m.routes = routes;
    m.n_routes = n_routes;
    m.endpoints = endpoints;
    m.n_endpoints = n_endpoints;
    return routes_apply(r, &m);
}

static enum route_found match(const struct routes *r, const char *method, const char *path,
                              const struct route **ret)
{
    struct routes_match m;
    enum route_found found = routes_match(routes_now(r), STR("h"), str_of(method), str_of(path), &m);

    if (found == ROUTE_FOUND)
        *ret = m.route;
    return found;
}

START_TEST(whole_replaces_everything)
{
    struct one_route a, b;
    const struct route *found = NULL;
    struct routes *r;
    uint64_t incarnation, sequence;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert(!routes_epoch(r, &incarnation, &sequence));
    ck_assert_int_eq(
        apply(r, NULL, 1, (Route *[]){make_route(&a, "default/a", "r1", "/a", NULL)}, 1, NULL, 0), 0);
    ck_assert_int_eq(match(r, "GET", "/a", &found), ROUTE_FOUND);
    ck_assert_str_eq(found->function_key, "default/a");
    ck_assert_uint_eq(found->timeout_ms, 3000);
    ck_assert_int_eq(
        apply(r, NULL, 2, (Route *[]){make_route(&b, "default/b", "r1", "/b", NULL)}, 1, NULL, 0), 0);
    ck_assert_int_eq(match(r, "GET", "/a", &found), ROUTE_UNKNOWN);
    ck_assert_ptr_null(routes_get(routes_now(r), "default/a"));
    ck_assert_int_eq(match(r, "GET", "/b", &found), ROUTE_FOUND);
    ck_assert(routes_epoch(r, &incarnation, &sequence));
    ck_assert_uint_eq(incarnation, 7);
    ck_assert_uint_eq(sequence, 2);
    routes_free(r);
}
END_TEST

START_TEST(methods_are_exact)
{
    struct one_route get, post;
    const struct route *found = NULL;
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert_int_eq(apply(r, NULL, 1,
                           (Route *[]){make_route(&get, "default/get", "r1", "/x", "GET"),
                                       make_route(&post, "default/post", "r1", "/x", "POST")},
                           2, NULL, 0),
                     0);
    ck_assert_int_eq(match(r, "GET", "/x", &found), ROUTE_FOUND);
    ck_assert_str_eq(found->function_key, "default/get");
    ck_assert_int_eq(match(r, "POST", "/x", &found), ROUTE_FOUND);
    ck_assert_str_eq(found->function_key, "default/post");
    ck_assert_int_eq(match(r, "PUT", "/x", &found), ROUTE_WRONG_METHOD);
    ck_assert_int_eq(match(r, "get", "/x", &found), ROUTE_WRONG_METHOD);
    ck_assert_int_eq(match(r, "GET", "/x/", &found), ROUTE_UNKNOWN);
    ck_assert_int_eq(match(r, "GET", "", &found), ROUTE_UNKNOWN);
    routes_free(r);
}
END_TEST

START_TEST(delta_changes_what_it_names)
{
    struct one_route a, b, a2;
    const struct route *found = NULL;
    Epoch since = epoch_of(7, 1);
    Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;
    Epoch third = epoch_of(7, 3), second = epoch_of(7, 2);
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert_int_eq(apply(r, NULL, 1,
                           (Route *[]){make_route(&a, "default/a", "r1", "/a", NULL),
                                       make_route(&b, "default/b", "r1", "/b", NULL)},
                           2, NULL, 0),
                     0);
    /* a moves to another path and revision; b stays. */
    ck_assert_int_eq(apply(r, &since, 2,
                           (Route *[]){make_route(&a2, "default/a", "r2", "/a2", NULL)}, 1, NULL, 0),
                     0);
    ck_assert_int_eq(match(r, "GET", "/a", &found), ROUTE_UNKNOWN);
    ck_assert_int_eq(match(r, "GET", "/a2", &found), ROUTE_FOUND);
    ck_assert_str_eq(found->revision, "r2");
    ck_assert_int_eq(match(r, "GET", "/b", &found), ROUTE_FOUND);
    m.since = &second;
    m.epoch = &third;
    m.removed_routes = (char *[]){(char *)"default/b", (char *)"default/never"};
    m.n_removed_routes = 2;
    ck_assert_int_eq(routes_apply(r, &m), 0);
    ck_assert_int_eq(match(r, "GET", "/b", &found), ROUTE_UNKNOWN);
    ck_assert_uint_eq(routes_counts(r).functions, 1);
    ck_assert_uint_eq(routes_counts(r).paths, 1);
    routes_free(r);
}
END_TEST

START_TEST(a_delta_on_another_epoch_changes_nothing)
{
    static const struct {
        uint64_t incarnation, sequence;
    } wrong[] = {{7, 0}, {7, 2}, {8, 1}};
    struct one_route a, b;
    const struct route *found = NULL;
    Epoch first = epoch_of(7, 1);
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    /* Nothing was applied yet: no delta fits. */
    ck_assert_int_eq(apply(r, &first, 2, NULL, 0, NULL, 0), -ESTALE);
    ck_assert_int_eq(
        apply(r, NULL, 1, (Route *[]){make_route(&a, "default/a", "r1", "/a", NULL)}, 1, NULL, 0), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        Epoch since = epoch_of(wrong[i].incarnation, wrong[i].sequence);

        ck_assert_int_eq(apply(r, &since, 9,
                               (Route *[]){make_route(&b, "default/b", "r1", "/b", NULL)}, 1, NULL, 0),
                         -ESTALE);
    }
    ck_assert_int_eq(match(r, "GET", "/b", &found), ROUTE_UNKNOWN);
    ck_assert_int_eq(match(r, "GET", "/a", &found), ROUTE_FOUND);
    ck_assert_int_eq(apply(r, &first, 2, NULL, 0, NULL, 0), 0);
    routes_free(r);
}
END_TEST

START_TEST(endpoints_are_picked_by_revision_and_node)
{
    Endpoint own = make_endpoint("i1", "default/a", "r1", "n1");
    Endpoint second = make_endpoint("i2", "default/a", "r1", "n2");
    Endpoint third = make_endpoint("i3", "default/a", "r1", "n3");
    Endpoint old = make_endpoint("i4", "default/a", "r0", "n4");
    bool seen[2] = {false, false};
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert_int_eq(apply(r, NULL, 1, NULL, 0, (Endpoint *[]){&own, &second, &third, &old}, 4), 0);
    for (uint64_t random = 0; random < 12; random++) {
        const struct endpoint *e = routes_pick(routes_now(r), "default/a", "r1", NULL, 0, random);

        ck_assert_ptr_nonnull(e);
        ck_assert_str_ne(e->node, "n1");
        ck_assert_str_ne(e->node, "n4");
        seen[!strcmp(e->node, "n3")] = true;
        ck_assert_str_eq(routes_pick(routes_now(r), "default/a", "r1", "n2", 0, random)->node, "n3");
    }
    ck_assert(seen[0] && seen[1]);
    ck_assert_ptr_null(routes_pick(routes_now(r), "default/a", "r9", NULL, 0, 0));
    ck_assert_ptr_null(routes_pick(routes_now(r), "default/b", "r1", NULL, 0, 0));
    routes_free(r);
}
END_TEST

START_TEST(a_refusal_is_remembered_for_its_time)
{
    Endpoint a = make_endpoint("i1", "default/a", "r1", "n2"),
             b = make_endpoint("i2", "default/a", "r1", "n2");
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert_int_eq(apply(r, NULL, 1, NULL, 0, (Endpoint *[]){&a, &b}, 2), 0);
    routes_refused(routes_now(r), "default/a", "r1", "n2", 1000);
    ck_assert_ptr_null(routes_pick(routes_now(r), "default/a", "r1", NULL, 1000, 0));
    ck_assert_ptr_null(
        routes_pick(routes_now(r), "default/a", "r1", NULL, 999 + ROUTES_REFUSED_NS, 1));
    ck_assert_ptr_nonnull(
        routes_pick(routes_now(r), "default/a", "r1", NULL, 1000 + ROUTES_REFUSED_NS, 1));
    routes_free(r);
}
END_TEST

START_TEST(endpoints_move_and_go)
{
    Endpoint a = make_endpoint("i1", "default/a", "r1", "n2"),
             moved = make_endpoint("i1", "default/a", "r2", "n3");
    Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;
    Epoch since = epoch_of(7, 1), second = epoch_of(7, 2), third = epoch_of(7, 3);
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert_int_eq(apply(r, NULL, 1, NULL, 0, (Endpoint *[]){&a}, 1), 0);
    ck_assert_int_eq(apply(r, &since, 2, NULL, 0, (Endpoint *[]){&moved}, 1), 0);
    ck_assert_uint_eq(routes_counts(r).endpoints, 1);
    ck_assert_ptr_null(routes_pick(routes_now(r), "default/a", "r1", NULL, 0, 0));
    ck_assert_str_eq(routes_pick(routes_now(r), "default/a", "r2", NULL, 0, 0)->node, "n3");
    m.since = &second;
    m.epoch = &third;
    m.removed_endpoints = (char *[]){(char *)"i1", (char *)"i9"};
    m.n_removed_endpoints = 2;
    ck_assert_int_eq(routes_apply(r, &m), 0);
    ck_assert_ptr_null(routes_pick(routes_now(r), "default/a", "r2", NULL, 0, 0));
    ck_assert_uint_eq(routes_counts(r).endpoints, 0);
    routes_free(r);
}
END_TEST

START_TEST(ten_thousand_routes)
{
    enum { COUNT = 10000 };
    struct one_route *routes = calloc(COUNT, sizeof(*routes));
    Route **list = calloc(COUNT, sizeof(*list));
    char(*keys)[2][32] = calloc(COUNT, sizeof(*keys));
    const struct route *found = NULL;
    struct routes *r;

    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i][0], sizeof(keys[i][0]), "default/f%d", i);
        snprintf(keys[i][1], sizeof(keys[i][1]), "/path/%d", i);
        list[i] = make_route(&routes[i], keys[i][0], "r1", keys[i][1], "GET");
    }
    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert_int_eq(apply(r, NULL, 1, list, COUNT, NULL, 0), 0);
    ck_assert_uint_eq(routes_counts(r).functions, COUNT);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(match(r, "GET", keys[i][1], &found), ROUTE_FOUND);
        ck_assert_str_eq(found->function_key, keys[i][0]);
    }
    ck_assert_int_eq(apply(r, NULL, 2, NULL, 0, NULL, 0), 0);
    ck_assert_uint_eq(routes_counts(r).functions, 0);
    ck_assert_uint_eq(routes_counts(r).paths, 0);
    routes_free(r);
    free(routes);
    free(list);
    free(keys);
}
END_TEST

START_TEST(patterns_and_hosts)
{
    struct one_route a, b, c;
    char *hosts[] = {(char *)"api.example.com", (char *)"*.example.org"};
    struct routes_match m;
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    make_route(&a, "default/a", "r1", "/users/{id}", "GET");
    make_route(&b, "default/b", "r1", "/users/*", NULL);
    make_route(&c, "default/c", "r1", "/users/{id}", NULL);
    c.trigger.hosts = hosts;
    c.trigger.n_hosts = 2;
    ck_assert_int_eq(apply(r, NULL, 1, (Route *[]){&a.route, &b.route, &c.route}, 3, NULL, 0), 0);
    ck_assert_uint_eq(routes_counts(r).paths, 4);
    ck_assert_int_eq(routes_match(routes_now(r), STR("x"), STR("GET"), STR("/users/7"), &m),
                     ROUTE_FOUND);
    ck_assert_str_eq(m.route->function_key, "default/a");
    ck_assert(str_eq(m.pattern, "/users/{id}") && !m.any_method);
    ck_assert_int_eq(routes_match(routes_now(r), STR("x"), STR("GET"), STR("/users/7/8"), &m),
                     ROUTE_FOUND);
    ck_assert_str_eq(m.route->function_key, "default/b");
    ck_assert(m.any_method);
    ck_assert_int_eq(
        routes_match(routes_now(r), STR("API.example.com:80"), STR("GET"), STR("/users/7"), &m),
        ROUTE_FOUND);
    ck_assert_str_eq(m.route->function_key, "default/c");
    ck_assert_int_eq(
        routes_match(routes_now(r), STR("w.example.org"), STR("GET"), STR("/users/7"), &m),
        ROUTE_FOUND);
    ck_assert_str_eq(m.route->function_key, "default/c");
    ck_assert_int_eq(routes_match(routes_now(r), STR("x"), STR("PUT"), STR("/users/7"), &m),
                     ROUTE_WRONG_METHOD);
    routes_free(r);
}
END_TEST

/* What cannot be held is left to the activator; the rest of the message counts. */
START_TEST(what_cannot_be_held_is_left_out)
{
    struct one_route a, b, bad;
    const struct route *found = NULL;
    Epoch since = epoch_of(7, 1);
    struct routes *r;

    ck_assert_int_eq(routes_new("n1", &r), 0);
    ck_assert_int_eq(apply(r, NULL, 1,
                           (Route *[]){make_route(&a, "default/a", "r1", "/x", NULL),
                                       make_route(&b, "default/b", "r1", "/x", "GET"),
                                       make_route(&bad, "default/bad", "r1", "/y/{", NULL)},
                           3, NULL, 0),
                     0);
    ck_assert_uint_eq(routes_counts(r).refused, 2);
    ck_assert_uint_eq(routes_counts(r).functions, 3);
    ck_assert_int_eq(match(r, "GET", "/x", &found), ROUTE_FOUND);
    ck_assert_str_eq(found->function_key, "default/a");
    /* The path passes on in one message, whoever is named first. */
    ck_assert_int_eq(apply(r, &since, 2,
                           (Route *[]){make_route(&b, "default/b", "r1", "/x", NULL),
                                       make_route(&a, "default/a", "r1", "/z", NULL),
                                       make_route(&bad, "default/bad", "r1", NULL, NULL)},
                           3, NULL, 0),
                     0);
    ck_assert_uint_eq(routes_counts(r).refused, 0);
    ck_assert_int_eq(match(r, "GET", "/x", &found), ROUTE_FOUND);
    ck_assert_str_eq(found->function_key, "default/b");
    ck_assert_int_eq(match(r, "GET", "/z", &found), ROUTE_FOUND);
    ck_assert_str_eq(found->function_key, "default/a");
    routes_free(r);
}
END_TEST

START_TEST(names_of_routes)
{
    struct str pattern;
    bool any;

    routes_name_parse(STR("GET /a/{b}"), &pattern, &any);
    ck_assert(str_eq(pattern, "/a/{b}") && !any);
    routes_name_parse(STR("ANY /"), &pattern, &any);
    ck_assert(str_eq(pattern, "/") && any);
    routes_name_parse(STR(""), &pattern, &any);
    ck_assert_uint_eq(pattern.n, 0);
    routes_name_parse(STR("nonsense"), &pattern, &any);
    ck_assert_uint_eq(pattern.n, 0);
}
END_TEST

/* ---------------------------------------------------------------- other loops */

struct other_loop {
    struct routes *routes;
    struct routes_reader reader;
    _Atomic unsigned turns, wrong;
    _Atomic int stop;
};

static void *turn(void *user)
{
    struct other_loop *l = user;

    while (!atomic_load(&l->stop)) {
        const struct routes_view *v = routes_enter(&l->reader);
        const struct endpoint *e;
        struct routes_match m;

        /* A version is one: the revision that a path leads to has its endpoint in it. */
        for (int i = 0; i < 20; i++) {
            if (routes_match(v, STR("h"), STR("GET"), STR("/moves/7"), &m) != ROUTE_FOUND) {
                atomic_fetch_add(&l->wrong, 1);
                continue;
            }
            e = routes_pick(v, "default/a", m.route->revision, NULL, 1000, 3);
            if (!e || strcmp(e->instance, m.route->revision) != 0)
                atomic_fetch_add(&l->wrong, 1);
            else if (i == 0)
                routes_refused(v, "default/a", "none", e->node, 1);
        }
        routes_leave(&l->reader);
        atomic_fetch_add(&l->turns, 1);
    }
    return NULL;
}

START_TEST(other_loops_look_while_deltas_come)
{
    struct one_route a, extra;
    struct other_loop l = {0};
    pthread_t thread;
    uint64_t sequence = 1;

    ck_assert_int_eq(routes_new("n1", &l.routes), 0);
    for (int i = 0; i < 2000 || atomic_load(&l.turns) < 100; i++, sequence++) {
        Epoch epoch = epoch_of(7, sequence), since = epoch_of(7, sequence - 1);
        Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;
        char revision[16], before[16], path[24];
        Endpoint e;

        snprintf(revision, sizeof(revision), "r%d", i);
        snprintf(before, sizeof(before), "r%d", i - 1);
        snprintf(path, sizeof(path), "/move%d/{x}", i % 30);
        e = make_endpoint(revision, "default/a", revision, "n2");
        m.epoch = &epoch;
        m.since = i % 100 ? &since : NULL; /* now and then everything anew */
        m.routes = (Route *[]){make_route(&a, "default/a", revision, "/moves/{x}", NULL),
                               make_route(&extra, "default/b", revision, path, NULL)};
        m.n_routes = 2;
        m.endpoints = (Endpoint *[]){&e};
        m.n_endpoints = 1;
        m.removed_endpoints = (char *[]){before};
        m.n_removed_endpoints = 1;
        ck_assert_int_eq(routes_apply(l.routes, &m), 0);
        if (i == 0) {
            routes_reader_init(l.routes, &l.reader);
            ck_assert_int_eq(pthread_create(&thread, NULL, turn, &l), 0);
        }
        if (i % 64 == 0)
            sched_yield();
    }
    atomic_store(&l.stop, 1);
    pthread_join(thread, NULL);
    routes_reader_done(&l.reader);
    ck_assert_uint_eq(atomic_load(&l.wrong), 0);
    ck_assert_uint_eq(routes_counts(l.routes).endpoints, 1);
    routes_free(l.routes);
}
END_TEST

UNIT_MAIN("routes", whole_replaces_everything, methods_are_exact, delta_changes_what_it_names,
          a_delta_on_another_epoch_changes_nothing, endpoints_are_picked_by_revision_and_node,
          a_refusal_is_remembered_for_its_time, endpoints_move_and_go, ten_thousand_routes,
          patterns_and_hosts, what_cannot_be_held_is_left_out, names_of_routes,
          other_loops_look_while_deltas_come)
