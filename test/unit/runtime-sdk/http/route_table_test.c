/* route_table_test.c - who wins, what a change leaves, counted steps, and a naive matcher beside it. */
#include "http/route_table.h"
#include "route_naive.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

struct fixture {
    struct epoch_domain domain;
    struct route_table table;
};

static void add(struct fixture *f, const char *host, const char *pattern, const char *method,
                const char *value)
{
    struct epoch_edit e;

    epoch_edit_begin(&f->domain, &e);
    ck_assert_msg(route_table_add(&e, &f->table, str_of(host), str_of(pattern),
                                  method ? route_method(str_of(method)) : ROUTE_METHODS_ALL,
                                  (void *)(uintptr_t)value, NULL) == 0,
                  "%s %s", host, pattern);
    epoch_commit(&e);
}

static int del(struct fixture *f, const char *host, const char *pattern, const char *value)
{
    struct epoch_edit e;
    int r;

    epoch_edit_begin(&f->domain, &e);
    r = route_table_del(&e, &f->table, str_of(host), str_of(pattern), value);
    epoch_commit(&e);
    return r;
}

static void done(struct fixture *f)
{
    route_table_free(&f->table);
    epoch_domain_done(&f->domain);
}

/* The value, "405 ALLOW" or "404". */
static const char *get(const struct fixture *f, const char *host, const char *method, const char *path)
{
    static char text[ROUTE_METHODS_TEXT + 8];
    struct route_match m;

    switch (route_table_match(&f->table, str_of(host), str_of(method), str_of(path), &m)) {
    case ROUTE_FOUND:
        return m.value;
    case ROUTE_WRONG_METHOD:
        memcpy(text, "405 ", 5);
        route_methods_text(m.allow, text + 4);
        return text;
    default:
        return "404";
    }
}
#define IS(f, host, method, path, value) ck_assert_str_eq(get(f, host, method, path), value)

START_TEST(the_most_particular_wins)
{
    struct fixture f = {0};

    add(&f, "", "/*", NULL, "root");
    add(&f, "", "/users/me", NULL, "me");
    add(&f, "", "/users/{id}", NULL, "user");
    add(&f, "", "/users/*", NULL, "users");
    add(&f, "", "/users/{id}/posts/{post}", NULL, "post");
    add(&f, "", "/users/me/posts/*", NULL, "mine");
    add(&f, "", "/users/me/*", NULL, "me-rest");
    add(&f, "", "/{any}/new", NULL, "new");
    add(&f, "", "/exact/", NULL, "slash");
    IS(&f, "h", "GET", "/", "root");
    IS(&f, "h", "GET", "/nothing", "root");
    IS(&f, "h", "GET", "/users", "root");
    IS(&f, "h", "GET", "/users/", "users");
    IS(&f, "h", "GET", "/users/me", "me");
    IS(&f, "h", "GET", "/users/mee", "user");
    IS(&f, "h", "GET", "/users/m", "user");
    IS(&f, "h", "GET", "/users/new", "user"); /* plain before a parameter, from the left */
    IS(&f, "h", "GET", "/posts/new", "new");
    IS(&f, "h", "GET", "/users/me/posts/1", "post"); /* the whole path before a rest */
    IS(&f, "h", "GET", "/users/me/posts/1/2", "mine");
    IS(&f, "h", "GET", "/users/me/posts", "me-rest");
    IS(&f, "h", "GET", "/users/me/posts/", "mine");
    IS(&f, "h", "GET", "/users/you/posts/", "users"); /* a parameter is not empty */
    IS(&f, "h", "GET", "/users//posts/1", "users");
    IS(&f, "h", "GET", "/exact/", "slash");
    IS(&f, "h", "GET", "/exact", "root");
    done(&f);
}
END_TEST

START_TEST(a_prefix_has_what_is_below_and_no_more)
{
    struct fixture f = {0};

    add(&f, "", "/static/*", NULL, "static");
    add(&f, "", "/static/{a}/{b}/*", NULL, "deep");
    IS(&f, "", "GET", "/static", "404");
    IS(&f, "", "GET", "/static/", "static");
    IS(&f, "", "GET", "/static//", "static");
    IS(&f, "", "GET", "/static/a/b", "static");
    IS(&f, "", "GET", "/static/a/b/", "deep");
    IS(&f, "", "GET", "/staticc/a", "404");
    IS(&f, "", "GET", "/static%2Fa", "404"); /* one segment */
    IS(&f, "", "GET", "/static/%2Fa", "static");
    IS(&f, "", "GET", "/%73tatic/a", "static");
    done(&f);
}
END_TEST

