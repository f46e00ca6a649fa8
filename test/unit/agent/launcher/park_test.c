/* Sandboxes that are made ahead: who gets them, that each is used once, and what comes in their place. */
#include "agent/launcher/bench.h"
#include "agent/launcher/family.h"
#include "cgroup/cgroup.h"
#include "launcher/kind.h"
#include "launcher/park.h"

static const char *const nothing[] = {"/bin/sh", "-c", "exit 0", NULL};
static const char *const sleeper[] = {"/bin/sh", "-c", "sleep 1000", NULL};

/* ---- waiting for what the launcher tells now and then */
struct awaited {
    struct loop_timer look;
    struct bench *b;
    unsigned count;
    bool met;
};

static void on_look(struct loop_timer *t)
{
    struct awaited *a = container_of(t, struct awaited, look);

    a->met = launcher_parked(a->b->launcher, a->b->root) == a->count;
    if (a->met)
        loop_stop(a->b->loop);
    else
        loop_timer_set(a->b->loop, t, clock_monotonic_ns() + NS_PER_MS);
}

static void await_parked(struct bench *b, unsigned count)
{
    struct awaited a = {.look.fn = on_look, .b = b, .count = count};

    loop_timer_set(b->loop, &a.look, clock_monotonic_ns());
    loop_timer_set(b->loop, &b->limit, clock_monotonic_ns() + LIMIT);
    while (!a.met && loop_timer_armed(&b->limit))
        loop_run(b->loop);
    ck_assert_msg(a.met, "%u are parked, not %u", launcher_parked(b->launcher, b->root), count);
    loop_timer_cancel(b->loop, &b->limit);
}

/* Parked ones wait for a word on their channel. */
static bool waits(pid_t pid)
{
    cleanup_buffer struct buffer b = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
    if (file_read(AT_FDCWD, path, 256, &b) < 0)
        return false;
    buffer_append(&b, "", 1);
    return atoi((const char *)buffer_bytes(&b)) == SYS_recvfrom;
}

/* Until so many are parked again after a take: the launcher's word of that may be an old one. */
static void await_waiting(size_t count)
{
    uint64_t until = clock_monotonic_ns() + LIMIT;
    size_t n = 0;

    while (n != count && clock_monotonic_ns() < until) {
        pid_t pids[64];
        size_t all = find_children("rouse-init", pids, 64);

        poll(NULL, 0, 1);
        n = 0;
        for (size_t i = 0; i < all; i++)
            n += waits(pids[i]);
    }
    ck_assert_uint_eq(n, count);
}

static void park(struct bench *b, const struct sandbox_spec *s, unsigned count)
{
    ck_assert_int_eq(launcher_park(b->launcher, &s->kind, count), 0);
    await_parked(b, count);
}

static void close_output(struct bench *b)
{
    close(b->at.stdout_fd);
    close(b->at.stderr_fd);
}

/* ---- */
START_TEST(taken_and_replaced)
{
    pid_t before[8], after[8];
    struct bench b;
    struct sandbox_spec s;
    char *out;

    NEED();
    bench_open(&b);
    s = spec_of(&b, NULL);
    s.hostname = "taker";
    s.tmp_size = 1u << 20;
    s.kind.frames_socket = true;
    park(&b, &s, 2);
    ck_assert_uint_eq(find_children("rouse-init", before, 8), 2);
    put(b.code, "mine", "code\n", 0644);
    out = run_script(&b, &s,
                     "cat /var/task/mine; hostname; cat /etc/hostname; grep -c taker /etc/hosts; pwd;"
                     "echo $GREETING $ROUSE_RUNTIME_SOCKET;"
                     "head -c 900000 /dev/zero >/tmp/a && echo one;"
                     "head -c 900000 /dev/zero >/tmp/b 2>/dev/null || echo full;"
                     "touch /var/task/x 2>/dev/null || echo code-ro;"
                     "umount /var/task 2>/dev/null || echo no-umount");
    ck_assert_str_eq(out, "code\ntaker\ntaker\n1\n/var/task\nhi /run/rouse/runtime.sock\none\nfull\n"
                          "code-ro\nno-umount\n");
    free(out);
    ck_assert(b.at.pooled);
    /* It was one of the two, and is never anybody's again. */
    ck_assert(b.at.pid == before[0] || b.at.pid == before[1]);
    close(b.at.frames_listen_fd);
    await_waiting(2);
    ck_assert_uint_eq(find_children("rouse-init", after, 8), 2);
    ck_assert_int_ne(after[0], b.at.pid);
    ck_assert_int_ne(after[1], b.at.pid);
    bench_close(&b);
}
END_TEST

