/* Requests by libcurl on tasks, to servers that are tasks too. */
#include "rouse/curl.h"
#include "rouse/fetch.h"
#include "rouse/net.h"

#include "../sched/run.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

/* What the server does with a connection's requests, by the path's first letter:
 *   /e echoes head and body   /s answers late   /l is large   /b breaks off in the body   /r redirects to itself
 *   /m redirects to /
 *   /h has large headers      /n never answers   anything else: "Hello" */
static char address[ROUSE_ADDRESS_MAX + 8], large[100000];
static int listening;
static _Atomic int connections, requests;
static struct rouse_scope *serving;

static int threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = -2;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void say(int fd, const char *text)
{
    rouse_write(fd, text, strlen(text), NULL, ROUSE_NEVER);
}
static void say_body(int fd, const char *body, size_t n)
{
    char head[128];

    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nX-Kind: test\r\nContent-Length: %zu\r\n\r\n", n);
    say(fd, head);
    rouse_write(fd, body, n, NULL, ROUSE_NEVER);
}

static void answer(int fd, const char *request, size_t size)
{
    const char *path = strchr(request, ' ') + 2;

    requests++;
    if (*path == 'e') {
        say_body(fd, request, size);
    } else if (*path == 's') {
        rouse_sleep(200 * ROUSE_MS);
        say_body(fd, "late", 4);
    } else if (*path == 'l') {
        say_body(fd, large, sizeof(large));
    } else if (*path == 'b') {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        shutdown(fd, SHUT_RDWR);
    } else if (*path == 'r') {
        say(fd, "HTTP/1.1 302 Found\r\nLocation: /r\r\nContent-Length: 0\r\n\r\n");
    } else if (*path == 'm') {
        say(fd, "HTTP/1.1 302 Found\r\nLocation: /\r\nX-Moved: yes\r\nContent-Length: 0\r\n\r\n");
    } else if (*path == 'h') {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        for (int i = 0; i < 80; i++) {
            say(fd, "X: ");
            rouse_write(fd, large, 1000, NULL, ROUSE_NEVER);
            say(fd, "\r\n");
        }
        say(fd, "\r\n");
    } else if (*path == 'n') {
        rouse_sleep_until(ROUSE_NEVER);
    } else {
        say_body(fd, "Hello", 5);
    }
}

static void connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char data[4096];
    size_t have = 0;
    ssize_t n;

    while ((n = rouse_read(fd, data + have, sizeof(data) - 1 - have, ROUSE_NEVER)) > 0) {
        const char *end, *length;
        size_t size;

        have += (size_t)n;
        data[have] = '\0';
        end = strstr(data, "\r\n\r\n");
        if (!end)
            continue;
        length = strstr(data, "Content-Length: ");
        size = (size_t)(end - data) + 4 + (length ? (size_t)atoi(length + 16) : 0);
        if (have < size)
            continue;
        answer(fd, data, size);
        have = 0;
    }
    rouse_close(fd);
}
static void serve(void *unused)
{
    int c;

    (void)unused;
    while ((c = rouse_accept(listening, ROUSE_NEVER)) >= 0) {
        connections++;
        MUST_BE(rouse_scope_spawn(serving, connection, (void *)(intptr_t)c), 0);
    }
}
static void listen_here(void)
{
    char bound[ROUSE_ADDRESS_MAX];

    MUST_BE(rouse_listen("tcp://127.0.0.1:0", 0, &listening), 0);
    MUST_BE(rouse_local_address(listening, bound), 0);
    snprintf(address, sizeof(address), "http://%s", bound + 6);
}
static void begin(void)
{
    connections = requests = 0;
    memset(large, 'l', sizeof(large));
    listen_here();
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &serving), 0);
    MUST_BE(rouse_scope_spawn(serving, serve, NULL), 0);
}
static void finish(void)
{
    rouse_scope_close(serving);
    MUST_BE(rouse_close(listening), 0);
}

