/* Packages come from a one-connection-at-a-time server thread of the test's own. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "code/cache.h"
#include "code/fetch.h"
#include "code/shelf.h"
#include "package/package.h"
#include "unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

static struct {
    int fd;
    uint16_t port;
    atomic_int requests, unavailable; /* the next N answers are 503 */
    struct buffer packages[4];
    char digests[4][PACKAGE_DIGEST_TEXT];
    int count;
    bool corrupt;
    char seen_token[64];
    pthread_t thread;
} server;

static struct loop *loop;
static char state[64], url[64];
static int pending;

static void answer(int fd, int status, const void *body, size_t n)
{
    char head[128];
    int len =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, n);

    if (write(fd, head, (size_t)len) < 0 || (n && write(fd, body, n) < 0))
        return;
    shutdown(fd, SHUT_WR);
}

static void *serve(void *user)
{
    (void)user;
    for (;;) {
        cleanup_fd int fd = accept(server.fd, NULL, NULL);
        char in[2048];
        size_t n = 0;
        const char *token;
        int which = -1;

        if (fd < 0)
            return NULL;
        while (n < sizeof(in) - 1) {
            ssize_t got = read(fd, in + n, sizeof(in) - 1 - n);

            if (got <= 0)
                break;
            n += (size_t)got;
            in[n] = '\0';
            if (strstr(in, "\r\n\r\n"))
                break;
        }
        in[n] = '\0';
        atomic_fetch_add(&server.requests, 1);
        token = strstr(in, "Authorization: Bearer ");
        if (token)
            sscanf(token, "Authorization: Bearer %63s", server.seen_token);
        for (int i = 0; i < server.count; i++)
            if (strstr(in, server.digests[i]))
                which = i;
        if (atomic_load(&server.unavailable) > 0) {
            atomic_fetch_sub(&server.unavailable, 1);
            answer(fd, 503, "", 0);
        } else if (which < 0) {
            answer(fd, 404, "", 0);
        } else if (server.corrupt) {
            answer(fd, 200, "garbage", 7);
        } else {
            answer(fd, 200, buffer_bytes(&server.packages[which]),
                   buffer_size(&server.packages[which]));
        }
    }
}

/* A package with one file `index.py` of `size` bytes, owner-only in the archive's eyes or not. */
static const char *offer(char fill, size_t size)
{
    struct buffer *b = &server.packages[server.count];
    char *data = malloc(size);
    struct package_file f = {
        .name = "lib/index.py", .data = data, .size = size, .executable = fill == 'x'};
    struct err e = {0};

    memset(data, fill, size);
    ck_assert_int_eq(package_pack_files(&f, 1, b, &e), 0);
    package_digest(buffer_bytes(b), buffer_size(b), server.digests[server.count]);
    free(data);
    return server.digests[server.count++];
}

static void begin(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    log_set_level(LOG_ERROR);
    strcpy(state, "/tmp/code-cache-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(state));
    chmod(state, 0755);
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(server.fd, 16), 0);
    getsockname(server.fd, (struct sockaddr *)&a, &n);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(a.sin_port));
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
}

static void stop_now(struct mail *m)
{
    (void)m;
    loop_stop(loop);
}

/* What the workers had posted before the end is still in the loop's box: the memory goes with it.
 */
static void free_cache(struct code_cache *c)
{
    struct mail m = {.fn = stop_now};

    code_cache_free(c);
    loop_post(loop, &m);
    loop_run(loop);
}

static void end(struct code_cache *c)
{
    if (c)
        free_cache(c);
    loop_free(loop);
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    for (int i = 0; i < server.count; i++)
        buffer_done(&server.packages[i]);
    file_remove_tree(state);
}

static struct code_cache *cache(uint64_t limit)
{
    struct code_cache_config config = {.loop = loop,
                                       .state_dir = state,
                                       .api_url = url,
                                       .token = "secret",
                                       .size_limit = limit,
                                       .unpack_program = "/proc/self/exe"};
    struct code_cache *c = NULL;
    struct err e = {0};

    ck_assert_msg(code_cache_new(&config, &c, &e) == 0, "%s", e.message);
    return c;
}

struct look {
    const char *hex;
    bool there;
    unsigned items, rest;
};

static void look_item(void *user, const struct shelf_item *i)
{
    struct look *l = user;

    l->items++;
    l->there |= l->hex && !strcmp(i->hex, l->hex);
}

static void look_rest(void *user, const char *path)
{
    (void)path;
    ((struct look *)user)->rest++;
}

static struct look look(const char *digest)
{
    struct look l = {.hex = digest ? digest + 7 : NULL};
    char path[128];

    snprintf(path, sizeof(path), "%s/cache", state);
    ck_assert_int_eq(shelf_scan(path, look_item, look_rest, &l), 0);
    return l;
}

