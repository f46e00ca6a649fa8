/* child.h - a program as a child of ours: it and what it starts end with us. On one loop.
 *
 * It is the leader of a process group, so that one signal reaches all of them
 * and Ctrl-C reaches none before we say so; the kernel kills it should we die. On
 * the terminal (a debugger) it stays in our group and owns stdin instead. */
#pragma once
#include "base/error.h"
#include "reactor/loop.h"

#include <sys/types.h>

struct child_options {
    const char *const *argv; /* argv[0] is a path */
    char *const *env;
    const char *cwd;
    bool terminal; /* our own stdin, stdout and stderr */
};
struct child { /* embed, zero-initialised */
    struct loop *loop;
    struct loop_watch watch;
    pid_t pid; /* 0: none runs */
    bool terminal;
    void (*on_exit)(struct child *c, int status); /* as waitpid(); what it left behind is killed */
};
/* *ret_out and *ret_err are the reading ends of its outputs, -1 on a terminal. What exec(2) says is in
 * `e`. */
int child_start(struct child *c, struct loop *loop, const struct child_options *o,
                void (*on_exit)(struct child *c, int status), int *ret_out, int *ret_err,
                struct err *e);
void child_signal(const struct child *c, int sig); /* the whole group; no-op when it is gone */
void child_done(struct child *c);                  /* kills and reaps; no callback */

enum { CHILD_STATUS_MAX = 96 };
/* "it exited with status 3", "it was killed by SIGSEGV (Segmentation fault)" */
void child_status_text(int status, char out[CHILD_STATUS_MAX]);
