/* Templates and their children, with runtimes made by hand and without a launcher. */
#include "fixture.h"

#include <sys/socket.h>

static const struct revision_options forks = {.fork = true};

/* A template's child as its bootstrap is it: connected, HELLO said. */
struct child {
    struct peer peer;
    int outputs[2];
    char environment[512];
};

static uint64_t fork_take(struct box *b)
{
    struct buffer payload = {0};
    struct frame f = frame_take(&b->rt, &payload);

    ck_assert_int_eq(f.type, FRAME_FORK);
    ck_assert_uint_eq(f.length, 0);
    buffer_done(&payload);
    return f.id;
}

static void say_fork(struct peer *p, const char *path, long long token)
{
    char hello[96];

    snprintf(hello, sizeof(hello), "{\"protocol\":1,\"runtime\":\"test\",\"pid\":9,\"fork\":%lld}",
             token);
    peer_connect_unix(p, path);
    frame_send_text(p, FRAME_HELLO, 0, 0, hello);
}

static bool takes_outputs(void *user)
{
    struct child *c = user;
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } beside;
    uint8_t header[FRAME_HEADER];
    struct iovec iov = {header, sizeof(header)};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &beside, .msg_controllen = sizeof(beside)};
    ssize_t n = recvmsg(c->peer.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct frame f;
    size_t size;

    if (n < 0)
        return false;
    ck_assert_int_eq(n, FRAME_HEADER);
    ck_assert_uint_eq(CMSG_FIRSTHDR(&m)->cmsg_len, CMSG_LEN(2 * sizeof(int)));
    memcpy(c->outputs, CMSG_DATA(CMSG_FIRSTHDR(&m)), 2 * sizeof(int));
    buffer_append(&c->peer.in, header, sizeof(header));
    wait_for(frame_whole, &c->peer);
    ck_assert_int_eq(frame_parse(buffer_bytes(&c->peer.in), buffer_size(&c->peer.in), &f, &size), 1);
    ck_assert_int_eq(f.type, FRAME_FORK);
    snprintf(c->environment, sizeof(c->environment), "%.*s", (int)f.length, (const char *)f.payload);
    buffer_consume(&c->peer.in, size);
    return true;
}

/* It is an instance from here on, if `id` is told to be ready. */
static void child_ready(struct child *c, const char *id)
{
    struct buffer payload = {0};
    char line[96];

    wait_for(takes_outputs, c);
    ck_assert_int_eq(frame_take(&c->peer, &payload).type, FRAME_HELLO);
    buffer_done(&payload);
    frame_send_credit(&c->peer, 1);
    snprintf(line, sizeof(line), "status %s Ready  slots=1", id);
    expect_sent(line);
    expect_text(c->environment, id);
}

static void child_close(struct child *c)
{
    peer_close(&c->peer);
    for (int i = 0; i < 2; i++)
        if (c->outputs[i] > 0)
            close(c->outputs[i]);
}

static bool was_adopted(void *user)
{
    return box_count == *(size_t *)user;
}

/* The launcher gives the newest child its cgroup. */
static void child_attached(const char *of, size_t boxes_then)
{
    struct sandbox_started s = {
        .pid = 1, .stdout_fd = -1, .stderr_fd = -1, .frames_listen_fd = -1, .api_listen_fd = -1};

    wait_for(was_adopted, &boxes_then);
    ck_assert_str_eq(adoption.of, of);
    ck_assert_int_eq(adoption.pid, getpid());
    ck_assert_uint_eq(adoption.memory, 128u << 20);
    ck_assert_uint_eq(adoption.cpu_millis, 500);
    snprintf(s.cgroup, sizeof(s.cgroup), "of-%s", adoption.id);
    boxes[box_count - 1].started = true;
    the_launcher.ops->on_started(the_launcher.user, adoption.id, &s);
}

static void child_born(struct child *c, struct box *template)
{
    size_t then = box_count + 1;

    memset(c, 0, sizeof(*c));
    say_fork(&c->peer, template->path, (long long)fork_take(template));
    child_attached(template->id, then);
}

/* The first of `ids` is asked to fork. */
static struct box *loaded(const struct revision_options *o, const char *ids)
{
    char first[32];
    struct box *b;

    begin();
    snprintf(first, sizeof(first), "%.*s", (int)strcspn(ids, " "), ids);
    ck_assert_int_eq(desire(o, ids, "", 0), 0);
    b = box_start(first);
    peer_connect_unix(&b->rt, b->path);
    frame_hello(&b->rt);
    frame_send_credit(&b->rt, 1);
    return b;
}

