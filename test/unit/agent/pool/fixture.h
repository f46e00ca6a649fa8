/* fixture.h - a pool with everything around it but sandboxes: launcher_*() are doubles (so that the
 * real ones are not linked), runtimes are peers made by hand, clients come over loopback HTTP, and
 * what goes to the controller is kept as lines of text. Include it once a test. */
#pragma once
#include "runtime-sdk/invoke/support.h"
#include "base/file.h"
#include "base/log.h"
#include "code/cache.h"
#include "http/server.h"
#include "instance_state.h"
#include "pool/pool.h"
#include "report/report.h"
#include "runtime/runtimes.h"
#include "launcher/launcher.h"
#include "wire/gauge.h"
#include "unit.h"

#include <stdarg.h>
#include <sys/stat.h>

#define PACKAGE  "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NOWHERE  "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define FUNCTION "default/hello"

/* ---------------------------------------------------------------- what was said to the controller
 */

static char sent[65536];
static bool away; /* the controller is not connected */

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
    size_t n = strlen(sent);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(sent + n, sizeof(sent) - n, fmt, ap);
    va_end(ap);
}

static uint64_t last_slot;
static Rouse__Control__V1__PhaseTimes last_phases;
static char last_message[1100];

static int on_send(void *user, const Rouse__Control__V1__AgentMessage *m)
{
    (void)user;
    if (away)
        return -ENOTCONN;
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS:
        note("status %s %s %s slots=%u code=%d signal=%d\n", m->instance_status->id,
             instance_state_name((enum instance_state)m->instance_status->state),
             m->instance_status->reason, m->instance_status->slots, m->instance_status->exit_code,
             m->instance_status->signal);
        for (size_t i = 0; i < m->instance_status->n_metrics; i++)
            note("metric %s %s %g\n", m->instance_status->id, m->instance_status->metrics[i]->name,
                 m->instance_status->metrics[i]->value);
        if (m->instance_status->phases)
            last_phases = *m->instance_status->phases;
        snprintf(last_message, sizeof(last_message), "%s", m->instance_status->message);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE:
        last_slot = m->slot_free->slot;
        note("slot %s %s %s %u\n", m->slot_free->instance, m->slot_free->function_key,
             m->slot_free->revision, m->slot_free->lease_ms);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK:
        note("ack %llu.%llu\n", (unsigned long long)m->ack->desired->incarnation,
             (unsigned long long)m->ack->desired->sequence);
        break;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK:
        note("chunk %llu%s:\n%.*s", (unsigned long long)m->log_chunk->request,
             m->log_chunk->last ? " last" : "", (int)m->log_chunk->text.len,
             (const char *)m->log_chunk->text.data);
        break;
    default:
        ck_abort_msg("message of kind %d", (int)m->body_case);
    }
    return 0;
}

static bool has_sent(void *user)
{
    return strstr(sent, user) != NULL;
}
#define expect_sent(text)                                                                          \
    ck_assert_msg(turn_until(has_sent, (void *)(text)), "never sent \"%s\", but:\n%s",             \
                  (const char *)(text), sent)
#define expect_not_sent(text)                                                                      \
    ck_assert_msg(!has_sent((void *)(text)), "sent \"%s\":\n%s", (text), sent)

/* ---------------------------------------------------------------- the launcher's double */

struct launcher {
    struct loop *loop;
    const struct launcher_ops *ops;
    void *user;
};
static struct launcher the_launcher;
static int create_result;
static bool exits_when_stopped;
static char created[4096]; /* environment and more of the last one made */
static char stops[1024];   /* "ID GRACE_MS\n"... */

struct box { /* one sandbox of the double */
    char id[64], path[108];
    uint16_t api_port;
    int out, err; /* where the function writes */
    bool alive, started, frames, api;
    struct peer rt;
    struct loop_timer exit;
};
static struct box boxes[16];
static size_t box_count;

static struct box *box_of(const char *id)
{
    for (size_t i = box_count; i-- > 0;)
        if (!strcmp(boxes[i].id, id))
            return &boxes[i];
    return NULL;
}

int launcher_attach(struct launcher *l, struct loop *on, const struct launcher_ops *ops, void *user)
{
    *l = (struct launcher){on, ops, user};
    return 0;
}

