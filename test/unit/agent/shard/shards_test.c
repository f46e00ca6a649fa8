/* shards_test.c - real shards on threads of their own, with real pools and gateways; the session, the
 * launcher and the code cache are doubles on the main loop, which see to it that nobody else calls them. */
#include "agent/invoke/support.h"
#include "base/file.h"
#include "base/log.h"
#include "code/cache.h"
#include "instance_state.h"
#include "router/metrics_server.h"
#include "runtime/runtimes.h"
#include "sandbox/launcher.h"
#include "shard/internal.h"
#include "unit.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#define PACKAGE  "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NOWHERE  "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define FUNCTION "default/hello"

static pthread_t main_thread;
static struct shards *all;
static char state[64], gateway[128];

static void on_main(void)
{
    ck_assert(pthread_equal(pthread_self(), main_thread));
}

/* ---------------------------------------------------------------- the session's double */
static char sent[65536];
static bool said_hello;
static unsigned hellos, breaks;
static size_t hello_instances;
static bool hello_desired, hello_routes;
static uint64_t slots_offered[16], last_ticket;
static unsigned offers;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
    size_t n = strlen(sent);
    va_list ap;

    on_main();
    va_start(ap, fmt);
    vsnprintf(sent + n, sizeof(sent) - n, fmt, ap);
    va_end(ap);
}

int session_send(struct session *s, const AgentMessage *m)
{
    (void)s;
    if (!said_hello)
        return -ENOTCONN;
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS:
        note("status %s %s\n", m->instance_status->id,
             instance_state_name((enum instance_state)m->instance_status->state));
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE:
        slots_offered[offers++ % 16] = m->slot_free->slot;
        note("slot %s\n", m->slot_free->instance);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK:
        note("ack %s %llu\n", m->ack->desired ? "desired" : "routes",
             (unsigned long long)(m->ack->desired ? m->ack->desired : m->ack->routes)->sequence);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET:
        last_ticket = m->ticket->id;
        note("ticket\n");
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT:
        note("report instances=%zu\n", m->report->n_instances);
        for (size_t i = 0; i < m->report->n_functions; i++)
            note("load %s requests=%llu\n", m->report->functions[i]->function_key,
                 (unsigned long long)m->report->functions[i]->requests);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK:
        note("chunk %llu%s:\n%.*s", (unsigned long long)m->log_chunk->request,
             m->log_chunk->last ? " last" : "", (int)m->log_chunk->text.len,
             (const char *)m->log_chunk->text.data);
        break;
    default:
        note("kind %d\n", (int)m->body_case);
    }
    return 0;
}

int session_hello(struct session *s, const Rouse__Control__V1__Hello *h)
{
    (void)s;
    on_main();
    said_hello = true;
    hellos++;
    hello_instances = h->n_instances;
    hello_desired = h->desired != NULL;
    hello_routes = h->routes != NULL;
    for (size_t i = 0; i < h->n_instances; i++)
        note("hello %s %s\n", h->instances[i]->id,
             instance_state_name((enum instance_state)h->instances[i]->state));
    return 0;
}

void session_break(struct session *s, const char *why)
{
    (void)s;
    on_main();
    note("break %s\n", why);
    breaks++;
    if (said_hello) {
        said_hello = false;
        shards_session_ops.on_away(all);
    }
}

static char shown[65536];
static unsigned shows;
void metrics_server_answer(struct metrics_server *s, const struct buffer *text)
{
    (void)s;
    on_main();
    shows++;
    snprintf(shown, sizeof(shown), "%.*s", (int)buffer_size(text), (const char *)buffer_bytes(text));
}

static bool has_sent(void *user)
{
    return strstr(sent, user) != NULL;
}
#define expect_sent(text)                                                                          \
    ck_assert_msg(turn_until(has_sent, (void *)(text)), "never sent \"%s\", but:\n%s",             \
                  (const char *)(text), sent)

