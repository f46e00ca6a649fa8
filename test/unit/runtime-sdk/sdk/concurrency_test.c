/* Several invocations in one instance, each a task: batched while they are short, and in nobody's way. */
#include "runtime-sdk/sdk/agent.h"

#include <dirent.h>
#include <linux/sockios.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { BATCH = 10, SLEEPERS = 1000 };

/* Shared with the forked function. */
static struct shared {
    sem_t go, came;
} * shared;

static void share(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    sem_init(&shared->go, 1, 0);
    sem_init(&shared->came, 1, 0);
}

/* Bytes that were sent and not read yet, on the function's one connection. */
static int unread(void)
{
    for (int i = 3; i < 16; i++) {
        int n;

        if (ioctl(i, SIOCOUTQ, &n) == 0)
            return n;
    }
    return -1;
}

static int threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void note(void *unused)
{
    (void)rouse_sleep(ROUSE_NEVER);
    (void)unused;
    sem_post(&shared->came);
}

/* Its own wait and its child's end when it is cancelled; it says so. */
static int until_canceled(struct rouse_response *resp)
{
    struct rouse_scope *scope;
    char text[64];
    int r = rouse_scope_open(ROUSE_NEVER, &scope);

    if (r < 0)
        return r;
    rouse_scope_spawn(scope, note, NULL);
    sem_post(&shared->came);
    r = rouse_sleep(ROUSE_NEVER); /* rouse_scope_wait() may find its cancelled child gone already: 0 */
    snprintf(text, sizeof(text), "%d %d", r == -ECANCELED, rouse_canceled());
    rouse_scope_close(scope);
    return rouse_respond_text(resp, text);
}

static int obey(const struct rouse_event *event, struct rouse_response *resp,
                struct rouse_context *ctx)
{
    char text[32];

    switch (event->data[0]) {
    case 'c': /* comes and says so */
        sem_post(&shared->came);
        return rouse_respond_text(resp, rouse_request_id(ctx));
    case 'w': /* waits for another one to come, and blocks its thread */
        sem_wait(&shared->came);
        return rouse_respond_text(resp, "waited");
    case 'g': /* waits for the agent, likewise */
        sem_post(&shared->came);
        sem_wait(&shared->go);
        return rouse_respond_text(resp, "gone on");
    case 's': /* waits as tasks do */
        sem_post(&shared->came);
        (void)rouse_sleep(ROUSE_NEVER);
        return rouse_respond_text(resp, rouse_canceled() ? "canceled" : "woken");
    case 't':
        snprintf(text, sizeof(text), "%d", threads());
        return rouse_respond_text(resp, text);
    case 'd': { /* whether the deadline is 40 to 60 seconds away */
        int64_t left = rouse_deadline(ctx) - rouse_now();

        return rouse_respond_text(
            resp, left > 40 * ROUSE_SECOND && left <= 60 * ROUSE_SECOND ? "yes" : "no");
    }
    case 'n':
        return rouse_respond_text(resp, rouse_deadline(ctx) == ROUSE_NEVER ? "never" : "some time");
    case 'x':
        return until_canceled(resp);
    case 'b':
        return rouse_respond_text(resp, rouse_context_current() == ctx ? "mine" : "another's");
    default: /* what of the answers before it is on its way */
        snprintf(text, sizeof(text), "%d", unread());
        sem_post(&shared->came);
        return rouse_respond_text(resp, text);
    }
}

static void add(struct buffer *b, uint64_t id, const char *what)
{
    add_invoke(b, FRAME_FIN, id, FAR_MS, what, strlen(what));
}

/* Answers of `n` invocations from 1, in any order, each with this text. */
static void expect_all(unsigned n, const char *text)
{
    cleanup_free bool *seen = calloc(n + 1, sizeof(bool));
    struct frame f;

    for (unsigned i = 0; i < n; i++) {
        ck_assert_msg(get(&f), "the function ended the connection");
        ck_assert_uint_eq(f.type, FRAME_RESPONSE);
        ck_assert_msg(f.length == strlen(text) && !memcmp(f.payload, text, f.length), "got %.*s",
                      (int)f.length, (const char *)f.payload);
        ck_assert(f.id >= 1 && f.id <= n && !seen[f.id]);
        seen[f.id] = true;
    }
}

