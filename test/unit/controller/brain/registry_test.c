/* The registry from another thread's side: order of writes, preconditions, watches, deletion, a
 * second life. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "brain/access.h"
#include "brain/function_make.h"
#include "brain/pool_make.h"
#include "unit.h"

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static char dir[64];
static struct store *store;
static struct registry *registry;
static struct loop *brain, *caller;
static pthread_t thread;
static _Atomic bool auto_finalize;
static char core_saw[4096]; /* the brain's; read by tests after a reply */

static void on_function(void *user, struct function *old, struct function *now)
{
    const struct function *f = now ?: old;
    size_t n = strlen(core_saw);

    snprintf(core_saw + n, sizeof(core_saw) - n, "%s%s ",
             !now            ? "-"
             : now->deleting ? "~"
             : old           ? "="
                             : "+",
             f->name);
    if (!now)
        return;
    registry_set_status(
        user, now->key,
        &(struct function_status){.observed_generation = now->generation, .instances = 3});
    if (now->deleting && auto_finalize)
        registry_finalize(user, KIND_FUNCTION, now->key);
}

static void on_pool(void *user, struct pool_spec *old, struct pool_spec *now)
{
    const struct pool_spec *s = now ?: old;
    size_t n = strlen(core_saw);

    snprintf(core_saw + n, sizeof(core_saw) - n, "%s%s:%u ",
             !now            ? "-"
             : now->deleting ? "~"
             : old           ? "="
                             : "+",
             s->name, s->max);
    if (!now)
        return;
    registry_set_status_json(user, KIND_NODE_POOL, s->name, "{\"nodes\":2}");
    if (now->deleting)
        registry_finalize(user, KIND_NODE_POOL, s->name);
}

static void on_node(void *user, const char *name, const struct node_wanted *w)
{
    size_t n = strlen(core_saw);

    (void)user;
    snprintf(core_saw + n, sizeof(core_saw) - n, "%s:%d%d ", name, w->unschedulable, w->drain);
}

static void *brain_thread(void *arg)
{
    (void)arg;
    loop_run(brain);
    return NULL;
}

static void start(void)
{
    struct err e = {0};

    core_saw[0] = '\0';
    ck_assert_msg(store_open_sqlite(dir, &store, &e) == 0, "%s", e.message);
    ck_assert_msg(registry_new(store, &registry, &e) == 0, "%s", e.message);
    ck_assert_int_eq(loop_new(&brain), 0);
    ck_assert_int_eq(loop_new(&caller), 0);
    registry_attach(registry, brain);
    registry_observe(registry, &(struct registry_observer){.on_function = on_function,
                                                           .user = registry,
                                                           .on_pool = on_pool,
                                                           .on_node = on_node});
    ck_assert_int_eq(pthread_create(&thread, NULL, brain_thread, NULL), 0);
}

static void stop(void)
{
    loop_stop(brain);
    pthread_join(thread, NULL);
    store = store_free(store);
    registry = registry_free(registry);
    brain = loop_free(brain);
    caller = loop_free(caller);
}