START_TEST(no_path_leaves_where_it_seems_to_be)
{
    static const char *const paths[] = {"/static/..",
                                        "/static/../admin",
                                        "/static/%2e%2e/admin",
                                        "/static/.%2E/admin",
                                        "/static/..%2fadmin",
                                        "/static/a%2F..%2F..%2Fadmin",
                                        "/static/./a",
                                        "/static/..\\admin",
                                        "/static/%5c..%5c",
                                        "/static/%zz",
                                        "/users/..",
                                        "/users/%2e%2e",
                                        "/users/\x01",
                                        "/\x02",
                                        "",
                                        "*",
                                        "users/a",
                                        "/function/x/y",
                                        "/%66unction/x/y",
                                        "/2015-03-31/x"};
    struct fixture f = {0};

    add(&f, "", "/*", NULL, "root");
    add(&f, "", "/static/*", NULL, "static");
    add(&f, "", "/users/{id}", NULL, "user");
    add(&f, "", "/admin", NULL, "admin");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        ck_assert_msg(!strcmp(get(&f, "h", "GET", paths[i]), "404"), "%s", paths[i]);
    IS(&f, "h", "GET", "/%61dmin", "admin"); /* the same path, RFC 3986 6.2.2.2 */
    IS(&f, "h", "GET", "/users/a%2Fb", "user");
    IS(&f, "h", "GET", "/users/a/b", "root");
    IS(&f, "h", "GET", "//admin", "root");
    IS(&f, "h", "GET", "/users/%252e%252e", "user"); /* decoded once it is %2e%2e, a name */
    done(&f);
}
END_TEST

START_TEST(hosts_come_first)
{
    struct fixture f = {0};

    add(&f, "", "/a", NULL, "any");
    add(&f, "*.example.com", "/a", NULL, "wild");
    add(&f, "api.example.com", "/*", NULL, "api");
    add(&f, "", "/only", NULL, "only");
    IS(&f, "other.org", "GET", "/a", "any");
    IS(&f, "", "GET", "/a", "any");
    IS(&f, "WWW.Example.com:8080", "GET", "/a", "wild");
    IS(&f, "example.com", "GET", "/a", "any");
    IS(&f, "a.b.example.com", "GET", "/a", "any"); /* one label */
    IS(&f, "api.example.com", "GET", "/a", "api");
    IS(&f, "api.example.com.", "GET", "/a", "api");
    IS(&f, "api.example.com", "GET", "/only", "api");
    IS(&f, "www.example.com", "GET", "/only", "only");
    IS(&f, "www.example.com", "GET", "/no", "404");
    ck_assert_int_eq(del(&f, "api.example.com", "/*", "api"), 0);
    IS(&f, "api.example.com", "GET", "/a", "wild");
    ck_assert_int_eq(del(&f, "*.example.com", "/a", "wild"), 0);
    IS(&f, "api.example.com", "GET", "/a", "any");
    done(&f);
}
END_TEST

START_TEST(methods_are_asked_last)
{
    struct fixture f = {0};
    struct epoch_edit e;
    void *holder = NULL;

    add(&f, "", "/*", NULL, "root");
    add(&f, "", "/x/{id}", "GET", "get");
    add(&f, "", "/x/{name}", "POST", "post");
    IS(&f, "", "GET", "/x/1", "get");
    IS(&f, "", "POST", "/x/1", "post");
    IS(&f, "", "PUT", "/x/1", "405 GET, POST");
    IS(&f, "", "get", "/x/1", "405 GET, POST");
    IS(&f, "", "BREW", "/y", "root");
    epoch_edit_begin(&f.domain, &e);
    ck_assert_int_eq(route_table_add(&e, &f.table, STR(""), STR("/x/{other}"),
                                     route_method(STR("PUT")) | route_method(STR("POST")), &f,
                                     &holder),
                     -EEXIST);
    ck_assert_str_eq(holder, "post");
    ck_assert_int_eq(route_table_add(&e, &f.table, STR(""), STR("/x/{"), 1, &f, NULL), -EINVAL);
    epoch_commit(&e);
    ck_assert_uint_eq(f.table.patterns, 2);
    ck_assert_int_eq(del(&f, "", "/x/{id}", "root"), -ENOENT);
    ck_assert_int_eq(del(&f, "", "/nothing", "root"), -ENOENT);
    ck_assert_int_eq(del(&f, "", "/x/{whatever}", "get"), 0);
    IS(&f, "", "GET", "/x/1", "405 POST");
    ck_assert_int_eq(del(&f, "", "/x/{id}", "post"), 0);
    IS(&f, "", "GET", "/x/1", "root");
    ck_assert_uint_eq(f.table.patterns, 1);
    done(&f);
}
END_TEST

