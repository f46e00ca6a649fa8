/* names.h - the names this platform puts on the machine, all derived from its state directory.
 *
 * Pure but for one realpath(3). Two platforms with different state directories
 * never share a name, so each can remove its own and nothing else. */
#pragma once

struct names {
    char id[9];      /* 8 hex digits */
    char cgroup[16]; /* "rouse-<id>" in every hierarchy */
    char table[16];  /* "rouse-<id>", nftables, family inet */
    char link[8];    /* "r<6 hex>": what every host-side interface name starts with */
};

/* `state_dir` must exist. -errno of realpath(). */
int names_init(const char *state_dir, struct names *ret);
/* The same from a path that is already real. */
void names_of(const char *real_path, struct names *ret);
