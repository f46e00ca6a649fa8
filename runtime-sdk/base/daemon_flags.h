/* daemon_flags.h - a daemon's flags, by a table of them. Start-up only.
 *
 * One rule for all: a flag is said on the command line, as `--name value` or `--name=value`, or else by the
 * environment, as ROUSE_NAME (upper case, '_' for '-'), where an empty variable says nothing. So what is set for
 * `rouse up` reaches the daemons that it starts. A switch is `--name` alone; with a value, as a variable has one,
 * it is 1 or true, 0 or false. */
#pragma once
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { DAEMON_FLAGS_MAX = 64, DAEMON_FLAG_NAME_MAX = 48 };

struct daemon_flag {
    const char *name; /* "--queue-deadline" */
    /* 0, or -EINVAL with *e: daemon_flag_bad(). `said` is where the value comes from, the flag or the variable;
     * the value may be cut and kept: it lives as long as argv, or until the next daemon_flags_parse(). */
    int (*take)(const struct daemon_flag *f, const char *said, char *value, void *options,
                struct err *e);
    size_t offset;     /* of what is filled in the daemon's options, for the takers below */
    uint64_t min, max; /* both are taken */
    const char *want;  /* "is not a duration between 1s and 10m" */
    enum daemon_flag_kind {
        DAEMON_FLAG_ONCE,
        DAEMON_FLAG_AGAIN,  /* each adds; the environment's too */
        DAEMON_FLAG_SWITCH, /* needs no value */
        DAEMON_FLAG_HERE    /* on the command line alone */
    } kind;
};

/* Fills `options` from argv[1...] and the environment. -EINVAL with the flag or variable, its value and what it
 * should be in *e; -ENOMEM. Cuts "name=value" in argv. */
int daemon_flags_parse(const struct daemon_flag *table, size_t count, int argc, char **argv,
                       void *options, struct err *e);
/* "--help" or "--version", whichever comes first in argv and whatever else is wrong there; or NULL. */
const char *daemon_flags_question(int argc, char **argv);
void daemon_flag_variable(const struct daemon_flag *f, char ret[DAEMON_FLAG_NAME_MAX]);

/* -EINVAL, "said "value": want" */
int daemon_flag_bad(struct err *e, const char *said, const char *value, const char *want);

/* ---- `take` of a flag that is ... */
int daemon_flag_text(const struct daemon_flag *f, const char *said, char *value, void *options,
                     struct err *e); /* const char *, not empty */
int daemon_flag_switch(const struct daemon_flag *f, const char *said, char *value, void *options,
                       struct err *e); /* bool */
int daemon_flag_number(const struct daemon_flag *f, const char *said, char *value, void *options,
                       struct err *e); /* uint32_t */
int daemon_flag_memory(const struct daemon_flag *f, const char *said, char *value, void *options,
                       struct err *e); /* uint64_t, bytes */
int daemon_flag_duration(const struct daemon_flag *f, const char *said, char *value, void *options,
                         struct err *e); /* uint64_t, ns */
