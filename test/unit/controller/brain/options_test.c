#include "brain/options.h"
#include "base/clock.h"
#include "reactor/loop.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

enum { ARGS = 12 };
static int parse(struct controller_options *o, struct err *e, const char *line)
{
    static char text[512];
    char *argv[ARGS + 1] = {(char *)"rouse-controller"};
    int argc = 1;

    strcpy(text, line);
    for (char *p = strtok(text, " "); p && argc < ARGS; p = strtok(NULL, " "))
        argv[argc++] = p;
    *e = (struct err){0};
    return controller_options_parse(argc, argv, o, e);
}

START_TEST(taken)
{
    struct controller_options o;
    struct err e;

    ck_assert_int_eq(parse(&o, &e, "--state /s"), 0);
    ck_assert_str_eq(o.api_address, "tcp://127.0.0.1:7080");
    ck_assert_uint_eq(o.queue_deadline_ns, 30 * NS_PER_S);
    ck_assert_uint_eq(o.panic_window_ns, 6 * NS_PER_S);
    ck_assert_int_eq(
        parse(&o, &e, "--state=/s --queue-deadline 5s --queue-total=7 --stable-window 2m"), 0);
    ck_assert_str_eq(o.state, "/s");
    ck_assert_uint_eq(o.queue_deadline_ns, 5 * NS_PER_S);
    ck_assert_uint_eq(o.queue_total, 7);
    ck_assert_uint_eq(o.stable_window_ns, 120 * NS_PER_S);
    ck_assert_uint_eq(o.clients.header_ns, 0);
    ck_assert_int_eq(parse(&o, &e,
                           "--state /s --header-timeout 100ms --body-timeout=2s --write-timeout 3s "
                           "--idle-timeout 1h"),
                     0);
    ck_assert_uint_eq(o.clients.header_ns, 100 * NS_PER_MS);
    ck_assert_uint_eq(o.clients.body_ns, 2 * NS_PER_S);
    ck_assert_uint_eq(o.clients.write_ns, 3 * NS_PER_S);
    ck_assert_uint_eq(o.clients.idle_ns, 3600 * NS_PER_S);
    ck_assert_int_eq(parse(&o, &e, "crd"), 0);
    ck_assert_int_eq(o.mode, CONTROLLER_CRD);
    ck_assert_int_eq(parse(&o, &e, "--help"), 0);
    ck_assert_int_eq(o.mode, CONTROLLER_HELP);
    ck_assert_int_eq(
        parse(&o, &e, "--state /s --api-address tcp://0.0.0.0:1 --token-file t --insecure-http"), 0);
    ck_assert_int_eq(parse(&o, &e,
                           "--state /s --control-address tcp://0.0.0.0:1 --token-file t "
                           "--control-tls-cert c --control-tls-key k"),
                     0);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"", "--state"},
        {"--bogus", "--bogus"},
        {"serve", "serve"},
        {"--state", "--state"},
        {"--state /s --queue-deadline 0s", "--queue-deadline"},
        {"--state /s --queue-deadline soon", "--queue-deadline"},
        {"--state /s --queue-total -1", "--queue-total"},
        {"--state /s --queue-per-function 1x", "--queue-per-function"},
        {"--state /s --body-limit 1", "--body-limit"},
        {"--state /s --body-limit 33Mi", "--body-limit"},
        {"--state /s --body-limit big", "--body-limit"},
        {"--state /s --stable-window 1s", "--stable-window"},
        {"--state /s --header-timeout 99ms",
         "--header-timeout \"99ms\": is not a duration between 100ms"},
        {"--state /s --body-timeout soon", "--body-timeout \"soon\""},
        {"--state /s --write-timeout 61m",
         "--write-timeout \"61m\": is not a duration between 100ms and 1h"},
        {"--state /s --idle-timeout", "--idle-timeout"},
        {"--state /s --stable-window 6s --panic-window 7s", "--panic-window"},
        {"--state /s --api-address nonsense", "--api-address"},
        {"--state /s --front-address tcp://0.0.0.0:0", "token"},
        {"--state /s --front-address tcp://10.0.0.1:0 --token-file t", "--insecure-http"},
        {"--state /s --control-address tcp://[::]:0 --token-file t", "--control-address"},
        {"--state /s --control-tls-cert c", "--control-tls-key"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct controller_options o;
        struct err e;

        ck_assert_msg(parse(&o, &e, rows[i].line) == -EINVAL, "%s", rows[i].line);
        ck_assert_msg(strstr(e.message, rows[i].says), "%s: %s", rows[i].line, e.message);
    }
}
END_TEST

START_TEST(the_reactor)
{
    struct controller_options o;
    struct err e = {0};

    unsetenv("ROUSE_REACTOR");
    ck_assert_int_eq(parse(&o, &e, "--state /s "), 0);
    ck_assert_int_eq(o.reactor, -1);
    ck_assert_int_eq(parse(&o, &e, "--state /s --reactor epoll"), 0);
    ck_assert_int_eq(o.reactor, LOOP_EPOLL);
    ck_assert_int_eq(parse(&o, &e, "--state /s --reactor kqueue"), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "--reactor \"kqueue\": is none of auto, epoll, io_uring"));
    setenv("ROUSE_REACTOR", "io_uring", 1);
    ck_assert_int_eq(parse(&o, &e, "--state /s "), 0);
    ck_assert_int_eq(o.reactor, LOOP_IO_URING);
    ck_assert_int_eq(parse(&o, &e, "--state /s --reactor=auto"), 0);
    ck_assert_int_eq(o.reactor, LOOP_AUTO);
    setenv("ROUSE_REACTOR", "kqueue", 1);
    ck_assert_int_eq(parse(&o, &e, "--state /s --reactor epoll"), 0);
    ck_assert_int_eq(parse(&o, &e, "--state /s "), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "ROUSE_REACTOR \"kqueue\""));
    unsetenv("ROUSE_REACTOR");
}
END_TEST

START_TEST(every_flag_is_in_the_help)
{
    for (size_t i = 0; i < CONTROLLER_FLAGS; i++)
        ck_assert_msg(strstr(controller_help, controller_flags[i].name), "%s",
                      controller_flags[i].name);
    ck_assert_ptr_nonnull(strstr(controller_help, "crd"));
}
END_TEST

START_TEST(every_flag_has_a_variable)
{
    for (size_t i = 0; i < CONTROLLER_FLAGS; i++) {
        const struct daemon_flag *f = &controller_flags[i];
        struct controller_options o = {0};
        char name[DAEMON_FLAG_NAME_MAX], *argv[] = {(char *)"rouse-controller"};
        struct err e = {0};
        int r;

        daemon_flag_variable(f, name);
        setenv(name, "(odd)", 1);
        r = daemon_flags_parse(controller_flags, CONTROLLER_FLAGS, 1, argv, &o, &e);
        if (f->take == daemon_flag_text)
            ck_assert_msg(r == 0 && (*(char **)((char *)&o + f->offset) != NULL) ==
                                        (f->kind != DAEMON_FLAG_HERE),
                          "%s", name);
        else
            ck_assert_msg(r == -EINVAL && !strncmp(e.message, name, strlen(name)), "%s: %s", name,
                          e.message);
        unsetenv(name);
    }
    setenv("ROUSE_STATE", "/platform", 1); /* another's */
    ck_assert_int_eq(parse(&(struct controller_options){0}, &(struct err){0}, ""), -EINVAL);
    unsetenv("ROUSE_STATE");
}
END_TEST

UNIT_MAIN("controller_options", the_reactor, taken, refused, every_flag_is_in_the_help,
          every_flag_has_a_variable)
