/* rouse_start() in a forked function, driven by an agent that this test plays. */
#include "runtime-sdk/sdk/agent.h"

#include "wire/gauge.h"

#include <math.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

enum { BIG = 3 << 20 };

static void greet(void)
{
    greet_with("", 1);
}

static int echo(const struct rouse_event *event, struct rouse_response *resp,
                struct rouse_context *ctx)
{
    (void)ctx;
    return rouse_respond_bytes(resp, event->data, event->size);
}

__attribute__((noinline)) static int deep(void)
{
    volatile char frame[700 << 10];

    for (size_t i = 0; i < sizeof(frame); i += 4096)
        frame[i] = 1;
    return frame[4096] - 1;
}

static void *log_line(void *ctx)
{
    rouse_log(ctx, "from a thread");
    return NULL;
}

static void *set_metric(void *unused)
{
    rouse_metric_set("of_thread", 3);
    return unused;
}

static pthread_t reporter;
static int may_report[2], reports[2];

static void *report_for_ever(void *unused)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%ld", syscall(SYS_gettid));

    ck_assert_int_eq(write(reports[1], text, (size_t)n), n);
    ck_assert_int_eq(read(may_report[0], text, 1), 1);
    for (double v = 0; rouse_metric_set("of_thread", v) != -ENOTCONN; v++)
        ;
    return unused;
}

static int start_and_join(rouse_handler *handler)
{
    int r = rouse_start(handler);

    pthread_join(reporter, NULL);
    return r;
}

static void end_thread(int signo)
{
    (void)signo;
    syscall(SYS_exit, 0);
}

static int start_and_lose(rouse_handler *handler)
{
    signal(SIGUSR1, end_thread);
    return rouse_start(handler);
}

/* 0: each limit was named. */
static int metric_limits(void)
{
    static const char longer[] = "a234567890123456789012345678901234567890123456789012345678901234";
    static const double values[] = {-1, 1.1e18, INFINITY, NAN};
    static const char *const names[] = {
        "", "A", "0", "a-b", longer, "concurrency", "requests_per_second"};
    char name[16];

    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (rouse_metric_set("a", values[i]) != -EINVAL)
            return -ERANGE;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (rouse_metric_set(names[i], 1) != -EINVAL)
            return -EDOM;
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        if (rouse_metric_set(name, i) < 0)
            return -ENODATA;
    }
    return rouse_metric_set("m16", 1) == -ENOSPC && rouse_metric_set("m15", 1) == 0 ? 0 : -E2BIG;
}

/* The event names what to do. */
static int obey(const struct rouse_event *event, struct rouse_response *resp,
                struct rouse_context *ctx)
{
    const char *what = event->data;

