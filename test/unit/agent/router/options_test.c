/* options_test.c - the agent's flags: what is taken, what is refused and how; capacity; the state directory. */
#include "router/options.h"
#include "base/clock.h"
#include "base/file.h"
#include "reactor/loop.h"
#include "router/capacity.h"
#include "router/state_dir.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { ARGS_MAX = 32, TEXT_MAX = 160 };

/* Parses "flag flag..." after what every agent needs; spaces separate. */
static int parse_all(const char *flags, struct options *o, enum options_mode *mode, struct err *e)
{
    static char text[4096];
    char *argv[ARGS_MAX] = {(char *)"rouse-agent"}, *save = NULL;
    int argc = 1;

    snprintf(text, sizeof(text), "%s", flags);
    for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        ck_assert_int_lt(argc, ARGS_MAX);
        argv[argc++] = p;
    }
    return options_parse(argc, argv, o, mode, e);
}
static int parse(const char *flags, struct options *o, struct err *e)
{
    char all[4096];
    enum options_mode mode;

    snprintf(all, sizeof(all), "--state s --node n1 --runtimes r %s", flags);
    return parse_all(all, o, &mode, e);
}

START_TEST(defaults)
{
    struct options o;
    struct err e;

    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_str_eq(o.controller, "tcp://127.0.0.1:7082");
    ck_assert_str_eq(o.api, "http://127.0.0.1:7080");
    ck_assert_str_eq(o.gateway_address, "tcp://127.0.0.1:8080");
    ck_assert_str_eq(o.peer_address, "tcp://127.0.0.1:8081");
    ck_assert_str_eq(o.metrics_address, "tcp://127.0.0.1:8082");
    ck_assert_uint_eq(o.queue_deadline_ns, 30 * NS_PER_S);
    ck_assert_uint_eq(o.freeze_after_ns, NS_PER_S);
    ck_assert_uint_eq(o.reclaim_below, 10);
    ck_assert_uint_eq(o.cpu_millis, capacity_cpus() * 32000);
    ck_assert_uint_gt(o.memory, 0);
    ck_assert_uint_lt(o.memory, capacity_memory());
}
END_TEST

START_TEST(values)
{
    struct options o;
    struct err e;

    ck_assert_int_eq(
        parse("--allocatable-memory=2Gi --allocatable-cpu 1500m --queue-deadline 5s --write-timeout 2s "
              "--idle-timeout=1h --label a=b "
              "--label=example.com/c=d-e --taint gpu=a:NoSchedule,b:NoSchedule --token-file t --gateway-address tcp://0.0.0.0:80 --insecure-http "
              "--peer-address tcp://10.1.0.2:8081 --code-cache 2Mi",
              &o, &e),
        0);
    ck_assert_uint_eq(o.memory, 2ull << 30);
    ck_assert_uint_eq(o.cpu_millis, 1500);
    ck_assert_uint_eq(o.code_cache, 2 << 20);
    ck_assert_uint_eq(o.queue_deadline_ns, 5 * NS_PER_S);
    ck_assert_uint_eq(o.clients.write_ns, 2 * NS_PER_S);
    ck_assert_uint_eq(o.clients.idle_ns, 3600 * NS_PER_S);
    ck_assert_uint_eq(o.clients.header_ns, 0);
    ck_assert_uint_eq(o.label_count, 2);
    ck_assert_str_eq(o.labels[1].name, "example.com/c");
    ck_assert_str_eq(o.labels[1].value, "d-e");
    ck_assert_uint_eq(o.taint_count, 2);
    ck_assert_str_eq(o.taints[0].name, "gpu");
    ck_assert_str_eq(o.taints[0].value, "a");
    ck_assert_str_eq(o.taints[1].name, "b");
    ck_assert_str_eq(o.taints[1].value, "");
    ck_assert_str_eq(o.token_file, "t");
}
END_TEST

START_TEST(how_many_ahead)
{
    struct options o;
    struct err e;

    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_uint_eq(o.pool, 4);
    ck_assert_int_eq(parse("--pool 0", &o, &e), 0);
    ck_assert_uint_eq(o.pool, 0);
    ck_assert_int_eq(parse("--pool=256", &o, &e), 0);
    ck_assert_uint_eq(o.pool, 256);
}
END_TEST

