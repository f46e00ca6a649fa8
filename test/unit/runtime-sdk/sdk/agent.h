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

/* Forks a function that runs `handler` and accepts its connection. */
static void begin(rouse_handler *handler)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    function = fork();
    ck_assert_int_ge(function, 0);
    if (!function) {
        close(listener);
        setenv("ROUSE_RUNTIME_SOCKET", address.sun_path, 1);
        _exit(-rouse_start(handler));
    }
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    close(listener);
    unlink(address.sun_path);
    rmdir(directory);
}

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

static void put_invoke(uint8_t flags, uint64_t id, const char *event, size_t n)
{
    struct frame_invoke inv = {.deadline_ms = 4102444800000,
                               .request_id = "req-1",
                               .request_id_size = 5,
                               .trace = "t",
                               .trace_size = 1,
                               .event = (const uint8_t *)event,
                               .event_size = (uint32_t)n};
    cleanup_buffer struct buffer b = {0};

    ck_assert_int_eq(frame_invoke_append(&b, flags, id, &inv), 0);
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

static void greet_with(const char *more, unsigned credit)
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