int launcher_create(struct launcher *l, const struct sandbox_spec *s)
{
    struct box *b = &boxes[box_count];
    size_t n = 0;

    (void)l;
    if (create_result)
        return create_result;
    ck_assert_uint_lt(box_count, 16);
    box_count++;
    *b = (struct box){
        .out = -1, .err = -1, .frames = s->kind.frames_socket, .api = s->kind.api_port != 0};
    b->rt.fd = -1;
    snprintf(b->id, sizeof(b->id), "%s", s->id);
    n += (size_t)snprintf(created, sizeof(created),
                          "hostname=%s\ncode=%s\nroot=%s\nmemory=%llu\ncpu=%u\n", s->hostname,
                          s->code_dir, s->kind.runtime_root, (unsigned long long)s->memory,
                          s->cpu_millis);
    for (const char *const *a = s->argv; *a; a++)
        n += (size_t)snprintf(created + n, sizeof(created) - n, "argv=%s\n", *a);
    for (const char *const *a = s->kind.argv; a && *a; a++)
        n += (size_t)snprintf(created + n, sizeof(created) - n, "ahead argv=%s\n", *a);
    for (const char *const *v = s->kind.argv ? s->kind.env : NULL; v && *v; v++)
        n += (size_t)snprintf(created + n, sizeof(created) - n, "ahead %s\n", *v);
    for (const char *const *e = s->env; *e; e++)
        n += (size_t)snprintf(created + n, sizeof(created) - n, "%s\n", *e);
    return 0;
}

static void box_exit(struct box *b, int code, int signal, bool oom)
{
    struct sandbox_exit e = {.code = signal ? -1 : code, .signal = signal, .oom = oom};

    b->alive = false;
    if (b->out >= 0)
        close(b->out);
    if (b->err >= 0)
        close(b->err);
    b->out = b->err = -1;
    peer_close(&b->rt);
    the_launcher.ops->on_exit(the_launcher.user, b->id, &e);
}

static void on_box_exit(struct loop_timer *t)
{
    box_exit(container_of(t, struct box, exit), 0, 0, false);
}

int launcher_stop_sandbox(struct launcher *l, const char *id, uint64_t grace_ns)
{
    struct box *b = box_of(id);
    size_t n = strlen(stops);

    snprintf(stops + n, sizeof(stops) - n, "%s %llu\n", id,
             (unsigned long long)(grace_ns / NS_PER_MS));
    if (exits_when_stopped && b->alive) {
        b->exit.fn = on_box_exit;
        loop_timer_set(l->loop, &b->exit, loop_now(l->loop));
    }
    return 0;
}

/* A box without sockets of its own; `adoption` is what was asked for last. */
static struct sandbox_adoption adoption;
static int adopt_result;

int launcher_adopt(struct launcher *l, const struct sandbox_adoption *a)
{
    struct box *b = &boxes[box_count];

    (void)l;
    if (adopt_result)
        return adopt_result;
    ck_assert_uint_lt(box_count, 16);
    box_count++;
    *b = (struct box){.out = -1, .err = -1, .alive = true};
    b->rt.fd = -1;
    snprintf(b->id, sizeof(b->id), "%s", a->id);
    adoption = *a;
    adoption.id = b->id;
    return 0;
}

static int usage_reads, usage_result;
static uint64_t usage_cpu_ns = 5 * NS_PER_MS;

int launcher_park(struct launcher *l, const struct sandbox_kind *k, unsigned count)
{
    (void)l, (void)k, (void)count;
    return 0;
}

int launcher_usage(const struct launcher *l, const char *cgroup, struct sandbox_usage *ret)
{
    (void)l;
    if (strncmp(cgroup, "of-", 3) || !box_of(cgroup + 3) || !box_of(cgroup + 3)->alive)
        return -ENOENT;
    *ret = (struct sandbox_usage){.memory = 1000, .cpu_ns = usage_cpu_ns};
    usage_reads++;
    return usage_result;
}

static char freezes[1024]; /* "freeze ID\n", "thaw ID\n"... */
static int freeze_result;

int launcher_reclaim(const struct launcher *l, const char *cgroup, uint64_t bytes, uint64_t *ret_freed)
{
    (void)l, (void)cgroup, (void)bytes, (void)ret_freed;
    return -EOPNOTSUPP;
}

int launcher_freeze(const struct launcher *l, const char *cgroup, bool frozen)
{
    size_t n = strlen(freezes);

    (void)l;
    if (strncmp(cgroup, "of-", 3) || !box_of(cgroup + 3) || !box_of(cgroup + 3)->alive)
        return -ENOENT;
    if (freeze_result)
        return freeze_result;
    snprintf(freezes + n, sizeof(freezes) - n, "%s %s\n", frozen ? "freeze" : "thaw", cgroup + 3);
    return 0;
}