static bool present(const char *digest)
{
    char path[128], hex[SHELF_HEX + 1];
    struct dirent *d;
    bool there = false;
    uint64_t size;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/cache", state);
    dir = opendir(path);
    while ((d = readdir(dir)))
        there |= shelf_parse(d->d_name, hex, &size) && !strcmp(hex, digest + 7);
    closedir(dir);
    return there;
}

/* Serves the loop until `done` says so. */
struct until {
    struct loop_timer timer;
    bool (*done)(const char *arg);
    const char *arg;
};

static void look_again(struct loop_timer *t)
{
    struct until *u = container_of(t, struct until, timer);

    if (u->done(u->arg))
        loop_stop(loop);
    else
        loop_timer_set(loop, t, loop_now(loop) + NS_PER_MS);
}

static void until(bool (*done)(const char *arg), const char *arg)
{
    struct until u = {.timer.fn = look_again, .done = done, .arg = arg};

    loop_timer_set(loop, &u.timer, loop_now(loop));
    loop_run(loop);
}

static bool settled(const char *digest)
{
    return look(digest).there;
}

static bool tidy(const char *arg)
{
    (void)arg;
    return !look(NULL).rest;
}

struct wish {
    bool done;
    char dir[256];
    struct err e;
};

static void on_ready(void *user, const char *dir, const struct err *e)
{
    struct wish *w = user;

    ck_assert(!w->done);
    w->done = true;
    if (dir)
        snprintf(w->dir, sizeof(w->dir), "%s", dir);
    if (e)
        w->e = *e;
    if (!--pending)
        loop_stop(loop);
}

static void wish(struct code_cache *c, const char *digest, struct wish *w)
{
    *w = (struct wish){0};
    pending++;
    ck_assert_int_eq(code_cache_get(c, digest, on_ready, w), 0);
    ck_assert(!w->done);
}

START_TEST(one_download_for_all_and_none_when_warm)
{
    struct code_cache *c;
    struct wish a, b, again;
    char path[512];
    struct stat st;
    struct buffer text = {0};
    const char *digest;

    begin();
    digest = offer('p', 1000);
    c = cache(0);
    wish(c, digest, &a);
    wish(c, digest, &b);
    loop_run(loop);
    ck_assert_msg(a.dir[0] == '/', "%s", a.e.message);
    ck_assert_str_eq(a.dir, b.dir);
    wish(c, digest, &again);
    loop_run(loop);
    ck_assert_str_eq(a.dir, again.dir);
    ck_assert_int_eq(atomic_load(&server.requests), 1);
    ck_assert_str_eq(server.seen_token, "secret");
    snprintf(path, sizeof(path), "%s/lib/index.py", a.dir);
    ck_assert_int_eq(file_read(AT_FDCWD, path, 2000, &text), 0);
    ck_assert_uint_eq(buffer_size(&text), 1000);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0644);
    snprintf(path, sizeof(path), "%s/lib", a.dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0755);
    if (geteuid() == 0)
        ck_assert_uint_eq(st.st_uid, 0); /* nobody else's, once unpacked */
    buffer_done(&text);
    end(c);
}
END_TEST

START_TEST(failures_say_why_and_leave_nothing)
{
    struct code_cache *c;
    struct wish w;
    char missing[PACKAGE_DIGEST_TEXT];
    const char *digest;

    begin();
    digest = offer('p', 10);
    c = cache(0);
    ck_assert_int_eq(code_cache_get(c, "sha256:short", on_ready, &w), -EINVAL);
    ck_assert_int_eq(code_cache_get(c, "", on_ready, &w), -EINVAL);
    package_digest("nothing", 7, missing);
    wish(c, missing, &w);
    loop_run(loop);
    ck_assert_int_eq(w.e.code, ENOENT);
    ck_assert_ptr_nonnull(strstr(w.e.message, missing));
    ck_assert_ptr_nonnull(strstr(w.e.message, "404"));

    server.corrupt = true;
    wish(c, digest, &w);
    loop_run(loop);
    ck_assert_int_eq(w.e.code, EBADMSG);
    ck_assert_uint_eq(look(NULL).items + look(NULL).rest, 0);

    /* A failure is not remembered, and a server that is away for a moment is asked again. */
    server.corrupt = false;
    atomic_store(&server.unavailable, 2);
    wish(c, digest, &w);
    loop_run(loop);
    ck_assert_msg(w.e.code == 0, "%s", w.e.message);
    ck_assert(present(digest));
    end(c);
}
END_TEST

START_TEST(bytes_that_are_no_archive_are_refused)
{
    struct code_cache *c;
    struct wish w;

    begin();
    buffer_puts(&server.packages[0], "this is not an archive at all, but it has a digest");
    package_digest(buffer_bytes(&server.packages[0]), buffer_size(&server.packages[0]),
                   server.digests[0]);
    server.count = 1;
    c = cache(0);
    wish(c, server.digests[0], &w);
    loop_run(loop);
    ck_assert_int_eq(w.e.code, EBADMSG);
    ck_assert_ptr_nonnull(strstr(w.e.message, "unpack"));
    end(c);
}
END_TEST

