/* The life of an instance: the way up, desired state, and every state against everything that may
 * end it. */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

START_TEST(the_whole_way)
{
    struct peer c;
    struct box *b;
    char event[2048], *text;
    struct buffer m = {0};
    int one = 1;

    begin();
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    expect_sent("ack 7.1\n");
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    b = box_ready("i-1", 1);
    expect_text(sent, "status i-1 Fetching  slots=0");
    expect_text(sent, "status i-1 Creating  slots=0");
    expect_text(sent, "status i-1 Initializing  slots=0");
    expect_text(sent, "status i-1 Ready  slots=1");
    ck_assert_uint_eq(last_phases.schedule, 1500);
    ck_assert_uint_eq(last_phases.sandbox, 2000);
    ck_assert_uint_gt(last_phases.runtime, 0);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    expect_text(created, "hostname=i-1\n");
    expect_text(created, "/runtimes/python3/rootfs\n");
    expect_text(created, "/cache/aaaa");
    expect_text(created, "GREETING=hi\n");
    expect_text(created, "ROUSE_MAXPROCS=1\n");
    expect_text(created, "RT=1\n");
    expect_text(created, "LANG=user\n");
    expect_text(created, "_HANDLER=index.handler\n");
    expect_no_text(created, "_HANDLER=mine");
    expect_text(created, "AWS_LAMBDA_FUNCTION_NAME=hello\n");
    expect_text(created, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128\n");
    expect_text(created, "ROUSE_RUNTIME_SOCKET=/run/rouse/runtime.sock\n");

    client_ask(&c, "req-1", "some text");
    invoke_take(b, event, sizeof(event));
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    expect_text(event, "\"rawPath\":\"/hello\"");
    expect_text(event, "\"body\":\"some text\",\"isBase64Encoded\":false");
    expect_text(event, "\"requestId\":\"req-1\"");
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "Hello Serverless");
    text = http_take(&c);
    expect_text(text, "HTTP/1.1 200");
    expect_text(text, "Content-Type: text/plain; charset=utf-8\r\n");
    expect_text(text, "Rouse-Request-Id: req-1\r\n");
    expect_text(text, "\r\n\r\nHello Serverless");
    free(text);
    peer_close(&c);
    wait_for(outcomes_are, &one);
    ck_assert_int_eq(outcome.status, 200);
    ck_assert(outcome.cold && !outcome.lost && !outcome.client_gone);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    ck_assert_int_ge(slot_frees, 1);
    report_metrics(the_report, &m);
    text = buffer_take_string(&m);
    expect_text(text, "rouse_cold_starts_total{namespace=\"default\",function=\"hello\"} 1\n");
    expect_text(text, "rouse_cold_start_seconds_count{phase=\"first_byte\"} 1\n");
    expect_text(text, "rouse_cold_start_seconds_count{phase=\"sandbox\"} 1\n");
    free(text);
    end();
}
END_TEST

START_TEST(processors)
{
    begin();
    ck_assert_int_eq(desire(&(struct revision_options){.cpu = 1001}, "i-1", "", 0), 0);
    box_start("i-1");
    expect_text(created, "ROUSE_MAXPROCS=2\n");
    end();
}
END_TEST

START_TEST(epochs)
{
    begin();
    ck_assert_int_eq(desire(NULL, "i-1", "", 99), -ESTALE); /* a delta without a base */
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    ck_assert_int_eq(desire(NULL, "i-2", "", 1), -ESTALE);
    expect_not_sent("i-2");
    ck_assert_int_eq(desire(NULL, "i-2", "", sequence - 1), 0); /* the ack of the full one */
    expect_sent("ack 7.4\n");
    box_ready("i-1", 1);
    box_ready("i-2", 1);
    ck_assert_int_eq(desire(NULL, "", "i-1", 4), 0);
    expect_sent("status i-1 Draining");
    expect_not_sent("status i-2 Draining");
    ck_assert_int_eq(desire(NULL, "i-3", "", 0), 0); /* a full one that names neither */
    expect_sent("status i-2 Draining");
    expect_sent("status i-3 Creating");
    end();
}
END_TEST

