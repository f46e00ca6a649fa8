/* cli.h - what every command of `rouse` shares: its settings, its flags, its way to fail.
 *
 * One thread; a command returns the exit status: 0 done, 1 it failed, 2 it was
 * called wrongly, 3 nothing runs (status). */
#pragma once
#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>

enum exit_status { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_RUNNING };

struct settings { /* resolved: flag, environment, platform.json, default */
    const char *api, *gateway, *token, *ns, *state;
    bool state_named; /* --state or $ROUSE_STATE was given */
};

/* ---- flags: a table a command fills, and the global ones that each command takes */
enum flag_kind { FLAG_BOOL, FLAG_TEXT, FLAG_NUMBER, FLAG_LIST };
enum { FLAG_LIST_MAX = 64 };
struct flag_list {
    const char *at[FLAG_LIST_MAX];
    size_t count;
};
struct flag {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum flag_kind kind;
    void *value; /* bool *, const char **, long *, struct flag_list *: may be given again */
};
struct command {
    const char *name, *summary;
    const char *help; /* usage, flags and examples */
    int (*run)(const struct command *c, int argc, char **argv);
};
enum { POSITIONAL_MAX = 16 };
struct arguments {
    const char *positional[POSITIONAL_MAX];
    size_t count;
};
/* Takes the flags of `flags` and the global ones out of argv. -1: go on. Else the exit status: help
 * was printed (0), or the message about what is wrong (2). */
int flags_parse(const struct command *c, const struct flag *flags, size_t n, int argc, char **argv,
                struct settings *s, struct arguments *ret);

/* Fills what was not given from the environment and STATE/platform.json. The strings live as long
 * as the program. */
int settings_resolve(struct settings *s);

/* "rouse: text" on stderr; returns EXIT_FAILED. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with a hint to --help; returns EXIT_USAGE. */
int usage(const struct command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Colours, where stdout is a terminal and NO_COLOR is not set; else "". */
const char *color_good(void);
const char *color_bad(void);
const char *color_dim(void);
const char *color_off(void);

extern const struct command command_up, command_down, command_status, command_apply, command_get,
    command_delete, command_invoke, command_logs, command_kubeconfig, command_new, command_build,
    command_run, command_deploy, command_cordon, command_uncordon, command_drain,
    command_node_provider;
int cli_main(int argc, char **argv);