static const char *figure(const struct code_cache *c, const char *name)
{
    static char value[32];
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *text = NULL;
    char line[64];
    const char *at;

    code_cache_metrics(c, &b);
    text = buffer_take_string(&b);
    snprintf(line, sizeof(line), "\nrouse_code_cache_%s ", name);
    at = strstr(text, line);
    ck_assert_ptr_nonnull(at);
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + strlen(line), "\n"), at + strlen(line));
    return value;
}

START_TEST(least_recently_used_goes_first_and_held_ones_stay)
{
    struct code_cache *c;
    struct wish w[3];
    const char *d[3];

    begin();
    for (int i = 0; i < 3; i++)
        d[i] = offer((char)('a' + i), 100000);
    c = cache(250000);
    for (int i = 0; i < 3; i++) {
        wish(c, d[i], &w[i]);
        loop_run(loop);
        ck_assert_msg(!w[i].e.code, "%s", w[i].e.message);
    }
    /* All three are held: over the limit, but none may go. */
    for (int i = 0; i < 3; i++)
        ck_assert(present(d[i]));
    code_cache_release(c, d[1]);
    ck_assert(!present(d[1]));
    code_cache_release(c, d[0]);
    code_cache_release(c, d[2]);
    ck_assert(present(d[0]) && present(d[2]));
    wish(c, d[0], &w[0]);
    loop_run(loop);
    code_cache_release(c, d[0]);
    wish(c, d[1], &w[1]);
    loop_run(loop);
    ck_assert(present(d[0]) && !present(d[2]) && present(d[1]));
    ck_assert_str_eq(figure(c, "evictions_total"), "2");
    ck_assert_str_eq(figure(c, "hits_total"), "1");
    ck_assert_str_eq(figure(c, "misses_total"), "4");
    ck_assert_str_eq(figure(c, "limit_bytes"), "250000");
    until(settled, d[0]);
    until(settled, d[1]);
    free_cache(c);

    /* The next life adopts what is there, by age, and removes what was half done. */
    char half[256];

    snprintf(half, sizeof(half), "%s/cache/%s.tmp.123", state, d[2] + 7);
    ck_assert_int_eq(mkdir(half, 0700), 0);
    atomic_store(&server.requests, 0);
    c = cache(150000);
    until(tidy, NULL);
    ck_assert_int_ne(access(half, F_OK), 0);
    ck_assert(!present(d[0]) && present(d[1]));
    ck_assert_str_eq(figure(c, "packages"), "1");
    wish(c, d[1], &w[1]);
    loop_run(loop);
    ck_assert_int_eq(w[1].e.code, 0);
    ck_assert_int_eq(atomic_load(&server.requests), 0);
    end(c);
}
END_TEST

/* What is not held goes to make room; what does not fit at all leaves nothing. */
START_TEST(a_full_disk)
{
    const char *first, *second, *large;
    struct code_cache *c;
    struct wish w;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
        printf("skipped: a_full_disk needs root\n");
        return;
    }
    begin();
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mount("tmpfs", state, "tmpfs", 0, "size=2m,mode=755"), 0);
    first = offer('a', 700000);
    second = offer('b', 700000);
    large = offer('c', 1500000);
    c = cache(100 << 20);
    wish(c, first, &w);
    loop_run(loop);
    ck_assert_msg(!w.e.code, "%s", w.e.message);
    code_cache_release(c, first);
    wish(c, second, &w);
    loop_run(loop);
    ck_assert_msg(!w.e.code, "%s", w.e.message);
    ck_assert(present(second) && !present(first));
    wish(c, large, &w);
    loop_run(loop);
    ck_assert_int_eq(w.e.code, ENOSPC);
    ck_assert_ptr_nonnull(strstr(w.e.message, "No space left"));
    ck_assert_str_eq(figure(c, "failures_total"), "1");
    until(settled, second);
    until(tidy, NULL);
    ck_assert_uint_eq(look(NULL).items, 1);
    free_cache(c);
    ck_assert_int_eq(umount(state), 0);
    end(NULL);
}
END_TEST

START_TEST(forgotten_wishes_are_not_told)
{
    struct code_cache *c;
    struct wish a, b;
    const char *digest;

    begin();
    digest = offer('p', 10);
    c = cache(0);
    wish(c, digest, &a);
    wish(c, digest, &b);
    code_cache_forget(c, &a);
    pending--;
    loop_run(loop);
    ck_assert(!a.done && b.done);
    code_cache_release(c, digest);
    end(c);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const cases[] = {
        one_download_for_all_and_none_when_warm,
        failures_say_why_and_leave_nothing,
        bytes_that_are_no_archive_are_refused,
        forgotten_wishes_are_not_told,
        a_full_disk,
        least_recently_used_goes_first_and_held_ones_stay,
    };

    if (argc == 1 && !strcmp(argv[0], UNPACK_PROGRAM))
        code_unpack_main();
    return unit_main("code_cache", cases, sizeof(cases) / sizeof(cases[0]));
}
