/* Sandboxes for real: what runs in them, how they end, what they cannot do. */
#include "agent/launcher/bench.h"

#include <grp.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

START_TEST(says_hello)
{
    struct bench b;
    struct sandbox_spec s;
    char *out;

    NEED();
    bench_open(&b);
    s = spec_of(&b, NULL);
    out = run_script(&b, &s,
                     "echo hello $GREETING; id -u; id -g; pwd; hostname; cat /etc/hostname;"
                     "cat /proc/self/cgroup | grep -c -v ':/$'; echo to-stderr >/dev/stderr;"
                     "cut -d' ' -f41 /proc/self/stat; exit 7"); /* its policy */
    ck_assert_str_eq(out, "hello hi\n1000\n1000\n/var/task\ndemo\ndemo\n0\n3\n");
    ck_assert_int_eq(b.exit.code, 7);
    ck_assert_int_eq(b.exit.signal, 0);
    ck_assert(!b.exit.oom);
    ck_assert_uint_gt(b.at.create_ns, 0);
    ck_assert_uint_gt(b.exit.cpu_ns, 0);
    free(out);
    /* The id is free again. */
    free(run_script(&b, &s, "exit 0"));
    ck_assert_int_eq(b.exit.code, 0);
    bench_close(&b);
}
END_TEST

START_TEST(v1_alone)
{
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_make(&b);
    bench_launch(&b, true, &bench_ops);
    if (strcmp(launcher_cgroup_layout(b.launcher), "v1")) {
        printf("skipped: no cgroup v1 here\n");
    } else {
        s = spec_of(&b, NULL);
        free(run_script(&b, &s, "sleep 1000 & exit 3"));
        ck_assert_int_eq(b.exit.code, 3);
        ck_assert_uint_gt(b.exit.cpu_ns, 0);
    }
    bench_close(&b);
}
END_TEST

/* Each line must print what follows its arrow; a sandbox that lets one through prints something
 * else. */
START_TEST(cannot)
{
    static const char script[] =
        "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb)' /proc/self/status | grep -vc "
        "0000000000000000\n"
        "grep NoNewPrivs /proc/self/status | grep -c 1\n"
        "grep Seccomp: /proc/self/status | grep -c 2\n"
        "touch /x 2>/dev/null || echo root-ro\n"
        "touch /var/task/x 2>/dev/null || echo code-ro\n"
        "touch /dev/x 2>/dev/null || echo dev-ro\n"
        "touch /run/x 2>/dev/null || echo run-ro\n"
        "mount -o remount,rw / 2>/dev/null || echo no-remount\n"
        "mount -o remount,bind,rw /var/task 2>/dev/null || echo no-remount\n"
        "umount /var/task 2>/dev/null || echo no-umount\n"
        "umount -l /proc 2>/dev/null || echo no-umount\n"
        "mount -t tmpfs x /tmp 2>/dev/null || echo no-mount\n"
        "unshare -r true 2>/dev/null || echo no-userns\n"
        "unshare -m true 2>/dev/null || echo no-mountns\n"
        "chroot /tmp true 2>/dev/null || echo no-chroot\n"
        "mknod /tmp/sda b 8 0 2>/dev/null || echo no-mknod\n"
        "hostname other 2>/dev/null || echo no-hostname\n"
        "echo 1 2>/dev/null >/proc/sys/kernel/panic || echo no-sysctl\n"
        "echo b 2>/dev/null >/proc/sysrq-trigger; cat /proc/kcore /proc/keys | wc -c\n"
        "ls /proc/1/fd 2>/dev/null || echo init-closed\n"
        "cat /proc/1/mem 2>/dev/null || echo init-closed\n"
        "kill -9 1; echo init-lives\n"
        "ls /sys 2>/dev/null || echo no-sys\n"
        "ls -d /oldroot /home /root 2>/dev/null || echo no-host\n"
        "echo x >/tmp/x && cat /tmp/x\n"
        "ls /proc | grep -c '^[0-9]' >/tmp/n; test $(cat /tmp/n) -lt 6 && echo own-pids\n"
        "grep -c : /proc/net/dev\n"
        "ls /dev | tr '\\n' ' '\n"
        "ulimit -c; ulimit -n\n"
        "ls /proc/self/fd | wc -l\n"; /* with the one of ls itself */
    struct bench b;
    struct sandbox_spec s;
    char *out;

    NEED();
    bench_open(&b);
    s = spec_of(&b, NULL);
    out = run_script(&b, &s, script);
    ck_assert_str_eq(out,
                     "0\n1\n1\nroot-ro\ncode-ro\ndev-ro\nrun-ro\nno-remount\nno-remount\nno-umount\n"
                     "no-umount\nno-mount\nno-userns\nno-mountns\nno-chroot\nno-mknod\n"
                     "no-hostname\nno-sysctl\n0\ninit-closed\ninit-closed\ninit-lives\nno-sys\n"
                     "no-host\nx\nown-pids\n1\n"
                     "fd full mqueue null random shm stderr stdin stdout urandom zero 0\n1024\n4\n");
    free(out);
    bench_close(&b);
}
END_TEST