static int fetch(const char *path, int64_t deadline, struct rouse_fetched *ret)
{
    char url[200];

    snprintf(url, sizeof(url), "%s%s", address, path);
    return rouse_fetch(&(struct rouse_fetch){.url = url}, deadline, ret);
}
static void must_fetch(const char *path, const char *body)
{
    struct rouse_fetched a;

    MUST_BE(fetch(path, ROUSE_NEVER, &a), 0);
    MUST_BE(a.status, 200);
    MUST_BE(a.size, strlen(body));
    MUST(!strcmp(a.body, body));
    MUST(!strcmp(rouse_fetched_header(&a, "x-kind"), "test"));
    MUST(!rouse_fetched_header(&a, "x-other"));
    rouse_fetched_done(&a);
}

/* ---- */

static void plain_run(void *unused)
{
    const char *const headers[] = {"X-Mine: yes", NULL}, *const split[] = {"X: a\r\nY: b", NULL};
    struct rouse_fetch f = {.body = "a body", .size = 6, .headers = headers};
    struct rouse_fetched a;
    char url[200];

    (void)unused;
    begin();
    for (int i = 0; i < 100; i++)
        must_fetch("/", "Hello");
    MUST_BE(connections, 1); /* kept, and used again */
    snprintf(url, sizeof(url), "%s/echo", address);
    f.url = url;
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), 0);
    MUST(!strncmp(a.body, "POST /echo HTTP/1.1\r\n", 21));
    MUST(strstr(a.body, "\r\nX-Mine: yes\r\n"));
    MUST(!strcmp(a.body + a.size - 10, "\r\n\r\na body"));
    rouse_fetched_done(&a);
    f.method = "PUT";
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), 0);
    MUST(!strncmp(a.body, "PUT /echo", 9));
    rouse_fetched_done(&a);
    f.headers = split;
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), -EINVAL);
    MUST_BE(rouse_fetch(&(struct rouse_fetch){.url = url, .method = "HEAD"}, ROUSE_NEVER, &a), 0);
    MUST_BE(a.size, 0);
    MUST_BE(a.body[0], 0);
    rouse_fetched_done(&a);
    finish();
}
START_TEST(plain)
{
    struct rouse_fetched a;

    ck_assert_int_eq(rouse_fetch(&(struct rouse_fetch){.url = "http://127.0.0.1/"}, 0, &a), -EPERM);
    run(plain_run); /* also: the scheduler runs again after it has ended */
}
END_TEST

static void errors_run(void *unused)
{
    char url[200], error[ROUSE_FETCH_ERROR] = "";
    struct rouse_fetch f = {.url = url, .error = error};
    struct rouse_fetched a;

    (void)unused;
    begin();
    snprintf(url, sizeof(url), "%s/large", address);
    f.body_limit = 99999;
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), -EMSGSIZE);
    MUST(strstr(error, "body_limit"));
    f.body_limit = 100000;
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), 0);
    MUST_BE(a.size, 100000);
    rouse_fetched_done(&a);
    snprintf(url, sizeof(url), "%s/headers", address);
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), -EMSGSIZE);
    MUST(strstr(error, "headers"));
    MUST_BE(fetch("/broken", ROUSE_NEVER, &a), -EIO);
    MUST_BE(fetch("/redirect", ROUSE_NEVER, &a), 0);
    MUST_BE(a.status, 302);
    rouse_fetched_done(&a);
    snprintf(url, sizeof(url), "%s/redirect", address);
    f.redirects = 3;
    requests = 0;
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), -ELOOP);
    MUST_BE(requests, 4);
    snprintf(url, sizeof(url), "%s/moved", address);
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), 0);
    MUST(!strcmp(a.body, "Hello"));
    MUST(!rouse_fetched_header(&a, "X-Moved")); /* those of the last answer alone */
    rouse_fetched_done(&a);
    f.url = NULL;
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), -EINVAL);
    f.url = "file:///etc/passwd";
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), -EINVAL);
    MUST_BE(fetch("/never", rouse_after(5 * ROUSE_MS), &a), -ETIMEDOUT);
    must_fetch("/", "Hello"); /* the others are not touched by it */
    strcpy(url, address);
    finish();
    f.url = url;
    MUST_BE(rouse_fetch(&f, ROUSE_NEVER, &a), -ECONNREFUSED);
    MUST(*error);
}
START_TEST(errors)
{
    run(errors_run);
}
END_TEST

