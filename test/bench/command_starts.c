/* command_starts.c - how long a command takes, from its vfork to its end: `command_starts COMMAND ARG...`; see starts.h. */
/* module: runtime-sdk/base */
#include "starts.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static uint64_t start(void *user)
{
    char *const *argv = user;
    uint64_t began = clock_monotonic_ns();
    posix_spawn_file_actions_t actions;
    int status, r;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r || waitpid(pid, &status, 0) != pid || status) {
        fprintf(stderr, "%s: %s\n", argv[0], r ? strerror(r) : "did not end well");
        exit(1);
    }
    return clock_monotonic_ns() - began;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: command_starts COMMAND ARG...\n");
        return 2;
    }
    return starts_serve(start, argv + 1);
}
