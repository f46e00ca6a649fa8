/* http_runtime.c - a runtime that takes HTTP over frames, as small as can be: one thread, the path says what to
 * do. test_hooks.py and test_http_frames.py build it and upload it as a `bootstrap`.
 *
 *     /head   the request's head as the body        /echo   the request's body as it comes
 *     /sink   how many bytes came                   /big    64 MiB
 *     /fail   a part, then ERROR                    /wait   nothing, until CANCEL
 *     /cancels how many were cancelled              /crash  FATAL      /kill  SIGKILL */
#include "wire/frame.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CALLS = 64, BIG = 64 << 20 };
static struct call {
    uint64_t id;
    char path[32];
    uint64_t left; /* of /big */
    size_t window, got;
} calls[CALLS];
static int fd, cancelled;

static void out(struct buffer *b)
{
    while (buffer_size(b)) {
        ssize_t n = send(fd, buffer_bytes(b), buffer_size(b), MSG_NOSIGNAL);

        if (n <= 0)
            exit(0);
        buffer_consume(b, (size_t)n);
    }
    buffer_done(b);
}

static void say(enum frame_type type, int flags, uint64_t id, const void *data, size_t n)
{
    struct buffer b = {0};

    if (frame_append(&b, type, (uint8_t)flags, id, data, n) < 0)
        exit(2);
    out(&b);
}
#define TEXT(s) (s), strlen(s)

static struct call *find(uint64_t id)
{
    for (int i = 0; i < CALLS; i++)
        if (calls[i].id == id)
            return &calls[i];
    return NULL;
}

static void end(struct call *c, const void *data, size_t n)
{
    say(FRAME_BODY, FRAME_FIN, c->id, data, n);
    c->id = 0;
}

static void head(struct call *c, const char *json)
{
    say(FRAME_RESPONSE, FRAME_HTTP, c->id, TEXT(json));
}

static void go_on(struct call *c)
{
    static char zeros[65536];

    while (c->left && c->window) {
        size_t n = sizeof(zeros) < c->window ? sizeof(zeros) : c->window;

        n = n < c->left ? n : c->left;
        c->left -= n;
        c->window -= n;
        say(FRAME_BODY, c->left ? 0 : FRAME_FIN, c->id, zeros, n);
    }
    if (!c->left)
        c->id = 0;
}

static void begin(struct call *c, const struct frame_invoke *inv)
{
    char text[32];

    if (!strcmp(c->path, "/")) /* a direct call */
        strcpy(c->path, "/echo");
    if (!strcmp(c->path, "/head")) {
        head(c, "{\"status\":200,\"headers\":[[\"content-type\",\"application/json\"]]}");
        end(c, inv->event, inv->event_size);
    } else if (!strcmp(c->path, "/echo")) {
        head(c, "{\"status\":200,\"headers\":[[\"x-mine\",\"1\"],[\"x-mine\",\"2\"]]}");
    } else if (!strcmp(c->path, "/big")) {
        head(c, "{\"status\":200,\"headers\":[[\"content-length\",\"67108864\"]]}");
        c->left = BIG;
        go_on(c);
    } else if (!strcmp(c->path, "/fail")) {
        head(c, "{\"status\":200}");
        say(FRAME_BODY, 0, c->id, TEXT("begun"));
        say(FRAME_ERROR, 0, c->id,
            TEXT("{\"errorType\":\"Broken\",\"errorMessage\":\"in the middle\"}"));
        c->id = 0;
    } else if (!strcmp(c->path, "/cancels")) {
        snprintf(text, sizeof(text), "%d", cancelled);
        head(c, "{\"status\":200}");
        end(c, TEXT(text));
    } else if (!strcmp(c->path, "/crash")) {
        say(FRAME_ERROR, FRAME_FATAL, c->id,
            TEXT("{\"errorType\":\"Runtime.Panic\",\"errorMessage\":\"boom\"}"));
        abort();
    } else if (!strcmp(c->path, "/kill")) {
        kill(getpid(), SIGKILL);
    } else if (strcmp(c->path, "/sink") && strcmp(c->path, "/wait")) {
        say(FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, c->id, TEXT("{\"status\":404}"));
        c->id = 0;
    }
}

static void body(struct call *c, const struct frame *f)
{
    bool last = f->type == FRAME_END || f->flags & FRAME_FIN;
    uint8_t le[4] = {(uint8_t)f->length, (uint8_t)(f->length >> 8), (uint8_t)(f->length >> 16)};
    char text[32];

    c->got += f->length;
    if (f->length && !last)
        say(FRAME_CREDIT, 0, c->id, le, 4);
    if (!strcmp(c->path, "/echo")) {
        say(FRAME_BODY, last ? FRAME_FIN : 0, c->id, f->payload, f->length);
    } else if (!strcmp(c->path, "/sink") && last) {
        snprintf(text, sizeof(text), "%zu", c->got);
        head(c, "{\"status\":200}");
        end(c, TEXT(text));
    }
    if (last && !strcmp(c->path, "/echo"))
        c->id = 0;
}

static void invoke(const struct frame *f)
{
    struct call *c = find(0);
    struct frame_invoke inv;
    const char *at;

    if (!c || frame_invoke_parse(f, &inv) < 0 || !(f->flags & FRAME_HTTP))
        exit(3);
    *c = (struct call){.id = f->id, .window = FRAME_WINDOW};
    at = memmem(inv.event, inv.event_size, "\"path\":\"", 8);
    if (at)
        sscanf(at + 8, "%31[^\"]", c->path);
    begin(c, &inv);
    if (c->id && f->flags & FRAME_FIN)
        body(c, &(struct frame){.type = FRAME_END, .id = f->id});
}

static void on_frame(const struct frame *f)
{
    struct call *c = f->id ? find(f->id) : NULL;
    struct frame_hook hook;

    if (f->type == FRAME_INVOKE) {
        invoke(f);
    } else if (f->type == FRAME_HOOK && frame_hook_parse(f, &hook) == 0) {
        fprintf(stderr, "hook %.*s\n", (int)hook.name_size, hook.name);
        say(FRAME_END, 0, f->id, "", 0);
    } else if (c && (f->type == FRAME_BODY || f->type == FRAME_END)) {
        body(c, f);
    } else if (c && f->type == FRAME_CREDIT) {
        c->window += (size_t)f->payload[0] | (size_t)f->payload[1] << 8 | (size_t)f->payload[2] << 16;
        go_on(c);
    } else if (c && f->type == FRAME_CANCEL) {
        cancelled++;
        say(FRAME_ERROR, 0, c->id, TEXT("{\"errorType\":\"Cancelled\"}"));
        c->id = 0;
    }
}

int main(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct buffer in = {0};
    uint8_t credit[4] = {(uint8_t)atoi(getenv("ROUSE_CONCURRENCY"))};

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", getenv("ROUSE_RUNTIME_SOCKET"));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return 1;
    say(FRAME_HELLO, 0, 0, TEXT("{\"protocol\":1,\"runtime\":\"test\",\"http\":true}"));
    say(FRAME_CREDIT, 0, 0, credit, 4);
    for (;;) {
        uint8_t *to = buffer_reserve(&in, 65536);
        ssize_t n = recv(fd, to, 65536, 0);
        struct frame f;
        size_t size;

        if (n <= 0)
            return 0;
        buffer_commit(&in, (size_t)n);
        while (frame_parse(buffer_bytes(&in), buffer_size(&in), &f, &size) == 1) {
            on_frame(&f);
            buffer_consume(&in, size);
        }
    }
}
