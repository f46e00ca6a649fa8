/* program.h - what is executed as an instance: the runtime's own program, or, for a function that is an
 * HTTP server, the function's.
 *
 * A server's program is a file of the code. The language of the runtime runs its own files, so that
 * neither a mode nor a #! line is needed; all else is executed as it is. */
#pragma once

struct program { /* program_done() */
    char *path;
    const char *own[3];
    const char *const *argv; /* the runtime's, or NULL: `own` */
};
/* `argv` is the runtime's and outlives it; `server` is the path of a server's program below
 * `code_dir`, or NULL. -ENOMEM. */
int program_build(const char *const *argv, const char *code_dir, const char *server,
                  struct program *ret);
const char *const *program_argv(const struct program *c); /* NULL-terminated */
void program_done(struct program *c);
