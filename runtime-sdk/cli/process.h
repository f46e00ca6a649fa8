/* process.h - the daemons of a state directory: started in the background, found again, ended.
 *
 * STATE/run/NAME.pid holds the pid and the time that process began (field 22 of
 * /proc/PID/stat): a pid that has gone to somebody else is never signalled. */
#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct process {
    pid_t pid;
    unsigned long long started; /* clock ticks since boot */
};

/* From the text of /proc/PID/stat; the name in it may hold blanks and brackets. -EINVAL. */
int process_parse_stat(const char *text, char *ret_state, unsigned long long *ret_started);
/* From the text of a pid file. -EINVAL. */
int process_parse_pidfile(const char *text, struct process *ret);
/* That very process, and no zombie. */
bool process_alive(const struct process *p);
/* -ENOENT: no such file. */
int process_read(const char *state, const char *name, struct process *ret);
bool process_running(const char *state, const char *name);
/* Its program's file has been removed or built anew since it began. */
bool process_outdated(const char *state, const char *name);
int process_forget(const char *state, const char *name);
/* Starts argv[0] in a session of its own, output appended to STATE/logs/NAME.log, and writes the
 * pid file. */
int process_start(const char *state, const char *name, char *const argv[], struct err *e);
/* Sends `sig` to that very process. -ESRCH: it is gone. */
int process_signal(const struct process *p, int sig);
/* Until it is gone or the deadline (monotonic ns): -ETIMEDOUT. */
int process_wait(const struct process *p, unsigned long long deadline);
/* Runs a helper program to its end, without a shell; its output goes away unless it fails: then it
 * is in `e`. */
int process_run(char *const argv[], const char *input, struct err *e);
/* The same, and the first line of what it said is in `line`. */
int process_ask(char *const argv[], char *line, size_t size, struct err *e);
/* Runs a tool in `dir` to its end, found in $PATH, with our own outputs and nothing on stdin. Its exit
 * status, 128 and more: killed; -errno: it could not be run. */
int process_call(char *const argv[], const char *dir, struct err *e);