START_TEST(a_match_says_its_pattern)
{
    struct fixture f = {0};
    struct route_match m;

    add(&f, "", "/users/{id}", "GET", "a");
    add(&f, "", "/all/*", NULL, "b");
    ck_assert_int_eq(route_table_match(&f.table, STR(""), STR("GET"), STR("/users/7"), &m),
                     ROUTE_FOUND);
    ck_assert(str_eq(m.pattern, "/users/{id}") && !m.any_method);
    ck_assert_int_eq(route_table_match(&f.table, STR(""), STR("GET"), STR("/all/7"), &m),
                     ROUTE_FOUND);
    ck_assert(str_eq(m.pattern, "/all/*") && m.any_method);
    done(&f);
}
END_TEST

START_TEST(an_old_version_goes_on)
{
    struct fixture f = {0};
    struct epoch_reader reader;
    struct fixture old;
    struct epoch_edit e;

    epoch_reader_init(&f.domain, &reader);
    add(&f, "", "/a", NULL, "a");
    add(&f, "", "/b/{x}", NULL, "b");
    epoch_enter(&reader);
    old = f;
    add(&f, "", "/a/{x}", NULL, "new");
    ck_assert_int_eq(del(&f, "", "/a", "a"), 0);
    IS(&old, "", "GET", "/a", "a");
    IS(&old, "", "GET", "/a/1", "404");
    IS(&f, "", "GET", "/a", "404");
    IS(&f, "", "GET", "/a/1", "new");
    epoch_edit_begin(&f.domain, &e);
    route_table_retire(&e, &f.table);
    epoch_commit(&e);
    IS(&old, "", "GET", "/b/2", "b");
    IS(&f, "", "GET", "/b/2", "404");
    epoch_leave(&reader);
    epoch_reader_done(&reader);
    done(&f);
}
END_TEST

START_TEST(a_change_that_is_given_up_leaves_nothing)
{
    struct fixture f = {0};
    struct route_table made;
    struct epoch_edit e;

    add(&f, "", "/a", "GET", "a");
    made = f.table;
    epoch_edit_begin(&f.domain, &e);
    ck_assert_int_eq(
        route_table_add(&e, &made, STR(""), STR("/a"), route_method(STR("PUT")), &f, NULL), 0);
    ck_assert_int_eq(route_table_add(&e, &made, STR(""), STR("/a/b"), 1, &f, NULL), 0);
    ck_assert_int_eq(route_table_del(&e, &made, STR(""), STR("/a"), "a"), 0);
    route_table_abandon(&e, &made);
    IS(&f, "", "GET", "/a", "a");
    IS(&f, "", "PUT", "/a", "405 GET");
    IS(&f, "", "GET", "/a/b", "404");
    done(&f);
}
END_TEST

/* ---------------------------------------------------------------- steps, counted */

static unsigned worst_visits(int count)
{
    static const char *const begins[] = {"/path/", "/api/v1/r", "/files/d"};
    static const char *const patterns[] = {"", "/{id}", "/*"};
    static const char *const asked[] = {"", "/some-id", "/x/y"};
    struct fixture f = {0};
    struct epoch_edit e;
    unsigned worst = 0;
    char text[64];

    epoch_edit_begin(&f.domain, &e);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "%s%d%s", begins[i % 3], i, patterns[i % 3]);
        ck_assert_int_eq(
            route_table_add(&e, &f.table, STR(""), str_of(text), ROUTE_METHODS_ALL, &f, NULL), 0);
    }
    epoch_commit(&e);
    for (int i = 0; i < count; i++) {
        struct route_match m;

        snprintf(text, sizeof(text), "%s%d%s", begins[i % 3], i, asked[i % 3]);
        ck_assert_int_eq(
            route_table_match(&f.table, STR("a.example.com"), STR("GET"), str_of(text), &m),
            ROUTE_FOUND);
        if (m.visited > worst)
            worst = m.visited;
    }
    done(&f);
    return worst;
}