/* overlayfs has no idmapped mounts, tmpfs since Linux 6.3. */
static bool maps_ids(const char *path)
{
    int major = 0, minor = 0;
    struct utsname kernel;
    struct statfs fs;

    ck_assert_int_eq(uname(&kernel), 0);
    ck_assert_int_eq(sscanf(kernel.release, "%d.%d", &major, &minor), 2);
    return statfs(path, &fs) == 0 && fs.f_type != OVERLAYFS_SUPER_MAGIC &&
           (fs.f_type != TMPFS_MAGIC || major * 1000 + minor >= 6003);
}

/* What is there besides the mounts, and what of the node is not seen. */
START_TEST(hardened)
{
    static const char script[] =
        "stat -c %u /var/task/file /bin/busybox\n"
        "for f in cmdline interrupts diskstats keys kallsyms; do cat /proc/$f; done 2>/dev/null | wc -c\n"
        "ls -d /proc/fs/* /proc/bus/* /proc/irq/* /proc/driver/* /proc/tty/* /proc/pressure/* 2>/dev/null | wc -l\n"
        "grep -c processor /proc/cpuinfo | grep -vc '^0'; cat /proc/sys/kernel/hostname\n"
        "ulimit -l; ulimit -s; grep -E 'core|msgq|pend|nice|realtime pr' /proc/self/limits | tr -s ' '\n"
        "(echo 0 >/proc/self/oom_score_adj) 2>/dev/null || echo not-spared\n"
        "touch /dev/null 2>/dev/null || echo the-nodes-null; echo x >/dev/null && umask\n"
        "readlink /proc/self/ns/time\n";
    char own[64] = "", expected[1024];
    struct bench b;
    struct sandbox_spec s;
    char *out, *time;

    NEED();
    bench_open(&b);
    put(b.code, "file", "", 0644);
    s = spec_of(&b, NULL);
    out = run_script(&b, &s, script);
    time = strstr(out, "time:[");
    ck_assert_msg(time, "%s", out);
    ck_assert_int_gt(readlink("/proc/self/ns/time", own, sizeof(own) - 1), 0);
    ck_assert_int_ne(strncmp(time, own, strlen(own)), 0);
    *time = '\0';
    snprintf(expected, sizeof(expected),
             "%d\n%d\n0\n0\n1\ndemo\n8192\n8192\n"
             "Max core file size 1 1 bytes \n"
             "Max pending signals 4096 4096 signals \n"
             "Max msgqueue size 819200 819200 bytes \n"
             "Max nice priority 0 0 \n"
             "Max realtime priority 0 0 \n"
             "not-spared\nthe-nodes-null\n0022\n",
             maps_ids(b.code) ? 0 : 65534, maps_ids(b.root) ? 0 : 65534);
    ck_assert_str_eq(out, expected);
    free(out);
    bench_close(&b);
}
END_TEST

