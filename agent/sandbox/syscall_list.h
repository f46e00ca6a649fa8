/* syscall_list.h - the list of system calls a function may make.
 *
 * What is allowed runs; what is known and refused answers EPERM; everything
 * else, which includes calls newer than this list, answers ENOSYS, so that C
 * libraries take their older way. Compiled once by the launcher: compiling
 * costs milliseconds, loading the result a fraction of one. */
#pragma once
#include "base/error.h"
#include <linux/filter.h>

int syscall_list_compile(struct sock_fprog *ret, struct err *e);
void syscall_list_done(struct sock_fprog *p);
/* For the calling thread and its children. no_new_privs must be set. -errno. */
int syscall_list_load(const struct sock_fprog *p);
