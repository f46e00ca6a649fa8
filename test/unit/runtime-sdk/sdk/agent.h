/* agent.h - an agent that a test plays on a Unix socket, and the forked function at its other end. */
#pragma once
#include "base/cleanup.h"
#include "rouse/rouse.h"
#include "unit.h"
#include "wire/frame.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/rouse-sdk-test-XXXXXX";
static int fd; /* the agent's end */
static pid_t function;
static struct buffer in;
static size_t shown;

static int listener;

/* LeakSanitizer does not look for pointers on the stacks of tasks: a process that exits in the middle of one
 * sets this. */
static bool exits_early;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return exits_early;
}

/* In the fork that becomes the function: true. */
static bool fork_function(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    setenv("ROUSE_RUNTIME_SOCKET", address.sun_path, 1);
    function = fork();
    ck_assert_int_ge(function, 0);
    if (!function)
        close(listener);
    return !function;
}

static void accept_function(void)
{
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    close(listener);
    unlink(getenv("ROUSE_RUNTIME_SOCKET"));
    rmdir(directory);
}

/* Forks a function that runs `handler` and accepts its connection. */
#define begin_as(start, handler)                                                                   \
    do {                                                                                           \
        if (fork_function())                                                                       \
            _exit(-start(handler));                                                                \
        accept_function();                                                                         \
    } while (0)
#define begin(handler) begin_as(rouse_start, handler)

static void put(const void *data, size_t n)
{
    const char *p = data;

    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        ck_assert_int_gt(sent, 0);
        p += sent;
        n -= (size_t)sent;
    }
}

static void put_frame(enum frame_type type, uint8_t flags, uint64_t id, const void *data, size_t n)
{
    cleanup_buffer struct buffer b = {0};

    ck_assert_int_eq(frame_append(&b, type, flags, id, data, n), 0);
    put(buffer_bytes(&b), buffer_size(&b));
}

static void add_invoke(struct buffer *b, uint8_t flags, uint64_t id, uint64_t deadline_ms,
                       const char *event, size_t n)
{
    struct frame_invoke inv = {.deadline_ms = deadline_ms,
                               .request_id = "req-1",
                               .request_id_size = 5,
                               .trace = "t",
                               .trace_size = 1,
                               .event = (const uint8_t *)event,
                               .event_size = (uint32_t)n};

    ck_assert_int_eq(frame_invoke_append(b, flags, id, &inv), 0);
}

#define FAR_MS 4102444800000

static void put_invoke(uint8_t flags, uint64_t id, const char *event, size_t n)
{
    cleanup_buffer struct buffer b = {0};

    add_invoke(&b, flags, id, FAR_MS, event, n);
    put(buffer_bytes(&b), buffer_size(&b));
}

static inline void put_hook(uint64_t id, uint8_t kind, const char *name)
{
    struct frame_hook hook = {
        .deadline_ms = FAR_MS, .hook = kind, .name = name, .name_size = (uint16_t)strlen(name)};
    cleanup_buffer struct buffer b = {0};

    ck_assert_int_eq(frame_hook_append(&b, id, &hook), 0);
    put(buffer_bytes(&b), buffer_size(&b));
}

/* The next frame; false at the end of the connection. */
static bool get(struct frame *f)
{
    buffer_consume(&in, shown);
    shown = 0;
    for (;;) {
        uint8_t *to;
        ssize_t n;
        int r = buffer_size(&in) ? frame_parse(buffer_bytes(&in), buffer_size(&in), f, &shown) : 0;

        ck_assert_int_ge(r, 0);
        if (r)
            return true;
        to = buffer_reserve(&in, 65536);
        n = recv(fd, to, 65536, 0);
        if (n <= 0)
            return false;
        buffer_commit(&in, (size_t)n);
    }
}

static void expect(struct frame *f, enum frame_type type, uint8_t flags, uint64_t id)
{
    ck_assert_msg(get(f), "the function ended the connection");
    ck_assert_str_eq(frame_type_name(f->type), frame_type_name((uint8_t)type));
    ck_assert_uint_eq(f->flags, flags);
    ck_assert_uint_eq(f->id, id);
}

static void expect_text(enum frame_type type, uint8_t flags, uint64_t id, const char *text)
{
    struct frame f;

    expect(&f, type, flags, id);
    ck_assert_msg(f.length == strlen(text) && !memcmp(f.payload, text, f.length), "got %.*s",
                  (int)f.length, (const char *)f.payload);
}

static inline void greet_with(const char *more, unsigned credit)
{
    char hello[256];
    int n = snprintf(hello, sizeof(hello),
                     "{\"protocol\":1,\"function\":\"f\",\"namespace\":\"ns\","
                     "\"revision\":\"r1\",\"handler\":\"-\",\"memory\":33554432%s}",
                     more);
    struct frame f;

    expect(&f, FRAME_HELLO, 0, 0);
    ck_assert_ptr_nonnull(memmem(f.payload, f.length, "\"protocol\":1,", 13));
    put_frame(FRAME_HELLO, 0, 0, hello, (size_t)n);
    expect(&f, FRAME_CREDIT, 0, 0);
    ck_assert_uint_eq(f.length, 4);
    ck_assert_uint_eq(f.payload[0] | (unsigned)f.payload[1] << 8, credit);
    ck_assert_uint_eq(f.payload[2] | f.payload[3], 0);
}

#define ERROR_JSON(type, message)                                                                  \
    "{\"errorType\":\"" type "\",\"errorMessage\":\"" message "\",\"stackTrace\":[]}"

/* Ends the connection if it is still there and returns the function's wait status. */
static int end(void)
{
    struct frame f;
    int status;

    shutdown(fd, SHUT_WR);
    while (get(&f))
        ;
    close(fd);
    buffer_done(&in);
    ck_assert_int_eq(waitpid(function, &status, 0), function);
    return status;
}

static inline void check_exit(int status, int error)
{
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == error, "status %x", (unsigned)status);
}
static inline void check_killed(int status, int by)
{
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == by, "status %x", (unsigned)status);
}