START_TEST(when_to_freeze)
{
    struct options o;
    struct err e;

    ck_assert_int_eq(parse("--freeze-after 250ms", &o, &e), 0);
    ck_assert_uint_eq(o.freeze_after_ns, 250 * NS_PER_MS);
    ck_assert_int_eq(parse("--freeze-after=never", &o, &e), 0);
    ck_assert_uint_eq(o.freeze_after_ns, 0);
    setenv("ROUSE_FREEZE_AFTER", "2s", 1);
    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_uint_eq(o.freeze_after_ns, 2 * NS_PER_S);
    ck_assert_int_eq(parse("--freeze-after never", &o, &e), 0);
    ck_assert_uint_eq(o.freeze_after_ns, 0);
    setenv("ROUSE_FREEZE_AFTER", "soon", 1);
    ck_assert_int_eq(parse("", &o, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "ROUSE_FREEZE_AFTER \"soon\""));
    unsetenv("ROUSE_FREEZE_AFTER");
    ck_assert_int_eq(parse("--reclaim-below 0", &o, &e), 0);
    ck_assert_uint_eq(o.reclaim_below, 0);
    setenv("ROUSE_RECLAIM_BELOW", "25", 1);
    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_uint_eq(o.reclaim_below, 25);
    setenv("ROUSE_RECLAIM_BELOW", "all", 1);
    ck_assert_int_eq(parse("", &o, &e), -EINVAL);
}
END_TEST

static const struct {
    const char *flags, *message; /* a part of it */
} refused[] = {
    {"--node N1", "--node \"N1\": is not a name"},
    {"--node a.b", "--node \"a.b\": is not a name"},
    {"--node -a", "--node \"-a\""},
    {"--allocatable-memory 1Mi", "32Mi or more"},
    {"--allocatable-memory lots", "--allocatable-memory \"lots\""},
    {"--allocatable-cpu 0", "above 0"},
    {"--code-cache 1000", "--code-cache \"1000\": is not a size of 1Mi or more"},
    {"--allocatable-cpu many", "--allocatable-cpu \"many\""},
    {"--queue-deadline 500ms", "between 1s and 10m"},
    {"--queue-deadline 11m", "between 1s and 10m"},
    {"--header-timeout 99ms", "between 100ms and 1h"},
    {"--idle-timeout 61m", "between 100ms and 1h"},
    {"--body-timeout x", "--body-timeout \"x\""},
    {"--queue-deadline 3", "--queue-deadline \"3\""},
    {"--freeze-after 9ms",
     "--freeze-after \"9ms\": is neither a duration between 10ms and 1h nor never"},
    {"--freeze-after 61m", "between 10ms and 1h nor never"},
    {"--freeze-after 0", "between 10ms and 1h nor never"},
    {"--reclaim-below 51", "--reclaim-below \"51\": is not a percentage up to 50, or 0 for never"},
    {"--reclaim-below -1", "up to 50"},
    {"--reclaim-below 5%", "up to 50"},
    {"--pool 257", "--pool \"257\": is not a number of sandboxes from 0 to 256"},
    {"--pool -1", "from 0 to 256"},
    {"--pool few", "--pool \"few\""},
    {"--loops 65", "--loops \"65\": is not a number of loops up to 64"},
    {"--loops two", "--loops \"two\""},
    {"--loops 99999999999999999999", "up to 64"},
    {"--loops=", "--loops \"\""},
    {"--deny-egress 10.0.0.0/8,here", "--deny-egress \"here\": is not a block"},
    {"--deny-egress 10.0.0.0/8,", "--deny-egress \"\": is not a block"},
    {"--deny-egress 10.0.0.1/8", "--deny-egress \"10.0.0.1/8\": has bits set beyond its prefix"},
    {"--allow-egress 1.2.3.4/33", "--allow-egress \"1.2.3.4/33\": has a prefix of more than 32"},
    {"--allow-egress fd00::/129", "--allow-egress \"fd00::/129\": has a prefix"},
    {"--instance-subnet 10.0.0.0/31", "--instance-subnet \"10.0.0.0/31\": is not a block of IPv4"},
    {"--instance-subnet fd00::/16", "--instance-subnet \"fd00::/16\": is not a block of IPv4"},
    {"--instance-subnet 10.0.0.0", "--instance-subnet \"10.0.0.0\": is not a block of IPv4"},
    {"--label nothing", "NAME=VALUE"},
    {"--label a=b,", "--label \"\": is not NAME=VALUE"},
    {"--allow-gateways=perhaps", "--allow-gateways \"perhaps\": is none of 1, true, 0, false"},
    {"--label =x", "NAME=VALUE"},
    {"--label a=b=c", "--label \"a=b=c\": is not NAME=VALUE"},
    {"--taint a=b", "--taint \"a=b\": is not NAME[=VALUE]:NoSchedule"},
    {"--taint a=b:NoExecute", "which is the only effect"},
    {"--taint =b:NoSchedule", "must be [PREFIX/]NAME"},
    {"--taint a=b/c:NoSchedule", "must be [PREFIX/]NAME"},
    {"--gateway-address 127.0.0.1:80", "--gateway-address \"127.0.0.1:80\": is not an address"},
    {"--gateway-address tcp://0.0.0.0:80", "needs --insecure-http"},
    {"--metrics-address tcp://10.0.0.1:80", "needs --insecure-http"},
    {"--peer-address tcp://0.0.0.0:80", "told to other nodes"},
    {"--peer-address tcp://[::]:80", "told to other nodes"},
    {"--controller nowhere", "--controller \"nowhere\""},
    {"--api ftp://x", "--api \"ftp://x\""},
    {"--wrong 1", "--wrong is not a flag"},
    {"word", "word is not a flag"},
    {"--node", "--node needs a value"},
    {"--state=", "--state \"\": is empty"},
};

