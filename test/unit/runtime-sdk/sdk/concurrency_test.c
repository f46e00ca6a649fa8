/* Several invocations in one instance: batched while they are short, side by side when they are not. */
#include "runtime-sdk/sdk/agent.h"

#include <linux/sockios.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { BATCH = 10 };

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

static int obey(const struct rouse_event *event, struct rouse_response *resp,
                struct rouse_context *ctx)
{
    char text[32];

    switch (event->data[0]) {
    case 'c': /* comes and says so */
        sem_post(&shared->came);
        return rouse_respond_text(resp, rouse_request_id(ctx));
    case 'w': /* waits for another one to come */
        sem_wait(&shared->came);
        return rouse_respond_text(resp, "waited");
    case 'g': /* waits for the agent */
        sem_post(&shared->came);
        sem_wait(&shared->go);
        return rouse_respond_text(resp, "gone on");
    case 'x':
        abort();
    default: /* what of the answers before it is on its way */
        snprintf(text, sizeof(text), "%d", unread());
        if (event->data[0] == 'l')
            sem_post(&shared->came);
        return rouse_respond_text(resp, text);
    }
}

static void add(struct buffer *b, uint64_t id, const char *what)
{
    struct frame_invoke inv = {.request_id = "req",
                               .request_id_size = 3,
                               .trace = "",
                               .event = (const uint8_t *)what,
                               .event_size = (uint32_t)strlen(what)};

    ck_assert_int_eq(frame_invoke_append(b, FRAME_FIN, id, &inv), 0);
}

START_TEST(short_ones_are_answered_in_one_write)
{
    cleanup_buffer struct buffer b = {0};

    share();
    begin(obey);
    greet_with(",\"concurrency\":64", 64);
    for (uint64_t id = 1; id <= BATCH; id++)
        add(&b, id, id < BATCH ? "short" : "last");
    put(buffer_bytes(&b), buffer_size(&b));
    sem_wait(&shared->came); /* nothing is read before the last one ran */
    for (uint64_t id = 1; id <= BATCH; id++)
        expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, id, "0");
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* A loop on one thread would never read the second one. */
START_TEST(a_long_one_is_in_nobodys_way)
{
    struct frame f;

    share();
    begin(obey);
    greet_with(",\"concurrency\":2", 2);
    for (uint64_t id = 1; id < 40; id += 2) {
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

    share();
    begin(obey);
    greet_with(",\"concurrency\":2", 2);
    add(&b, 1, "short");
    add(&b, 2, "g");
    put(buffer_bytes(&b), buffer_size(&b));
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "0");
    sem_post(&shared->go);
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 2, "gone on");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(as_many_as_were_credited)
{
    enum { ALL = 30 };
    struct frame f;
    uint64_t seen = 0;

    share();
    begin(obey);
    greet_with(",\"concurrency\":30", 30);
    for (int round = 0; round < 3; round++) {
        for (uint64_t id = 1; id <= ALL; id++)
            put_invoke(FRAME_FIN, id, "g", 1);
        for (int i = 0; i < ALL; i++)
            sem_wait(&shared->came);
        for (int i = 0; i < ALL; i++)
            sem_post(&shared->go);
        seen = 0;
        for (int i = 0; i < ALL; i++) {
            ck_assert(get(&f));
            seen |= 1ull << f.id;
        }
        ck_assert_uint_eq(seen, (1ull << (ALL + 1)) - 2);
    }
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(a_crash_is_told_for_its_own_invocation)
{
    int status;

    share();
    begin(obey);
    greet_with(",\"concurrency\":3", 3);
    put_invoke(FRAME_FIN, 1, "g", 1);
    sem_wait(&shared->came);
    put_invoke(FRAME_FIN, 2, "x", 1);
    expect_text(FRAME_ERROR, FRAME_FATAL, 2,
                "{\"errorType\":\"Runtime.Crash\",\"errorMessage\":\"the function crashed: SIGABRT, it "
                "called abort()\",\"stackTrace\":[]}");
    status = end();
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

/* The connection ends while handlers run: they return, then rouse_start() does. */
START_TEST(the_end_waits_for_handlers)
{
    int status;

    share();
    begin(obey);
    greet_with(",\"concurrency\":3", 3);
    put_invoke(FRAME_FIN, 1, "g", 1);
    put_invoke(FRAME_FIN, 2, "g", 1);
    sem_wait(&shared->came);
    sem_wait(&shared->came);
    shutdown(fd, SHUT_WR);
    sem_post(&shared->go);
    sem_post(&shared->go);
    ck_assert_int_eq(waitpid(function, &status, 0), function);
    ck_assert_int_eq(status, 0);
}
END_TEST

UNIT_MAIN("concurrency", short_ones_are_answered_in_one_write, a_long_one_is_in_nobodys_way,
          answers_do_not_wait_for_a_long_one, as_many_as_were_credited,
          a_crash_is_told_for_its_own_invocation, the_end_waits_for_handlers)
