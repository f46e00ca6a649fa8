/* command.h - what is executed as an instance: the runtime's own program, or, for a function that is an
 * HTTP server, the function's.
 *
 * A server's program is a file of the code. The language of the runtime runs its own files, so that
 * neither a mode nor a #! line is needed; all else is executed as it is. */
#pragma once

struct command { /* command_done() */
    char *program;
    const char *own[3];
    const char *const *argv; /* the runtime's, or NULL: `own` */
};
/* `argv` is the runtime's and outlives the command; `server` is the path of a server's program below
 * `code_dir`, or NULL. -ENOMEM. */
int command_build(const char *const *argv, const char *code_dir, const char *server,
                  struct command *ret);
const char *const *command_argv(const struct command *c); /* NULL-terminated */
void command_done(struct command *c);