START_TEST(refusals_name_the_flag_and_the_limit)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct options o;
        struct err e = {0};

        ck_assert_msg(parse(refused[i].flags, &o, &e) == -EINVAL, "%s was taken", refused[i].flags);
        ck_assert_msg(strstr(e.message, refused[i].message), "%s: \"%s\" lacks \"%s\"",
                      refused[i].flags, e.message, refused[i].message);
    }
}
END_TEST

START_TEST(egress)
{
    char many[4000] = "--deny-egress 10.0.0.0/8";
    struct options o;
    struct err e = {0};

    ck_assert_int_eq(parse("--deny-egress 10.0.0.0/8,fd00::/8 --deny-egress=192.168.0.0/16 --allow-egress "
                           "10.1.2.3 --allow-gateways --instance-subnet 10.9.0.0/16",
                           &o, &e),
                     0);
    ck_assert_uint_eq(o.deny_count, 3);
    ck_assert(o.deny[1].six && o.deny[2].address[0] == 192);
    ck_assert_uint_eq(o.allow_count, 1);
    ck_assert(o.allow_gateways);
    ck_assert_str_eq(o.instance_subnet, "10.9.0.0/16");
    setenv("ROUSE_DENY_EGRESS", "172.16.0.0/12", 1);
    ck_assert_int_eq(parse("--deny-egress 10.0.0.0/8", &o, &e), 0);
    ck_assert_uint_eq(o.deny_count, 2);
    setenv("ROUSE_ALLOW_EGRESS", "0.0.0.0/-1", 1);
    ck_assert_int_eq(parse("", &o, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "ROUSE_ALLOW_EGRESS \"0.0.0.0/-1\""));
    unsetenv("ROUSE_ALLOW_EGRESS");
    unsetenv("ROUSE_DENY_EGRESS");
    for (int i = 0; i < 256; i++)
        strcat(many, ",::1");
    ck_assert_int_eq(parse(many, &o, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "256 blocks at most"));
}
END_TEST

START_TEST(loops)
{
    struct options o;
    struct err e = {0};

    unsetenv("ROUSE_LOOPS");
    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_uint_eq(o.loops, 1);
    ck_assert_int_eq(parse("--loops 3", &o, &e), 0);
    ck_assert_uint_eq(o.loops, 3);
    ck_assert_int_eq(parse("--loops=0", &o, &e), 0);
    ck_assert_uint_eq(o.loops, 1);
    ck_assert_int_eq(parse("--loops -1", &o, &e), 0);
    ck_assert_uint_eq(o.loops, capacity_cpus() < 64 ? capacity_cpus() : 64);
    setenv("ROUSE_LOOPS", "2", 1);
    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_uint_eq(o.loops, 2);
    ck_assert_int_eq(parse("--loops 5", &o, &e), 0);
    ck_assert_uint_eq(o.loops, 5);
    setenv("ROUSE_LOOPS", "many", 1);
    ck_assert_int_eq(parse("", &o, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "ROUSE_LOOPS \"many\""));
    unsetenv("ROUSE_LOOPS");
}
END_TEST

