/* cli.c - picks the command; help and version. */
#include "cli/cli.h"
#include "base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROUSE_VERSION "0.1"

static int run_version(const struct command *c, int argc, char **argv);
static const struct command command_version = {
    "version", "print the version", "Usage: rouse version\n\nPrints the version of this program.\n",
    run_version};

static const struct command *const commands[] = {
    &command_new,
    &command_run,
    &command_build,
    &command_deploy,
    &command_up,
    &command_down,
    &command_status,
    &command_apply,
    &command_get,
    &command_delete,
    &command_invoke,
    &command_logs,
    &command_kubeconfig,
    &command_cordon,
    &command_uncordon,
    &command_drain,
    &command_node_provider,
    &command_version,
};

static int run_version(const struct command *c, int argc, char **argv)
{
    struct arguments a;
    struct settings s = {0};
    int r = flags_parse(c, NULL, 0, argc, argv, &s, &a);

    if (r >= 0)
        return r;
    if (a.count)
        return usage(c, "version takes no argument, not \"%s\"", a.positional[0]);
    printf("rouse %s\n", ROUSE_VERSION);
    return EXIT_DONE;
}

static void print_help(FILE *to)
{
    fputs("rouse runs functions: they sleep at zero and are woken by a request.\n\nUsage: rouse "
          "COMMAND [FLAGS]\n\n",
          to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  %-13s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nFlags of every command:\n"
          "  --api URL            the API (else $ROUSE_API, else what `rouse up` wrote, else "
          "http://127.0.0.1:7080)\n"
          "  --gateway URL        where functions are called (else $ROUSE_GATEWAY, ..., else "
          "http://127.0.0.1:8080)\n"
          "  --token TOKEN        (else $ROUSE_TOKEN, else STATE/token)\n"
          "  --state DIR          the platform's directory (else $ROUSE_STATE, else the user's "
          "default)\n"
          "  -n, --namespace NS   default: default\n\n"
          "Start here:\n"
          "  rouse new c hello && cd hello    a function (python3, nodejs: likewise)\n"
          "  rouse run                        on this machine, without a platform\n"
          "  rouse up && rouse deploy         on a platform\n"
          "  rouse invoke hello\n\n"
          "`rouse COMMAND --help` shows examples of each.\n",
          to);
}

int cli_main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0)
        return run_version(&command_version, 0, NULL);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(commands[i], argc - 2, argv + 2);
    if (argv[1][0] == '-')
        fprintf(stderr,
                "rouse: flags come after the command, and \"%s\" is none. Try rouse --help.\n",
                argv[1]);
    else
        fprintf(stderr, "rouse: there is no command \"%s\". Try rouse --help.\n", argv[1]);
    return EXIT_USAGE;
}

int fail(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("rouse: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

int usage(const struct command *c, const char *fmt, ...)
{
    va_list ap;

    fputs("rouse: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, ". Try rouse %s --help.\n", c->name);
    return EXIT_USAGE;
}

static const char *color(const char *code)
{
    return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") ? code : "";
}
const char *color_good(void)
{
    return color("\033[32m");
}
const char *color_bad(void)
{
    return color("\033[31m");
}
const char *color_dim(void)
{
    return color("\033[2m");
}
const char *color_off(void)
{
    return color("\033[0m");
}
