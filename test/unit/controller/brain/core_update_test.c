/* Revisions, deletions and paths: what the decision core does when what is wanted changes. */
#include "world.h"

#define KEY "default/hello"

static struct world world, *w = &world;

START_TEST(update_at_zero)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    apply_simple(w, KEY, "r2");
    ck_assert_uint_eq(a->routed_count, 1);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_uint_eq(a->count, 0);
    ticket(w, a, KEY);
    settle(w);
    ck_assert_str_eq(nth(a, STATE_PENDING, 0)->revision, "r2");
    world_done(w);
}
END_TEST

START_TEST(update_under_load)
{
    struct agent *a;
    size_t old;

    world_init(w, NULL);
    a = join(w, 0, 65536 * MI);
    apply_simple(w, KEY, "r1");
    for (int i = 0; i < 4; i++)
        ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    for (size_t i = 0; i < 4; i++)
        offer(w, a, nth(a, STATE_READY, i));
    for (int s = 0; s < 4; s++) {
        load_reports(w, 2.5, KEY);
        pass(w, S(1));
        ready_all(w, a);
    }
    settle(w);
    stop_drained(w, a);
    old = count_in(a, STATE_READY);
    ck_assert_uint_ge(old, 4);
    apply_simple(w, KEY, "r2");
    ck_assert_str_eq(a->routed[0][1], "r1");
    ck_assert_uint_ge(count_in(a, STATE_PENDING), old); /* as many as the load needs */
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_READY);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r1"); /* one alone would be overrun */
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);
    a->silent = true;
    ready_all(w, a);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_uint_eq(a->endpoint_count, count_in(a, STATE_READY) - old); /* the old ones are unrouted */
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0); /* but nothing stops before the ack */
    for (int s = 0; s < 2; s++) {
        load_reports(w, 2.5, KEY);
        pass(w, S(1));
    }
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);
    a->silent = false;
    acks(w);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), old);
    for (size_t i = 0; i < a->count; i++)
        ck_assert_str_eq(a->instances[i].revision,
                         a->instances[i].state == STATE_DRAINING ? "r1" : "r2");
    stop_drained(w, a);
    settle(w);
    ck_assert_str_eq(w->status.active_revision, "r2");
    world_done(w);
}
END_TEST

START_TEST(update_of_an_idle_one_and_a_silent_agent)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    pass(w, S(10));
    a->silent = true;
    apply_simple(w, KEY, "r2");
    ck_assert_uint_eq(count_in(a, STATE_PENDING), 1);
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_READY);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 0);
    pass(w, MS(3100)); /* the wait for acks has a bound */
    ck_assert_uint_eq(count_in(a, STATE_DRAINING), 1);
    world_done(w);
}
END_TEST

START_TEST(a_ticket_waits_across_an_update)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, &a->instances[0]);
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_str_eq(a->wanted_revision, "r1");
    ck_assert_uint_eq(a->wanted, 1);
    apply_simple(w, KEY, "r2");
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_READY);
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r2");
    ck_assert_str_eq(a->wanted_revision, "r2"); /* the new one's slots are wanted now */
    ck_assert_uint_eq(a->wanted, 1);
    a->wanted = 0;
    offer(w, a, &a->instances[0]); /* the old one's comes to nothing */
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_uint_eq(a->wanted, 1); /* so it is asked for again */
    offer(w, a, nth(a, STATE_READY, 0));
    ck_assert_str_eq(answer_of(w, t)->revision, "r2");
    world_done(w);
}
END_TEST

START_TEST(update_that_fails_leaves_the_old_one)
{
    struct agent *a;
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    offer(w, a, nth(a, STATE_READY, 0));
    apply_simple(w, KEY, "r2");
    tell(w, a, nth(a, STATE_PENDING, 0), STATE_INITIALIZING);
    tell_why(w, a, nth(a, STATE_INITIALIZING, 0), STATE_FAILED, "InitFailed", "SyntaxError: line 3");
    settle(w);
    ck_assert_str_eq(a->routed[0][1], "r1");
    ck_assert_uint_eq(a->endpoint_count, 1);
    ck_assert_int_eq(w->status.conditions[2].status, CONDITION_TRUE);
    ck_assert_str_eq(w->status.conditions[2].reason, "InitFailed");
    ck_assert_ptr_nonnull(strstr(w->status.conditions[2].message, "SyntaxError"));
    t = ticket(w, a, KEY);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    offer(w, a, nth(a, STATE_READY, 0));
    ck_assert(answer_of(w, t)->granted);
    ck_assert_str_eq(answer_of(w, t)->revision, "r1");
    world_done(w);
}
END_TEST