/* A thousand wait for a slow backend at once. */
enum { MANY = 1000 };
static _Atomic int most_threads;
static void slow_one(void *unused)
{
    (void)unused;
    must_fetch("/slow", "late");
    if (threads() > most_threads)
        most_threads = threads();
}
static void many_run(void *unused)
{
    struct rouse_scope *scope;

    (void)unused;
    begin();
    most_threads = 0;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < MANY; i++)
        MUST_BE(rouse_scope_spawn(scope, slow_one, NULL), 0);
    MUST_BE(rouse_scope_wait(scope, ROUSE_NEVER), 0);
    rouse_scope_close(scope);
    MUST_BE(requests, MANY);
    MUST(most_threads < 30);
    finish();
}
START_TEST(a_thousand_wait)
{
    run_on("1", many_run, NULL);
    run_on("2", many_run, NULL);
}
END_TEST

/* Cancelling ends the transfers, and their connections. */
static _Atomic int ended;
static void wait_for_ever(void *unused)
{
    struct rouse_fetched a;

    (void)unused;
    MUST_BE(fetch("/never", ROUSE_NEVER, &a), -ECANCELED);
    ended++;
}
static void cancelled_run(void *unused)
{
    struct rouse_scope *scope;

    (void)unused;
    begin();
    ended = 0;
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &scope), 0);
    for (int i = 0; i < 50; i++)
        MUST_BE(rouse_scope_spawn(scope, wait_for_ever, NULL), 0);
    UNTIL(requests == 50);
    rouse_scope_close(scope);
    MUST_BE(ended, 50);
    must_fetch("/", "Hello");
    finish();
}
static void left_run(void *unused)
{
    (void)unused;
    ended = 0;
    for (int i = 0; i < 20; i++)
        MUST_BE(rouse_spawn(wait_for_ever, NULL), 0);
    if (rouse_maxprocs(0) != 2) /* else the program ends before they have begun */
        rouse_sleep(10 * ROUSE_MS);
}
START_TEST(cancelled)
{
    static const char *const procs[] = {"1", "2", "8"};

    run(cancelled_run);
    listen_here(); /* its backlog takes them, and nobody answers */
    for (int i = 0; i < 3; i++) {
        run_on(procs[i], left_run, NULL);
        MUST_BE(ended, 20);
    }
    close(listening);
}
END_TEST

/* rouse_curl_perform() leaves the handle as it was. */
static void perform_run(void *unused)
{
    CURL *easy = curl_easy_init();
    int mine = 7, *private = NULL;
    char never[200];
    FILE *nowhere = fopen("/dev/null", "w");

    (void)unused;
    begin();
    curl_easy_setopt(easy, CURLOPT_URL, address);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &mine);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, nowhere);
    for (int i = 0; i < 3; i++) {
        MUST_BE(rouse_curl_perform(easy, ROUSE_NEVER), CURLE_OK);
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        MUST(private == &mine);
    }
    MUST_BE(rouse_curl_perform(NULL, ROUSE_NEVER), -EINVAL);
    MUST_BE(rouse_curl_perform(easy, 0), -ETIMEDOUT);
    snprintf(never, sizeof(never), "%s/never", address);
    curl_easy_setopt(easy, CURLOPT_URL, never);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 20L); /* libcurl's own timers run */
    MUST_BE(rouse_curl_perform(easy, ROUSE_NEVER), CURLE_OPERATION_TIMEDOUT);
    curl_easy_setopt(easy, CURLOPT_URL, "nothing://x");
    MUST_BE(rouse_curl_perform(easy, ROUSE_NEVER), CURLE_UNSUPPORTED_PROTOCOL);
    curl_easy_cleanup(easy);
    fclose(nowhere);
    finish();
}
START_TEST(handles)
{
    run(perform_run);
}
END_TEST

UNIT_MAIN("curl", plain, errors, a_thousand_wait, cancelled, handles)
