/* cmd_down.c - rouse down: nothing of the platform runs after it; what was applied stays in its
 * directory. */
#include "cli/cli.h"
#include "cli/daemons.h"
#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_down(const struct command *c, int argc, char **argv)
{
    cleanup_fd int lock = -1;
    char state[PATH_MAX];
    struct settings s = {0};
    struct arguments args;
    struct err e = {0};
    int r = flags_parse(c, NULL, 0, argc, argv, &s, &args), stopped;

    if (r >= 0)
        return r;
    if (args.count)
        return usage(c, "unexpected \"%s\"", args.positional[0]);
    if (!s.state)
        s.state = getenv("ROUSE_STATE");
    if (!s.state || !*s.state) {
        static char fallback[PATH_MAX];

        if (platform_default_state(fallback, sizeof(fallback)) < 0)
            return fail("no $HOME: say --state DIR");
        s.state = fallback;
    }
    if (!realpath(s.state, state)) {
        if (errno != ENOENT)
            return fail("%s: %s", s.state, strerror(errno));
        printf("Nothing runs.\n");
        return EXIT_DONE;
    }
    lock = daemons_lock(state, LOCK_SECONDS);
    if (lock == -EWOULDBLOCK)
        return fail("another rouse up or down is at work in %s", state);
    if (lock < 0)
        return fail("%s/lock: %s", state, strerror(-lock));
    stopped = daemons_stop(state, &e);
    if (stopped < 0)
        return fail("%s", e.message);
    printf(stopped ? "Stopped.\n" : "Nothing runs.\n");
    return EXIT_DONE;
}

const struct command command_down = {
    "down", "stop the platform",
    "Usage: rouse down [--state DIR]\n"
    "\n"
    "Stops the agents, then the controller. Functions stay applied: the next `rouse up` has them.\n"
    "\n"
    "Examples:\n"
    "  rouse down\n"
    "  rouse down --state /tmp/second\n",
    run_down};