START_TEST(steps_do_not_grow_with_the_routes)
{
    unsigned few = worst_visits(10), many = worst_visits(1000), most = worst_visits(10000);

    printf("nodes visited at worst: %u of 10 routes, %u of 1,000, %u of 10,000\n", few, many, most);
    /* A thousand times the routes: a level or two for each digit of the path, whose length is the bound. */
    ck_assert_uint_le(few, 8);
    ck_assert_uint_le(many, 10);
    ck_assert_uint_le(most, 12);
}
END_TEST

/* Patterns made to be tried in vain: at every segment both ways go on. */
START_TEST(steps_when_patterns_conspire)
{
    enum { DEPTH = 12 };
    struct fixture f = {0};
    struct route_match m;
    struct epoch_edit e;
    char path[2 * DEPTH + 3];

    epoch_edit_begin(&f.domain, &e);
    for (unsigned bits = 0; bits < 1u << DEPTH; bits++) {
        char text[8 * DEPTH], *at = text;

        for (int i = 0; i < DEPTH; i++)
            at += sprintf(at, bits & 1u << i ? "/a" : "/{p%d}", i);
        ck_assert_int_eq(route_table_add(&e, &f.table, STR(""), str_of(text), 1, &f, NULL), 0);
    }
    epoch_commit(&e);
    for (int i = 0; i < DEPTH; i++)
        memcpy(path + 2 * i, "/a", 2);
    memcpy(path + 2 * DEPTH, "/b", 3);
    ck_assert_int_eq(route_table_match(&f.table, STR(""), STR("GET"), str_of(path), &m),
                     ROUTE_UNKNOWN);
    ck_assert_uint_le(m.visited, 4 << DEPTH);
    path[2 * DEPTH] = '\0';
    ck_assert_int_eq(route_table_match(&f.table, STR(""), STR("GET"), str_of(path), &m), ROUTE_FOUND);
    ck_assert_uint_le(m.visited, 2 * DEPTH);
    done(&f);
}
END_TEST

/* ---------------------------------------------------------------- beside a naive matcher */

enum { NAIVE_MAX = 300 };
struct naive {
    char host[24], pattern[64]; /* the latter is the value, too */
    bool held;
};

static uint32_t seed = 7;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static const struct naive *naive_match(const struct naive *all, size_t count, const char *host,
                                       const char *path)
{
    const struct naive *best = NULL;
    char best_rank[NAIVE_RANK_MAX] = "", one[NAIVE_RANK_MAX];

    for (size_t i = 0; i < count; i++) {
        const struct naive_route p = {str_of(all[i].host), str_of(all[i].pattern)};

        if (all[i].held && naive_rank(&p, str_of(host), str_of(path), one) &&
            strcmp(one, best_rank) > 0) {
            memcpy(best_rank, one, sizeof(one));
            best = &all[i];
        }
    }
    return best;
}

static const char *const hosts_known[] = {"", "a.b", "*.b", "c", "x.y.z", "*.y.z"};

static void some_path(char *out, bool pattern)
{
    static const char *const plain[] = {"a", "b", "ab", "abc", "b%2Fa", ""};
    size_t n = dice(5);

    for (size_t i = 0; i <= n; i++) {
        uint32_t kind = dice(8);

        if (pattern && kind >= 6)
            out += sprintf(out, "/{p%zu}", i);
        else if (pattern && kind == 5 && i == n)
            out += sprintf(out, "/*");
        else
            out += sprintf(out, "/%s", plain[dice(pattern && i < n ? 5 : 6)]);
    }
}

START_TEST(as_the_naive_matcher)
{
    static struct naive all[NAIVE_MAX];
    struct fixture f = {0};
    size_t count = 0, found = 0, lookups = 0;

    while (count < NAIVE_MAX) {
        struct naive *p = &all[count];
        bool again = false;
        char key[ROUTE_KEY_MAX], other[ROUTE_KEY_MAX];
        int n;

        strcpy(p->host, hosts_known[dice(6)]);
        some_path(p->pattern, true);
        n = route_key(str_of(p->host), str_of(p->pattern), key);
        ck_assert_msg(n > 0, "%s", p->pattern);
        for (size_t i = 0; i < count && !again; i++)
            again = route_key(str_of(all[i].host), str_of(all[i].pattern), other) == n &&
                    !memcmp(key, other, (size_t)n);
        count += !again;
    }
    for (int round = 0; round < 3000; round++) {
        struct naive *p = &all[dice(NAIVE_MAX)];

        if (p->held)
            ck_assert_int_eq(del(&f, p->host, p->pattern, p->pattern), 0);
        else
            add(&f, p->host, p->pattern, NULL, p->pattern);
        p->held = !p->held;
        for (int i = 0; i < 10; i++) {
            static const char *const asked[] = {"", "a.b", "d.b", "c", "x.y.z", "w.y.z", "q"};
            const char *host = asked[dice(7)];
            const struct naive *expected;
            struct route_match m;
            char path[64];
            enum route_found r;

            some_path(path, false);
            expected = naive_match(all, count, host, path);
            r = route_table_match(&f.table, str_of(host), STR("GET"), str_of(path), &m);
            ck_assert_msg(r == (expected ? ROUTE_FOUND : ROUTE_UNKNOWN) &&
                              (!expected || m.value == (void *)expected->pattern),
                          "%s%s: %s instead of %s", host, path,
                          r == ROUTE_FOUND ? (const char *)m.value : "nothing",
                          expected ? expected->pattern : "nothing");
            found += expected != NULL;
            lookups++;
        }
    }
    ck_assert_uint_gt(found, lookups / 4);
    ck_assert_uint_lt(found, lookups);
    done(&f);
}
END_TEST

