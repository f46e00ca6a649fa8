/* daemons_ready.c - whether the daemons serve, and what they have said that they cannot enforce. */
#include "cli/daemons.h"
#include "cli/http.h"
#include "cli/process.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static bool ready(const char *url, const char *token)
{
    cleanup_response struct http_response a = {0};
    char full[2 * URL_MAX];
    struct http_request q = {.method = "GET", .url = full, .token = token, .timeout_ms = 1000};

    snprintf(full, sizeof(full), "%s/readyz", url);
    return http_do(&q, &a) == 0 && a.status == 200;
}

static void show_log(const char *state, const char *name)
{
    enum { LINES = 10 };
    cleanup_buffer struct buffer b = {0};
    char path[PATH_MAX];
    const char *p, *end;
    unsigned lines = 0;

    if (snprintf(path, sizeof(path), "%s/logs/%s.log", state, name) >= (int)sizeof(path) ||
        file_read(AT_FDCWD, path, 64u << 20, &b) < 0 || !buffer_size(&b))
        return;
    p = (const char *)buffer_bytes(&b);
    end = p + buffer_size(&b);
    for (const char *s = end - 1; s > p && lines < LINES; s--)
        if (s[-1] == '\n' && ++lines == LINES)
            p = s;
    fprintf(stderr, "The end of %s:\n%.*s", path, (int)(end - p), p);
}

/* Until it answers 200, ends, or the deadline passes. */
static int wait_one(const char *state, const char *name, const char *url, const char *token,
                    uint64_t deadline)
{
    for (;;) {
        struct timespec pause = {0, 15 * 1000000};

        if (!process_running(state, name)) {
            fail("%s ended before it was ready", name);
            break;
        }
        if (ready(url, token))
            return EXIT_DONE;
        if (clock_monotonic_ns() >= deadline) {
            fail("%s is not ready in time: %s/readyz does not answer 200", name, url);
            break;
        }
        nanosleep(&pause, NULL);
    }
    show_log(state, name);
    return EXIT_FAILED;
}

int daemons_wait_ready(const char *state, const struct platform *p, const char *token,
                       unsigned seconds)
{
    uint64_t deadline = clock_monotonic_ns() + seconds * NS_PER_S;
    int r = wait_one(state, CONTROLLER_NAME, p->api, token, deadline);

    for (unsigned i = 0; i < p->node_count && r == EXIT_DONE; i++) {
        struct process process;
        char name[80];

        daemon_agent_name(&p->nodes[i], name);
        if (!p->nodes[i].leaving && process_read(state, name, &process) == 0)
            r = wait_one(state, name, p->nodes[i].metrics, token, deadline);
    }
    return r;
}

/* ---- what is not enforced */
enum { LOG_TAIL = 64 << 10 };

static char *log_tail(const char *state, const char *name)
{
    cleanup_free char *text = malloc(LOG_TAIL + 1);
    char path[PATH_MAX];
    cleanup_fd int fd = -1;
    struct stat st;
    ssize_t n;

    if (!text || snprintf(path, sizeof(path), "%s/logs/%s.log", state, name) >= (int)sizeof(path))
        return NULL;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    n = pread(fd, text, LOG_TAIL, st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    return TAKE_PTR(text);
}

/* The log holds earlier lives, too: a life begins with the node's line. */
void daemons_print_warnings(const char *state, const struct platform *p)
{
    static const char begins[] = " info agent: node ", warns[] = " warn agent: sandbox: ";

    for (unsigned i = 0; i < p->node_count; i++) {
        char name[80];
        cleanup_free char *text = NULL;
        const char *life = NULL, *said;

        daemon_agent_name(&p->nodes[i], name);
        text = log_tail(state, name);
        for (const char *at = text; at && (at = strstr(at, begins)); at++)
            life = at;
        said = life ? strstr(life, warns) : NULL;
        if (!said)
            continue;
        said += strlen(warns);
        printf("%s: %.*s\n", p->nodes[i].name, (int)strcspn(said, "\n"), said);
    }
}