START_TEST(deleted)
{
    struct agent *a, *b;
    struct function *f = make_routed(KEY, "r1", "/hello", NULL),
                    *mark = make_routed(KEY, "r1", "/hello", NULL);
    uint64_t waiting, after;
    struct actions out = {0};

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    b = join(w, 1, 4096 * MI);
    apply(w, NULL, function_ref(f));
    ticket(w, a, KEY);
    settle(w);
    ready_all(w, a);
    ready_all(w, b);
    offer(w, a->count ? a : b, a->count ? &a->instances[0] : &b->instances[0]);
    waiting = ticket(w, a, KEY);
    b->silent = true;
    mark->deleting = true;
    apply(w, f, mark);
    ck_assert_uint_eq(answer_of(w, waiting)->status, 404);
    after = ticket_on(w, a, NULL, "GET", "/hello", 0, 0);
    ck_assert_uint_eq(answer_of(w, after)->status, 404);
    after = ticket(w, a, KEY);
    ck_assert_uint_eq(answer_of(w, after)->status, 404);
    ck_assert_uint_eq(a->routed_count + b->routed_count, 0);
    ck_assert_uint_eq(w->finalized_count, 0); /* b has not unrouted it yet */
    b->silent = false;
    acks(w);
    settle(w);
    ck_assert_uint_eq(w->finalized_count, 1);
    ck_assert_str_eq(w->finalized[0], KEY);
    core_function(w->core, w->now, f, NULL, &out);
    take_actions(w, &out);
    settle(w);
    ck_assert(!core_has_function(w->core, KEY));
    ck_assert_uint_eq(count_in(a, STATE_DRAINING) + count_in(b, STATE_DRAINING), 1);
    /* The same name again, while the old one drains. */
    apply_simple(w, KEY, "r1");
    ticket(w, a, KEY);
    settle(w);
    ck_assert_uint_eq(count_in(a, STATE_PENDING) + count_in(b, STATE_PENDING), 1);
    stop_drained(w, a);
    stop_drained(w, b);
    settle(w);
    ck_assert_uint_eq(counts(w, KEY).instances, 1);
    function_unref(f);
    world_done(w);
}
END_TEST

START_TEST(deleted_while_an_agent_is_deaf)
{
    struct agent *a;
    struct function *mark = make_function(KEY, "r1");

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply_simple(w, KEY, "r1");
    a->silent = true;
    mark->deleting = true;
    apply(w, NULL, mark);
    pass(w, S(9));
    ck_assert_uint_eq(w->finalized_count, 0);
    pass(w, S(2));
    ck_assert_uint_eq(w->finalized_count, 1);
    world_done(w);
}
END_TEST

START_TEST(paths)
{
    struct agent *a;
    struct function *old, *young = make_routed("default/young", "r1", "/p", NULL);
    uint64_t t;

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    young->created_ms = 2000;
    apply(w, NULL, young);
    ck_assert_int_eq(w->status.conditions[0].status, CONDITION_TRUE);
    old = make_routed("default/old", "r1", "/p", "POST");
    apply(w, NULL, function_ref(old)); /* the older function wins */
    pass(w, MS(200));
    t = ticket_on(w, a, NULL, "POST", "/p?x=1", 0, 0);
    settle(w);
    ck_assert_str_eq(a->instances[0].key, "default/old");
    ck_assert_ptr_null(answer_of(w, t));
    t = ticket_on(w, a, NULL, "GET", "/p", 0, 0); /* young's trigger lost as a whole */
    ck_assert_uint_eq(answer_of(w, t)->status, 405);
    ck_assert_str_eq(answer_of(w, t)->allow, "POST");
    t = ticket_on(w, a, NULL, "GET", "/q", 0, 0);
    ck_assert_uint_eq(answer_of(w, t)->status, 404);
    t = ticket_on(w, a, NULL, "GET", "/function/default/young/x", 0, 0);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    ck_assert_str_eq(a->instances[1].key, "default/young");
    /* The winner goes: the other has its path again. */
    {
        struct function *mark = make_routed("default/old", "r1", "/p", "POST");

        mark->deleting = true;
        apply(w, old, mark);
    }
    pass(w, MS(200));
    t = ticket_on(w, a, NULL, "GET", "/p", 0, 0);
    settle(w);
    ck_assert_ptr_null(answer_of(w, t));
    function_unref(old);
    world_done(w);
}
END_TEST