START_TEST(limits_hold)
{
    struct bench b;
    struct sandbox_spec s;
    char *out;

    NEED();
    bench_open(&b);
    if (bench_without_limits(&b))
        return;
    s = spec_of(&b, NULL);
    s.memory = 32u << 20;
    /* tail keeps all of an endless line: anonymous memory past the limit. */
    free(run_script(&b, &s, "exec tail -n 1 /dev/zero"));
    ck_assert(b.exit.oom);
    ck_assert_int_eq(b.exit.signal, SIGKILL);
    ck_assert_int_eq(b.exit.code, -1);
    ck_assert_uint_gt(b.exit.memory_peak, 16u << 20);
    /* Killed by someone else is not that. */
    free(run_script(&b, &s, "kill -9 $$"));
    ck_assert(!b.exit.oom);
    ck_assert_int_eq(b.exit.signal, SIGKILL);
    s.pids = 5;
    /* Only what the shell does itself: there is no room for another process after. */
    out = run_script(&b, &s,
                     "(for i in 1 2 3 4 5 6 7 8; do sleep 1000 >/dev/null 2>&1 & done) 2>/tmp/said;"
                     "read -r line </tmp/said; echo \"$line\"");
    ck_assert_msg(strstr(out, "can't fork"), "%s", out);
    free(out);
    s.pids = 0;
    s.tmp_size = 1u << 20;
    out = run_script(&b, &s,
                     "head -c 900000 /dev/zero >/tmp/a && echo one;"
                     "head -c 900000 /dev/zero >/tmp/b 2>/dev/null || echo full");
    ck_assert_str_eq(out, "one\nfull\n");
    free(out);
    bench_close(&b);
}
END_TEST

static void fails(struct bench *b, const struct sandbox_spec *s, int code, const char *part)
{
    b->failed = 0;
    ck_assert_int_eq(launcher_create(b->launcher, s), 0);
    run_until(b, 'e');
    ck_assert_int_eq(b->failed, 1);
    ck_assert_msg(b->error.code == code && strstr(b->error.message, part), "%d %s", b->error.code,
                  b->error.message);
}

START_TEST(failures_explain_themselves)
{
    static const char *const absent[] = {"/var/task/bootstrap", NULL};
    static const char *const text[] = {"/var/task/text", NULL};
    static const char *const plain[] = {"/var/task/plain", NULL};
    struct bench b;
    struct sandbox_spec s;
    char path[PATH_MAX];

    NEED();
    bench_open(&b);
    put(b.code, "text", "\001\002\003", 0755);
    put(b.code, "plain", "#!/bin/sh\n", 0644);
    s = spec_of(&b, absent);
    fails(&b, &s, ENOENT, "exec /var/task/bootstrap: No such file or directory (");
    s.argv = text;
    fails(&b, &s, ENOEXEC, "exec /var/task/text: ");
    s.argv = plain;
    fails(&b, &s, EACCES, "exec /var/task/plain: Permission denied (is it executable");
    s.code_dir = "/nowhere/code";
    fails(&b, &s, ENOENT, "code directory /nowhere/code: No such");
    s = spec_of(&b, absent);
    s.kind.runtime_root = "/nowhere/root";
    fails(&b, &s, ENOENT, "runtime root /nowhere/root: No such");
    s = spec_of(&b, absent);
    snprintf(path, sizeof(path), "%s/run", b.root);
    ck_assert_int_eq(rmdir(path), 0);
    fails(&b, &s, ENOENT, "has no directory /run (hack/mkruntime makes it)");
    ck_assert_int_eq(b.started, 0);
    bench_close(&b);
}
END_TEST

START_TEST(bad_specs)
{
    static const char *const argv[] = {"/bin/sh", NULL}, *const relative[] = {"sh", NULL};
    static const char *const none[] = {NULL};
    static const char *const ids[] = {
        "",
        "A",
        "a/b",
        "..",
        "a b",
        "_agent",
        "0123456789012345678901234567890123456789012345678901234567890123"};
    char *big;
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_open(&b);
    s = spec_of(&b, argv);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        s.id = ids[i];
        ck_assert_int_eq(launcher_create(b.launcher, &s), -EINVAL);
    }
    s = spec_of(&b, relative);
    ck_assert_int_eq(launcher_create(b.launcher, &s), -EINVAL);
    s.argv = none;
    ck_assert_int_eq(launcher_create(b.launcher, &s), -EINVAL);
    big = calloc(1, 300000);
    memset(big, 'x', 299999);
    s = spec_of(&b, (const char *const[]){"/bin/sh", big, NULL});
    ck_assert_int_eq(launcher_create(b.launcher, &s), -EMSGSIZE);
    free(big);
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, "demo-1", 0), -ENOENT);
    s = spec_of(&b, argv);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    ck_assert_int_eq(launcher_create(b.launcher, &s), -EEXIST);
    run_until(&b, 'e');
    bench_close(&b);
}
END_TEST