/* ---------------------------------------------------------------- readers on other threads */

struct snapshot {
    struct epoch_garbage garbage;
    struct route_table table;
};
struct shared {
    _Atomic(struct snapshot *) current;
    struct epoch_reader reader;
    _Atomic unsigned wrong, looked;
    _Atomic int stop;
};

static void snapshot_release(struct epoch_garbage *g)
{
    free(g);
}

static void *look_up(void *user)
{
    struct shared *s = user;

    while (!atomic_load(&s->stop)) {
        epoch_enter(&s->reader);
        for (int i = 0; i < 50; i++) {
            const struct snapshot *now = atomic_load(&s->current);
            struct route_match m;

            /* Whatever changes meanwhile: this one is always there. */
            if (route_table_match(&now->table, STR("h"), STR("GET"), STR("/stays/7"), &m) !=
                    ROUTE_FOUND ||
                m.value != s)
                atomic_fetch_add(&s->wrong, 1);
        }
        atomic_fetch_add(&s->looked, 1);
        epoch_leave(&s->reader);
    }
    return NULL;
}

static void change(struct epoch_domain *d, struct shared *s, int i)
{
    struct snapshot *old = atomic_load(&s->current), *made = malloc(sizeof(*made));
    struct epoch_edit e;
    char text[32];

    ck_assert_ptr_nonnull(made);
    epoch_edit_begin(d, &e);
    made->table = old->table;
    snprintf(text, sizeof(text), "/st%d/{id}", i % 50);
    if (i / 50 % 2 == 0)
        ck_assert_int_eq(route_table_add(&e, &made->table, STR(""), str_of(text), 1, d, NULL), 0);
    else
        ck_assert_int_eq(route_table_del(&e, &made->table, STR(""), str_of(text), d), 0);
    epoch_retire(&e, &old->garbage, snapshot_release);
    atomic_store(&s->current, made);
    epoch_commit(&e);
}

START_TEST(changes_do_not_disturb_readers)
{
    struct epoch_domain d = {0};
    struct shared s = {0};
    struct snapshot *first = calloc(1, sizeof(*first));
    struct epoch_edit e;
    pthread_t thread;

    epoch_edit_begin(&d, &e);
    ck_assert_int_eq(route_table_add(&e, &first->table, STR(""), STR("/stays/{id}"),
                                     ROUTE_METHODS_ALL, &s, NULL),
                     0);
    epoch_commit(&e);
    atomic_store(&s.current, first);
    epoch_reader_init(&d, &s.reader);
    ck_assert_int_eq(pthread_create(&thread, NULL, look_up, &s), 0);
    for (int i = 0; i < 5000 || atomic_load(&s.looked) < 200; i++) {
        change(&d, &s, i);
        if (i % 100 == 0)
            sched_yield();
    }
    atomic_store(&s.stop, 1);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(atomic_load(&s.wrong), 0);
    epoch_reader_done(&s.reader);
    route_table_free(&atomic_load(&s.current)->table);
    free(atomic_load(&s.current));
    epoch_domain_done(&d);
}
END_TEST

UNIT_MAIN("route_table", the_most_particular_wins, a_prefix_has_what_is_below_and_no_more,
          no_path_leaves_where_it_seems_to_be, hosts_come_first, methods_are_asked_last,
          a_match_says_its_pattern, an_old_version_goes_on,
          a_change_that_is_given_up_leaves_nothing, steps_do_not_grow_with_the_routes,
          steps_when_patterns_conspire, as_the_naive_matcher, changes_do_not_disturb_readers)