static bool box_made(void *user)
{
    return box_of(user) != NULL;
}

static pid_t box_pid = 1;      /* what stands for the sandbox's init */
static int box_frames_fd = -1; /* its frames socket, in place of a fresh one */

/* The sandbox is there: its pipes and sockets are handed over. */
static struct box *box_start(const char *id)
{
    struct sandbox_started s = {
        .pid = box_pid, .frames_listen_fd = -1, .api_listen_fd = -1, .create_ns = 2 * NS_PER_MS};
    int out[2], err[2];
    struct box *b;

    wait_for(box_made, (void *)id);
    b = box_of(id);
    snprintf(s.cgroup, sizeof(s.cgroup), "of-%s", id);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(pipe2(err, O_CLOEXEC | O_NONBLOCK), 0);
    b->out = out[1];
    b->err = err[1];
    s.stdout_fd = out[0];
    s.stderr_fd = err[0];
    if (b->frames && box_frames_fd >= 0)
        s.frames_listen_fd = TAKE_FD(box_frames_fd);
    else if (b->frames)
        s.frames_listen_fd = listen_unix(b->path);
    if (b->api)
        s.api_listen_fd = listen_tcp(&b->api_port);
    b->alive = b->started = true;
    the_launcher.ops->on_started(the_launcher.user, id, &s);
    return b;
}

static void box_fail(const char *id, const char *message)
{
    struct err e;

    err_set(&e, EPERM, "%s", message);
    the_launcher.ops->on_failed(the_launcher.user, id, &e);
}

static inline struct box *box_ready(const char *id, uint32_t credit)
{
    struct box *b = box_start(id);
    char line[128];

    peer_connect_unix(&b->rt, b->path);
    frame_hello(&b->rt);
    frame_send_credit(&b->rt, credit);
    snprintf(line, sizeof(line), "status %s Ready  slots=", id);
    expect_sent(line);
    return b;
}

/* ---------------------------------------------------------------- the pool and its desired state
 */

static struct pool *pool;
static struct report *the_report;
static struct runtimes *the_runtimes;
static struct code_cache *the_cache;
static struct http_server *front;
static char state[64];
static uint16_t front_port;
static uint64_t sequence;
static int silent_fd;  /* listens and never answers: a download from it hangs */
static int slot_frees; /* calls of on_slot_free() with none wanted */
static bool keep_refused;
static struct http_exchange *kept; /* the last refused one; the next free slot is for it */

static struct invoke_params params;
static struct invoke_outcome outcome;
static int outcomes, refusal;

static void on_outcome(void *user, const struct invoke_outcome *o)
{
    if (o->refused)
        http_respond(user, 503, NULL, "refused late", 12);
    outcome = *o;
    outcomes++;
}

static void on_request(struct http_exchange *x, void *user)
{
    char id[64];
    const struct str *given = http_head_get(http_head(x), "x-id");

    (void)user;
    snprintf(id, sizeof(id), "%.*s", given ? (int)given->n : 5, given ? given->at : "req-0");
    params.request_id = id;
    params.raw_path = http_head(x)->path;
    refusal = pool_invoke(pool, x, &params, on_outcome, x);
    if (refusal < 0 && keep_refused)
        kept = x;
    else if (refusal < 0)
        http_respond(x, 503, "Rouse-Refused: x\r\n", "refused", 7);
}

static bool on_slot_free(void *user, const char *function_key, const char *revision, unsigned wanted)
{
    (void)user, (void)function_key, (void)revision;
    slot_frees += !wanted;
    if (!kept)
        return false;
    params.in_turn = true;
    params.request_id = "kept";
    ck_assert_int_eq(pool_invoke(pool, kept, &params, on_outcome, kept), 0);
    kept = NULL;
    return true;
}

static void add_runtime(const char *name, const char *protocol, const char *more)
{
    char path[200], text[300];

    snprintf(path, sizeof(path), "%s/runtimes/%s/rootfs", state, name);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/runtimes/%s/runtime.json", state, name);
    snprintf(text, sizeof(text),
             "{\"name\":\"%s\",\"protocol\":\"%s\",\"argv\":[\"/bin/"
             "run\"],\"env\":{\"RT\":\"1\",\"LANG\":\"rt\"}%s}",
             name, protocol, more);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0644), 0);
}

static const char *active = "r1"; /* where traffic goes */

static const char *active_revision(void *user, const char *function_key)
{
    (void)user, (void)function_key;
    return active;
}

static uint64_t init_timeout_ns, drain_limit_ns, freeze_after_ns;

