/* bench.h - for tests that make real sandboxes: a busybox Runtime root, a launcher, a loop.
 *
 * Every case starts with NEED(): without root, namespaces or a static busybox
 * it counts as skipped and says why. */
#pragma once
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cgroup/cgroup.h"
#include "launcher/launcher.h"
#include "network/names.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define BUSYBOX "/usr/bin/busybox"
#define LIMIT   (20 * NS_PER_S)

/* A Runtime root with busybox, a code directory, and what was said about the sandbox. */
struct bench {
    char dir[64], root[96], code[96], state[96];
    struct loop *loop;
    struct launcher *launcher;
    struct network_config network; /* for bench_launch() */
    struct loop_timer limit;
    char want; /* stop the loop at: 's'tarted, 'e'nd, 'l'ost */
    bool v1_only;
    int started, failed, exited, lost;
    int many; /* run_many()'s ends that have not come */
    struct sandbox_started at;
    struct sandbox_exit exit;
    struct err error;
};

static inline void on_started(void *user, const char *id, const struct sandbox_started *s)
{
    struct bench *b = user;

    (void)id;
    b->started++;
    b->at = *s;
    if (b->want == 's')
        loop_stop(b->loop);
}

static inline void on_failed(void *user, const char *id, const struct err *e)
{
    struct bench *b = user;

    (void)id;
    b->failed++;
    b->error = *e;
    loop_stop(b->loop);
}

static inline void on_exit_cb(void *user, const char *id, const struct sandbox_exit *e)
{
    struct bench *b = user;

    (void)id;
    b->exited++;
    b->exit = *e;
    loop_stop(b->loop);
}

static inline void on_lost(void *user)
{
    struct bench *b = user;

    b->lost++;
    loop_stop(b->loop);
}

static inline void on_limit(struct loop_timer *t)
{
    struct bench *b = container_of(t, struct bench, limit);

    fprintf(stderr, "nothing came: started %d failed %d exited %d\n", b->started, b->failed,
            b->exited);
    loop_stop(b->loop);
}

static inline const char *missing(void)
{
    pid_t pid;
    int status;

#ifdef __SANITIZE_THREAD__
    /* The launcher's processes have one thread each, but for TSan's own, whose locks a clone(2) may inherit. */
    return "ThreadSanitizer does not know clone(2)";
#endif
    if (geteuid() != 0)
        return "not root";
    if (access(BUSYBOX, X_OK) < 0)
        return "no " BUSYBOX " (package busybox-static)";
    /* Not unshare(2): TSan's own thread forbids a new user namespace. */
    pid = (pid_t)syscall(
        SYS_clone, CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid < 0 || waitpid(pid, &status, 0) != pid || status
               ? "no user, network, pid or mount namespaces here"
               : NULL;
}

#define NEED()                                                                                     \
    do {                                                                                           \
        const char *why = missing();                                                               \
                                                                                                   \
        if (why) {                                                                                 \
            printf("skipped: %s\n", why);                                                          \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* Runs a command line of the test's own; its exit code, 0 for success. */
static inline int shell(const char *command)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void put(const char *dir, const char *name, const char *text, mode_t mode)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), mode), 0);
}

static inline void copy_busybox(const char *root)
{
    char command[512];

    snprintf(command, sizeof(command),
             "cp " BUSYBOX " %s/bin/ && chmod 755 %s/bin/busybox && "
             "ln -s busybox %s/bin/sh",
             root, root, root);
    ck_assert_int_eq(shell(command), 0);
}

static inline void bench_make(struct bench *b)
{
    static const char *const dirs[] = {"bin", "proc", "dev", "tmp",
                                       "run", "etc",  "var", "var/task"};

    *b = (struct bench){.dir = "/tmp/rouse-sandbox-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(b->dir));
    snprintf(b->root, sizeof(b->root), "%s/root", b->dir);
    snprintf(b->code, sizeof(b->code), "%s/code", b->dir);
    snprintf(b->state, sizeof(b->state), "%s/state", b->dir);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/%s", b->root, dirs[i]);
        ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    }
    ck_assert_int_eq(file_mkdirs(b->code, 0755), 0);
    ck_assert_int_eq(file_mkdirs(b->state, 0755), 0);
    copy_busybox(b->root);
    put(b->root, "etc/hosts", "", 0644);
    put(b->root, "etc/hostname", "", 0644);
    put(b->root, "etc/resolv.conf", "", 0644);
}

static const struct launcher_ops bench_ops = {on_started, on_failed, on_exit_cb, on_lost};

static inline void bench_launch(struct bench *b, bool v1_only, const struct launcher_ops *ops)
{
    const struct launcher_config config = {
        .state_dir = b->state, .cgroup_v1_only = v1_only, .network = b->network};
    struct err e = {0};
    int r = launcher_start(&config, &b->launcher, &e);

    b->v1_only = v1_only;
    ck_assert_msg(r == 0, "%s", e.message);
    ck_assert_int_eq(loop_new(&b->loop), 0);
    ck_assert_int_eq(launcher_attach(b->launcher, b->loop, ops, b), 0);
    b->limit.fn = on_limit;
}

static inline void bench_open(struct bench *b)
{
    bench_make(b);
    bench_launch(b, false, &bench_ops);
}