static void begin(void)
{
    auto_finalize = true;
    strcpy(dir, "/tmp/rouse-registry-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    start();
}

static void end(void)
{
    stop();
    file_remove_tree(dir);
}

static struct content *make(const char *name, int generation, const char *extra)
{
    static const char spec[] =
        "{\"runtime\":\"python3\",\"handler\":\"index.handler\",\"memory\":\"128Mi\","
        "\"cpu\":\"500m\",\"timeout\":\"3s\",\"concurrency\":1,"
        "\"scaling\":{\"min\":0,\"max\":100,\"idleTimeout\":\"60s\"}}";
    char metadata[1024], row[4096];
    struct json_object *m, *s;
    struct function *f;
    struct content *c;

    snprintf(metadata, sizeof(metadata),
             "{\"name\":\"%s\",\"namespace\":\"default\",\"uid\":\"u-%s\",\"generation\":%d%s}",
             name, name, generation, extra);
    snprintf(row, sizeof(row),
             "{\"metadata\":%s,\"spec\":%s,\"package\":\"sha256:00\",\"createdMs\":5}", metadata,
             spec);
    m = json_tokener_parse(metadata);
    s = json_tokener_parse(spec);
    ck_assert_int_eq(function_make(m, s, "sha256:00", 5, &f), 0);
    ck_assert_int_eq(content_new(metadata, spec, row, f, &c), 0);
    json_object_put(m);
    json_object_put(s);
    return c;
}

static int replies_wanted;

static void on_reply(struct access_request *q)
{
    (void)q;
    if (--replies_wanted == 0)
        loop_stop(caller);
}

static void post(struct access_request *q)
{
    q->caller = caller;
    q->on_reply = on_reply;
    replies_wanted++;
    access_post(registry, q);
}

static int write_one(struct access_request *q, struct content *c, uint64_t stored)
{
    *q = (struct access_request){.verb = ACCESS_WRITE, .content = c, .stored = stored};
    post(q);
    loop_run(caller);
    return q->error;
}

static struct object *get_one(const char *key)
{
    struct access_request q = {.verb = ACCESS_GET};

    snprintf(q.key, sizeof(q.key), "%s", key);
    post(&q);
    loop_run(caller);
    return q.object;
}

START_TEST(create_update_conflict)
{
    struct access_request q;
    uint64_t stored, rv;

    begin();
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 77), -ENOENT);
    access_request_done(&q);
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 0), 0);
    ck_assert_str_eq(core_saw, "+a ");
    ck_assert_ptr_nonnull(strstr(q.object->status, "\"instances\":3"));
    stored = q.object->stored;
    rv = q.object->rv;
    ck_assert_uint_gt(rv, stored); /* the core has spoken since */
    access_request_done(&q);
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 0), -EEXIST);
    ck_assert_ptr_nonnull(q.object);
    access_request_done(&q);
    ck_assert_int_eq(write_one(&q, make("a", 2, ""), stored - 1), -EAGAIN);
    access_request_done(&q);
    ck_assert_int_eq(write_one(&q, make("a", 2, ""), stored), 0);
    ck_assert_uint_gt(q.object->rv, rv);
    access_request_done(&q);
    ck_assert_str_eq(core_saw, "+a =a ");
    end();
}
END_TEST

START_TEST(writes_of_a_key_keep_their_order)
{
    struct access_request q[8], b;

    begin();
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        q[i] = (struct access_request){.verb = ACCESS_WRITE, .content = make("a", (int)i, "")};
        post(&q[i]);
    }
    b = (struct access_request){.verb = ACCESS_WRITE, .content = make("b", 1, "")};
    post(&b);
    loop_run(caller);
    ck_assert_int_eq(q[0].error, 0);
    for (size_t i = 1; i < ARRAY_LEN(q); i++)
        ck_assert_int_eq(q[i].error, -EEXIST);
    ck_assert_int_eq(b.error, 0);
    ck_assert_ptr_nonnull(strstr(q[0].object->content->metadata, "\"generation\":0"));
    for (size_t i = 0; i < ARRAY_LEN(q); i++)
        access_request_done(&q[i]);
    access_request_done(&b);
    end();
}
END_TEST

START_TEST(deletion_waits_for_the_core_and_for_users)
{
    static const char mark[] =
        ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"finalizers\":[\"rouse.dev/unroute\"]";
    static const char held[] =
        ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"finalizers\":[\"x.dev/hold\"]";
    struct access_request q;
    struct object *o;
    uint64_t stored;

    begin();
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 0), 0);
    stored = q.object->stored;
    access_request_done(&q);
    ck_assert_int_eq(write_one(&q, make("a", 2, held), stored), 0);
    stored = q.object->stored;
    access_request_done(&q);
    o = get_one("default/a");
    ck_assert_ptr_nonnull(o); /* finalised by the core, held by its user */
    object_unref(o);
    ck_assert_int_eq(write_one(&q, make("a", 2, mark), stored), 0);
    access_request_done(&q);
    /* A create is queued behind the erasure and finds the place free. */
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 0), 0);
    ck_assert_str_eq(core_saw, "+a ~a ~a -a +a ");
    access_request_done(&q);
    end();
}
END_TEST