static void begin(void)
{
    struct pool_config c = {.node = "node-1", .send = on_send, .on_slot_free = on_slot_free};
    struct http_server_options o = {.on_request = on_request};
    struct code_cache_config cc;
    char path[200], api[64];
    struct err e = {0};
    uint16_t port;

    log_set_level(LOG_ERROR);
    strcpy(state, "/tmp/pool-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(state));
    snprintf(path, sizeof(path), "%s/cache/%s.4096", state, PACKAGE + 7);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    add_runtime("python3", "frames", "");
    add_runtime("nodejs", "frames", ",\"park\":\"interpreter\"");
    add_runtime("provided", "any", "");
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(report_new(&the_report), 0);
    snprintf(path, sizeof(path), "%s/runtimes", state);
    ck_assert_int_eq(runtimes_load(path, &the_runtimes, &e), 0);
    silent_fd = listen_tcp(&port);
    snprintf(api, sizeof(api), "http://127.0.0.1:%d", port);
    cc = (struct code_cache_config){
        .loop = loop, .state_dir = state, .api_url = api, .unpack_program = "/dev/null"};
    ck_assert_msg(code_cache_new(&cc, &the_cache, &e) == 0, "%s", e.message);
    c.loop = loop;
    c.launcher = &the_launcher;
    c.runtimes = the_runtimes;
    c.code = the_cache;
    c.report = the_report;
    c.state_dir = state;
    c.init_timeout_ns = init_timeout_ns;
    c.drain_limit_ns = drain_limit_ns;
    c.freeze_after_ns = freeze_after_ns;
    c.templates = 4;
    c.active_revision = active_revision;
    ck_assert_int_eq(pool_new(&c, &pool), 0);
    ck_assert_int_eq(http_server_new(loop, &o, &front), 0);
    ck_assert_int_eq(http_server_listen_fd(front, listen_tcp(&front_port)), 0);
    params = (struct invoke_params){.function_key = FUNCTION,
                                    .revision = "r1",
                                    .trace = "",
                                    .client_ip = "127.0.0.1",
                                    .body_limit = 6 << 20};
}

static void stop_now(struct mail *m)
{
    (void)m;
    loop_stop(loop);
}

static void end(void)
{
    struct mail m = {.fn = stop_now};

    /* What a test left unfinished ends, so that nothing is waited for. */
    exits_when_stopped = true;
    for (size_t i = 0; i < box_count; i++) {
        loop_timer_cancel(loop, &boxes[i].exit);
        if (boxes[i].alive && strstr(stops, boxes[i].id))
            box_exit(&boxes[i], 0, 9, false);
        else if (!boxes[i].started)
            box_fail(boxes[i].id, "the test ends");
    }
    pool_free(pool);
    http_server_free(front);
    code_cache_free(the_cache);
    loop_post(loop, &m);
    loop_run(loop);
    runtimes_free(the_runtimes);
    report_free(the_report);
    for (size_t i = 0; i < box_count; i++) {
        loop_timer_cancel(loop, &boxes[i].exit);
        peer_close(&boxes[i].rt);
        if (boxes[i].out >= 0)
            close(boxes[i].out);
        if (boxes[i].err >= 0)
            close(boxes[i].err);
        if (boxes[i].path[0])
            unlink(boxes[i].path);
    }
    loop_free(loop);
    close(silent_fd);
    file_remove_tree(state);
}

struct revision_options {
    const char *revision, *runtime, *package, *handler, *lang;
    uint32_t concurrency, timeout_ms, port, cpu;
    const char *initializer, *pre_freeze, *pre_stop, *after_fork;
    uint32_t initializer_timeout_ms;
    bool fork;
};

/* A Desired with one revision; `ids` and `removed` are separated by spaces; `since` 0: a full one.
 */
static int desire(const struct revision_options *o, const char *ids, const char *removed,
                  uint64_t since)
{
    Rouse__Control__V1__Desired d = ROUSE__CONTROL__V1__DESIRED__INIT;
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT,
                              from = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__RevisionSpec spec = ROUSE__CONTROL__V1__REVISION_SPEC__INIT,
                                     *specs[] = {&spec};
    Rouse__Control__V1__Lifecycle lifecycle = ROUSE__CONTROL__V1__LIFECYCLE__INIT;
    Rouse__Control__V1__EnvVar env[3], *envs[3];
    Rouse__Control__V1__DesiredInstance all[16], *list[16];
    char copy[512], gone[512], *save, *names[16];
    static const char *const variables[3][2] = {
        {"GREETING", "hi"}, {"_HANDLER", "mine"}, {"LANG", NULL}};

    for (int i = 0; i < 3; i++) {
        rouse__control__v1__env_var__init(&env[i]);
        env[i].name = (char *)variables[i][0];
        env[i].value = (char *)(variables[i][1] ? variables[i][1]
                                : o && o->lang  ? o->lang
                                                : "user");
        envs[i] = &env[i];
    }
    spec.function_key = (char *)FUNCTION;
    spec.revision = (char *)(o && o->revision ? o->revision : "r1");
    spec.runtime = (char *)(o && o->runtime ? o->runtime : "python3");
    spec.handler = (char *)(o && o->handler ? o->handler : "index.handler");
    spec.port = o ? o->port : 0;
    spec.package = (char *)(o && o->package ? o->package : PACKAGE);
    spec.memory = 128u << 20;
    spec.cpu = o && o->cpu ? o->cpu : 500;
    lifecycle.initializer = (char *)(o && o->initializer ? o->initializer : "");
    lifecycle.initializer_timeout_ms = o ? o->initializer_timeout_ms : 0;
    lifecycle.pre_freeze = (char *)(o && o->pre_freeze ? o->pre_freeze : "");
    lifecycle.pre_stop = (char *)(o && o->pre_stop ? o->pre_stop : "");
    lifecycle.after_fork = (char *)(o && o->after_fork ? o->after_fork : "");
    spec.fork = o && o->fork;
    if (o && (o->initializer || o->pre_freeze || o->pre_stop || o->after_fork))
        spec.lifecycle = &lifecycle;
    spec.timeout_ms = o && o->timeout_ms ? o->timeout_ms : 3000;
    spec.concurrency = o && o->concurrency ? o->concurrency : 1;
    spec.env = envs;
    spec.n_env = 3;
    epoch.incarnation = 7;
    epoch.sequence = ++sequence;
    d.epoch = &epoch;
    if (since) {
        from.incarnation = 7;
        from.sequence = since;
        d.since = &from;
    }
    d.revisions = specs;
    d.n_revisions = 1;
    snprintf(copy, sizeof(copy), "%s", ids);
    d.instances = list;
    for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        rouse__control__v1__desired_instance__init(&all[d.n_instances]);
        all[d.n_instances].id = s;
        all[d.n_instances].function_key = (char *)FUNCTION;
        all[d.n_instances].revision = spec.revision;
        all[d.n_instances].schedule_us = 1500;
        list[d.n_instances] = &all[d.n_instances];
        d.n_instances++;
    }
    snprintf(gone, sizeof(gone), "%s", removed);
    d.removed = names;
    for (char *s = strtok_r(gone, " ", &save); s; s = strtok_r(NULL, " ", &save))
        names[d.n_removed++] = s;
    return pool_desired(pool, &d);
}

