/* server_start.c - the launcher before its first request: its own process, what an earlier life left, what it will need. */
#include "launcher/server.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/privilege.h"
#include "sandbox/syscall_list.h"
#include "sandbox/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define NO_TREES                                                                                   \
    "no sandbox is made ahead of use, and files inside are nobody's: open_tree or mount_setattr "  \
    "is refused (Linux 5.12 has them, and what the agent runs in must let them pass)"
enum { EARLIER_LIFE_MS = 10000, EARLIER_LIFE_POLL_MS = 5 };

/* The agent's signals are for the agent: a ^C must not race its orderly end, nor what kills its
 * process group keep the launcher from cleaning up. */
void server_become(int sock)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    struct rlimit files;
    sigset_t none;

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    /* Two descriptors a sandbox. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    setsid();
    /* The keys of whoever has logged in and started the agent. What fails here, boxes do for themselves. */
    privilege_new_keyring();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "rouse-launcher");
    log_init("launcher");
    if (sock > 3)
        close_range(3, (unsigned)sock - 1, 0);
    close_range((unsigned)sock + 1, ~0u, 0);
}

static void add_warning(char *to, size_t size, const char *text)
{
    size_t n = strlen(to);

    snprintf(to + n, size - n, "%s%s", n ? "; " : "", text);
}

/* One of eight blocks of ranges above 0x70000000, so that platforms side by side seldom share one.
 */
static uid_t default_uid_base(const struct names *names)
{
    uint32_t n = (uint32_t)strtoul(names->id, NULL, 16);

    return 0x70000000u + (n % 8) * SERVER_SANDBOXES_MAX * SANDBOX_ID_RANGE;
}

/* The launcher of an earlier life may still be removing what carries the same names. A record lock
 * is its process' alone (fork does not hand it on) and ends with it. The descriptor stays open for
 * life. */
static int wait_for_earlier_life(const char *state_dir, struct err *e)
{
    const struct timespec pause = {.tv_nsec = EARLIER_LIFE_POLL_MS * (long)NS_PER_MS};
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof(path), "%s/launcher.lock", state_dir) >= (int)sizeof(path))
        return err_errno(e, ENAMETOOLONG, "%s", state_dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    for (int waited = 0; fcntl(fd, F_SETLK, &whole) < 0; waited += EARLIER_LIFE_POLL_MS) {
        if (errno != EACCES && errno != EAGAIN)
            return err_errno(e, errno, "lock %s", path);
        if (waited >= EARLIER_LIFE_MS)
            return err_set(e, EBUSY, "%s: the launcher of an earlier agent is still at work", path);
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int prepare_seccomp(struct server *s, struct err *e)
{
    struct sock_fprog p;
    int r = syscall_list_compile(NULL, &p, e);

    if (r < 0)
        return r;
    r = syscall_list_file(&p, &s->seccomp_fd);
    syscall_list_done(&p);
    return r < 0 ? err_errno(e, -r, "seccomp program") : 0;
}

int server_prepare(struct server *s, const struct launcher_config *config, pid_t agent,
                   char *warning, size_t size, struct err *e)
{
    const pid_t pids[] = {agent, getpid()};
    char text[ERR_MESSAGE_MAX + 64];
    struct err net = {0};
    int r;

    r = wait_for_earlier_life(config->state_dir, e);
    if (r < 0)
        return r;
    s->privileged = geteuid() == 0;
    s->ahead = s->privileged && tree_detachable();
    s->park.asked = config->park_asked;
    s->uid_base = config->uid_base ? config->uid_base : default_uid_base(&s->names);
    if (s->uid_base > UINT32_MAX - SERVER_SANDBOXES_MAX * SANDBOX_ID_RANGE)
        return err_set(e, ERANGE, "uid base %u leaves no room for %u ranges of ids", s->uid_base,
                       SERVER_SANDBOXES_MAX);
    r = idpool_init(&s->slots, SERVER_SANDBOXES_MAX);
    if (r == 0)
        r = prepare_seccomp(s, e);
    if (r == 0)
        r = assign_open_home(&s->home, e);
    if (r < 0)
        return r;
    if (!s->privileged) {
        rootless_prepare(&s->rootless, &s->cgroups, pids, ARRAY_LEN(pids), warning, size);
        return 0;
    }
    if (!s->ahead)
        add_warning(warning, size, NO_TREES);
    if (cgroups_clean(&s->cgroups, &net) < 0)
        log_warn("left from an earlier life: %s", net.message);
    cgroups_prepare(&s->cgroups, pids, ARRAY_LEN(pids), warning, size);
    if (network_clean(&s->names, &net) < 0)
        log_debug("left from an earlier life: %s", net.message);
    if (network_init(&s->network, &s->names, &config->network, &net) < 0) {
        snprintf(text, sizeof(text), "no network beyond loopback: %s", net.message);
        add_warning(warning, size, text);
    } else if (!s->network.flows_limited) {
        add_warning(warning, size, "connections of an instance are not limited (nft_connlimit)");
    }
    if (s->network.usable && s->network.uplink.no_six) {
        snprintf(text, sizeof(text), "instances have no IPv6: %s", s->network.uplink.no_six);
        add_warning(warning, size, text);
    }
    return 0;
}