START_TEST(a_second_life_knows_everything)
{
    struct access_request q;
    struct object *o;
    uint64_t rv;

    begin();
    ck_assert_int_eq(write_one(&q, make("a", 7, ",\"labels\":{\"x\":\"y\"}"), 0), 0);
    rv = q.object->rv;
    access_request_done(&q);
    ck_assert_int_eq(
        write_one(&q, make("b", 1, ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\""), 0), 0);
    access_request_done(&q);
    o = get_one("default/b"); /* queued behind the erasure in the brain, not in the store */
    object_unref(o);
    stop();
    start();
    o = get_one("default/a");
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_gt(o->rv, rv);
    ck_assert_str_eq(o->content->labels[0].value, "y");
    ck_assert_int_eq((int)o->content->function->generation, 7);
    ck_assert_uint_eq(o->content->function->created_ms, 5);
    object_unref(o);
    ck_assert_ptr_nonnull(strstr(core_saw, "+a "));
    end();
}
END_TEST

/* ---- watches */
static char seen[4096];
static char until[64];
static uint64_t last_rv;

static void on_event(void *user, enum event_type type, const struct object *now,
                     const struct object *old, uint64_t rv)
{
    static const char marks[] = "+=-SBX";
    size_t n = strlen(seen);

    (void)user;
    (void)old;
    if (now) {
        ck_assert_uint_gt(now->rv, 0);
        if (type != EVENT_ADDED)
            ck_assert_uint_gt(rv, last_rv);
    }
    last_rv = rv;
    snprintf(seen + n, sizeof(seen) - n, "%c%s ", marks[type], now ? now->content->name : "");
    if (until[0] && strstr(seen, until))
        loop_stop(caller);
}

static struct access_watch *watch(uint64_t rv, const char *name, const char *stop_at)
{
    struct access_watch *w;
    struct access_watch_options o = {.kind = KIND_FUNCTION,
                                     .ns = "default",
                                     .name = name,
                                     .rv = rv,
                                     .caller = caller,
                                     .on_event = on_event};

    seen[0] = '\0';
    last_rv = 0;
    snprintf(until, sizeof(until), "%s", stop_at);
    ck_assert_int_eq(access_watch_start(registry, &o, &w), 0);
    return w;
}

/* The stop's answer frees the watch: one more round trip lets it arrive. */
static void unwatch(struct access_watch *w)
{
    access_watch_stop(w);
    until[0] = '\0';
    object_unref(get_one("default/none"));
}

static struct content *make_pool(const char *name, unsigned max, const char *extra)
{
    char metadata[512], spec[1024], row[2048];
    struct json_object *m, *s;
    struct pool_spec *p;
    struct content *c;

    snprintf(metadata, sizeof(metadata), "{\"name\":\"%s\",\"uid\":\"u-%s\",\"generation\":1%s}",
             name, name, extra);
    snprintf(spec, sizeof(spec),
             "{\"provider\":\"process\",\"min\":1,\"max\":%u,\"template\":{\"memory\":\"1Gi\","
             "\"cpu\":2,\"labels\":{\"a\":\"b\"}},\"scaleUp\":{\"utilization\":80,\"window\":\"30s\","
             "\"provisionTimeout\":\"15m\",\"backoff\":\"5m\",\"backoffMax\":\"30m\",\"backoffReset\":\"3h\"},"
             "\"scaleDown\":{\"threshold\":50,\"after\":\"10m\",\"delayAfterAdd\":\"10m\","
             "\"delayAfterFailure\":\"3m\",\"drainTimeout\":\"10m\",\"unreadyAfter\":\"20m\"}}",
             max);
    snprintf(row, sizeof(row), "{\"metadata\":%s,\"spec\":%s,\"package\":\"\",\"createdMs\":5}",
             metadata, spec);
    m = json_tokener_parse(metadata);
    s = json_tokener_parse(spec);
    ck_assert_int_eq(pool_make(m, s, &p), 0);
    ck_assert_uint_eq(p->template.memory, 1ull << 30);
    ck_assert_uint_eq(p->template.cpu, 2000);
    ck_assert_str_eq(p->template.labels[0].value, "b");
    ck_assert_uint_eq(p->down.unready_after_ns, 1200ull * 1000000000);
    ck_assert_int_eq(content_new(metadata, spec, row, NULL, &c), 0);
    c->pool = p;
    json_object_put(m);
    json_object_put(s);
    return c;
}