START_TEST(limits_are_the_takers)
{
    struct bench b;
    struct sandbox_spec s;
    char *out;

    NEED();
    bench_open(&b);
    if (bench_without_limits(&b))
        return;
    s = spec_of(&b, NULL);
    park(&b, &s, 1);
    s.memory = 32u << 20;
    free(run_script(&b, &s, "exec tail -n 1 /dev/zero"));
    ck_assert(b.at.pooled);
    ck_assert(b.exit.oom);
    ck_assert_uint_lt(b.exit.memory_peak, 33u << 20);
    await_waiting(1);
    s.memory = 64u << 20;
    s.pids = 5;
    out = run_script(&b, &s,
                     "(for i in 1 2 3 4 5 6 7 8; do sleep 1000 >/dev/null 2>&1 & done) 2>/tmp/said;"
                     "read -r line </tmp/said; echo \"$line\"");
    ck_assert(b.at.pooled);
    ck_assert_msg(strstr(out, "can't fork"), "%s", out);
    free(out);
    bench_close(&b);
}
END_TEST

/* What is parked is of no use to who asks for another kind, or if nothing is. */
START_TEST(only_its_kind)
{
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_open(&b);
    s = spec_of(&b, nothing);
    free(run_script(&b, &s, "exit 0"));
    ck_assert(!b.at.pooled);
    park(&b, &s, 1);
    s.kind.api_port = 9001;
    free(run_script(&b, &s, "exit 0"));
    ck_assert(!b.at.pooled);
    close(b.at.api_listen_fd);
    ck_assert_uint_eq(launcher_parked(b.launcher, b.root), 1);
    s.kind.api_port = 0;
    free(run_script(&b, &s, "exit 0"));
    ck_assert(b.at.pooled);
    /* None any more, and what is there goes. */
    ck_assert_int_eq(launcher_park(b.launcher, &s.kind, 0), 0);
    await_parked(&b, 0);
    free(run_script(&b, &s, "exit 0"));
    ck_assert(!b.at.pooled);
    bench_close(&b);
}
END_TEST

START_TEST(asked_for_is_kept)
{
    struct launcher_config config = {.park_asked = 2};
    struct bench b;
    struct sandbox_spec s;
    struct err e = {0};

    NEED();
    bench_make(&b);
    config.state_dir = b.state;
    ck_assert_int_eq(launcher_start(&config, &b.launcher, &e), 0);
    ck_assert_int_eq(loop_new(&b.loop), 0);
    ck_assert_int_eq(launcher_attach(b.launcher, b.loop, &bench_ops, &b), 0);
    b.limit.fn = on_limit;
    s = spec_of(&b, nothing);
    free(run_script(&b, &s, "exit 0"));
    ck_assert(!b.at.pooled);
    await_parked(&b, 2);
    free(run_script(&b, &s, "exit 0"));
    ck_assert(b.at.pooled);
    bench_close(&b);
}
END_TEST

START_TEST(broken_ones_are_replaced)
{
    pid_t pids[8], again[8];
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_open(&b);
    s = spec_of(&b, nothing);
    park(&b, &s, 2);
    ck_assert_uint_eq(find_children("rouse-init", pids, 8), 2);
    kill(pids[0], SIGKILL);
    /* It may be taken before its death is heard of: then another is built for who asked. */
    free(run_script(&b, &s, "exit 0"));
    ck_assert_int_eq(b.failed, 0);
    ck_assert_int_ne(b.at.pid, pids[0]);
    await_waiting(2);
    ck_assert_uint_eq(find_children("rouse-init", again, 8), 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_ne(again[i], pids[0]);
        ck_assert_int_ne(again[i], b.at.pid);
    }
    bench_close(&b);
}
END_TEST

static size_t kill_children(const char *name)
{
    pid_t pids[8];
    size_t n = find_children(name, pids, ARRAY_LEN(pids));

    for (size_t i = 0; i < n; i++)
        kill(pids[i], SIGKILL);
    return n;
}

/* Whoever dies of the launcher's helpers, a sandbox that is asked for then is made. */
START_TEST(helpers_are_replaced)
{
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_open(&b);
    s = spec_of(&b, nothing);
    free(run_script(&b, &s, "exit 0"));
    ck_assert_uint_gt(kill_children("rouse-builder"), 0);
    free(run_script(&b, &s, "exit 0"));
    /* A builder is called like the nursery until it has renamed itself. */
    ck_assert_uint_gt(kill_children("rouse-nursery"), 0);
    kill_children("rouse-builder");
    free(run_script(&b, &s, "exit 0"));
    ck_assert_int_eq(b.exit.code, 0);
    park(&b, &s, 1);
    bench_close(&b);
}
END_TEST

