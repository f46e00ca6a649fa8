/* options_internal.h - what a flag of rouse-agent has for a value, where that is its own: daemon_flag.take. */
#pragma once
#include "base/daemon_flags.h"
#include "router/options.h"

#define OPTION_TAKER(name)                                                                         \
    int option_take_##name(const struct daemon_flag *f, const char *said, char *value,             \
                           void *options, struct err *e)

OPTION_TAKER(node);
OPTION_TAKER(label);
OPTION_TAKER(taint);
OPTION_TAKER(cpu);
OPTION_TAKER(freeze_after);
OPTION_TAKER(loops);
OPTION_TAKER(deny);
OPTION_TAKER(allow);
OPTION_TAKER(subnet);