START_TEST(what_cannot_be_made)
{
    const struct revision_options ruby = {.revision = "r2", .runtime = "ruby"};
    const struct revision_options digest = {.revision = "r3", .package = "sha256:no"};
    Rouse__Control__V1__Desired d = ROUSE__CONTROL__V1__DESIRED__INIT;
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__DesiredInstance one = ROUSE__CONTROL__V1__DESIRED_INSTANCE__INIT,
                                        *list[] = {&one};

    begin();
    ck_assert_int_eq(desire(&ruby, "i-1", "", 0), 0);
    expect_sent("status i-1 Failed UnknownRuntime");
    ck_assert_int_eq(desire(&digest, "i-2", "", 0), 0);
    expect_sent("status i-2 Failed FetchFailed");
    epoch.incarnation = 7;
    epoch.sequence = 100;
    one.id = (char *)"i-3";
    one.function_key = (char *)FUNCTION;
    one.revision = (char *)"never";
    d.epoch = &epoch;
    d.instances = list;
    d.n_instances = 1;
    ck_assert_int_eq(pool_desired(pool, &d), 0);
    expect_sent("status i-3 Failed UnknownRevision");
    create_result = -EMSGSIZE;
    ck_assert_int_eq(desire(NULL, "i-4", "", 0), 0);
    expect_sent("status i-4 Failed SandboxFailed");
    create_result = 0;
    end();
}
END_TEST

static bool none_left(void *user)
{
    Rouse__Control__V1__Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    bool empty;

    pool_hello(pool, &h);
    empty = h.n_instances == 0;
    if (user && h.n_instances)
        *(int *)user = (int)h.instances[0]->state;
    pool_hello_done(pool, &h);
    return empty;
}

START_TEST(a_dead_one_is_not_raised)
{
    struct box *b;
    int last_state = 0;

    begin();
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    b = box_ready("i-1", 1);
    away = true; /* nobody hears of the end */
    box_exit(b, 3, 0, false);
    wait_for(none_left, &last_state);
    ck_assert_int_eq(last_state, STATE_FAILED);
    away = false;
    sent[0] = '\0';
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    expect_sent("status i-1 Failed Error slots=0 code=3");
    ck_assert_uint_eq(box_count, 1);
    /* Once the controller has let go of it, the memory of it goes too. */
    ck_assert_int_eq(desire(NULL, "", "", 0), 0);
    sent[0] = '\0';
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    expect_sent("status i-1 Fetching");
    end();
}
END_TEST

/* ---------------------------------------------------------------- (state x event) */