/* The next one is parked then as if nothing had been. */
START_TEST(a_failure_is_the_takers)
{
    static const char *const absent[] = {"/var/task/bootstrap", NULL};
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_open(&b);
    s = spec_of(&b, absent);
    park(&b, &s, 1);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 'e');
    ck_assert_int_eq(b.failed, 1);
    ck_assert_int_eq(b.error.code, ENOENT);
    ck_assert_msg(strstr(b.error.message, "exec /var/task/bootstrap"), "%s", b.error.message);
    await_waiting(1);
    s.code_dir = "/nowhere/code";
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 'e');
    ck_assert_int_eq(b.failed, 2);
    ck_assert_msg(strstr(b.error.message, "code directory /nowhere/code"), "%s", b.error.message);
    /* The launcher is where it was: it finds the node's files. */
    s = spec_of(&b, nothing);
    b.failed = 0;
    free(run_script(&b, &s, "exit 0"));
    ck_assert_int_eq(b.exit.code, 0);
    bench_close(&b);
}
END_TEST

/* What cannot be built is tried again, more and more seldom; nobody who asks for something else notices. */
START_TEST(cannot_be_built_ahead)
{
    struct bench b;
    struct sandbox_spec s;
    struct sandbox_kind broken;

    NEED();
    bench_open(&b);
    s = spec_of(&b, nothing);
    broken = s.kind;
    broken.runtime_root = "/nowhere/root";
    ck_assert_int_eq(launcher_park(b.launcher, &broken, 2), 0);
    park(&b, &s, 1);
    free(run_script(&b, &s, "exit 0"));
    ck_assert(b.at.pooled);
    ck_assert_int_eq(b.failed, 0);
    bench_close(&b);
}
END_TEST

static void on_enough(struct loop_timer *t)
{
    loop_stop(container_of(t, struct awaited, look)->b->loop);
}

/* An interpreter that ends whenever it is started ahead is not started again and again. */
START_TEST(an_interpreter_that_ends)
{
    static const char *const env[] = {NULL};
    struct bench b;
    struct awaited a = {.look.fn = on_enough, .b = &b};
    struct sandbox_spec s;

    NEED();
    bench_open(&b);
    s = spec_of(&b, nothing);
    s.kind.argv = nothing;
    s.kind.env = env;
    ck_assert_int_eq(launcher_park(b.launcher, &s.kind, 2), 0);
    loop_timer_set(b.loop, &a.look, clock_monotonic_ns() + NS_PER_S);
    loop_run(b.loop);
    s = spec_of(&b, nothing);
    free(run_script(&b, &s, "exit 0"));
    /* They are counted: some ten, with those that wait to be built. */
    ck_assert_int_eq(strncmp(b.at.cgroup, "box-", 4), 0);
    ck_assert_int_lt(atoi(b.at.cgroup + 4), 20);
    bench_close(&b);
}
END_TEST

/* Started ahead in its sandbox, before it has code; the take needs no exec. */
START_TEST(an_interpreter_ahead)
{
    static const char *const argv[] = {
        "/bin/sh", "-c",
        "echo $AHEAD; until [ -e /var/task/go ]; do sleep 0.01; done; cat /var/task/go; hostname; exit 9",
        NULL};
    static const char *const env[] = {"PATH=/bin", "AHEAD=yes", NULL};
    struct bench b;
    struct sandbox_spec s;
    char *out;

    NEED();
    bench_open(&b);
    put(b.code, "go", "went\n", 0644);
    s = spec_of(&b, nothing);
    s.hostname = "late";
    s.kind.argv = argv;
    s.kind.env = env;
    park(&b, &s, 1);
    out = run_script(&b, &s, "unused");
    ck_assert(b.at.pooled);
    ck_assert_str_eq(out, "yes\nwent\nlate\n");
    ck_assert_int_eq(b.exit.code, 9);
    free(out);
    bench_close(&b);
}
END_TEST

/* Every descriptor of the program is its own: those of the launcher, of its builder and of other sandboxes are
 * not there, and init has what it must. */
START_TEST(no_descriptor_leaks)
{
    struct bench b;
    struct sandbox_spec s;
    char path[64], *out;
    DIR *fds;
    size_t n = 0;

    NEED();
    bench_open(&b);
    s = spec_of(&b, sleeper);
    s.kind.frames_socket = true;
    s.kind.api_port = 9001;
    s.id = "neighbour";
    park(&b, &s, 3);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    close_output(&b);
    close(b.at.frames_listen_fd);
    close(b.at.api_listen_fd);
    /* Its init: /dev/null, the channel. */
    snprintf(path, sizeof(path), "/proc/%d/fd", b.at.pid);
    fds = opendir(path);
    ck_assert_ptr_nonnull(fds);
    for (struct dirent *d; (d = readdir(fds));)
        n += d->d_name[0] != '.';
    closedir(fds);
    ck_assert_uint_eq(n, 2);
    b.started = 0;
    s.id = "demo-1";
    out = run_script(
        &b, &s,
        "ls /proc/self/fd | tr '\\n' ' '; grep CapEff /proc/1/status 2>/dev/null || echo hidden");
    ck_assert_str_eq(out, "0 1 2 3 hidden\n"); /* 3: of ls itself */
    free(out);
    close(b.at.frames_listen_fd);
    close(b.at.api_listen_fd);
    bench_close(&b);
}
END_TEST

