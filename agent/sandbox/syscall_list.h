/* syscall_list.h - the list of system calls a function may make.
 *
 * What is allowed runs; what is known and refused answers EPERM; everything
 * else, which includes calls newer than this list, answers ENOSYS, so that C
 * libraries take their older way. Compiled once by the launcher: compiling
 * costs milliseconds, loading the result a fraction of one. */
#pragma once
#include "base/error.h"
#include <linux/filter.h>

/* `more`: what a Runtime adds, NULL-terminated; NULL: nothing. -EPERM, -EEXIST as syscall_list_check(). */
int syscall_list_compile(const char *const *more, struct sock_fprog *ret, struct err *e);
/* 0: a Runtime may add the call of that name. -EPERM: none may; -EEXIST: all have it. */
int syscall_list_check(const char *name, struct err *e);
void syscall_list_done(struct sock_fprog *p);
/* Its instructions as the bytes of a file in memory, sealed: for other processes. -errno */
int syscall_list_file(const struct sock_fprog *p, int *ret_fd);
/* For the calling thread and its children. no_new_privs must be set. -errno. */
int syscall_list_load(const struct sock_fprog *p);
