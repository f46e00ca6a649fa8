/* build.h - what makes a function's directory ready to run and to apply. Says what it does; what a
 * compiler says is passed on. */
#pragma once
#include "cli/project.h"

#include <stdio.h>

struct build_options {
    bool force;        /* though nothing is newer than what was built */
    bool quiet;        /* nothing is said where nothing is done */
    FILE *to;          /* where it is said; NULL: stdout */
    const char *debug; /* not NULL: for a debugger, into this directory */
};
/* C sources beside a manifest of the runtime `provided` become the program that spec.code.path is
 * expected to have; the sources of other languages are checked. The exit status. */
int build_project(const struct project *p, const struct build_options *o);