START_TEST(short_ones_are_answered_in_one_write)
{
    cleanup_buffer struct buffer b = {0};

    setenv("ROUSE_MAXPROCS", "1", 1);
    share();
    begin(obey);
    greet_with(",\"concurrency\":64", 64);
    for (uint64_t id = 1; id <= BATCH; id++)
        add(&b, id, "unread");
    put(buffer_bytes(&b), buffer_size(&b));
    for (int i = 0; i < BATCH; i++) /* nothing is read before the last one ran */
        sem_wait(&shared->came);
    expect_all(BATCH, "0");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(a_long_one_is_in_nobodys_way)
{
    struct frame f;

    share();
    begin(obey);
    greet_with(",\"concurrency\":2", 2);
    for (uint64_t id = 1; id < 10; id += 2) {
        put_invoke(FRAME_FIN, id, "w", 1);
        put_invoke(FRAME_FIN, id + 1, "c", 1);
        for (int i = 0; i < 2; i++) {
            ck_assert(get(&f));
            ck_assert_uint_eq(f.type, FRAME_RESPONSE);
            ck_assert(f.id == id || f.id == id + 1);
        }
    }
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(answers_do_not_wait_for_a_long_one)
{
    cleanup_buffer struct buffer b = {0};

    setenv("ROUSE_MAXPROCS", "1", 1);
    share();
    begin(obey);
    greet_with(",\"concurrency\":2", 2);
    add(&b, 1, "c");
    add(&b, 2, "g");
    put(buffer_bytes(&b), buffer_size(&b));
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "req-1");
    sem_post(&shared->go);
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 2, "gone on");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(as_many_as_were_credited)
{
    enum { ALL = 10 };

    share();
    begin(obey);
    greet_with(",\"concurrency\":10", ALL);
    for (int round = 0; round < 3; round++) {
        for (uint64_t id = 1; id <= ALL; id++)
            put_invoke(FRAME_FIN, id, "g", 1);
        for (int i = 0; i < ALL; i++)
            sem_wait(&shared->came);
        for (int i = 0; i < ALL; i++)
            sem_post(&shared->go);
        expect_all(ALL, "gone on");
    }
    for (uint64_t id = 1; id <= ALL + 1; id++)
        put_invoke(FRAME_FIN, id, "s", 1);
    check_exit(end(), EPROTO);
}
END_TEST

START_TEST(waiting_costs_no_thread)
{
    struct frame f;
    int n;

    setenv("ROUSE_MAXPROCS", "1", 1);
    share();
    begin(obey);
    greet_with(",\"concurrency\":1000", SLEEPERS);
    for (uint64_t id = 1; id < SLEEPERS; id++)
        put_invoke(FRAME_FIN, id, "s", 1);
    for (int i = 1; i < SLEEPERS; i++)
        sem_wait(&shared->came);
    put_invoke(FRAME_FIN, SLEEPERS, "t", 1);
    expect(&f, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, SLEEPERS);
    n = atoi((const char *)f.payload);
    ck_assert_msg(n <= 8, "%d threads",
                  n); /* one, the monitor, and what it started while some computed */
    for (uint64_t id = 1; id < SLEEPERS; id++)
        put_frame(FRAME_CANCEL, 0, id, NULL, 0);
    expect_all(SLEEPERS - 1, "canceled");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(cancel_ends_its_waits_and_its_children)
{
    share();
    begin(obey);
    greet_with(",\"concurrency\":4", 4);
    put_invoke(FRAME_FIN, 1, "s", 1);
    sem_wait(&shared->came);
    put_invoke(FRAME_FIN, 2, "x", 1);
    sem_wait(&shared->came);
    put_frame(FRAME_CANCEL, 0, 2, NULL, 0);
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 2, "1 1");
    sem_wait(&shared->came);                /* the child */
    for (uint64_t id = 3; id < 100; id++) { /* what a pooled one was does not stick to the next */
        put_invoke(FRAME_FIN, id, "b", 1);
        expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, id, "mine");
        put_frame(FRAME_CANCEL, 0, id, NULL, 0);
        put_invoke(FRAME_FIN, id + 1000, "s", 1);
        sem_wait(&shared->came);
        put_frame(FRAME_CANCEL, 0, id + 1000, NULL, 0);
        expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, id + 1000, "canceled");
    }
    put_frame(FRAME_CANCEL, 0, 1, NULL, 0);
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "canceled");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(cancelled_before_it_is_complete)
{
    share();
    begin(obey);
    greet_with("", 1);
    put_invoke(0, 1, "s", 1);
    put_frame(FRAME_CANCEL, 0, 1, NULL, 0);
    put_frame(FRAME_END, 0, 1, NULL, 0);
    expect_text(FRAME_ERROR, 0, 1, ERROR_JSON("Error", "Operation canceled"));
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(deadlines)
{
    cleanup_buffer struct buffer b = {0};

    begin(obey);
    greet_with("", 1);
    add_invoke(&b, FRAME_FIN, 1, (uint64_t)time(NULL) * 1000 + 55000, "d", 1);
    add_invoke(&b, FRAME_FIN, 2, UINT64_MAX, "n", 1);
    put(buffer_bytes(&b), buffer_size(&b) / 2);
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "yes");
    put(buffer_bytes(&b) + buffer_size(&b) / 2, buffer_size(&b) / 2);
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 2, "never");
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* The connection ends while handlers run: those that wait are cancelled, the others return, then
 * rouse_start() does. */
START_TEST(the_end_waits_for_handlers)
{
    int status;

    share();
    begin(obey);
    greet_with(",\"concurrency\":3", 3);
    put_invoke(FRAME_FIN, 1, "g", 1);
    put_invoke(FRAME_FIN, 2, "g", 1);
    put_invoke(FRAME_FIN, 3, "s", 1);
    for (int i = 0; i < 3; i++)
        sem_wait(&shared->came);
    shutdown(fd, SHUT_WR);
    sem_post(&shared->go);
    sem_post(&shared->go);
    ck_assert_int_eq(waitpid(function, &status, 0), function);
    ck_assert_int_eq(status, 0);
}
END_TEST

UNIT_MAIN("concurrency", short_ones_are_answered_in_one_write, a_long_one_is_in_nobodys_way,
          answers_do_not_wait_for_a_long_one, as_many_as_were_credited, waiting_costs_no_thread,
          cancel_ends_its_waits_and_its_children, cancelled_before_it_is_complete, deadlines,
          the_end_waits_for_handlers)