START_TEST(conflict_is_said)
{
    struct function *loser = make_routed("default/b", "r1", "/p", "GET");

    world_init(w, NULL);
    apply(w, NULL, make_routed("default/a", "r1", "/p", NULL));
    apply(w, NULL, loser);
    ck_assert_str_eq(w->status_key, "default/b");
    ck_assert_int_eq(w->status.conditions[3].status, CONDITION_TRUE);
    ck_assert_ptr_nonnull(strstr(w->status.conditions[3].message, "default/a"));
    ck_assert_int_eq(w->status.conditions[0].status, CONDITION_FALSE);
    ck_assert_str_eq(w->status.conditions[0].reason, "RouteConflict");
    world_done(w);
}
END_TEST

static struct function *with_hosts(struct function *f, const char *a, const char *b)
{
    struct http_trigger *t = &f->triggers[0];

    t->hosts = calloc(2, sizeof(char *));
    t->hosts[t->host_count++] = strdup(a);
    if (b)
        t->hosts[t->host_count++] = strdup(b);
    return f;
}

static const char *owner_of(struct agent *a, const char *host, const char *method, const char *path)
{
    static char text[128];
    uint64_t t = ticket_of_host(w, a, host, method, path);
    const struct answer *answer;

    settle(w);
    answer = answer_of(w, t);
    if (answer && !answer->granted)
        snprintf(text, sizeof(text), "%u %s", answer->status, answer->allow);
    else
        snprintf(text, sizeof(text), "%s", a->instances[a->count - 1].key);
    return text;
}

START_TEST(patterns)
{
    struct agent *a;

    world_init(w, NULL);
    a = join(w, 0, 8192 * MI);
    apply(w, NULL, make_routed("default/rest", "r1", "/users/*", NULL));
    apply(w, NULL, make_routed("default/user", "r1", "/users/{id}", "GET"));
    apply(w, NULL,
          with_hosts(make_routed("default/api", "r1", "/*", NULL), "api.example.com",
                     "*.example.org"));
    pass(w, MS(200));
    ck_assert_str_eq(owner_of(a, "x", "GET", "/users/a/b"), "default/rest");
    ck_assert_str_eq(owner_of(a, "x", "GET", "/users/a"), "default/user");
    ck_assert_str_eq(owner_of(a, "x", "PUT", "/users/a"), "405 GET");
    ck_assert_str_eq(owner_of(a, "api.example.com:80", "PUT", "/users/a?b"), "default/api");
    ck_assert_str_eq(owner_of(a, "w.example.org", "PUT", "/other"), "default/api");
    ck_assert_str_eq(owner_of(a, "x", "GET", "/other"), "404 ");
    ck_assert_str_eq(owner_of(a, "x", "GET", "/users/../other"), "404 ");
    ck_assert_str_eq(owner_of(a, "x", "GET", "/function/default/user/.."), "404 ");
    ck_assert_str_eq(owner_of(a, "api.example.com", "GET", "/function/default/none"), "404 ");
    world_done(w);
}
END_TEST

