/* command.c - what is executed in the sandbox: the runtime's own program, or, for a function that is an
 * HTTP server, the function's.
 *
 * A server's program is a file of the code. The language of the runtime runs its own files, so that
 * neither a mode nor a #! line is needed; all else is executed as it is. */
#include "pool/internal.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CODE_DIR "/var/task/"

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);

    return n > k && !strcmp(s + n - k, end);
}

static bool is_run_by(const char *interpreter, const char *program)
{
    static const struct {
        const char *interpreter, *extension;
    } languages[] = {{"python", ".py"}, {"node", ".js"}, {"node", ".mjs"}, {"node", ".cjs"}};
    const char *slash = strrchr(interpreter, '/'), *name = slash ? slash + 1 : interpreter;

    for (size_t i = 0; i < ARRAY_LEN(languages); i++)
        if (!strncmp(name, languages[i].interpreter, strlen(languages[i].interpreter)) &&
            ends_with(program, languages[i].extension))
            return true;
    return false;
}

int command_build(const struct instance *i, struct command *ret)
{
    const Rouse__Control__V1__RevisionSpec *s = i->revision->spec;
    struct command c = {.argv = (const char *const *)i->runtime->argv};
    int n = 0;

    if (s->port) {
        if (asprintf(&c.program, CODE_DIR "%s", s->handler) < 0)
            return -ENOMEM;
        if (is_run_by(i->runtime->argv[0], s->handler))
            c.own[n++] = i->runtime->argv[0];
        c.own[n] = c.program;
        c.argv = NULL;
    }
    *ret = c;
    return 0;
}

const char *const *command_argv(const struct command *c)
{
    return c->argv ? c->argv : c->own;
}

void command_done(struct command *c)
{
    free(c->program);
}