    if (!strcmp(what, "text"))
        return rouse_respond_text(resp, "Gr\xc3\xbc\xc3\x9f"
                                        "e");
    if (!strcmp(what, "json"))
        return rouse_respond_json(resp, "{\"a\":1}");
    if (!strcmp(what, "answer"))
        return rouse_respond_answer(resp, "{\"statusCode\":204}");
    if (!strcmp(what, "status"))
        return rouse_respond_status(resp, 404, "text/plain", "no \"x\"", 6);
    if (!strcmp(what, "octets"))
        return rouse_respond_status(resp, 200, NULL, "\xff\0\x01\x02", 4);
    if (!strcmp(what, "empty"))
        return rouse_respond_status(resp, 200, NULL, NULL, 0);
    if (!strcmp(what, "bad status"))
        return rouse_respond_status(resp, 99, NULL, NULL, 0);
    if (!strcmp(what, "twice")) {
        rouse_respond_text(resp, "first, and longer");
        return rouse_respond_json(resp, "2");
    }
    if (!strcmp(what, "fail"))
        return rouse_fail(ctx, "NotFound", "no %s \"%d\"\xff", "row", 7);
    if (!strcmp(what, "failed but 0")) {
        rouse_fail(ctx, "Late", "x");
        return 0;
    }
    if (!strcmp(what, "errno"))
        return -ENOENT;
    if (!strcmp(what, "log")) {
        rouse_log(ctx, "%s %d\n", "line", 1);
        return 0;
    }
    if (!strcmp(what, "log thread")) {
        pthread_t t;

        if (pthread_create(&t, NULL, log_line, ctx))
            return -EAGAIN;
        pthread_join(t, NULL);
        return 0;
    }
    if (!strcmp(what, "metric")) {
        int r = rouse_metric_set("queue_length", 12.5);

        return r < 0 ? r : rouse_metric_set("queue_length", 12.5); /* told once */
    }
    if (!strcmp(what, "metric thread")) {
        pthread_t t;

        if (pthread_create(&t, NULL, set_metric, NULL))
            return -EAGAIN;
        pthread_join(t, NULL);
        return 0;
    }
    if (!strcmp(what, "metric for ever"))
        return -pthread_create(&reporter, NULL, report_for_ever, NULL);
    if (!strcmp(what, "metric limits"))
        return metric_limits();
    if (!strcmp(what, "log and wait")) {
        rouse_log(ctx, "waiting");
        return rouse_sleep(ROUSE_NEVER);
    }
    if (!strcmp(what, "deep"))
        return deep();
    if (!strcmp(what, "context")) {
        char text[256];

        snprintf(text, sizeof(text), "%s %s %s %s %s %llu %llu %d", rouse_request_id(ctx),
                 rouse_trace_id(ctx), rouse_function_name(ctx), rouse_function_namespace(ctx),
                 rouse_function_revision(ctx), (unsigned long long)rouse_memory_limit(ctx),
                 (unsigned long long)rouse_deadline_ms(ctx),
                 rouse_remaining_ms(ctx) > 0 && rouse_remaining_ms(ctx) < rouse_deadline_ms(ctx));
        return rouse_respond_text(resp, text);
    }
    if (!strcmp(what, "child")) {
        int status;
        pid_t pid = fork();

        exits_early = !pid;
        if (!pid)
            exit(0);
        return waitpid(pid, &status, 0) == pid && !status ? 0 : -ECHILD;
    }
    return 0;
}

static void call(const char *what)
{
    put_invoke(FRAME_FIN, 5, what, strlen(what));
}

START_TEST(answers)
{
    begin(obey);
    greet();
    call("text");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 5,
                "Gr\xc3\xbc\xc3\x9f"
                "e");
    call("json");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "{\"a\":1}");
    call("answer");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_ANSWER, 5, "{\"statusCode\":204}");
    call("status");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_ANSWER, 5,
                "{\"statusCode\":404,\"headers\":{\"content-type\":\"text/plain\"},"
                "\"isBase64Encoded\":false,\"body\":\"no \\\"x\\\"\"}");
    call("octets");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_ANSWER, 5,
                "{\"statusCode\":200,\"isBase64Encoded\":true,\"body\":\"/wABAg==\"}");
    call("empty");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_ANSWER, 5,
                "{\"statusCode\":200,\"isBase64Encoded\":false,\"body\":\"\"}");
    call("twice");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "2");
    call("nothing");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    call("context");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 5,
                "req-1 t f ns r1 33554432 4102444800000 1");
    call("log");
    expect_text(FRAME_LOG, 0, 5, "line 1");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* They are there while the handler goes on. */