START_TEST(the_reactor)
{
    struct options o;
    struct err e = {0};

    unsetenv("ROUSE_REACTOR");
    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_int_eq(o.reactor, -1);
    ck_assert_int_eq(parse("--reactor epoll", &o, &e), 0);
    ck_assert_int_eq(o.reactor, LOOP_EPOLL);
    ck_assert_int_eq(parse("--reactor kqueue", &o, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "--reactor \"kqueue\": is none of auto, epoll, io_uring"));
    setenv("ROUSE_REACTOR", "io_uring", 1);
    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_int_eq(o.reactor, LOOP_IO_URING);
    ck_assert_int_eq(parse("--reactor=auto", &o, &e), 0);
    ck_assert_int_eq(o.reactor, LOOP_AUTO);
    setenv("ROUSE_REACTOR", "kqueue", 1);
    ck_assert_int_eq(parse("--reactor epoll", &o, &e), 0);
    ck_assert_int_eq(parse("", &o, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "ROUSE_REACTOR \"kqueue\""));
    unsetenv("ROUSE_REACTOR");
}
END_TEST

START_TEST(needed_flags)
{
    static const char *const lacking[][2] = {
        {"--node n1 --runtimes r", "--state is missing"},
        {"--state s --runtimes r", "--node is missing"},
        {"--state s --node n1", "--runtimes is missing"},
    };
    struct options o;

    for (size_t i = 0; i < 3; i++) {
        enum options_mode mode;
        struct err e = {0};

        ck_assert_int_eq(parse_all(lacking[i][0], &o, &mode, &e), -EINVAL);
        ck_assert_ptr_nonnull(strstr(e.message, lacking[i][1]));
    }
}
END_TEST

START_TEST(modes)
{
    struct options o;
    enum options_mode mode;
    struct err e;

    ck_assert_int_eq(parse_all("--help", &o, &mode, &e), 0);
    ck_assert_int_eq(mode, OPTIONS_HELP);
    ck_assert_int_eq(parse_all("--version", &o, &mode, &e), 0);
    ck_assert_int_eq(mode, OPTIONS_VERSION);
    setenv("ROUSE_LOOPS", "many", 1); /* help is what tells what is wrong with it */
    ck_assert_int_eq(parse_all("--loops --help", &o, &mode, &e), 0);
    ck_assert_int_eq(mode, OPTIONS_HELP);
    ck_assert_int_eq(parse_all("--version", &o, &mode, &e), 0);
    unsetenv("ROUSE_LOOPS");
}
END_TEST

START_TEST(every_flag_is_in_the_help)
{
    for (size_t i = 0; i < OPTION_FLAGS; i++)
        ck_assert_msg(strstr(options_help, options_flags[i].name), "%s", options_flags[i].name);
}
END_TEST