START_TEST(stops)
{
    static const char *const polite[] = {
        "/bin/sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done",
        NULL};
    static const char *const deaf[] = {
        "/bin/sh", "-c", "trap '' TERM; sleep 1000 & echo ready; while :; do wait; done", NULL};
    struct bench b;
    struct sandbox_spec s;
    char ready[6], *out;

    NEED();
    bench_open(&b);
    s = spec_of(&b, polite);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    fcntl(b.at.stdout_fd, F_SETFL, 0);
    ck_assert_int_eq(read(b.at.stdout_fd, ready, 6), 6);
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, s.id, 60 * NS_PER_S), 0);
    run_until(&b, 'e');
    ck_assert_int_eq(b.exit.code, 5);
    out = slurp(b.at.stdout_fd);
    ck_assert_str_eq(out, "bye\n");
    free(out);
    close(b.at.stderr_fd);

    s.argv = deaf;
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    fcntl(b.at.stdout_fd, F_SETFL, 0);
    ck_assert_int_eq(read(b.at.stdout_fd, ready, 6), 6);
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, s.id, NS_PER_MS), 0);
    run_until(&b, 'e');
    ck_assert_int_eq(b.exit.signal, SIGKILL);
    ck_assert(!b.exit.oom);
    free(slurp(b.at.stdout_fd));
    close(b.at.stderr_fd);

    /* Before it started: nothing remains of it. */
    b.failed = b.started = 0;
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, s.id, 0), 0);
    run_until(&b, 'e');
    ck_assert_int_eq(b.failed, 1);
    ck_assert_int_eq(b.error.code, ECANCELED);
    bench_close(&b);
}
END_TEST

START_TEST(freezes_and_counts)
{
    static const char *const busy[] = {"/bin/sh", "-c",
                                       "trap 'exit 4' TERM; echo ready; while :; do :; done", NULL};
    struct sandbox_usage before, after;
    struct bench b;
    struct sandbox_spec s;
    char ready[6];

    NEED();
    bench_open(&b);
    s = spec_of(&b, busy);
    ck_assert_int_eq(launcher_usage(b.launcher, "box-999", &before), -ENOENT);
    ck_assert_int_eq(launcher_usage(b.launcher, "../x", &before), -ENOENT);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    fcntl(b.at.stdout_fd, F_SETFL, 0);
    ck_assert_int_eq(read(b.at.stdout_fd, ready, 6), 6);
    if (launcher_freeze(b.launcher, b.at.cgroup, true) == -EOPNOTSUPP) {
        printf("skipped: no freezer here\n");
        bench_close(&b);
        return;
    }
    /* Frozen when its time stands still twice in a row; it is busy otherwise. */
    ck_assert_int_eq(launcher_usage(b.launcher, b.at.cgroup, &before), 0);
    for (int still = 0; still < 2;) {
        struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

        nanosleep(&pause, NULL);
        ck_assert_int_eq(launcher_usage(b.launcher, b.at.cgroup, &after), 0);
        still = after.cpu_ns == before.cpu_ns ? still + 1 : 0;
        before = after;
    }
    /* A stop thaws it, so that it hears the SIGTERM. */
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, s.id, 60 * NS_PER_S), 0);
    run_until(&b, 'e');
    ck_assert_int_eq(b.exit.code, 4);
    close(b.at.stdout_fd);
    close(b.at.stderr_fd);
    bench_close(&b);
}
END_TEST

/* Accepts one connection, reads to its end. */
static void accept_and_expect(int listener, const char *text)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    char *got;
    int fd;

    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(poll(&p, 1, 20000), 1);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    got = slurp(fd);
    ck_assert_str_eq(got, text);
    free(got);
    close(listener);
}

