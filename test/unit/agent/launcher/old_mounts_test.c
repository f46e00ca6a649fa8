/* Sandboxes where open_tree(2) and its like do not exist, as before Linux 5.12, or are refused by a filter around the
 * agent: a filter of the test's own. What is inside is the same. */
#include "agent/launcher/bench.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

/* For this process and all that it forks. */
static void refuse_new_mounts(unsigned error)
{
    static const unsigned calls[] = {SYS_open_tree, SYS_move_mount, SYS_fsopen,       SYS_fsconfig,
                                     SYS_fsmount,   SYS_fspick,     SYS_mount_setattr};
    struct sock_filter code[2 * ARRAY_LEN(calls) + 2];
    struct sock_fprog p = {.filter = code};

    code[p.len++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        code[p.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        code[p.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
    }
    code[p.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    ck_assert_int_eq(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p), 0);
}

/* What is mounted where and how, but for whose ids it has; and what cannot be written to. */
static const char look[] =
    "cat /var/task/mine; hostname; cat /etc/hostname /etc/hosts; pwd; ls /dev | tr '\\n' ' '\n"
    "cut -d' ' -f2-4 /proc/self/mounts | sed 's/,[ug]id=[0-9]*//g; s/,idmapped//g' | sort\n"
    "for f in /x /var/task/x /dev/x /run/x /etc/x /proc/sys/x; do touch $f 2>/dev/null && echo writes $f; done\n"
    "mount -o remount,bind,rw /var/task 2>/dev/null && echo remounts\n"
    "umount /var/task 2>/dev/null && echo umounts\n"
    "touch /dev/null 2>/dev/null && echo changes the nodes null\n"
    "ls -d /home /root /oldroot 2>/dev/null; ls /proc/1/fd 2>/dev/null; ls /proc | grep -c '^1$'\n"
    "(echo 1 >/proc/sys/kernel/panic) 2>/dev/null && echo sysctl\n"
    "cat /proc/keys /proc/kcore 2>/dev/null | wc -c; ls -d /proc/fs/* 2>/dev/null\n"
    "echo x >/dev/null && echo y >/tmp/y && cat /tmp/y; grep -E 'Cap(Bnd|Eff)' /proc/self/status\n"
    "head -c 900000 /dev/zero >/tmp/a && echo one; head -c 900000 /dev/zero >/tmp/b 2>/dev/null || echo full\n"
    "exit 3\n";

static char *look_inside(struct bench *b)
{
    struct sandbox_spec s;
    char *out;

    bench_open(b);
    put(b->code, "mine", "code\n", 0644);
    s = spec_of(b, NULL);
    s.hostname = "looker";
    s.tmp_size = 1u << 20;
    s.kind.frames_socket = true;
    out = run_script(b, &s, look);
    ck_assert_int_eq(b->exit.code, 3);
    ck_assert(!b->at.pooled);
    close(b->at.frames_listen_fd);
    return out;
}

static void is_the_same(unsigned error)
{
    char *with, *without;
    struct bench b;

    with = look_inside(&b);
    ck_assert(!launcher_warning(b.launcher) || !strstr(launcher_warning(b.launcher), "open_tree"));
    bench_close(&b);
    ck_assert_msg(strstr(with, "code\nlooker\nlooker\n"), "%s", with);
    refuse_new_mounts(error);
    without = look_inside(&b);
    if (strcmp(with, without))
        fprintf(stderr, "with:\n%s\nwithout:\n%s\n", with, without);
    ck_assert(!strcmp(with, without));
    free(with);
    free(without);
    if (geteuid() == 0)
        ck_assert_msg(strstr(launcher_warning(b.launcher), "no sandbox is made ahead"), "%s",
                      launcher_warning(b.launcher));
    bench_close(&b);
}

START_TEST(unknown_calls)
{
    NEED();
    is_the_same(ENOSYS);
}
END_TEST

START_TEST(refused_calls)
{
    NEED();
    is_the_same(EPERM);
}
END_TEST

START_TEST(without_root)
{
    NEED();
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
    ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
    is_the_same(ENOSYS);
}
END_TEST

/* What can be had only by a detached mount is not waited for: none is parked, each is made for who asks. */
START_TEST(none_is_parked)
{
    static const char *const nothing[] = {"/bin/sh", "-c", "exit 0", NULL};
    struct bench b;
    struct sandbox_spec s;

    NEED();
    refuse_new_mounts(ENOSYS);
    bench_open(&b);
    s = spec_of(&b, nothing);
    ck_assert_int_eq(launcher_park(b.launcher, &s.kind, 2), 0);
    for (int i = 0; i < 3; i++) {
        s.hostname = i % 2 ? "odd" : "even";
        free(run_script(&b, &s, "exit 0"));
        ck_assert_int_eq(b.exit.code, 0);
        ck_assert(!b.at.pooled);
    }
    ck_assert_uint_eq(launcher_parked(b.launcher, b.root), 0);
    ck_assert_int_eq(b.failed, 0);
    bench_close(&b);
}
END_TEST

UNIT_MAIN("old mounts", unknown_calls, refused_calls, without_root, none_is_parked)