enum at { AT_FETCHING, AT_CREATING, AT_INITIALIZING, AT_READY, AT_BUSY, AT_READING, AT_DRAINING };
enum event {
    REMOVED,
    EXIT_0,
    EXIT_1,
    OOM,
    SEGV,
    LAUNCH_FAILED,
    HANGUP,
    VIOLATION,
    INIT_ERROR,
    FATAL,
    SPOKE_LATE
};
static const struct {
    enum at at;
    enum event event;
    const char *wanted, *stop, *answer,
        *reason; /* the status, what the launcher is told, the client's answer */
} cells[] = {
    {AT_FETCHING, REMOVED, "Stopped Completed", NULL, NULL, NULL},
    {AT_CREATING, REMOVED, "Draining  ", NULL, NULL, NULL},
    {AT_CREATING, LAUNCH_FAILED, "Failed SandboxFailed", NULL, NULL, NULL},
    {AT_INITIALIZING, REMOVED, "Draining  ", "i-1 2000\n", NULL, NULL},
    {AT_INITIALIZING, EXIT_0, "Failed Completed", NULL, NULL, NULL},
    {AT_INITIALIZING, EXIT_1, "Failed Error slots=0 code=1", NULL, NULL, NULL},
    {AT_INITIALIZING, OOM, "Failed OOMKilled", NULL, NULL, NULL},
    {AT_INITIALIZING, SEGV, "Failed SIGSEGV slots=0 code=-1 signal=11", NULL, NULL, NULL},
    {AT_INITIALIZING, HANGUP, "Failed RuntimeDisconnected", "i-1 0\n", NULL, NULL},
    {AT_INITIALIZING, VIOLATION, "Failed ProtocolError", "i-1 0\n", NULL, NULL},
    {AT_INITIALIZING, INIT_ERROR, "Failed InitFailed", "i-1 0\n", NULL, NULL},
    {AT_READY, REMOVED, "Draining  ", "i-1 2000\n", NULL, NULL},
    {AT_READY, EXIT_0, "Failed Completed", NULL, NULL, NULL},
    {AT_READY, EXIT_1, "Failed Error slots=1 code=1", NULL, NULL, NULL},
    {AT_READY, OOM, "Failed OOMKilled", NULL, NULL, NULL},
    {AT_READY, SEGV, "Failed SIGSEGV", NULL, NULL, NULL},
    {AT_READY, HANGUP, "Failed RuntimeDisconnected", "i-1 0\n", NULL, NULL},
    {AT_READY, VIOLATION, "Failed ProtocolError", "i-1 0\n", NULL, NULL},
    {AT_READY, INIT_ERROR, "Failed Error", "i-1 0\n", NULL, NULL},
    {AT_BUSY, REMOVED, "Draining  ", NULL, NULL, NULL},
    {AT_BUSY, EXIT_0, "Failed Completed", NULL, "HTTP/1.1 502", "\"reason\":\"InstanceLost\""},
    {AT_BUSY, EXIT_1, "Failed Error", NULL, "HTTP/1.1 502", "exit code 1"},
    {AT_BUSY, OOM, "Failed OOMKilled", NULL, "HTTP/1.1 502", "\"reason\":\"OOMKilled\""},
    {AT_BUSY, SEGV, "Failed SIGSEGV", NULL, "HTTP/1.1 502", "signal 11 (Segmentation fault)"},
    {AT_BUSY, HANGUP, "Failed RuntimeDisconnected", "i-1 0\n", "HTTP/1.1 502",
     "\"reason\":\"InstanceLost\""},
    {AT_BUSY, VIOLATION, "Failed ProtocolError", "i-1 0\n", "HTTP/1.1 502",
     "\"reason\":\"InstanceLost\""},
    {AT_BUSY, FATAL, "Failed Error", NULL, "HTTP/1.1 502", "\"reason\":\"FunctionError\""},
    {AT_BUSY, SPOKE_LATE, "Failed Error", NULL, "HTTP/1.1 200", "last words"},
    {AT_READING, EXIT_1, "Failed Error", NULL, "HTTP/1.1 502", "\"reason\":\"InstanceLost\""},
    {AT_READING, REMOVED, "Draining  ", NULL, NULL, NULL},
    {AT_DRAINING, EXIT_1, "Stopped Completed", NULL, "HTTP/1.1 502", "\"reason\":\"InstanceLost\""},
    {AT_DRAINING, OOM, "Stopped Completed", NULL, "HTTP/1.1 502", "\"reason\":\"InstanceLost\""},
    {AT_DRAINING, HANGUP, "Stopped Completed", "i-1 0\n", "HTTP/1.1 502",
     "\"reason\":\"InstanceLost\""},
    {AT_DRAINING, VIOLATION, "Failed ProtocolError", "i-1 0\n", "HTTP/1.1 502",
     "\"reason\":\"InstanceLost\""},
    {AT_DRAINING, REMOVED, "Draining  ", NULL, NULL, NULL},
};

static bool slot_taken(void *user)
{
    (void)user;
    return !pool_has_slot(pool, FUNCTION, "r1");
}

