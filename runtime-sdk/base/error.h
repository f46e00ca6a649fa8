/* error.h - an error that a person or a client will read.
 *
 * Used at edges only (API, start-up, sandbox set-up); elsewhere functions
 * return -errno. It keeps the errno of the cause and gains context on its way
 * up: "mount /var/task: No such file or directory". */
#pragma once

#define ERR_MESSAGE_MAX 512

struct err {
    int code; /* a positive errno; 0: no error */
    char message[ERR_MESSAGE_MAX];
};

/* Sets the error and returns -code, so that `return err_set(e, ENOENT, ...)` reads well.
 * `e` may be NULL. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As err_set(), with ": strerror(code)" appended. */
int err_errno(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "context: " before the message and returns -code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