START_TEST(a_grant_tells_the_route)
{
    struct agent *a;
    uint64_t t, named, any;

    world_init(w, NULL);
    a = join(w, 0, 8192 * MI);
    apply(w, NULL, make_routed("default/user", "r1", "/users/{id}", "GET"));
    apply(w, NULL, make_routed("default/any", "r1", "/any/*", NULL));
    pass(w, MS(200));
    t = ticket_on(w, a, NULL, "GET", "/users/7", 0, 0);
    any = ticket_on(w, a, NULL, "PUT", "/any/7", 0, 0);
    named = ticket_on(w, a, "default/user", NULL, NULL, 0, 0);
    settle(w);
    ready_all(w, a);
    settle(w);
    for (size_t i = 0; i < a->count; i++)
        offer(w, a, &a->instances[i]);
    settle(w);
    ck_assert_ptr_nonnull(answer_of(w, t));
    ck_assert_ptr_nonnull(answer_of(w, named));
    ck_assert_ptr_nonnull(answer_of(w, any));
    ck_assert_str_eq(answer_of(w, t)->route, "GET /users/{id}");
    ck_assert_str_eq(answer_of(w, any)->route, "ANY /any/*");
    ck_assert_str_eq(answer_of(w, named)->route, "");
    world_done(w);
}
END_TEST

START_TEST(same_patterns_conflict)
{
    struct function *both;

    world_init(w, NULL);
    apply(w, NULL, make_routed("default/a", "r1", "/users/{id}", NULL));
    apply(w, NULL, make_routed("default/b", "r1", "/users/{name}", NULL));
    ck_assert_str_eq(w->status_key, "default/b");
    ck_assert_int_eq(w->status.conditions[3].status, CONDITION_TRUE);
    ck_assert_str_eq(w->status.conditions[3].message, "path /users/{name} belongs to default/a");
    apply(w, NULL, make_routed("default/c", "r1", "/users/*", NULL));
    ck_assert_str_eq(w->status_key, "default/c");
    ck_assert_int_eq(w->status.conditions[3].status, CONDITION_FALSE);
    apply(w, NULL, with_hosts(make_routed("default/d", "r1", "/users/{x}", NULL), "a.b", NULL));
    ck_assert_int_eq(w->status.conditions[3].status, CONDITION_FALSE);
    both = with_hosts(make_routed("default/e", "r1", "/users/{y}", NULL), "a.b", "c.d");
    apply(w, NULL, both);
    ck_assert_str_eq(w->status_key, "default/e");
    ck_assert_str_eq(w->status.conditions[3].message,
                     "path /users/{y} of host a.b belongs to default/d");
    world_done(w);
}
END_TEST

/* As large as admission lets it be. */
static struct function *make_large(const char *key)
{
    struct function *f = make_function(key, "r1");

    f->trigger_count = 256;
    f->triggers = calloc(f->trigger_count, sizeof(*f->triggers));
    for (size_t i = 0; i < f->trigger_count; i++) {
        struct http_trigger *t = &f->triggers[i];

        t->path = malloc(1024);
        snprintf(t->path, 1024, "/%s/%zu/%0*d", key, i, 1000, 0);
        t->hosts = calloc(16, sizeof(char *));
        for (size_t h = 0; h < 16; h++) {
            t->hosts[h] = malloc(256);
            snprintf(t->hosts[t->host_count++], 256, "h%zu%s", h,
                     ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                     ".bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
                     ".ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
                     ".ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd");
        }
    }
    return f;
}

/* world.h holds every message to the channel's limit. */
START_TEST(routes_fit_into_messages)
{
    struct actions out = {0};
    struct agent *a;
    char key[32];

    world_init(w, NULL);
    a = join(w, 0, 4096 * MI);
    apply(w, NULL, make_large("default/one"));
    ck_assert(!a->routes_full && a->routed_count == 1);
    for (int i = 0; i < 6; i++) { /* in one turn */
        struct function *f;

        snprintf(key, sizeof(key), "default/more-%d", i);
        f = make_large(key);
        core_function(w->core, w->now, NULL, f, &out);
        function_unref(f);
    }
    take_actions(w, &out);
    settle(w);
    ck_assert_uint_eq(a->routed_count, 7);
    ck_assert_uint_gt(a->routes_messages, 4);
    leave(w, a);
    a = join(w, 0, 4096 * MI);
    ck_assert_uint_eq(a->routed_count, 7);
    world_done(w);
}
END_TEST

UNIT_MAIN("core_update", update_at_zero, update_under_load, update_of_an_idle_one_and_a_silent_agent,
          a_ticket_waits_across_an_update, update_that_fails_leaves_the_old_one, deleted,
          deleted_while_an_agent_is_deaf, paths, conflict_is_said, patterns,
          a_grant_tells_the_route, same_patterns_conflict, routes_fit_into_messages)