static struct box *come_to(enum at at, struct peer *client)
{
    const struct revision_options nowhere = {.package = NOWHERE};
    struct box *b = NULL;

    begin();
    ck_assert_int_eq(desire(at == AT_FETCHING ? &nowhere : NULL, "i-1", "", 0), 0);
    if (at == AT_FETCHING)
        expect_sent("status i-1 Fetching");
    if (at == AT_CREATING)
        wait_for(box_made, (void *)"i-1");
    if (at == AT_INITIALIZING) {
        b = box_start("i-1");
        peer_connect_unix(&b->rt, b->path);
        frame_hello(&b->rt);
    }
    if (at >= AT_READY)
        b = box_ready("i-1", 1);
    if (at == AT_READING) {
        static const char head[] = "POST /h HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf";

        peer_connect_tcp(client, front_port);
        peer_send(client, head, sizeof(head) - 1);
        wait_for(slot_taken, NULL);
    }
    if (at == AT_BUSY || at == AT_DRAINING) {
        client_ask(client, "req-1", NULL);
        ck_assert_uint_eq(invoke_take(b, NULL, 0), 1);
    }
    if (at == AT_DRAINING) {
        ck_assert_int_eq(desire(NULL, "", "", 0), 0);
        expect_sent("status i-1 Draining");
        ck_assert_str_eq(stops, "");
    }
    return b;
}

static void happen(enum event e, struct box *b)
{
    static const char error[] = "{\"errorType\":\"T\",\"errorMessage\":\"m\",\"stackTrace\":[]}";

    switch (e) {
    case REMOVED:
        ck_assert_int_eq(desire(NULL, "", "", 0), 0);
        break;
    case EXIT_0:
    case EXIT_1:
        box_exit(b, e == EXIT_1, 0, false);
        break;
    case OOM:
        box_exit(b, 0, 9, true);
        break;
    case SEGV:
        box_exit(b, 0, 11, false);
        break;
    case LAUNCH_FAILED:
        box_fail("i-1", "mount /var/task: no");
        break;
    case HANGUP:
        exits_when_stopped = true;
        peer_close(&b->rt);
        break;
    case VIOLATION:
        frame_send(&b->rt, FRAME_HOOK, 0, 1, "1", 1);
        break;
    case INIT_ERROR:
        frame_send_text(&b->rt, FRAME_ERROR, FRAME_FATAL, 0, error);
        break;
    case FATAL:
        frame_send_text(&b->rt, FRAME_ERROR, FRAME_FATAL, 1, error);
        box_exit(b, 1, 0, false);
        break;
    case SPOKE_LATE: /* the answer was written before the exit is told */
        frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "last words");
        box_exit(b, 1, 0, false);
        break;
    }
}

START_TEST(states_and_events)
{
    const typeof(cells[0]) *cell = &cells[_i];
    struct peer client = {.fd = -1};
    struct box *b = come_to(cell->at, &client);
    char wanted[128];

    sent[0] = '\0';
    snprintf(wanted, sizeof(wanted), "status i-1 %s", cell->wanted);
    happen(cell->event, b);
    if (cell->at == AT_DRAINING && cell->event == REMOVED)
        expect_not_sent("status"); /* asked twice is asked once */
    else
        expect_sent(wanted);
    if (cell->stop)
        ck_assert_msg(strstr(stops, cell->stop) != NULL, "stops: %s", stops);
    else
        ck_assert_str_eq(stops, "");
    if (cell->answer)
        expect_answer(&client, cell->answer, cell->reason);
    else
        ck_assert_int_eq(outcomes, 0);
    /* Whatever ended takes nothing new. */
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    client_ask(&client, "req-9", NULL);
    expect_answer(&client, "refused", NULL);
    ck_assert(refusal == -ENOENT || refusal == -EAGAIN);
    end();
}
END_TEST

