/* fixture.h - real shards on threads of their own, with real pools and gateways; the session, the
 * launcher and the code cache are doubles on the main loop, which see to it that nobody else calls
 * them. Runtimes are peers made by hand. Include it once a test. */
#pragma once
#include "runtime-sdk/invoke/support.h"
#include "base/file.h"
#include "base/log.h"
#include "code/cache.h"
#include "instance_state.h"
#include "router/metrics_server.h"
#include "runtime/runtimes.h"
#include "launcher/launcher.h"
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

int launcher_ports(struct launcher *l, const char *const *addresses)
{
    (void)l, (void)addresses;
    on_main();
    return 0;
}

int launcher_adopt(struct launcher *l, const struct sandbox_adoption *a)
{
    (void)l, (void)a;
    return -ENOSYS;
}

unsigned launcher_parked(const struct launcher *l, const char *runtime_root)
{
    (void)l, (void)runtime_root;
    return 3;
}

int launcher_park(struct launcher *l, const struct sandbox_kind *k, unsigned count)
{
    (void)l, (void)k, (void)count;
    return 0;
}

int launcher_usage(const struct launcher *l, const char *cgroup, struct sandbox_usage *ret)
{
    (void)l, (void)cgroup, (void)ret;
    return -ENOENT;
}

int launcher_reclaim(const struct launcher *l, const char *cgroup, uint64_t bytes, uint64_t *ret_freed)
{
    (void)l, (void)cgroup, (void)bytes, (void)ret_freed;
    return -EOPNOTSUPP;
}

int launcher_freeze(const struct launcher *l, const char *cgroup, bool frozen)
{
    (void)l, (void)cgroup, (void)frozen;
    return -EOPNOTSUPP;
}

void launcher_metrics(const struct launcher *l, struct buffer *out)
{
    (void)l, (void)out;
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

void code_cache_metrics(const struct code_cache *c, struct buffer *out)
{
    (void)c, (void)out;
    on_main();
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
static int fds_before;
static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

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
                              .controller = "tcp://127.0.0.1:7082",
                              .api = "http://127.0.0.1:7080",
                              .queue_deadline_ns = 20 * NS_PER_S};
    static const char runtime[] =
        "{\"name\":\"python3\",\"protocol\":\"frames\",\"argv\":[\"/bin/run\"],\"env\":{}}";
    struct err e = {0};
    char path[200];

    log_set_level(LOG_ERROR);
    main_thread = pthread_self();
    fds_before = count_fds();
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

static void take_down_all(void)
{
    struct mail m = {.fn = stop_now};

    shards_end(all);
    loop_post(loop, &m);
    loop_run(loop);
    all = shards_free(all);
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
    ck_assert_int_eq(count_fds(), fds_before);
}

static void end(void)
{
    take_down_all();
    ck_assert_int_eq(code_holds, 0);
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
    struct sandbox_started s = {.pid = 1, .api_listen_fd = -1, .create_ns = NS_PER_MS, .pooled = true};
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