/* i-1 is a child of the template that it was. */
static struct box *standing(struct child *c)
{
    struct box *b = loaded(&forks, "i-1");

    child_born(c, b);
    child_ready(c, "i-1");
    return b;
}

static void answer_with(struct child *c, const char *text)
{
    struct buffer payload = {0};
    struct peer client;

    client_ask(&client, "req-1", NULL);
    frame_send_text(&c->peer, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT,
                    frame_take(&c->peer, &payload).id, text);
    expect_answer(&client, "200", text);
    buffer_done(&payload);
}

START_TEST(the_first_becomes_a_template)
{
    struct child one, two;
    struct box *b = standing(&one);

    ck_assert_uint_eq(box_count, 2); /* a sandbox, and a process in it */
    answer_with(&one, "of one");
    child_born(&two, b); /* parked: asked for by itself */
    ck_assert_ptr_nonnull(strstr(freezes, "freeze fork-2\n"));
    expect_not_sent("i-2");
    ck_assert_int_eq(desire(&forks, "i-2", "", sequence), 0);
    child_ready(&two, "i-2");
    ck_assert_ptr_nonnull(strstr(freezes, "thaw fork-2\n"));
    ck_assert_uint_eq(box_count, 3);
    /* Each ends by itself. */
    ck_assert_int_eq(desire(&forks, "", "i-1", sequence), 0);
    ck_assert_str_eq(stops, "fork-1 2000\n");
    box_exit(box_of("fork-1"), 0, 15, false);
    expect_sent("status i-1 Stopped Completed");
    answer_with(&two, "of two");
    child_close(&one);
    child_close(&two);
    end();
}
END_TEST

START_TEST(those_who_wait_get_children)
{
    struct child children[3];
    struct box *b = loaded(&forks, "i-1 i-2 i-3");

    for (int i = 0; i < 3; i++) {
        char id[] = {'i', '-', (char)('1' + i), '\0'};

        child_born(&children[i], b);
        child_ready(&children[i], id);
    }
    ck_assert_uint_eq(box_count, 4);
    for (int i = 0; i < 3; i++)
        child_close(&children[i]);
    end();
}
END_TEST

START_TEST(after_fork_comes_before_ready)
{
    const struct revision_options o = {
        .fork = true, .after_fork = "index.after", .initializer_timeout_ms = 60000};
    struct box *b = loaded(&o, "i-1");
    struct buffer payload = {0};
    struct frame_hook hook;
    struct frame f;
    struct child c;

    child_born(&c, b);
    wait_for(takes_outputs, &c);
    ck_assert_int_eq(frame_take(&c.peer, &payload).type, FRAME_HELLO);
    frame_send_credit(&c.peer, 1);
    f = frame_take(&c.peer, &payload);
    ck_assert_int_eq(frame_hook_parse(&f, &hook), 0);
    ck_assert_int_eq(hook.hook, HOOK_AFTER_FORK);
    expect_not_sent("Ready");
    frame_send(&c.peer, FRAME_END, 0, f.id, NULL, 0);
    expect_sent("status i-1 Ready  slots=1");
    buffer_done(&payload);
    child_close(&c);
    end();
}
END_TEST

START_TEST(who_cannot_fork_serves_as_usual)
{
    struct box *b = loaded(&forks, "i-1 i-2");

    frame_send_text(
        &b->rt, FRAME_ERROR, 0, fork_take(b),
        "{\"errorType\":\"Runtime.CannotFork\",\"errorMessage\":\"2 threads\",\"stackTrace\":[]}");
    expect_sent("status i-1 Ready  slots=1");
    box_ready("i-2", 1); /* in a sandbox of its own */
    ck_assert_int_eq(desire(&forks, "i-3", "", sequence), 0);
    box_ready("i-3", 1);
    end();
}
END_TEST

START_TEST(a_candidate_that_fails_keeps_nobody_waiting)
{
    struct box *b;

    begin();
    ck_assert_int_eq(desire(&forks, "i-1 i-2 i-3", "", 0), 0);
    b = box_start("i-1");
    ck_assert_uint_eq(box_count, 1);
    box_exit(b, 1, 0, false);
    expect_sent("status i-1 Failed Error");
    box_start("i-2");
    box_start("i-3");
    end();
}
END_TEST