/* A launcher that had to be killed has left its tree. */
static inline void bench_close(struct bench *b)
{
    char state[PATH_MAX], path[PATH_MAX];
    struct names names;
    const char *const trees[] = {"cpu", "pids", "unified"};

    ck_assert_ptr_nonnull(realpath(b->state, state));
    names_of(state, &names);
    launcher_free(b->launcher);
    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", trees[i], names.cgroup);
        ck_assert_msg(access(path, F_OK) < 0, "%s is left behind", path);
    }
    loop_free(b->loop);
    file_remove_tree(b->dir);
}

/* Where this machine sets no limits: says so, closes the bench, and the case is skipped. */
static inline bool bench_without_limits(struct bench *b)
{
    const char *warning = launcher_warning(b->launcher);

    if (!warning || !strstr(warning, "not limited"))
        return false;
    printf("skipped: %s\n", warning);
    bench_close(b);
    return true;
}

static inline void run_until(struct bench *b, char want)
{
    b->want = want;
    loop_timer_set(b->loop, &b->limit, clock_monotonic_ns() + LIMIT);
    loop_run(b->loop);
    ck_assert_msg(loop_timer_armed(&b->limit), "waited for '%c' in vain", want);
    loop_timer_cancel(b->loop, &b->limit);
}

static inline struct sandbox_spec spec_of(struct bench *b, const char *const *argv)
{
    static const char *const env[] = {"PATH=/bin", "GREETING=hi", NULL};

    return (struct sandbox_spec){.id = "demo-1",
                                 .hostname = "demo",
                                 .kind = {.runtime_root = b->root, .network = SANDBOX_NETWORK_NONE},
                                 .code_dir = b->code,
                                 .argv = argv,
                                 .env = env,
                                 .memory = 64u << 20,
                                 .cpu_millis = 1000};
}

/* Reads until the end, after the exit. */
static inline char *slurp(int fd)
{
    struct buffer b = {0};

    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    for (;;) {
        uint8_t *at = buffer_reserve(&b, 4096);
        ssize_t n = read(fd, at, 4096);

        ck_assert_int_ge(n, 0);
        if (n == 0)
            break;
        buffer_commit(&b, (size_t)n);
    }
    close(fd);
    return buffer_take_string(&b);
}

/* Runs a shell script to its end; its stdout. */
static inline char *run_script(struct bench *b, struct sandbox_spec *s, const char *script)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    char *errors, *out;

    s->argv = argv;
    ck_assert_int_eq(launcher_create(b->launcher, s), 0);
    run_until(b, 's');
    ck_assert_msg(b->started && !b->failed, "%s", b->error.message);
    run_until(b, 'e');
    out = slurp(b->at.stdout_fd);
    errors = slurp(b->at.stderr_fd);
    if (*errors)
        fprintf(stderr, "%s: %s", s->id, errors);
    free(errors);
    return out;
}

static inline void close_started(void *user, const char *id, const struct sandbox_started *s)
{
    (void)user, (void)id;
    close(s->stdout_fd);
    close(s->stderr_fd);
}

static inline void count_end(void *user, const char *id, const struct sandbox_exit *e)
{
    struct bench *b = user;

    (void)id;
    ck_assert_int_eq(e->code, 0);
    if (--b->many == 0)
        loop_stop(b->loop);
}

/* For a bench_launch() before run_many(). */
static const struct launcher_ops many_ops = {close_started, on_failed, count_end, on_lost};

/* Creates so many of that spec, all at once; each ends with 0. */
static inline void run_many(struct bench *b, struct sandbox_spec s, int count)
{
    char id[24];

    b->many = count;
    s.id = id;
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "many-%d", i);
        ck_assert_int_eq(launcher_create(b->launcher, &s), 0);
    }
    run_until(b, 'e');
    ck_assert_int_eq(b->many, 0);
    ck_assert_int_eq(b->failed, 0);
}

/* Waits until the kernel says so of a cgroup whose freezing was asked for. */
static inline void wait_frozen(const struct bench *b, const char *cgroup)
{
    const uint64_t patience = clock_monotonic_ns() + LIMIT;
    struct cgroups c;
    struct names names;
    char path[64];

    ck_assert_int_eq(names_init(b->state, &names), 0);
    ck_assert_int_eq(cgroups_init(&c, names.cgroup, b->v1_only), 0);
    cgroups_open(&c);
    for (size_t i = 0; i < c.count; i++) {
        const struct cgroup_tree *t = &c.trees[i];
        char text[256] = "";

        if (!(t->controllers & 1u << CGROUP_FREEZER))
            continue;
        snprintf(path, sizeof(path), "%s/%s", cgroup, t->v2 ? "cgroup.events" : "freezer.state");
        while (!strstr(text, t->v2 ? "frozen 1" : "FROZEN")) {
            cleanup_fd int fd = openat(t->dir, path, O_RDONLY | O_CLOEXEC);
            ssize_t n;

            ck_assert_int_ge(fd, 0);
            n = read(fd, text, sizeof(text) - 1);
            ck_assert_int_gt(n, 0);
            text[n] = '\0';
            ck_assert_msg(clock_monotonic_ns() < patience, "%s stays %s", path, text);
            sched_yield();
        }
    }
    cgroups_done(&c);
}

static inline void freeze_and_wait(const struct bench *b, const char *cgroup)
{
    ck_assert_int_eq(launcher_freeze(b->launcher, cgroup, true), 0);
    wait_frozen(b, cgroup);
}