START_TEST(a_drain_waits_for_what_runs)
{
    struct peer client;
    struct box *b = come_to(AT_DRAINING, &client);

    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "done");
    expect_answer(&client, "HTTP/1.1 200", "done");
    ck_assert_str_eq(stops, "i-1 2000\n");
    box_exit(b, 0, 0, false);
    expect_sent("status i-1 Stopped Completed");
    wait_for(none_left, NULL);
    end();
}
END_TEST

static bool was_stopped(void *user)
{
    return strstr(stops, user) != NULL;
}

START_TEST(a_drain_has_a_limit)
{
    struct peer client;

    drain_limit_ns = 20 * NS_PER_MS;
    come_to(AT_DRAINING, &client);
    wait_for(was_stopped, (void *)"i-1 2000\n");
    box_exit(box_of("i-1"), 0, 15, false);
    expect_answer(&client, "HTTP/1.1 502", "InstanceLost");
    expect_sent("status i-1 Stopped");
    end();
}
END_TEST

START_TEST(removed_while_the_sandbox_is_made)
{
    begin();
    ck_assert_int_eq(desire(NULL, "i-1 i-2", "", 0), 0);
    wait_for(box_made, (void *)"i-1");
    wait_for(box_made, (void *)"i-2");
    ck_assert_int_eq(desire(NULL, "", "", 0), 0);
    box_start("i-1");
    ck_assert_str_eq(stops, "i-1 0\n");
    box_exit(box_of("i-1"), 0, 9, false);
    expect_sent("status i-1 Stopped Completed");
    box_fail("i-2", "gone");
    expect_sent("status i-2 Stopped Completed");
    end();
}
END_TEST

START_TEST(init_timeout_tells_the_last_lines)
{
    struct box *b;

    init_timeout_ns = 50 * NS_PER_MS;
    begin();
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    b = box_start("i-1");
    ck_assert_int_eq(write(b->err, "importing the world\n", 20), 20);
    expect_sent("status i-1 Failed InitTimeout");
    expect_text(last_message, "not ready after");
    expect_text(last_message, "importing the world");
    ck_assert_str_eq(stops, "i-1 0\n");
    box_exit(b, 0, 9, false);
    wait_for(none_left, NULL);
    end();
}
END_TEST

START_TEST(a_crash_tells_the_last_lines)
{
    struct box *b;
    char line[120];

    begin();
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    b = box_ready("i-1", 1);
    for (int i = 0; i < 50; i++) {
        int n = snprintf(line, sizeof(line),
                         "line %d of a long story that does not fit into a status\n", i);

        ck_assert_int_eq(write(b->out, line, (size_t)n), n);
    }
    box_exit(b, 2, 0, false);
    expect_sent("status i-1 Failed Error slots=1 code=2");
    expect_text(last_message, "exit code 2");
    expect_text(last_message, "line 49 ");
    expect_no_text(last_message, "line 10 ");
    ck_assert_uint_lt(strlen(last_message), 1024);
    end();
}
END_TEST

START_TEST(init_error_has_type_and_message)
{
    struct box *b;

    begin();
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    b = box_start("i-1");
    peer_connect_unix(&b->rt, b->path);
    frame_hello(&b->rt);
    frame_send_text(&b->rt, FRAME_ERROR, FRAME_FATAL, 0,
                    "{\"errorType\":\"Runtime.ImportModuleError\",\"errorMessage\":\"No module "
                    "named 'index'\"}");
    expect_sent("status i-1 Failed InitFailed");
    expect_text(last_message, "Runtime.ImportModuleError: No module named 'index'");
    end();
}
END_TEST

