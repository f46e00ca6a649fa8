/* Two writes that were begun from the same object: the second one begins again, unless its client named a version. */
#include "api/api_internal.h"
#include "api_world.h"
#include "reactor/internal.h"

#include <sched.h>

#define POOL "/apis/rouse.dev/v1/nodepools/p"
#define NODE "/apis/rouse.dev/v1/nodes/node-1"

static void stop_brain(void)
{
    loop_stop(brain_thread_loop);
    pthread_join(brain_thread, NULL);
}

static void (*asks)(struct mail *m);

static void no_matter(struct access_request *q)
{
    access_request_done(q);
}

/* Questions to the registry, of the mail that nobody reads now; one of ours shows how they look. */
static size_t waiting(void)
{
    static struct access_request like;
    size_t n = 0;

    if (!like.mail.fn) {
        like =
            (struct access_request){.verb = ACCESS_GET, .caller = other_loop, .on_reply = no_matter};
        access_post(registry, &like);
        asks = like.mail.fn;
    }
    for (const struct mail *m = atomic_load(&brain_thread_loop->mails); m; m = m->next)
        n += m->fn == asks && m != &like.mail;
    return n;
}

static int send_call(const char *method, const char *path, const char *body)
{
    char text[1024];
    int fd = dial();

    snprintf(text, sizeof(text),
             "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
             method, path, address + strlen("tcp://"), strlen(body), *body ? MERGE : "", body);
    send_all(fd, text, strlen(text));
    return fd;
}

static int status_of(int fd)
{
    size_t at = 0;
    ssize_t n;
    int status = 0;

    while ((n = recv(fd, answer + at, sizeof(answer) - 1 - at, 0)) > 0)
        at += (size_t)n;
    answer[at] = '\0';
    close(fd);
    sscanf(answer, "HTTP/1.1 %d", &status);
    return status;
}

/* A merge patch, and then that request; both ask for the object before either writes it. The second one's status. */
static int at_once(const char *path, const char *patch, const char *method, const char *body)
{
    const char *const methods[] = {"PATCH", method}, *const bodies[] = {patch, body};
    int fds[2];

    stop_brain();
    for (size_t i = 0; i < 2; i++) {
        fds[i] = send_call(methods[i], path, bodies[i]);
        while (waiting() != i + 1)
            sched_yield();
    }
    ck_assert_int_eq(pthread_create(&brain_thread, NULL, run_brain, NULL), 0);
    ck_assert_int_eq(status_of(fds[0]), 200);
    return status_of(fds[1]);
}

START_TEST(both_are_heeded)
{
    static const char pool[] =
        "{\"apiVersion\":\"rouse.dev/v1\",\"kind\":\"NodePool\",\"metadata\":{\"name\":\"p\"},"
        "\"spec\":{\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}}}";

    begin(NULL);
    ck_assert_int_eq(call("POST", "/apis/rouse.dev/v1/nodepools", JSON, pool), 201);
    ck_assert_int_eq(at_once(POOL, "{\"spec\":{\"max\":7}}", "PATCH", "{\"spec\":{\"min\":2}}"), 200);
    answered("\"max\":7");
    answered("\"min\":2");
    answered("\"generation\":3");
    ck_assert_int_eq(at_once(NODE, "{\"spec\":{\"unschedulable\":true}}", "PATCH",
                             "{\"spec\":{\"drain\":true}}"),
                     200);
    answered("\"unschedulable\":true,\"drain\":true");
    ck_assert_int_eq(at_once(POOL, "{\"spec\":{\"max\":8}}", "DELETE", ""), 200);
    answered("deletionTimestamp");
    answered("\"max\":8");
    ck_assert_int_eq(at_once(NODE, "{\"spec\":{\"drain\":false}}", "DELETE", ""), 200);
    end();
}
END_TEST

START_TEST(a_version_that_was_named_is_kept_to)
{
    char body[256], *version;
    int length;

    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    ck_assert_int_eq(call("GET", FUNCTIONS "/f", NULL, NULL), 200);
    version = strstr(answer, "\"resourceVersion\":\"");
    ck_assert_ptr_nonnull(version);
    version += strlen("\"resourceVersion\":\"");
    length = (int)strcspn(version, "\"");
    snprintf(body, sizeof(body),
             "{\"metadata\":{\"resourceVersion\":\"%.*s\"},\"spec\":{\"memory\":\"256Mi\"}}",
             length, version);
    ck_assert_int_eq(at_once(FUNCTIONS "/f", "{\"spec\":{\"timeout\":\"9s\"}}", "PATCH", body), 409);
    end();
}
END_TEST

static unsigned begun;

static void begin_again(struct request *r)
{
    ck_assert_ptr_null(r->access.object); /* what the last answer held is dropped */
    begun++;
}

START_TEST(not_for_ever)
{
    struct request r = {.holds = 10};

    for (unsigned n = 1; n <= 4; n++) {
        ck_assert(request_retry(&r, begin_again));
        ck_assert_uint_eq(begun, n);
        ck_assert_uint_eq(r.holds, 10 - n); /* the answer's */
    }
    ck_assert(!request_retry(&r, begin_again));
    ck_assert_uint_eq(begun, 4);
    ck_assert_uint_eq(r.holds, 6);
}
END_TEST

UNIT_MAIN("api_retry", both_are_heeded, a_version_that_was_named_is_kept_to, not_for_ever)