static int write_pool(struct access_request *q, struct content *c, uint64_t stored)
{
    *q = (struct access_request){
        .verb = ACCESS_WRITE, .kind = KIND_NODE_POOL, .content = c, .stored = stored};
    post(q);
    loop_run(caller);
    return q->error;
}

START_TEST(pools_are_stored_beside_functions)
{
    struct access_request q;
    uint64_t stored;

    begin();
    ck_assert_int_eq(write_one(&q, make("p", 1, ""), 0), 0);
    access_request_done(&q);
    ck_assert_int_eq(write_pool(&q, make_pool("p", 3, ""), 0), 0);
    ck_assert_str_eq(q.object->status, "{\"nodes\":2}");
    access_request_done(&q);
    stop();
    start();
    ck_assert_ptr_nonnull(strstr(core_saw, "+p "));
    ck_assert_ptr_nonnull(strstr(core_saw, "+p:3 "));
    q = (struct access_request){.verb = ACCESS_GET, .kind = KIND_NODE_POOL, .key = "p"};
    post(&q);
    loop_run(caller);
    ck_assert_ptr_nonnull(q.object);
    ck_assert_str_eq(q.object->status, "{\"nodes\":2}");
    stored = q.object->stored;
    access_request_done(&q);
    core_saw[0] = '\0';
    ck_assert_int_eq(
        write_pool(&q, make_pool("p", 3, ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\""), stored),
        0);
    access_request_done(&q);
    ck_assert_int_eq(write_pool(&q, make_pool("p", 4, ""), 0), 0);
    access_request_done(&q);
    ck_assert_str_eq(core_saw, "~p:3 -p:3 +p:4 ");
    /* What is of another kind than it says is not stored. */
    ck_assert_int_eq(write_pool(&q, make("p", 1, ""), 0), -EINVAL);
    access_request_done(&q);
    end();
}
END_TEST

START_TEST(watch_from_nothing_then_live)
{
    struct access_request q;
    struct access_watch *w;

    begin();
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 0), 0);
    access_request_done(&q);
    w = watch(0, NULL, "S");
    loop_run(caller);
    ck_assert_str_eq(seen, "+a S ");
    snprintf(until, sizeof(until), "B");
    q = (struct access_request){.verb = ACCESS_WRITE, .content = make("b", 1, "")};
    replies_wanted = 0;
    q.caller = caller;
    q.on_reply = on_reply;
    replies_wanted = 1;
    access_post(registry, &q);
    loop_run(caller);
    access_watch_bookmark(w);
    if (!strstr(seen, "B"))
        loop_run(caller);
    ck_assert_str_eq(seen, "+a S +b =b B ");
    unwatch(w);
    access_request_done(&q);
    end();
}
END_TEST

START_TEST(watch_resumes_and_expires)
{
    struct access_request q;
    struct access_watch *w;
    uint64_t after_a, begin_rv;

    begin();
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 0), 0);
    after_a = q.object->rv;
    begin_rv = q.object->stored;
    access_request_done(&q);
    ck_assert_int_eq(write_one(&q, make("b", 1, ""), 0), 0);
    access_request_done(&q);
    w = watch(after_a, NULL, "=b");
    loop_run(caller);
    ck_assert_str_eq(seen, "+b =b ");
    unwatch(w);
    w = watch(begin_rv, "a", "=a");
    loop_run(caller);
    ck_assert_str_eq(seen, "=a ");
    unwatch(w);
    stop();
    start();
    w = watch(after_a, NULL, "X"); /* of the life before */
    loop_run(caller);
    ck_assert_str_eq(seen, "X ");
    unwatch(w);
    end();
}
END_TEST