START_TEST(lambda_instance)
{
    static const char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char answer[] =
        "POST /2018-06-01/runtime/invocation/req-1/response HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 39\r\n\r\n{\"statusCode\":201,\"body\":\"from lambda\"}";
    const struct revision_options provided = {.runtime = "provided"};
    struct peer api, client;
    struct box *b;
    char *text;

    begin();
    ck_assert_int_eq(desire(&provided, "i-1", "", 0), 0);
    b = box_start("i-1");
    expect_text(created, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001\n");
    peer_connect_tcp(&api, b->api_port);
    peer_send(&api, next, sizeof(next) - 1);
    expect_sent("status i-1 Ready  slots=1");
    client_ask(&client, "req-1", NULL);
    text = http_take(&api);
    expect_text(text, "Lambda-Runtime-Aws-Request-Id: req-1");
    free(text);
    peer_send(&api, answer, strlen(answer));
    expect_answer(&client, "HTTP/1.1 201", "from lambda");
    free(http_take(&api));
    peer_close(&api);
    box_exit(b, 1, 0, false);
    expect_sent("status i-1 Failed Error");
    end();
}
END_TEST

START_TEST(the_end_stops_everything)
{
    begin();
    ck_assert_int_eq(desire(NULL, "i-1 i-2", "", 0), 0);
    box_ready("i-1", 1);
    box_start("i-2");
    end();
    ck_assert_ptr_nonnull(strstr(stops, "i-1 2000\n"));
    ck_assert_ptr_nonnull(strstr(stops, "i-2 2000\n"));
}
END_TEST

static void want_more(struct mail *m)
{
    (void)m;
    ck_assert_int_eq(desire(NULL, "i-1 i-9", "", 0), 0);
}

START_TEST(nothing_new_while_it_ends)
{
    struct mail m = {.fn = want_more};

    begin();
    ck_assert_int_eq(desire(NULL, "i-1", "", 0), 0);
    box_ready("i-1", 1);
    loop_post(loop, &m); /* arrives while pool_free() waits for i-1 */
    end();
    expect_not_sent("i-9");
    expect_text(sent, "status i-1 Stopped");
}
END_TEST

static bool cannot_connect(void *user)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(*(uint16_t *)user),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0;

    close(fd);
    return refused;
}

static bool some_turns(void *user)
{
    return ++*(int *)user > 5;
}

/* The launcher removes the network only when the agent's sockets in it are closed, and tells the
 * exit after that. */
START_TEST(sockets_close_with_the_init)
{
    const struct revision_options provided = {.runtime = "provided"};
    struct box *b;
    int turns = 0;

    box_pid = fork();
    if (box_pid == 0) {
        pause();
        _exit(0);
    }
    begin();
    ck_assert_int_eq(desire(&provided, "i-1", "", 0), 0);
    b = box_start("i-1");
    ck_assert(!cannot_connect(&b->api_port));
    /* A runtime may send its outputs elsewhere, and go on. */
    close(b->out);
    close(b->err);
    b->out = b->err = -1;
    wait_for(some_turns, &turns);
    ck_assert(!cannot_connect(&b->api_port));
    kill(box_pid, SIGKILL);
    wait_for(cannot_connect, &b->api_port);
    waitpid(box_pid, NULL, 0);
    box_exit(b, 1, 0, false);
    expect_sent("status i-1 Failed Error");
    end();
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *t = unit_case("instance", &r);

    tcase_add_test(t, the_whole_way);
    tcase_add_test(t, processors);
    tcase_add_test(t, epochs);
    tcase_add_test(t, what_cannot_be_made);
    tcase_add_test(t, a_dead_one_is_not_raised);
    tcase_add_loop_test(t, states_and_events, 0, (int)ARRAY_LEN(cells));
    tcase_add_test(t, a_drain_waits_for_what_runs);
    tcase_add_test(t, a_drain_has_a_limit);
    tcase_add_test(t, removed_while_the_sandbox_is_made);
    tcase_add_test(t, init_timeout_tells_the_last_lines);
    tcase_add_test(t, a_crash_tells_the_last_lines);
    tcase_add_test(t, init_error_has_type_and_message);
    tcase_add_test(t, lambda_instance);
    tcase_add_test(t, the_end_stops_everything);
    tcase_add_test(t, nothing_new_while_it_ends);
    tcase_add_test(t, sockets_close_with_the_init);
    return unit_run(r);
}
