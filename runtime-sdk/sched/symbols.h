/* symbols.h - names for addresses of code, of this program from its symbol table (static functions too, and in a
 * static program), of shared libraries from what they export. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct symbol {
    const char *name; /* NULL: unknown; "program": of this file, which has no symbols. Lives for ever */
    uint64_t offset;
};

/* Any thread, one at a time. `in_handler`: only what a signal handler may do, so no shared libraries. */
struct symbol symbol_of(uintptr_t address, bool in_handler);
