#include "invoke/program.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

int program_build(const char *const *argv, const char *code_dir, const char *server,
                  struct program *ret)
{
    struct program c = {.argv = argv};
    int n = 0;

    if (server) {
        if (asprintf(&c.path, "%s/%s", code_dir, server) < 0)
            return -ENOMEM;
        if (is_run_by(argv[0], server))
            c.own[n++] = argv[0];
        c.own[n] = c.path;
        c.argv = NULL;
    }
    *ret = c;
    return 0;
}

const char *const *program_argv(const struct program *c)
{
    return c->argv ? c->argv : c->own;
}

void program_done(struct program *c)
{
    free(c->path);
}