START_TEST(logs)
{
    setenv("ROUSE_MAXPROCS", _i ? "2" : "1", 1);
    begin(obey);
    greet();
    call("log thread");
    expect_text(FRAME_LOG, 0, 5, "from a thread");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    call("log and wait");
    expect_text(FRAME_LOG, 0, 5, "waiting");
    put_frame(FRAME_CANCEL, 0, 5, NULL, 0);
    expect_text(FRAME_ERROR, 0, 5, ERROR_JSON("Error", "Operation canceled"));
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(stacks)
{
    static const char *const refused[] = {"much", "8Ki", "2Gi", ""};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        setenv("ROUSE_RUNTIME_SOCKET", "/nonexistent/socket", 1);
        setenv("ROUSE_STACK", refused[i], 1);
        ck_assert_int_eq(rouse_start(obey), -EINVAL);
    }
    setenv("ROUSE_STACK", "1Mi", 1);
    begin(obey);
    greet();
    call("deep");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(failures)
{
    begin(obey);
    greet();
    call("fail");
    expect_text(FRAME_ERROR, 0, 5, ERROR_JSON("NotFound", "no row \\\"7\\\"\\ufffd"));
    call("failed but 0");
    expect_text(FRAME_ERROR, 0, 5, ERROR_JSON("Late", "x"));
    call("errno");
    expect_text(FRAME_ERROR, 0, 5, ERROR_JSON("Error", "No such file or directory"));
    call("bad status");
    expect_text(FRAME_ERROR, 0, 5, ERROR_JSON("Error", "Invalid argument"));
    call("text");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 5,
                "Gr\xc3\xbc\xc3\x9f"
                "e");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(big_bodies)
{
    char *event = malloc(BIG);
    size_t got = 0;
    struct frame f;

    for (size_t i = 0; i < BIG; i++)
        event[i] = (char)(i * 31 >> 3);
    begin(echo);
    greet();
    put_invoke(0, 9, event, 1000);
    for (size_t at = 1000; at < BIG;) {
        size_t n = BIG - at < FRAME_PAYLOAD_MAX ? BIG - at : FRAME_PAYLOAD_MAX;

        put_frame(FRAME_BODY, 0, 9, event + at, n);
        at += n;
    }
    put_frame(FRAME_END, 0, 9, NULL, 0);
    do {
        ck_assert(get(&f));
        ck_assert_uint_eq(f.id, 9);
        ck_assert_uint_eq(f.type, got ? FRAME_BODY : FRAME_RESPONSE);
        ck_assert_uint_eq(f.flags & FRAME_BYTES, got ? 0 : FRAME_BYTES);
        ck_assert_uint_le(f.length, BIG - got);
        ck_assert(!memcmp(event + got, f.payload, f.length));
        got += f.length;
    } while (!(f.flags & FRAME_FIN));
    ck_assert_uint_eq(got, BIG);
    free(event);
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(other_frames)
{
    begin(echo);
    greet();
    put_frame(200, 0, 1, "later version", 13);
    put_frame(FRAME_CANCEL, 0, 77, NULL, 0);
    put_frame(FRAME_BODY, FRAME_FIN, 77, "nobody's", 8);
    put_frame(FRAME_CREDIT, 0, 77, "\0\0\1\0", 4);
    put_invoke(FRAME_FIN, 4, "x", 1);
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_BYTES, 4, "x");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(broken_agents)
{
    static const struct {
        bool greeted;
        const char *bytes;
        size_t size;
        int error;
    } cases[] = {
        {false, "garbage garbage garbage", 23, EBADMSG},
        {true, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, EBADMSG},
        {true, "\xff\xff\xff\xff\x03\0\0\0\1\0\0\0\0\0\0\0", 16, EMSGSIZE},
        {true, "\x01\0\0\0\x02\0\0\0\1\0\0\0\0\0\0\0x", 17, EBADMSG},
        {true, "\x01\0\0\0\x09\0\0\0\1\0\0\0\0\0\0\0x", 17, EBADMSG},
        {false, "\0\0\0\0\x04\0\0\0\1\0\0\0\0\0\0\0", 16, EPROTO},
        {false, "\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0[]", 18, EBADMSG},
    };

    begin(echo);
    if (cases[_i].greeted)
        greet();
    put(cases[_i].bytes, cases[_i].size);
    check_exit(end(), cases[_i].error);
}
END_TEST

START_TEST(two_at_once_is_refused)
{
    begin(echo);
    greet();
    put_invoke(0, 1, "a", 1);
    put_invoke(FRAME_FIN, 2, "b", 1);
    check_exit(end(), EPROTO);
}
END_TEST

/* The exit of a child that a handler forked is not the function's. */
START_TEST(forked_child)
{
    begin(obey);
    greet();
    call("child");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(no_agent)
{
    unsetenv("ROUSE_RUNTIME_SOCKET");
    ck_assert_int_eq(rouse_start(echo), -ENOTCONN);
    setenv("ROUSE_RUNTIME_SOCKET", "/nonexistent/socket", 1);
    ck_assert_int_eq(rouse_start(echo), -ENOENT);
}
END_TEST

static void expect_metric(const char *name, double value)
{
    struct frame f;
    const char *got;
    double is;
    size_t n;

    expect(&f, FRAME_METRIC, 0, 0);
    ck_assert_int_eq(frame_metric_parse(&f, &got, &n, &is), 0);
    ck_assert_msg(n == strlen(name) && !memcmp(got, name, n), "%.*s", (int)n, got);
    ck_assert_double_eq(is, value);
}

START_TEST(metrics)
{
    ck_assert_int_eq(rouse_metric_set("a", 1), -ENOTCONN); /* here, where nothing was started */
    begin(obey);
    greet();
    for (int i = 0; i < 2; i++) {
        call("metric");
        if (!i)
            expect_metric("queue_length", 12.5);
        expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    }
    call("metric thread");
    expect_metric("of_thread", 3);
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(metrics_limits)
{
    char name[16];

    begin(obey);
    greet();
    call("metric limits");
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        expect_metric(name, i);
    }
    expect_metric("m15", 1);
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* The system call that a thread of the function waits in; -1: it runs. */
static long waits_in(const char *thread)
{
    char path[400];
    long call = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/syscall", (int)function, thread);
    f = fopen(path, "re");
    if (!f)
        return 0; /* it has ended */
    if (fscanf(f, "%ld", &call) != 1)
        call = -1;
    fclose(f);
    return call;
}

static bool all_wait(void)
{
    char path[64];
    bool all = true;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)function);
    d = opendir(path);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        all = all && (e->d_name[0] == '.' || waits_in(e->d_name) >= 0);
    closedir(d);
    return all;
}

static bool polls(const char *thread)
{
    long call = waits_in(thread);

#ifdef SYS_poll
    if (call == SYS_poll)
        return true;
#endif
    return call == SYS_ppoll;
}

static void report_until_it_waits(char thread[16])
{
    greet();
    call("metric for ever");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 5, "null");
    ck_assert_int_gt(read(reports[0], thread, 15), 0);
    while (!all_wait()) /* no task is in the outbox any more, to send what the thread says */
        sched_yield();
    ck_assert_int_eq(write(may_report[1], "", 1), 1);
    while (!polls(thread))
        sched_yield();
}

static void end_unread(void)
{
    int status;

    shutdown(fd, SHUT_WR);
    ck_assert_int_eq(waitpid(function, &status, 0), function);
    ck_assert_int_eq(status, 0);
    close(fd);
    buffer_done(&in);
}

/* It waits for an agent that reads no more when the run ends: nobody is in what is freed then, and rouse_start() returns. */
START_TEST(a_thread_that_waits_for_the_agent)
{
    char thread[16] = "";

    ck_assert_int_eq(pipe(may_report), 0);
    ck_assert_int_eq(pipe(reports), 0);
    begin_as(start_and_join, obey);
    report_until_it_waits(thread);
    end_unread();
}
END_TEST

/* It never comes out again: rouse_start() returns all the same. */
START_TEST(a_thread_that_ends_while_it_waits)
{
    char thread[16] = "", path[64];

    ck_assert_int_eq(pipe(may_report), 0);
    ck_assert_int_eq(pipe(reports), 0);
    begin_as(start_and_lose, obey);
    report_until_it_waits(thread);
    snprintf(path, sizeof(path), "/proc/%d/task/%s", (int)function, thread);
    ck_assert_int_eq(syscall(SYS_tgkill, function, atoi(thread), SIGUSR1), 0);
    while (access(path, F_OK) == 0)
        sched_yield();
    end_unread();
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *tc = unit_case("start", &r);

    tcase_add_test(tc, answers);
    tcase_add_loop_test(tc, logs, 0, 2);
    tcase_add_test(tc, stacks);
    tcase_add_test(tc, failures);
    tcase_add_test(tc, big_bodies);
    tcase_add_test(tc, other_frames);
    tcase_add_test(tc, metrics);
    tcase_add_test(tc, metrics_limits);
    tcase_add_test(tc, a_thread_that_waits_for_the_agent);
    tcase_add_test(tc, a_thread_that_ends_while_it_waits);
    tcase_add_loop_test(tc, broken_agents, 0, 7);
    tcase_add_test(tc, two_at_once_is_refused);
    tcase_add_test(tc, forked_child);
    tcase_add_test(tc, no_agent);
    return unit_run(r);
}