START_TEST(sockets_inside)
{
    static const char *const argv[] = {
        "/bin/sh", "-c",
        "echo $ROUSE_RUNTIME_SOCKET | nc local:$ROUSE_RUNTIME_SOCKET; echo api | nc 127.0.0.1 "
        "9001; exit 0",
        NULL};
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_open(&b);
    s = spec_of(&b, argv);
    s.kind.frames_socket = true;
    s.kind.api_port = 9001;
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    ck_assert_int_ge(b.at.frames_listen_fd, 0);
    close(b.at.frames_listen_fd);
    accept_and_expect(b.at.api_listen_fd, "api\n");
    run_until(&b, 'e');
    free(slurp(b.at.stdout_fd));
    free(slurp(b.at.stderr_fd));
    /* One alone must not be taken for the other. */
    s.kind.frames_socket = false;
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    ck_assert_int_eq(b.at.frames_listen_fd, -1);
    accept_and_expect(b.at.api_listen_fd, "api\n");
    run_until(&b, 'e');
    close(b.at.stdout_fd);
    close(b.at.stderr_fd);
    bench_close(&b);
}
END_TEST

/* The first watch would be lost, and hold the socket whose end tells the launcher to end. */
START_TEST(attached_once)
{
    struct bench b;

    NEED();
    bench_open(&b);
    ck_assert_int_eq(launcher_attach(b.launcher, b.loop, &bench_ops, &b), -EALREADY);
    bench_close(&b);
}
END_TEST

START_TEST(many_at_once)
{
    static const char *const argv[] = {"/bin/sh", "-c", "exit 0", NULL};
    struct bench b;
    struct sandbox_spec s;

    NEED();
    bench_make(&b);
    bench_launch(&b, false, &many_ops);
    s = spec_of(&b, argv);
    run_many(&b, s, 24);
    bench_close(&b);
}
END_TEST

/* Without root a function still runs and is still shut in; what is missing is said. */
START_TEST(rootless)
{
    struct bench b;
    struct sandbox_spec s;
    char *out;

    NEED();
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
    ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
    bench_open(&b);
    ck_assert_ptr_nonnull(launcher_warning(b.launcher));
    ck_assert(!strncmp(launcher_warning(b.launcher), "not root: ", 10));
    s = spec_of(&b, NULL);
    out = run_script(&b, &s,
                     "id -u; touch /x 2>/dev/null || echo ro; mount -t tmpfs x /tmp 2>/dev/null ||"
                     "echo no-mount; grep CapEff /proc/self/status; echo x >/tmp/x; cat /tmp/x;"
                     "test $(ulimit -u) = 257 || uname -r");
    /* The kernel counts processes of a user namespace for itself since 5.14. */
    ck_assert_str_eq(out, "1000\nro\nno-mount\nCapEff:\t0000000000000000\nx\n");
    free(out);
    ck_assert_int_eq(b.exit.code, 0);
    bench_close(&b);
}
END_TEST

/* How many processes and others hold the session keyring that this process has. */
static unsigned holders_of_keyring(void)
{
    const long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    unsigned serial, n = 0, found = 0;
    FILE *keys = fopen("/proc/keys", "re");
    char line[256];

    ck_assert_ptr_nonnull(keys);
    while (fgets(line, sizeof(line), keys))
        if (sscanf(line, "%x %*s %u", &serial, &n) == 2 && (long)serial == id)
            found = n;
    fclose(keys);
    ck_assert_uint_gt(found, 0);
    return found;
}

/* Neither the launcher nor any of its processes keeps the keys of the session that the agent was started in. */
START_TEST(no_keys_of_the_session)
{
    const uint64_t until = clock_monotonic_ns() + LIMIT;
    struct bench b;
    struct sandbox_spec s;
    unsigned before;

    NEED();
    ck_assert_int_gt(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), 0);
    before = holders_of_keyring();
    bench_open(&b);
    s = spec_of(&b, NULL);
    free(run_script(&b, &s, "true"));
    /* A process that has left it is counted until the kernel's grace period is over. */
    while (holders_of_keyring() > before)
        ck_assert_msg(clock_monotonic_ns() < until, "%u hold it", holders_of_keyring());
    bench_close(&b);
}
END_TEST

UNIT_MAIN("sandbox", says_hello, v1_alone, cannot, hardened, limits_hold,
          failures_explain_themselves, bad_specs, stops, freezes_and_counts, sockets_inside,
          attached_once, many_at_once, rootless, no_keys_of_the_session)