static unsigned count_sent(const char *text)
{
    unsigned n = 0;

    for (const char *p = sent; (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

/* ---------------------------------------------------------------- the launcher's and the cache's doubles */
struct launcher {
    const struct launcher_ops *ops;
    void *user;
};
static struct launcher the_launcher;
static int create_result;

struct box {
    char id[64], path[108];
    int out;
    bool alive, started, stopped;
    struct peer rt;
    struct loop_timer exit;
};
static struct box boxes[32];
static size_t box_count;
static unsigned served; /* by all of them */

static struct box *box_of(const char *id)
{
    for (size_t i = box_count; i-- > 0;)
        if (!strcmp(boxes[i].id, id))
            return &boxes[i];
    return NULL;
}

int launcher_attach(struct launcher *l, struct loop *on, const struct launcher_ops *ops, void *user)
{
    (void)on;
    *l = (struct launcher){ops, user};
    return 0;
}

int launcher_create(struct launcher *l, const struct sandbox_spec *s)
{
    struct box *b = &boxes[box_count];

    (void)l;
    on_main();
    ck_assert_str_eq(s->code_dir, "/code");
    ck_assert_str_eq(s->argv[0], "/bin/run");
    if (create_result)
        return create_result;
    ck_assert_uint_lt(box_count, 32);
    box_count++;
    *b = (struct box){.out = -1, .rt.fd = -1};
    snprintf(b->id, sizeof(b->id), "%s", s->id);
    return 0;
}

static void box_exit(struct box *b)
{
    struct sandbox_exit e = {.code = 0};

    if (!b->alive)
        return;
    b->alive = false;
    close(b->out);
    b->out = -1;
    peer_close(&b->rt);
    the_launcher.ops->on_exit(the_launcher.user, b->id, &e);
}

static void on_box_exit(struct loop_timer *t)
{
    struct box *b = container_of(t, struct box, exit);
    struct err e;

    err_set(&e, EPERM, "stopped before it started");
    if (b->started)
        box_exit(b);
    else
        the_launcher.ops->on_failed(the_launcher.user, b->id, &e);
}

int launcher_stop_sandbox(struct launcher *l, const char *id, uint64_t grace_ns)
{
    struct box *b = box_of(id);

    (void)l, (void)grace_ns;
    on_main();
    if (b && !b->stopped) {
        b->stopped = true;
        b->exit.fn = on_box_exit;
        loop_timer_set(loop, &b->exit, loop_now(loop));
    }
    return 0;
}

int launcher_usage(struct launcher *l, const char *id, struct sandbox_usage *ret)
{
    (void)l, (void)id, (void)ret;
    return -ENOENT;
}

static int code_holds;
static struct list waits = {&waits, &waits};
struct wait {
    struct loop_timer timer;
    struct list link;
    void (*on_ready)(void *user, const char *dir, const struct err *e);
    void *user;
    bool fails;
};

static void on_code_due(struct loop_timer *t)
{
    struct wait w = *container_of(t, struct wait, timer);
    struct err e;

    list_del(&container_of(t, struct wait, timer)->link);
    free(container_of(t, struct wait, timer));
    err_set(&e, ENOENT, "no such package");
    if (!w.fails)
        code_holds++;
    w.on_ready(w.user, w.fails ? NULL : "/code", w.fails ? &e : NULL);
}

int code_cache_get(struct code_cache *c, const char *digest,
                   void (*on_ready)(void *user, const char *dir, const struct err *e), void *user)
{
    struct wait *w = calloc(1, sizeof(*w));

    (void)c;
    on_main();
    *w = (struct wait){.timer.fn = on_code_due,
                       .on_ready = on_ready,
                       .user = user,
                       .fails = !strcmp(digest, NOWHERE)};
    list_push_back(&waits, &w->link);
    loop_timer_set(loop, &w->timer, loop_now(loop));
    return 0;
}

void code_cache_release(struct code_cache *c, const char *digest)
{
    (void)c, (void)digest;
    on_main();
    code_holds--;
}

void code_cache_forget(struct code_cache *c, void *user)
{
    (void)c;
    on_main();
    list_for_each(it, &waits)
    {
        struct wait *w = list_entry(it, struct wait, link);

        if (w->user != user)
            continue;
        list_del(&w->link);
        loop_timer_cancel(loop, &w->timer);
        free(w);
    }
}

/* ---------------------------------------------------------------- the world */
static struct runtimes *the_runtimes;
static char the_cache;

static void begin(unsigned count)
{
    struct shards_config c = {.count = count,
                              .launcher = &the_launcher,
                              .code = (struct code_cache *)&the_cache,
                              .state_dir = state,
                              .node = "n1",
                              .gateway_address = "tcp://127.0.0.1:0",
                              .peer_address = "tcp://127.0.0.1:0",
                              .queue_deadline_ns = 20 * NS_PER_S};
    static const char runtime[] =
        "{\"name\":\"python3\",\"protocol\":\"frames\",\"argv\":[\"/bin/run\"],\"env\":{}}";
    struct err e = {0};
    char path[200];

    log_set_level(LOG_ERROR);
    main_thread = pthread_self();
    strcpy(state, "/tmp/shards-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(state));
    snprintf(path, sizeof(path), "%s/runtimes/python3/rootfs", state);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/runtimes/python3/runtime.json", state);
    ck_assert_int_eq(file_write_atomic(path, runtime, strlen(runtime), 0644), 0);
    snprintf(path, sizeof(path), "%s/runtimes", state);
    ck_assert_int_eq(runtimes_load(path, &the_runtimes, &e), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    c.loop = loop;
    c.runtimes = the_runtimes;
    ck_assert_msg(shards_new(&c, &all, &e) == 0, "%s", e.message);
    shards_gateway_address(all, gateway);
    ck_assert_msg(shards_start(all, &e) == 0, "%s", e.message);
}

static void stop_now(struct mail *m)
{
    (void)m;
    loop_stop(loop);
}

static void end(void)
{
    struct mail m = {.fn = stop_now};

    shards_end(all);
    loop_post(loop, &m);
    loop_run(loop);
    all = shards_free(all);
    ck_assert_int_eq(code_holds, 0);
    for (size_t i = 0; i < box_count; i++) {
        loop_timer_cancel(loop, &boxes[i].exit);
        peer_close(&boxes[i].rt);
        if (boxes[i].path[0])
            unlink(boxes[i].path);
        ck_assert(!boxes[i].alive);
    }
    runtimes_free(the_runtimes);
    loop_free(loop);
    file_remove_tree(state);
}

static bool hello_said(void *user)
{
    return hellos >= *(unsigned *)user;
}

static void connect_controller(void)
{
    Rouse__Control__V1__Welcome w = ROUSE__CONTROL__V1__WELCOME__INIT;
    unsigned wanted = hellos + 1;

    w.peer_secret = (char *)"s3cret";
    shards_session_ops.on_open(all);
    wait_for(hello_said, &wanted);
    shards_session_ops.on_welcome(all, &w);
}

static void lose_controller(void)
{
    said_hello = false;
    shards_session_ops.on_away(all);
}

static int tell(ControllerMessage *m, int kind)
{
    const char *why = NULL;
    int r;

    m->body_case = (Rouse__Control__V1__ControllerMessage__BodyCase)kind;
    r = shards_session_ops.on_message(all, m, &why);
    ck_assert((r < 0) == (why && r < 0));
    return r;
}

/* A Desired with `ids`, separated by spaces; since 0: a full one. */
static int desire(uint64_t sequence, uint64_t since, const char *package, const char *ids,
                  const char *removed)
{
    Rouse__Control__V1__Desired d = ROUSE__CONTROL__V1__DESIRED__INIT;
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT,
                              from = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__RevisionSpec spec = ROUSE__CONTROL__V1__REVISION_SPEC__INIT,
                                     *specs[] = {&spec};
    Rouse__Control__V1__DesiredInstance instances[16], *list[16];
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;
    char copy[512], *save, gone[512], *names[16];

    spec.function_key = (char *)FUNCTION;
    spec.revision = (char *)"r1";
    spec.runtime = (char *)"python3";
    spec.handler = (char *)"index.handler";
    spec.package = (char *)package;
    spec.memory = 1 << 20;
    spec.timeout_ms = 10000;
    spec.concurrency = 4;
    epoch.incarnation = from.incarnation = 7;
    epoch.sequence = sequence;
    from.sequence = since;
    d.epoch = &epoch;
    d.since = since ? &from : NULL;
    d.revisions = specs;
    d.n_revisions = 1;
    d.instances = list;
    snprintf(copy, sizeof(copy), "%s", ids);
    for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        rouse__control__v1__desired_instance__init(&instances[d.n_instances]);
        instances[d.n_instances].id = s;
        instances[d.n_instances].function_key = (char *)FUNCTION;
        instances[d.n_instances].revision = (char *)"r1";
        list[d.n_instances] = &instances[d.n_instances];
        d.n_instances++;
    }
    d.removed = names;
    snprintf(gone, sizeof(gone), "%s", removed);
    for (char *s = strtok_r(gone, " ", &save); s; s = strtok_r(NULL, " ", &save))
        names[d.n_removed++] = s;
    m.desired = &d;
    return tell(&m, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED);
}

static int route(uint64_t sequence, uint64_t since)
{
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT,
                              from = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__HttpTrigger trigger = ROUSE__CONTROL__V1__HTTP_TRIGGER__INIT,
                                    *triggers[] = {&trigger};
    Rouse__Control__V1__Route r = ROUSE__CONTROL__V1__ROUTE__INIT, *routes[] = {&r};
    Rouse__Control__V1__Routes m = ROUSE__CONTROL__V1__ROUTES__INIT;
    ControllerMessage c = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    epoch.incarnation = from.incarnation = 7;
    epoch.sequence = sequence;
    from.sequence = since;
    trigger.path = (char *)"/hello";
    r.function_key = (char *)FUNCTION;
    r.revision = (char *)"r1";
    r.timeout_ms = 10000;
    r.concurrency = 4;
    r.body_limit = 1 << 20;
    r.triggers = triggers;
    r.n_triggers = 1;
    m.epoch = &epoch;
    m.since = since ? &from : NULL;
    m.routes = routes;
    m.n_routes = 1;
    c.routes = &m;
    return tell(&c, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES);
}

static void want_slots(uint32_t count)
{
    Rouse__Control__V1__SlotWanted w = ROUSE__CONTROL__V1__SLOT_WANTED__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    w.function_key = (char *)FUNCTION;
    w.revision = (char *)"r1";
    w.count = count;
    m.slot_wanted = &w;
    tell(&m, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED);
}

static bool box_made(void *user)
{
    return box_of(user) != NULL;
}

static struct box *box_start(const char *id)
{
    struct sandbox_started s = {.pid = 1, .api_listen_fd = -1, .create_ns = NS_PER_MS};
    int out[2], err[2];
    struct box *b;

    wait_for(box_made, (void *)id);
    b = box_of(id);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(pipe2(err, O_CLOEXEC | O_NONBLOCK), 0);
    close(err[1]);
    b->out = out[1];
    s.stdout_fd = out[0];
    s.stderr_fd = err[0];
    s.frames_listen_fd = listen_unix(b->path);
    b->alive = b->started = true;
    the_launcher.ops->on_started(the_launcher.user, id, &s);
    return b;
}

static struct box *box_ready(const char *id, uint32_t credit)
{
    struct box *b = box_start(id);
    char line[128];

    peer_connect_unix(&b->rt, b->path);
    frame_hello(&b->rt);
    frame_send_credit(&b->rt, credit);
    snprintf(line, sizeof(line), "status %s Ready", id);
    expect_sent(line);
    return b;
}

static unsigned loop_of(const char *id)
{
    return (unsigned)placement_put(&all->placement, FUNCTION, "r1", id);
}

/* ---- clients */
static void serve_all(void)
{
    for (size_t i = 0; i < box_count; i++) {
        struct box *b = &boxes[i];
        struct frame f;
        size_t size;

        if (!b->alive || b->rt.fd < 0)
            continue;
        peer_read(&b->rt);
        while (frame_parse(buffer_bytes(&b->rt.in), buffer_size(&b->rt.in), &f, &size) == 1) {
            uint64_t id = f.id;
            bool invoke = f.type == FRAME_INVOKE;

            buffer_consume(&b->rt.in, size);
            if (invoke) {
                served++;
                frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, id, b->id);
            }
        }
    }
}

static bool answered(void *user)
{
    serve_all();
    return http_whole(user);
}

static void ask(struct peer *p)
{
    static const char text[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

    peer_connect_tcp(p, (uint16_t)atoi(strrchr(gateway, ':') + 1));
    peer_send(p, text, sizeof(text) - 1);
}

static void expect_answer(struct peer *p, const char *part)
{
    char *text;

    wait_for(answered, p);
    text = http_take(p);
    expect_text(text, "HTTP/1.1 200");
    expect_text(text, part);
    free(text);
    peer_close(p);
}

/* ---------------------------------------------------------------- Desired, acks, Hello */
START_TEST(a_state_is_split_and_acknowledged_by_all)
{
    unsigned loads[3] = {0};
    static const char *const ids[] = {"i1", "i2", "i3", "i4", "i5", "i6"};

    begin(3);
    connect_controller();
    ck_assert(!hello_desired && !hello_routes);
    ck_assert_int_eq(desire(1, 0, PACKAGE, "i1 i2 i3 i4 i5 i6", ""), 0);
    expect_sent("ack desired 1\n");
    for (size_t i = 0; i < 6; i++) {
        wait_for(box_made, (void *)ids[i]);
        loads[loop_of(ids[i])]++;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(loads[i], 2);
    ck_assert_int_eq(route(1, 0), 0);
    expect_sent("ack routes 1\n");
    /* A delta: one goes, one comes. */
    ck_assert_int_eq(desire(2, 1, PACKAGE, "i7", "i2"), 0);
    expect_sent("ack desired 2\n");
    expect_sent("status i2 Draining");
    wait_for(box_made, (void *)"i7");
    ck_assert_uint_eq(loop_of("i7"), 1);
    ck_assert_uint_eq(count_sent("ack desired"), 2);
    ck_assert_uint_eq(count_sent("ack routes"), 1);
    ck_assert_int_eq(desire(9, 5, PACKAGE, "", ""), -ESTALE);
    ck_assert_int_eq(route(9, 5), -ESTALE);
    end();
}
END_TEST

START_TEST(hello_is_gathered)
{
    begin(3);
    connect_controller();
    ck_assert_uint_eq(hello_instances, 0);
    desire(1, 0, PACKAGE, "i1 i2 i3 i4", "");
    route(1, 0);
    expect_sent("ack desired 1\n");
    expect_sent("ack routes 1\n");
    for (const char *id = "i1\0i2\0i3\0i4\0"; *id; id += 3)
        wait_for(box_made, (void *)id);
    lose_controller();
    connect_controller();
    ck_assert_uint_eq(hello_instances, 4);
    ck_assert(hello_desired && hello_routes);
    /* What follows fits onto it. */
    ck_assert_int_eq(desire(2, 1, PACKAGE, "", "i1 i2 i3 i4"), 0);
    expect_sent("ack desired 2\n");
    end();
}
END_TEST

static bool is_set(void *user)
{
    return atomic_load((atomic_bool *)user);
}

struct flag {
    struct letter letter;
    atomic_bool *set;
};
static void set_flag(struct letter *l, bool late)
{
    (void)late;
    atomic_store(((struct flag *)l)->set, true);
}
/* That shard has handled all that was posted to it; the main loop does not turn meanwhile. */
static void let_shard_catch_up(unsigned index)
{
    struct flag *f = letter_make(sizeof(*f));
    const struct timespec pause = {.tv_nsec = 1000000};
    atomic_bool set = false;

    f->set = &set;
    letter_post(&shard_at(all, index)->box, &f->letter, set_flag);
    for (int i = 0; i < 20000 && !is_set(&set); i++)
        nanosleep(&pause, NULL);
    ck_assert(is_set(&set));
}

START_TEST(an_end_that_was_lost_on_its_way_is_told_again)
{
    struct err e;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    wait_for(box_made, (void *)"i2");
    ck_assert_uint_eq(loop_of("i2"), 1);
    /* Shard 1 says so to a connection that ends before the main loop looks at its mail. */
    err_set(&e, EPERM, "no");
    the_launcher.ops->on_failed(the_launcher.user, "i2", &e);
    let_shard_catch_up(1);
    lose_controller();
    sent[0] = '\0';
    connect_controller();
    expect_sent("status i2 Failed");
    end();
}
END_TEST

START_TEST(what_is_lost_with_a_hello_under_way_is_told_again)
{
    struct err e;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    wait_for(box_made, (void *)"i1");
    wait_for(box_made, (void *)"i2");
    lose_controller();
    shards_session_ops.on_open(all); /* shard 0's part is there, shard 1's is not */
    err_set(&e, EPERM, "no");
    the_launcher.ops->on_failed(the_launcher.user, "i1", &e);
    ck_assert_uint_eq(hellos, 1);
    lose_controller();
    sent[0] = '\0';
    connect_controller();
    wait_for(has_sent, (void *)"i1 Failed");
    end();
}
END_TEST

START_TEST(what_follows_a_part_waits_for_the_whole)
{
    struct err e;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    wait_for(box_made, (void *)"i1");
    wait_for(box_made, (void *)"i2");
    lose_controller();
    shards_session_ops.on_open(all);
    err_set(&e, EPERM, "no");
    the_launcher.ops->on_failed(the_launcher.user, "i1", &e);
    ck_assert(!has_sent((void *)"status i1 Failed"));
    expect_sent("status i1 Failed");
    ck_assert_ptr_nonnull(strstr(sent, "hello i1 Creating"));
    ck_assert(strstr(sent, "hello i1") < strstr(sent, "status i1 Failed"));
    end();
}
END_TEST

START_TEST(failures_to_start_find_their_instance)
{
    begin(2);
    connect_controller();
    create_result = -EMSGSIZE;
    desire(1, 0, PACKAGE, "i1 i2", "");
    expect_sent("status i1 Failed");
    expect_sent("status i2 Failed");
    create_result = 0;
    desire(2, 0, NOWHERE, "i1 i2", ""); /* told again: they have been */
    end();
}
END_TEST

START_TEST(a_package_that_is_not_there)
{
    begin(2);
    connect_controller();
    desire(1, 0, NOWHERE, "i1 i2", "");
    expect_sent("status i1 Failed");
    expect_sent("status i2 Failed");
    ck_assert_uint_eq(box_count, 0);
    end();
}
END_TEST

START_TEST(nobody_waits_for_the_package_any_more)
{
    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    desire(2, 1, PACKAGE, "", "i1 i2");
    expect_sent("status i1 Stopped");
    expect_sent("status i2 Stopped");
    end(); /* which sees that nothing is held */
}
END_TEST

/* ---------------------------------------------------------------- slots, siblings */
static bool free_at(void *user)
{
    unsigned place = slot_hint_place(FUNCTION, "r1");

    return slot_hint_get(all->hints[*(unsigned *)user], place) == 1;
}
static bool hinted_nowhere(void *user)
{
    unsigned place = slot_hint_place(FUNCTION, "r1");

    (void)user;
    return !slot_hint_get(all->hints[0], place) && !slot_hint_get(all->hints[1], place);
}

START_TEST(slots_are_offered_once)
{
    unsigned one = 1;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    box_ready("i1", 1);
    box_ready("i2", 1);
    wait_for(free_at, &one);
    want_slots(1);
    /* Shard 0's came first; shard 1's goes back, long before a lease is over. */
    expect_sent("slot i1");
    wait_for(free_at, &one);
    ck_assert_uint_eq(offers, 1);
    ck_assert_uint_eq(loop_of_id(slots_offered[0]), 0);
    /* Two more than there are: both are offered, under ids of their shards. */
    sent[0] = '\0';
    want_slots(0);
    want_slots(4);
    expect_sent("slot i1");
    expect_sent("slot i2");
    wait_for(hinted_nowhere, NULL);
    end();
}
END_TEST

START_TEST(a_request_finds_the_sibling_that_has_the_slot)
{
    struct peer clients[24];
    unsigned before;

    begin(3);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1", "");
    expect_sent("ack routes 1\n");
    box_ready("i1", 64);
    for (int i = 0; i < 24; i++) {
        ask(&clients[i]);
        expect_answer(&clients[i], "i1");
    }
    ck_assert_uint_eq(served, 24);
    ck_assert_uint_eq(count_sent("ticket"), 0);
    /* The kernel spreads connections: some came to loops without the instance. */
    before = shows;
    shards_collect_metrics(all);
    while (shows == before)
        ck_assert(turn_until(has_sent, (void *)"ack"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_gateway_requests_total 24\n"));
    ck_assert_ptr_nonnull(strstr(shown, "code=\"200\"} 24\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_gateway_dispatched_total{way=\"sibling\"}"));
    ck_assert_ptr_null(strstr(shown, "rouse_gateway_dispatched_total{way=\"sibling\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_gateway_functions 1\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_loop_turns_total{loop=\"2\"}"));
    shards_session_ops.on_report(all);
    expect_sent("report instances=1\nload " FUNCTION " requests=24\n");
    end();
}
END_TEST

static void grant(uint64_t slot)
{
    Rouse__Control__V1__Grant g = ROUSE__CONTROL__V1__GRANT__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    g.ticket = last_ticket;
    g.function_key = (char *)FUNCTION;
    g.revision = (char *)"r1";
    g.node = (char *)"n1";
    g.peer_address = (char *)"tcp://127.0.0.1:1";
    g.slot = slot;
    g.timeout_ms = 10000;
    m.grant = &g;
    tell(&m, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT);
}

START_TEST(a_grant_finds_its_ticket_and_its_slot)
{
    unsigned zero = 0, one = 1;

    begin(2);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1 i2", "");
    expect_sent("ack routes 1\n");
    box_ready("i1", 1);
    box_ready("i2", 1);
    /* Both ways round: tickets of either loop, slots of either loop. */
    for (int i = 0; i < 12; i++) {
        struct peer client;
        unsigned had = offers;

        wait_for(free_at, &zero);
        wait_for(free_at, &one);
        sent[0] = '\0';
        want_slots(2);
        expect_sent("slot i1");
        expect_sent("slot i2");
        ck_assert_uint_eq(offers, had + 2);
        ask(&client);
        expect_sent("ticket");
        for (unsigned k = 0; k < 2; k++)
            if (loop_of_id(slots_offered[(had + k) % 16]) == (unsigned)i % 2)
                grant(slots_offered[(had + k) % 16]);
        want_slots(0);
        expect_answer(&client, i % 2 ? "i2" : "i1");
    }
    end();
}
END_TEST

/* ---------------------------------------------------------------- logs */
static void ask_logs(uint64_t id, uint32_t tail, bool follow, bool cancel)
{
    Rouse__Control__V1__LogRequest r = ROUSE__CONTROL__V1__LOG_REQUEST__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    r.id = id;
    r.function_key = (char *)FUNCTION;
    r.tail_lines = tail;
    r.follow = follow;
    r.cancel = cancel;
    m.log_request = &r;
    tell(&m, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST);
}

static void print(struct box *b, const char *line)
{
    ck_assert_int_eq(write(b->out, line, strlen(line)), (ssize_t)strlen(line));
}

START_TEST(logs_of_all_are_one_text)
{
    struct box *a, *b;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    a = box_ready("i1", 1);
    b = box_ready("i2", 1);
    ask_logs(1, 10, true, false);
    print(a, "of one\n");
    expect_sent("- of one\n");
    print(b, "of two\n");
    expect_sent("- of two\n");
    print(a, "again of one\n");
    expect_sent("- again of one\n");
    ask_logs(1, 0, false, true);
    sent[0] = '\0';
    ask_logs(2, 2, false, false);
    expect_sent("chunk 2 last:");
    ck_assert_uint_eq(count_sent("chunk 2"), 2);
    ck_assert_ptr_null(strstr(sent, "- of one\n"));
    ck_assert_ptr_nonnull(strstr(sent, "- of two\n"));
    ck_assert_ptr_nonnull(strstr(strstr(sent, "- of two\n"), "- again of one\n"));
    end();
}
END_TEST

/* ---------------------------------------------------------------- the end */
static bool drained;
static void on_drained(void *user)
{
    (void)user;
    drained = true;
}
static bool all_drained(void *user)
{
    (void)user;
    serve_all();
    return drained;
}
static bool invoked(void *user)
{
    struct box *b = user;

    peer_read(&b->rt);
    return buffer_size(&b->rt.in) > 0;
}

START_TEST(a_drain_finishes_what_runs)
{
    struct peer client;
    struct box *b;

    begin(3);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1", "");
    expect_sent("ack routes 1\n");
    b = box_ready("i1", 64);
    ask(&client);
    wait_for(invoked, b);
    shards_drain(all, clock_monotonic_ns() + 20 * NS_PER_S, on_drained, NULL);
    wait_for(all_drained, NULL);
    expect_answer(&client, "i1");
    end();
}
END_TEST

START_TEST(an_end_with_everything_under_way)
{
    begin(4);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1 i2 i3 i4 i5 i6 i7 i8", "");
    box_ready("i2", 1);
    box_start("i3");
    shards_session_ops.on_report(all);
    shards_collect_metrics(all);
    ask_logs(1, 0, true, false);
    end();
}
END_TEST

START_TEST(one_loop_is_as_ever)
{
    struct peer client;

    begin(1);
    connect_controller();
    ck_assert_uint_eq(hellos, 1);
    route(1, 0);
    desire(1, 0, PACKAGE, "i1", "");
    expect_sent("ack desired 1\n");
    box_ready("i1", 1);
    ask(&client);
    expect_answer(&client, "i1");
    shards_session_ops.on_report(all);
    expect_sent("report instances=1\nload " FUNCTION " requests=1\n");
    shards_collect_metrics(all);
    ck_assert_uint_eq(shows, 1);
    want_slots(1);
    expect_sent("slot i1");
    end();
}
END_TEST

START_TEST(a_failure_to_start_names_the_loop)
{
    struct shards_config c = {.count = 2,
                              .launcher = &the_launcher,
                              .code = (struct code_cache *)&the_cache,
                              .state_dir = state,
                              .node = "n1",
                              .gateway_address = gateway,
                              .peer_address = "tcp://127.0.0.1:0",
                              .queue_deadline_ns = NS_PER_S};
    struct shards *other = NULL;
    struct err e = {0};

    begin(2);
    /* Its port is another agent's, although both would share theirs among their loops. */
    c.loop = loop;
    c.runtimes = the_runtimes;
    ck_assert_int_eq(shards_new(&c, &other, &e), -EADDRINUSE);
    expect_text(e.message, "--gateway-address tcp://127.0.0.1:");
    shards_end(other);
    shards_free(other);
    /* So are its sockets. */
    c.gateway_address = "tcp://127.0.0.1:0";
    other = NULL;
    ck_assert_int_eq(shards_new(&c, &other, &e), -EADDRINUSE);
    expect_text(e.message, "loop 0: its socket ");
    shards_end(other);
    shards_free(other);
    end();
}
END_TEST

UNIT_MAIN("shards", a_state_is_split_and_acknowledged_by_all, hello_is_gathered,
          an_end_that_was_lost_on_its_way_is_told_again,
          what_is_lost_with_a_hello_under_way_is_told_again,
          what_follows_a_part_waits_for_the_whole, failures_to_start_find_their_instance,
          a_package_that_is_not_there, nobody_waits_for_the_package_any_more, slots_are_offered_once,
          a_request_finds_the_sibling_that_has_the_slot, a_grant_finds_its_ticket_and_its_slot,
          logs_of_all_are_one_text, a_drain_finishes_what_runs, an_end_with_everything_under_way,
          one_loop_is_as_ever, a_failure_to_start_names_the_loop)