START_TEST(one_that_waits_can_be_unwanted)
{
    struct box *b;
    struct child c;

    begin();
    ck_assert_int_eq(desire(&forks, "i-1 i-2", "", 0), 0);
    b = box_start("i-1");
    ck_assert_int_eq(desire(&forks, "", "i-2", sequence), 0);
    expect_sent("status i-2 Stopped");
    peer_connect_unix(&b->rt, b->path);
    frame_hello(&b->rt);
    frame_send_credit(&b->rt, 1);
    child_born(&c, b);
    child_ready(&c, "i-1");
    child_close(&c);
    end();
}
END_TEST

/* With its template go its children; the next instance starts as the first did. */
START_TEST(a_template_ends_with_its_sandbox)
{
    struct child c;
    struct box *b = standing(&c);

    box_exit(box_of("fork-1"), 0, 9, false);
    box_exit(b, 0, 9, false);
    expect_sent("status i-1 Failed SIGKILL");
    sent[0] = '\0';
    ck_assert_int_eq(desire(&forks, "i-4", "", sequence), 0);
    box_start("i-4");
    child_close(&c);
    end();
}
END_TEST

START_TEST(a_hung_up_template_ends_when_its_forks_have)
{
    struct child c;
    struct box *b = standing(&c);
    char log[64];

    peer_close(&b->rt);
    ck_assert_int_eq(desire(&forks, "i-4", "", sequence), 0);
    box_start("i-4"); /* not of that one */
    answer_with(&c, "still here");
    snprintf(log, sizeof(log), "i-1 0\n");
    ck_assert_ptr_null(strstr(stops, log));
    box_exit(box_of("fork-1"), 0, 9, false);
    ck_assert_ptr_nonnull(strstr(stops, log));
    child_close(&c);
    end();
}
END_TEST

static bool said_in_stops(void *user)
{
    return strstr(stops, user) != NULL;
}

/* Instances are called after their function, and that may be called anything. */
START_TEST(a_function_that_is_called_fork)
{
    struct box *b = loaded(&forks, "fork-00000000-00000000");
    struct child c;

    child_born(&c, b);
    child_ready(&c, "fork-00000000-00000000");
    box_exit(box_of("fork-1"), 0, 9, false);
    expect_sent("status fork-00000000-00000000 Failed SIGKILL");
    box_exit(b, 0, 9, false);
    sent[0] = '\0';
    ck_assert_int_eq(desire(&forks, "i-2", "", sequence), 0);
    box_start("i-2");
    child_close(&c);
    end();
}
END_TEST

static bool sleeps(void *user)
{
    return strstr(freezes, user) != NULL;
}

/* A freeze may still be on its way when the launcher is told to end what it is of, and v1 kills nothing that is
 * frozen: a thaw goes the same way, behind it. */
START_TEST(what_is_ended_is_thawed_first)
{
    struct child one, two;
    struct box *b = standing(&one);

    child_born(&two, b);
    wait_for(sleeps, (void *)"freeze fork-2\n");
    ck_assert_int_eq(desire(&forks, "", "i-1", sequence), 0);
    box_exit(box_of("fork-1"), 0, 15, false);
    wait_for(sleeps, (void *)"freeze i-1\n");
    freezes[0] = '\0';
    peer_close(&b->rt);
    wait_for(said_in_stops, (void *)"i-1 0\n");
    ck_assert_ptr_nonnull(strstr(stops, "fork-2 0\n"));
    ck_assert_ptr_nonnull(strstr(freezes, "thaw fork-2\n"));
    ck_assert_ptr_nonnull(strstr(freezes, "thaw i-1\n"));
    child_close(&one);
    child_close(&two);
    end();
}
END_TEST

static bool hung_up(void *user)
{
    return peer_at_eof(user);
}

/* Whoever is not the child that was asked for is sent away, and the child is served all the same. */
START_TEST(strangers_are_sent_away)
{
    static const long long wrong[] = {0, -1, 1, 1ll << 62};
    struct box *b = loaded(&forks, "i-1");
    uint64_t token = fork_take(b);
    struct peer stranger;
    struct child c = {0};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        say_fork(&stranger, b->path, wrong[i] == 1 ? (long long)token + 1 : wrong[i]);
        wait_for(hung_up, &stranger);
        peer_close(&stranger);
    }
    peer_connect_unix(&stranger, b->path);
    peer_send(&stranger, "\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0", 16);
    wait_for(hung_up, &stranger);
    peer_close(&stranger);
    peer_connect_unix(&stranger, b->path); /* says nothing */
    say_fork(&c.peer, b->path, (long long)token);
    child_attached("i-1", 2);
    child_ready(&c, "i-1");
    wait_for(hung_up, &stranger); /* nobody is awaited any more */
    peer_close(&stranger);
    child_close(&c);
    end();
}
END_TEST