START_TEST(the_ring_is_bounded)
{
    struct access_request q;
    struct access_watch *w;
    char json[64];
    uint64_t first;

    begin();
    ck_assert_int_eq(write_one(&q, make("a", 1, ""), 0), 0);
    first = q.object->rv;
    access_request_done(&q);
    for (int i = 0; i < 10050; i++) {
        q = (struct access_request){.verb = ACCESS_STATUS, .key = "default/a"};
        snprintf(json, sizeof(json), "{\"n\":%d}", i);
        q.status = strdup(json);
        post(&q);
        loop_run(caller);
        ck_assert_int_eq(q.error, 0);
        access_request_done(&q);
    }
    w = watch(first, NULL, "X");
    loop_run(caller);
    ck_assert_str_eq(seen, "X ");
    unwatch(w);
    end();
}
END_TEST

static void publish_from_here(const char *node)
{
    loop_stop(brain);
    pthread_join(thread, NULL);
    registry_publish(registry, KIND_NODE, NULL, node, NULL,
                     "{\"unschedulable\":false,\"drain\":false}", "{}", NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, brain_thread, NULL), 0);
}

static struct node_wanted wanted[2]; /* of a and b */

static int want(struct access_request *q, const char *node, bool unschedulable, bool drain)
{
    struct node_wanted *w = &wanted[*node - 'a'];

    *q = (struct access_request){
        .verb = ACCESS_NODE, .kind = KIND_NODE, .node = {unschedulable, drain}, .node_was = *w};
    snprintf(q->key, sizeof(q->key), "%s", node);
    post(q);
    loop_run(caller);
    *w = q->error ? *w : q->node;
    return q->error;
}

static int count_node(void *user, const struct store_row *row)
{
    *(int *)user += strcmp(row->kind, "Node") == 0;
    return 0;
}

static int stored_nodes(void)
{
    struct err e = {0};
    struct store *s;
    int n = 0;

    ck_assert_int_eq(store_open_sqlite(dir, &s, &e), 0);
    ck_assert_int_eq(store_list(s, count_node, &n, &e), 0);
    store_free(s);
    return n;
}

START_TEST(what_is_wanted_of_nodes_is_stored)
{
    struct access_request q, two[2];

    begin();
    ck_assert_int_eq(want(&q, "a", true, false), -ENOENT);
    publish_from_here("a");
    publish_from_here("b");
    ck_assert_int_eq(want(&q, "a", true, true), 0);
    ck_assert_str_eq(q.object->content->spec, "{\"unschedulable\":true,\"drain\":true}");
    access_request_done(&q);
    ck_assert_int_eq(want(&q, "b", true, false), 0);
    access_request_done(&q);
    ck_assert_int_eq(want(&q, "b", false, false), 0);
    access_request_done(&q);
    ck_assert_str_eq(core_saw, "a:11 b:10 b:00 ");
    for (int i = 0; i < 2; i++) { /* the second is begun when the first is stored */
        two[i] = (struct access_request){.verb = ACCESS_NODE,
                                         .kind = KIND_NODE,
                                         .key = "b",
                                         .node = {!i, false},
                                         .node_was = {i, false}};
        post(&two[i]);
    }
    loop_run(caller);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(two[i].error, 0);
        access_request_done(&two[i]);
    }
    wanted[1].drain = true; /* it was made from the past */
    ck_assert_int_eq(want(&q, "b", true, true), -EAGAIN);
    wanted[1].drain = false;
    stop();
    ck_assert_int_eq(stored_nodes(), 1);
    start(); /* the core knows before the node is there */
    ck_assert_str_eq(core_saw, "a:11 ");
    ck_assert_int_eq(want(&q, "a", false, false), -ENOENT);
    publish_from_here("a");
    ck_assert_int_eq(want(&q, "a", true, false), 0);
    access_request_done(&q);
    loop_stop(brain);
    pthread_join(thread, NULL);
    registry_unpublish(registry, KIND_NODE, NULL, "a"); /* a node that goes takes nothing along */
    ck_assert_int_eq(pthread_create(&thread, NULL, brain_thread, NULL), 0);
    stop();
    start();
    ck_assert_str_eq(core_saw, "a:10 ");
    end();
}
END_TEST

