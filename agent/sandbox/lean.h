/* lean.h - forks without the libraries that they do not need.
 *
 * A fork copies each mapping's description and page tables. The agent's libraries (curl's and nftables' bring some
 * forty) are two hundred mappings, and every sandbox is forked twice; its builder and init call the C library
 * and libmnl alone. */
#pragma once

/* From now on the forks of this process have neither text nor data of the other libraries. They must not call them,
 * nor fork(3), whose handlers are theirs: clone(2) only. For a process of one thread. */
void lean_forks(void);