START_TEST(an_id_is_taken_once)
{
    struct box *b = loaded(&forks, "i-1");
    uint64_t token = fork_take(b);
    struct peer again;
    struct child c = {0};

    say_fork(&c.peer, b->path, (long long)token);
    say_fork(&again, b->path, (long long)token);
    wait_for(hung_up, &again);
    child_attached("i-1", 2);
    child_ready(&c, "i-1");
    peer_close(&again);
    child_close(&c);
    end();
}
END_TEST

START_TEST(too_many_strangers)
{
    Rouse__Control__V1__LogRequest log = ROUSE__CONTROL__V1__LOG_REQUEST__INIT;
    struct box *b = loaded(&forks, "i-1");

    fork_take(b);
    for (int i = 0; i < 64; i++) {
        struct peer stranger;

        say_fork(&stranger, b->path, 0);
        wait_for(hung_up, &stranger);
        peer_close(&stranger);
    }
    expect_sent("status i-1 Ready  slots=1"); /* as any other instance */
    log.id = 1;
    log.function_key = (char *)FUNCTION;
    pool_log_request(pool, &log);
    expect_sent("is no template: too many connections that were no child's");
    end();
}
END_TEST

START_TEST(an_adoption_that_fails)
{
    struct box *b = loaded(&forks, "i-1");
    struct child c = {0};
    size_t two = 2;

    say_fork(&c.peer, b->path, (long long)fork_take(b));
    wait_for(was_adopted, &two);
    box_fail("fork-1", "no cgroup");
    expect_sent("status i-1 Ready  slots=1"); /* as any other instance */
    boxes[1].started = true;
    child_close(&c);
    end();
}
END_TEST

/* Its function sleeps, its template does not end; then it was unused for longest. */
START_TEST(the_longest_unused_goes_first)
{
    struct child children[5];

    begin();
    active = NULL; /* no second passes here */
    for (int n = 0; n < 5; n++) {
        char revision[] = {'r', (char)('1' + n), '\0'}, id[] = {'i', '-', (char)('1' + n), '\0'};
        const struct revision_options o = {.fork = true, .revision = revision};
        struct box *b;

        ck_assert_ptr_null(strstr(stops, "i-2 0"));
        ck_assert_int_eq(desire(&o, id, "", sequence), 0);
        b = box_start(id);
        peer_connect_unix(&b->rt, b->path);
        frame_hello(&b->rt);
        frame_send_credit(&b->rt, 1);
        child_born(&children[n], b);
        child_ready(&children[n], id);
        if (n == 0)
            continue; /* in use all the time */
        ck_assert_int_eq(desire(&o, "", id, sequence), 0);
        box_exit(box_of(adoption.id), 0, 15, false);
    }
    wait_for(said_in_stops, (void *)"i-2 0\n");
    ck_assert_ptr_null(strstr(stops, "i-1 0"));
    ck_assert_ptr_null(strstr(stops, "i-3 0"));
    for (int n = 0; n < 5; n++)
        child_close(&children[n]);
    active = "r1";
    end();
}
END_TEST

START_TEST(a_revision_that_is_not_active_has_none)
{
    struct child c;

    standing(&c);
    active = "r2";
    ck_assert_int_eq(desire(&forks, "", "i-1", sequence), 0);
    box_exit(box_of("fork-1"), 0, 15, false);
    ck_assert_ptr_null(strstr(stops, "i-1 0"));
    wait_for(said_in_stops, (void *)"i-1 0\n");
    active = "r1";
    child_close(&c);
    end();
}
END_TEST

UNIT_MAIN("template", the_first_becomes_a_template, those_who_wait_get_children,
          after_fork_comes_before_ready, who_cannot_fork_serves_as_usual,
          a_candidate_that_fails_keeps_nobody_waiting, one_that_waits_can_be_unwanted,
          a_template_ends_with_its_sandbox, a_hung_up_template_ends_when_its_forks_have,
          strangers_are_sent_away, an_id_is_taken_once, too_many_strangers, an_adoption_that_fails,
          the_longest_unused_goes_first, a_revision_that_is_not_active_has_none,
          a_function_that_is_called_fork, what_is_ended_is_thawed_first)