START_TEST(published_objects)
{
    struct access_request q = {.verb = ACCESS_LIST, .kind = KIND_INSTANCE, .ns = "default"};
    cleanup_buffer struct buffer b = {0};
    uint64_t rv;

    begin();
    stop(); /* the test is the brain's thread now */
    start();
    loop_stop(brain);
    pthread_join(thread, NULL);
    registry_publish(registry, KIND_INSTANCE, "default", "a-1", "{\"f\":\"a\"}", "{\"node\":\"n\"}",
                     "{\"s\":1}", NULL);
    registry_publish(registry, KIND_INSTANCE, "other", "a-2", NULL, "{}", "{}", NULL);
    registry_publish(registry, KIND_INSTANCE, "default", "a-1", "{\"f\":\"a\"}", "{\"node\":\"n\"}",
                     "{\"s\":1}", NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, brain_thread, NULL), 0);
    post(&q);
    loop_run(caller);
    ck_assert_uint_eq(q.count, 1);
    rv = q.items[0]->rv;
    ck_assert_uint_eq(q.rv, rv + 1); /* the third was no change */
    ck_assert_int_eq(object_json(q.items[0], &b), 0);
    ck_assert_ptr_nonnull(memmem(buffer_bytes(&b), buffer_size(&b), "\"status\":{\"s\":1}", 16));
    access_request_done(&q);
    end();
}
END_TEST

static void on_history(void *user, const char *key, const char *text)
{
    size_t n = strlen(core_saw);

    (void)user;
    snprintf(core_saw + n, sizeof(core_saw) - n, "%s:%s ", key, text);
}

/* The core's word on functions is found again, and is no object. */
START_TEST(histories_outlive_a_life)
{
    static const struct {
        const char *key, *text, *found;
    } writes[] = {
        {"default/a", "{\"x\":1}", "default/a:{\"x\":1} "},
        {"default/a", "{\"x\":2}", "default/a:{\"x\":2} "},
        {"default/b", "{}", "default/a:{\"x\":2} default/b:{} "},
        {"default/a", NULL, "default/b:{} "},
        {"default/c", NULL, "default/b:{} "},
    };

    begin();
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        struct err e = {0};

        loop_stop(brain);
        pthread_join(thread, NULL);
        registry_set_history(registry, writes[i].key, writes[i].text);
        store = store_free(store); /* commits it; its answer comes to nobody */
        brain = loop_free(brain);
        registry = registry_free(registry);
        caller = loop_free(caller);
        ck_assert_msg(store_open_sqlite(dir, &store, &e) == 0, "%s", e.message);
        ck_assert_msg(registry_new(store, &registry, &e) == 0, "%s", e.message);
        ck_assert_int_eq(loop_new(&brain), 0);
        ck_assert_int_eq(loop_new(&caller), 0);
        registry_attach(registry, brain);
        core_saw[0] = '\0';
        registry_observe(registry, &(struct registry_observer){.on_function = on_function,
                                                               .user = registry,
                                                               .on_history = on_history});
        ck_assert_str_eq(core_saw, writes[i].found);
        ck_assert_int_eq(pthread_create(&thread, NULL, brain_thread, NULL), 0);
    }
    ck_assert_ptr_null(get_one("default/b"));
    end();
}
END_TEST

UNIT_MAIN("registry", create_update_conflict, writes_of_a_key_keep_their_order,
          deletion_waits_for_the_core_and_for_users, a_second_life_knows_everything,
          watch_from_nothing_then_live, watch_resumes_and_expires, the_ring_is_bounded,
          published_objects, histories_outlive_a_life, what_is_wanted_of_nodes_is_stored,
          pools_are_stored_beside_functions)
