/* launch.h - what `rouse run` executes: the program of the function, with this machine's languages, in a
 * debugger on demand. */
#pragma once
#include "cli/project.h"
#include "cli/words.h"

struct launch { /* zero-initialise */
    const struct project *project;
    const char *built; /* where a program of C is */
    bool debug;
    struct words argv;
};
/* `debug_dir` has the program that was built for a debugger. Says what is missing; the exit status. */
int launch_prepare(struct launch *l, const struct project *p, bool debug, const char *debug_dir);
void launch_done(struct launch *l);
