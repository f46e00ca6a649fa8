/* A server in our own network: ready when its port accepts, on either loopback address. */
#include "invoke/link.h"
#include "support.h"
#include "unit.h"

static unsigned credit;

static void on_hello(void *user)
{
    (void)user;
}
static void on_credit(void *user, unsigned n)
{
    (void)user;
    credit = n;
}
static void on_closed(void *user, const char *violation)
{
    (void)user, (void)violation;
    ck_abort_msg("it was closed");
}
static const struct runtime_link_ops ops = {
    .on_hello = on_hello, .on_credit = on_credit, .on_closed = on_closed};

static struct runtime_link *open_link(uint16_t port)
{
    const struct runtime_link_config c = {
        .loop = loop,
        .function = "hello",
        .namespace = "default",
        .revision = "r1",
        .handler = "server",
        .concurrency = 7,
        .timeout_ms = 3000,
        .port = port,
        .frames_fd = -1,
        .api_fd = -1,
        .ops = &ops,
    };
    struct runtime_link *l;

    ck_assert_int_eq(runtime_link_new(&c, &l), 0);
    return l;
}

static bool is_ready(void *user)
{
    (void)user;
    return credit == 7;
}

static bool turned(void *user)
{
    return ++*(int *)user > 20;
}

static int socket_at(const struct sockaddr *a, socklen_t size)
{
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, a, size), 0);
    return fd;
}

START_TEST(it_is_ready_when_its_port_accepts)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int fd = socket_at((struct sockaddr *)&a, size), turns = 0;
    struct runtime_link *l;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    l = open_link(ntohs(a.sin_port));
    wait_for(turned, &turns); /* bound but not listening: refused */
    ck_assert_uint_eq(credit, 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    wait_for(is_ready, NULL);
    ck_assert_str_eq(runtime_link_protocol(l), "http");
    runtime_link_deafen(l);
    runtime_link_free(l);
    loop_free(loop);
    close(fd);
}
END_TEST

START_TEST(on_the_other_loopback_address_too)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct runtime_link *l;

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, size) < 0)
        return; /* a machine without IPv6 */
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    l = open_link(ntohs(a.sin6_port));
    wait_for(is_ready, NULL);
    runtime_link_free(l);
    loop_free(loop);
    close(fd);
}
END_TEST

UNIT_MAIN("http_link", it_is_ready_when_its_port_accepts, on_the_other_loopback_address_too)