START_TEST(every_flag_has_a_variable)
{
    struct options o;
    struct err e = {0};

    for (size_t i = 0; i < OPTION_FLAGS; i++) {
        const struct daemon_flag *f = &options_flags[i];
        char name[DAEMON_FLAG_NAME_MAX], *argv[] = {(char *)"rouse-agent"};
        int r;

        o = (struct options){0};
        daemon_flag_variable(f, name);
        setenv(name, "(odd)", 1);
        r = daemon_flags_parse(options_flags, OPTION_FLAGS, 1, argv, &o, &e);
        if (f->take == daemon_flag_text)
            ck_assert_msg(r == 0 && (*(char **)((char *)&o + f->offset) != NULL) ==
                                        (f->kind != DAEMON_FLAG_HERE),
                          "%s", name);
        else
            ck_assert_msg(r == -EINVAL && !strncmp(e.message, name, strlen(name)), "%s: %s", name,
                          e.message);
        unsetenv(name);
    }
    setenv("ROUSE_LABEL", "a=b,c=d", 1);
    setenv("ROUSE_ALLOW_GATEWAYS", "true", 1);
    setenv("ROUSE_POOL", "7", 1);
    ck_assert_int_eq(parse("--label e=f", &o, &e), 0);
    ck_assert_uint_eq(o.label_count, 3);
    ck_assert(o.allow_gateways);
    ck_assert_uint_eq(o.pool, 7);
    setenv("ROUSE_POOL", "many", 1);
    ck_assert_int_eq(parse("--pool 3 --allow-gateways=0", &o, &e), 0); /* it is not looked at */
    ck_assert_uint_eq(o.pool, 3);
    ck_assert(!o.allow_gateways);
    unsetenv("ROUSE_LABEL");
    unsetenv("ROUSE_ALLOW_GATEWAYS");
    unsetenv("ROUSE_POOL");
}
END_TEST

START_TEST(cgroup_text)
{
    static const char text[] = "5:cpu,cpuacct:/a\n4:memory:/jobs/7\n0::/unified/x\n";
    char path[64];
    uint64_t v = 0;

    ck_assert(capacity_cgroup_path(text, "memory", path, sizeof(path)));
    ck_assert_str_eq(path, "/jobs/7");
    ck_assert(capacity_cgroup_path(text, "cpuacct", path, sizeof(path)));
    ck_assert_str_eq(path, "/a");
    ck_assert(capacity_cgroup_path(text, "", path, sizeof(path)));
    ck_assert_str_eq(path, "/unified/x");
    ck_assert(!capacity_cgroup_path(text, "pids", path, sizeof(path)));
    ck_assert(!capacity_cgroup_path(text, "memory", path, 4));
    ck_assert(capacity_limit("1048576\n", &v));
    ck_assert_uint_eq(v, 1048576);
    ck_assert(!capacity_limit("max\n", &v));
    ck_assert(!capacity_limit("9223372036854771712\n", &v));
    ck_assert(!capacity_limit("", &v));
}
END_TEST

START_TEST(one_agent_a_directory)
{
    char dir[] = "/tmp/rouse-state-XXXXXX", path[TEXT_MAX];
    struct state_dir first, second;
    struct err e = {0};
    pid_t child;
    int status;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a/b", dir);
    ck_assert_int_eq(state_dir_open(path, &first, &e), 0);
    ck_assert_str_eq(first.path, path);
    ck_assert_int_eq(state_dir_open(path, &second, &e), -EBUSY);
    ck_assert_ptr_nonnull(strstr(e.message, "another agent (pid "));
    close(first.lock_fd);
    /* An agent that died while its launcher still holds the lock is waited for. */
    child = fork();
    if (child == 0) {
        if (state_dir_open(path, &first, NULL) < 0)
            _exit(1);
        if (fork() == 0) {
            struct timespec cleaning = {.tv_nsec = 100000000};

            nanosleep(&cleaning, NULL);
            _exit(0);
        }
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(state_dir_open(path, &second, &e), 0);
    close(second.lock_fd);
    file_remove_tree(dir);
}
END_TEST

START_TEST(tokens)
{
    char dir[] = "/tmp/rouse-token-XXXXXX", path[TEXT_MAX], *token = NULL;
    struct err e = {0};

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/token", dir);
    ck_assert_int_eq(state_token_read(path, &token, &e), -ENOENT);
    ck_assert_int_eq(file_write_atomic(path, "abc\nmore\n", 9, 0600), 0);
    ck_assert_int_eq(state_token_read(path, &token, &e), 0);
    ck_assert_str_eq(token, "abc");
    free(token);
    ck_assert_int_eq(file_write_atomic(path, "\n", 1, 0600), 0);
    ck_assert_int_eq(state_token_read(path, &token, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "first line is empty"));
    file_remove_tree(dir);
}
END_TEST

UNIT_MAIN("options", the_reactor, defaults, values, when_to_freeze, how_many_ahead,
          refusals_name_the_flag_and_the_limit, egress, loops, needed_flags, modes,
          every_flag_is_in_the_help, every_flag_has_a_variable, cgroup_text, one_agent_a_directory,
          tokens)