/* A parked init has given up everything already. */
START_TEST(parked_has_nothing)
{
    cleanup_buffer struct buffer status = {0};
    struct bench b;
    struct sandbox_spec s;
    pid_t pid;
    char path[64];

    NEED();
    bench_open(&b);
    s = spec_of(&b, nothing);
    park(&b, &s, 1);
    ck_assert_uint_eq(find_children("rouse-init", &pid, 1), 1);
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    ck_assert_int_eq(file_read(AT_FDCWD, path, 65536, &status), 0);
    buffer_append(&status, "", 1);
    for (const char *const *want =
             (const char *const[]){"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
                                   "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", NULL};
         *want; want++)
        ck_assert_msg(strstr((const char *)buffer_bytes(&status), *want), "%s is not in\n%s", *want,
                      (const char *)buffer_bytes(&status));
    bench_close(&b);
}
END_TEST

/* The launcher dies with sandboxes parked, built and running: none of them lives on. */
START_TEST(nothing_outlives_the_launcher)
{
    pid_t pids[64];
    int ends[64];
    struct bench b;
    struct sandbox_spec s;
    size_t n;

    NEED();
    bench_open(&b);
    s = spec_of(&b, sleeper);
    park(&b, &s, 3);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    close_output(&b);
    n = children_of(launcher_pid(), pids, 64);
    ck_assert_uint_gt(n, 4);
    for (size_t i = 0; i < n; i++)
        ends[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
    kill(launcher_pid(), SIGKILL);
    run_until(&b, 'l');
    for (size_t i = 0; i < n; i++) {
        struct pollfd p = {.fd = ends[i], .events = POLLIN};

        if (ends[i] < 0)
            continue;
        ck_assert_int_eq(poll(&p, 1, 20000), 1);
        close(ends[i]);
    }
    launcher_free(b.launcher);
    loop_free(b.loop);
    /* The next life removes the rest: bench_close() looks. */
    bench_launch(&b, false, &bench_ops);
    bench_close(&b);
}
END_TEST

START_TEST(a_burst)
{
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_make(&b);
    bench_launch(&b, false, &many_ops);
    s = spec_of(&b, nothing);
    park(&b, &s, 8);
    run_many(&b, s, 100);
    bench_close(&b);
}
END_TEST

/* A refill gives way to a start: longer to one that wakes an interpreter, less when little is left. */
START_TEST(a_refill_waits)
{
    const uint64_t now = 1000 * NS_PER_S;
    struct kind k = {.wanted = 4, .parked_count = 2};
    uint64_t few, plain, interpreter;

    plain = park_quiet_until(&k, 0, now);
    k.kind.argv = sleeper;
    interpreter = park_quiet_until(&k, 0, now);
    k.parked_count = 1;
    few = park_quiet_until(&k, 0, now);
    ck_assert_uint_lt(now, few);
    ck_assert_uint_lt(few, plain);
    ck_assert_uint_lt(plain, interpreter);
    k.kind.argv = NULL;
    ck_assert_uint_eq(park_quiet_until(&k, 0, now), few);
    /* Another kind's start does not end it earlier, unless its own are few. */
    k.parked_count = 4;
    ck_assert_uint_eq(park_quiet_until(&k, interpreter, now), interpreter);
    k.parked_count = 1;
    ck_assert_uint_eq(park_quiet_until(&k, interpreter, now), few);
    /* Of a kind that is not kept nothing is refilled; the others' refills wait all the same. */
    k = (struct kind){0};
    ck_assert_uint_eq(park_quiet_until(&k, 0, now), plain);
}
END_TEST

UNIT_MAIN("park", taken_and_replaced, limits_are_the_takers, only_its_kind, asked_for_is_kept,
          broken_ones_are_replaced, helpers_are_replaced, a_failure_is_the_takers,
          cannot_be_built_ahead, an_interpreter_that_ends, an_interpreter_ahead, no_descriptor_leaks,
          parked_has_nothing, nothing_outlives_the_launcher, a_burst, a_refill_waits)
