#include "external/prometheus.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "reactor/loop.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(answers)
{
    static const struct {
        const char *text;
        int r;
        double value;
        const char *why;
    } rows[] = {
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
         "\"value\":[1,\"2.5\"]}]}}",
         0, 2.5, ""},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"value\":[1,\"2\"]},"
         "{\"value\":[1,\"3\"]}]}}",
         0, 5, ""},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"7\"]}}", 0, 7,
         ""},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}", -ENODATA, 0,
         "empty"},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"NaN\"]}}",
         -ENODATA, 0, "NaN"},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"+Inf\"]}}",
         -ENODATA, 0, "Inf"},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"-1\"]}}",
         -ENODATA, 0, "from 0"},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"1x\"]}}",
         -EBADMSG, 0, "not a number"},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1]}}", -EBADMSG,
         0, "not a number"},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}", -EBADMSG, 0,
         "matrix"},
        {"{\"status\":\"success\"}", -EBADMSG, 0, "neither"},
        {"{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}", -EBADMSG, 0,
         "parse error"},
        {"[]", -EBADMSG, 0, "not that of a Prometheus"},
        {"<html>", -EBADMSG, 0, "not that of a Prometheus"},
        {"", -EBADMSG, 0, "not that of a Prometheus"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[PROMETHEUS_WHY_MAX] = "";
        double v = -1;
        int r = prometheus_parse(rows[i].text, strlen(rows[i].text), &v, why);

        ck_assert_msg(r == rows[i].r, "%s: %d", rows[i].text, r);
        if (r == 0)
            ck_assert_double_eq(v, rows[i].value);
        else
            ck_assert_msg(strstr(why, rows[i].why), "%s: %s", rows[i].text, why);
    }
}
END_TEST

/* ---- the thread: a server that gives one answer to each connection */

struct server {
    int fd;
    uint16_t port;
    const char *answer; /* NULL: silence */
    const char *status; /* of the last one; NULL: 200 OK */
    unsigned errors;    /* connections with this answer, but as a 503: every second one */
    char asked[1024];
    pthread_t thread;
};

static void serve_one(struct server *s, const char *status)
{
    int fd = accept(s->fd, NULL, NULL);
    size_t n = 0;
    ssize_t r;

    memset(s->asked, 0, sizeof(s->asked));
    while (fd >= 0 && !strstr(s->asked, "timeout=4s") &&
           (r = read(fd, s->asked + n, sizeof(s->asked) - 1 - n)) > 0)
        n += (size_t)r;
    if (s->answer)
        dprintf(fd, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
                strlen(s->answer), s->answer);
    else
        while (read(fd, s->asked + 1023, 1) > 0)
            ;
    close(fd);
}

static void *serve(void *user)
{
    struct server *s = user;

    for (unsigned i = 0; i < s->errors; i++) {
        serve_one(s, "503 Service Unavailable");
        if (i + 1 < s->errors)
            serve_one(s, "200 OK");
    }
    serve_one(s, s->status ?: "200 OK");
    return NULL;
}

static void server_start(struct server *s, char url[64])
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(sa);

    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    ck_assert_int_eq(listen(s->fd, 8), 0);
    getsockname(s->fd, (struct sockaddr *)&sa, &size);
    snprintf(url, 64, "http://127.0.0.1:%u/", ntohs(sa.sin_port));
    pthread_create(&s->thread, NULL, serve, s);
}

static void server_stop(struct server *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
}

struct asker {
    struct loop *loop;
    double value;
    unsigned answers;
    bool fails; /* is to */
    char why[PROMETHEUS_WHY_MAX];
    struct mail end;
};

static void on_answer(void *user, const struct prometheus_answer *a)
{
    struct asker *k = user;

    if (a->why) {
        snprintf(k->why, sizeof(k->why), "%s", a->why);
        if (k->fails)
            loop_stop(k->loop);
        return;
    }
    ck_assert_str_eq(a->key, "default/f");
    ck_assert_uint_eq(a->metric, 3);
    ck_assert_str_eq(a->query, "a b");
    k->value = a->value;
    k->answers++;
    loop_stop(k->loop);
}

START_TEST(asked_and_answered)
{
    struct server s = {
        .answer =
            "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"42\"]}}"};
    struct asker k = {0};
    struct prometheus *p;
    struct buffer b = {0};
    char url[64];

    server_start(&s, url);
    ck_assert_int_eq(loop_new(&k.loop), 0);
    ck_assert_int_eq(prometheus_new(&(struct prometheus_config){url, k.loop, on_answer, &k}, &p), 0);
    prometheus_ask(p, "default/f", 3, "a b");
    loop_run(k.loop);
    ck_assert_double_eq(k.value, 42);
    server_stop(&s);
    ck_assert_ptr_nonnull(strstr(s.asked, "POST /api/v1/query HTTP"));
    ck_assert_ptr_nonnull(strstr(s.asked, "query=a%20b&timeout=4s"));
    prometheus_metrics(p, &b);
    buffer_append(&b, "", 1);
    ck_assert_ptr_nonnull(
        strstr((const char *)buffer_bytes(&b), "queries_total{result=\"answered\"} 1\n"));
    buffer_done(&b);
    prometheus_stop(p);
    prometheus_free(p);
    loop_free(k.loop);
}
END_TEST

