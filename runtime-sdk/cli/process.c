#include "cli/process.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

static int read_text(const char *path, char *out, size_t size)
{
    cleanup_buffer struct buffer b = {0};
    int r = file_read(AT_FDCWD, path, size - 1, &b);

    if (r < 0)
        return r;
    snprintf(out, size, "%.*s", (int)buffer_size(&b),
             buffer_size(&b) ? (const char *)buffer_bytes(&b) : "");
    return 0;
}

int process_parse_stat(const char *text, char *ret_state, unsigned long long *ret_started)
{
    const char *p = strrchr(text, ')');
    char state;
    unsigned long long started;

    /* After the name come the state (field 3) and, 19 fields on, the start time (22). */
    if (!p ||
        sscanf(p, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &state, &started) != 2)
        return -EINVAL;
    *ret_state = state;
    *ret_started = started;
    return 0;
}

static int read_stat(pid_t pid, char *ret_state, unsigned long long *ret_started)
{
    char path[64], text[1024];
    int r;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    r = read_text(path, text, sizeof(text));
    return r < 0 ? r : process_parse_stat(text, ret_state, ret_started);
}

bool process_alive(const struct process *p)
{
    unsigned long long started;
    char state;

    return read_stat(p->pid, &state, &started) == 0 && started == p->started && state != 'Z' &&
           state != 'X';
}

static int pid_path(const char *state, const char *name, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s/run/%s.pid", state, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int process_parse_pidfile(const char *text, struct process *ret)
{
    unsigned long long started;
    char end;
    int pid;

    if (sscanf(text, "%d %llu%c", &pid, &started, &end) != 3 || end != '\n' || pid <= 1)
        return -EINVAL;
    *ret = (struct process){pid, started};
    return 0;
}

int process_read(const char *state, const char *name, struct process *ret)
{
    char path[PATH_MAX], text[128];
    int r = pid_path(state, name, path);

    if (r == 0)
        r = read_text(path, text, sizeof(text));
    return r < 0 ? r : process_parse_pidfile(text, ret);
}

bool process_running(const char *state, const char *name)
{
    struct process p;

    return process_read(state, name, &p) == 0 && process_alive(&p);
}

bool process_outdated(const char *state, const char *name)
{
    static const char deleted[] = " (deleted)";
    char path[64], exe[PATH_MAX];
    struct process p;
    ssize_t n;

    if (process_read(state, name, &p) < 0 || !process_alive(&p))
        return false;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)p.pid);
    n = readlink(path, exe, sizeof(exe));
    return n >= (ssize_t)strlen(deleted) &&
           memcmp(exe + n - strlen(deleted), deleted, strlen(deleted)) == 0;
}

int process_forget(const char *state, const char *name)
{
    char path[PATH_MAX];
    int r = pid_path(state, name, path);

    return r < 0 ? r : unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- starting */

/* What every child of ours starts with: no signal blocked or ignored that this program may have
 * inherited so. */
static void plain_signals(posix_spawnattr_t *attr)
{
    sigset_t none, standard;

    sigemptyset(&none);
    sigemptyset(&standard);
    sigaddset(&standard, SIGINT);
    sigaddset(&standard, SIGTERM);
    sigaddset(&standard, SIGHUP);
    sigaddset(&standard, SIGPIPE);
    posix_spawnattr_setsigmask(attr, &none);
    posix_spawnattr_setsigdefault(attr, &standard);
}

static int spawn(char *const argv[], int in, int out, bool session, pid_t *ret)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int r;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, out, 2);
    plain_signals(&attr);
    posix_spawnattr_setflags(&attr, session ? flags | POSIX_SPAWN_SETSID : flags);
    r = posix_spawnp(ret, argv[0], &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -r;
}

static int write_pid(const char *state, const char *name, pid_t pid)
{
    unsigned long long started;
    char path[PATH_MAX], text[64], st;
    int r = read_stat(pid, &st, &started);

    if (r == 0)
        r = pid_path(state, name, path);
    if (r < 0)
        return r;
    snprintf(text, sizeof(text), "%d %llu\n", (int)pid, started);
    return file_write_atomic(path, text, strlen(text), 0644);
}

int process_start(const char *state, const char *name, char *const argv[], struct err *e)
{
    char path[PATH_MAX];
    cleanup_fd int out = -1, in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid;
    int r;

    if (snprintf(path, sizeof(path), "%s/logs/%s.log", state, name) >= (int)sizeof(path))
        return err_set(e, ENAMETOOLONG, "%s: the path is too long", state);
    out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (out < 0 || in < 0)
        return err_errno(e, errno, "%s", path);
    r = spawn(argv, in, out, true, &pid);
    if (r < 0)
        return err_errno(e, -r, "cannot start %s", argv[0]);
    r = write_pid(state, name, pid);
    if (r < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return err_errno(e, -r, "cannot write the pid file of %s", name);
    }
    return 0;
}

/* ---- ending */

/* A descriptor of that very process: opened first, looked at second, so that the pid cannot change
 * hands between. */
static int open_pid(const struct process *p)
{
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);

    if (fd < 0)
        return -errno;
    if (process_alive(p))
        return fd;
    close(fd);
    return -ESRCH;
}

int process_signal(const struct process *p, int sig)
{
    cleanup_fd int fd = open_pid(p);

    if (fd < 0)
        return fd;
    return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) < 0 ? -errno : 0;
}

int process_wait(const struct process *p, unsigned long long deadline)
{
    cleanup_fd int fd = open_pid(p);
    struct pollfd w = {.fd = fd, .events = POLLIN};

    if (fd == -ESRCH)
        return 0;
    if (fd < 0)
        return fd;
    for (;;) {
        unsigned long long now = clock_monotonic_ns();
        int r = poll(&w, 1, now < deadline ? (int)((deadline - now) / NS_PER_MS) + 1 : 0);

        if (r > 0) {
            waitpid(p->pid, NULL, WNOHANG); /* where it is a child of ours */
            return 0;
        }
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

/* ---- helper programs */

static void first_line(int fd, char *line, size_t size)
{
    ssize_t n = pread(fd, line, size - 1, 0);

    line[n > 0 ? n : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

/* Its first line is in `line`, whether it failed or not. */
static int run_to_end(char *const argv[], const char *input, char *line, size_t size, struct err *e)
{
    cleanup_fd int in = memfd_create("input", MFD_CLOEXEC), out = memfd_create("output", MFD_CLOEXEC);
    size_t n = input ? strlen(input) : 0;
    int status, r;
    pid_t pid;

    if (in < 0 || out < 0 || (n && pwrite(in, input, n, 0) != (ssize_t)n))
        return err_errno(e, errno, "%s", argv[0]);
    r = spawn(argv, in, out, false, &pid);
    if (r < 0)
        return err_errno(e, -r, "%s", argv[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(e, errno, "%s", argv[0]);
    first_line(out, line, size);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return err_set(e, EIO, "%s: %s", argv[0], line[0] ? line : "failed");
}

int process_run(char *const argv[], const char *input, struct err *e)
{
    char line[256];

    return run_to_end(argv, input, line, sizeof(line), e);
}

int process_ask(char *const argv[], char *line, size_t size, struct err *e)
{
    return run_to_end(argv, NULL, line, size, e);
}

int process_call(char *const argv[], const char *dir, struct err *e)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int status, r;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addchdir_np(&actions, dir);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    plain_signals(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawnp(&pid, argv[0], &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (r)
        return err_errno(e, r, "%s", argv[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(e, errno, "%s", argv[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