static inline void want_slots(uint32_t count)
{
    Rouse__Control__V1__SlotWanted w = ROUSE__CONTROL__V1__SLOT_WANTED__INIT;

    w.function_key = (char *)FUNCTION;
    w.revision = (char *)"r1";
    w.count = count;
    pool_slot_wanted(pool, &w);
}

/* ---------------------------------------------------------------- clients */

static inline void client_ask(struct peer *p, const char *id, const char *body)
{
    char text[4096];
    int n = snprintf(text, sizeof(text), "%s /hello HTTP/1.1\r\nHost: h\r\nX-Id: %s\r\n",
                     body ? "POST" : "GET", id);

    if (body)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "Content-Length: %zu\r\n\r\n%s",
                      strlen(body), body);
    else
        n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    peer_connect_tcp(p, front_port);
    peer_send(p, text, (size_t)n);
}

/* The next INVOKE of that runtime: its id. */
static inline uint64_t invoke_take(struct box *b, char *event, size_t size)
{
    struct buffer payload = {0};
    struct frame f = frame_take(&b->rt, &payload);
    struct frame_invoke inv;

    ck_assert_int_eq(f.type, FRAME_INVOKE);
    ck_assert_int_eq(frame_invoke_parse(&f, &inv), 0);
    if (event)
        snprintf(event, size, "%.*s", (int)inv.event_size, (const char *)inv.event);
    buffer_done(&payload);
    return f.id;
}

static void expect_answer(struct peer *p, const char *part, const char *more)
{
    char *text = http_take(p);

    expect_text(text, part);
    if (more)
        expect_text(text, more);
    free(text);
    peer_close(p);
}

static inline bool outcomes_are(void *user)
{
    return outcomes >= *(int *)user;
}