/* One that has no number, beside one that has: neither of them says anything of the other. */
START_TEST(an_error_is_no_answer_and_told_once)
{
    struct server s = {
        .answer =
            "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"42\"]}}",
        .errors = 2};
    struct asker k = {0};
    struct prometheus *p;
    struct buffer b = {0};
    char url[64], with_user[96], said[4096] = "", *at;
    FILE *f = tmpfile();
    int fd = dup(2);

    server_start(&s, url);
    ck_assert_int_eq(loop_new(&k.loop), 0);
    snprintf(with_user, sizeof(with_user), "http://user:secret@%s", url + strlen("http://"));
    dup2(fileno(f), 2);
    ck_assert_int_eq(
        prometheus_new(&(struct prometheus_config){with_user, k.loop, on_answer, &k}, &p), 0);
    for (int i = 0; i < 2; i++) {
        prometheus_ask(p, "default/bad", 0, "a b");
        prometheus_ask(p, "default/f", 3, "a b");
        loop_run(k.loop);
    }
    server_stop(&s);
    prometheus_metrics(p, &b);
    buffer_append(&b, "", 1);
    prometheus_stop(p);
    dup2(fd, 2);
    close(fd);
    ck_assert_uint_eq(k.answers, 2);
    ck_assert_ptr_nonnull(strstr((const char *)buffer_bytes(&b), "{result=\"failed\"} 2\n"));
    ck_assert_int_ge(pread(fileno(f), said, sizeof(said) - 1, 0), 0);
    at = strstr(said, "metric 0 of default/bad");
    ck_assert_msg(at && strstr(at, "503"), "%s", said);
    ck_assert_msg(!strstr(at + 1, "external"), "%s", said);
    ck_assert_msg(strstr(said, "http://127.0.0.1:") && !strstr(said, "secret"), "%s", said);
    buffer_done(&b);
    prometheus_free(p);
    loop_free(k.loop);
    fclose(f);
}
END_TEST

/* Whose query it is cannot know of it otherwise. */
START_TEST(failures_are_told)
{
    static char huge[PROMETHEUS_ANSWER_MAX + 2];
    const struct {
        const char *status, *answer, *why;
    } rows[] = {
        {"401 Unauthorized", "<html>", "its answer has the status 401: its answer is not"},
        {"302 Found\r\nLocation: file:///etc/passwd", "", "its answer has the status 302"},
        {NULL, "{\"status\":\"error\",\"error\":\"parse error\"}", "parse error"},
        {NULL, huge, "its answer is larger than 1048576 bytes"},
    };

    memset(huge, '[', sizeof(huge) - 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct server s = {.answer = rows[i].answer, .status = rows[i].status};
        struct asker k = {.fails = true};
        struct prometheus *p;
        char url[64];

        server_start(&s, url);
        ck_assert_int_eq(loop_new(&k.loop), 0);
        ck_assert_int_eq(prometheus_new(&(struct prometheus_config){url, k.loop, on_answer, &k}, &p),
                         0);
        prometheus_ask(p, "default/f", 3, "a b");
        loop_run(k.loop);
        ck_assert_msg(strstr(k.why, rows[i].why) == k.why, "%s: %s", rows[i].why, k.why);
        server_stop(&s);
        prometheus_stop(p);
        prometheus_free(p);
        loop_free(k.loop);
    }
}
END_TEST

static void on_end(struct mail *m)
{
    loop_stop(container_of(m, struct asker, end)->loop);
}

/* A server that never says anything holds up neither the asker nor the end; what is too much is
 * refused at once. */
START_TEST(ends_while_it_waits)
{
    struct server s = {.answer = NULL};
    struct asker k = {0};
    struct prometheus *p;
    struct buffer b = {0};
    char url[64];

    server_start(&s, url);
    ck_assert_int_eq(loop_new(&k.loop), 0);
    ck_assert_int_eq(prometheus_new(&(struct prometheus_config){url, k.loop, on_answer, &k}, &p), 0);
    for (int i = 0; i < PROMETHEUS_WAITING + 5; i++)
        prometheus_ask(p, "default/f", 3, "a b");
    prometheus_stop(p);
    k.end.fn = on_end;
    loop_post(k.loop, &k.end);
    loop_run(k.loop);
    ck_assert_uint_eq(k.answers, 0);
    prometheus_metrics(p, &b);
    buffer_append(&b, "", 1);
    ck_assert_ptr_nonnull(strstr((const char *)buffer_bytes(&b), "{result=\"refused\"} 5\n"));
    ck_assert_ptr_nonnull(strstr((const char *)buffer_bytes(&b), "{result=\"failed\"} 1024\n"));
    buffer_done(&b);
    prometheus_free(p);
    shutdown(s.fd, SHUT_RDWR);
    server_stop(&s);
    loop_free(k.loop);
}
END_TEST

UNIT_MAIN("prometheus", answers, asked_and_answered, failures_are_told,
          an_error_is_no_answer_and_told_once, ends_while_it_waits)
