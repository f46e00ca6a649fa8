#include "cli/launch.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/home.h"
#include "invoke/program.h"

#include <stdio.h>
#include <string.h>

static int find_program(const char *name, char out[PATH_MAX], const char *what)
{
    return home_program(name, out) == 0 ? EXIT_DONE : fail("%s: %s is not in $PATH", what, name);
}

/* As the platform starts the language, but with this machine's programs. */
static int add_runtime(struct launch *l)
{
    static const char *const python[] = {"-I", "-S", "-B", "-X", "utf8", NULL};
    const struct local_function *f = &l->project->function;
    bool is_python = !strcmp(f->runtime, "python3"), is_node = !strcmp(f->runtime, "nodejs");
    char program[PATH_MAX], bootstrap[PATH_MAX];

    if (!is_python && !is_node) {
        if (snprintf(program, sizeof(program), "%s/bootstrap", l->built) >= (int)sizeof(program))
            return fail("%s: the path is too long", f->code_dir);
        words_add(&l->argv, program);
        return EXIT_DONE;
    }
    if (find_program(is_python ? "python3" : "node", program, f->runtime) != EXIT_DONE)
        return EXIT_FAILED;
    if (home_bootstrap(f->runtime, bootstrap) < 0)
        return fail("the bootstrap of %s is not beside this program", f->runtime);
    words_add(&l->argv, program);
    if (is_python)
        words_add_all(&l->argv, python);
    else if (l->debug)
        words_add(&l->argv, "--inspect");
    words_add(&l->argv, bootstrap);
    return EXIT_DONE;
}

/* A server's program in place of the runtime's. */
static int replace_by_server(struct launch *l)
{
    const struct local_function *f = &l->project->function;
    const char *dir = strcmp(f->runtime, "provided") == 0 ? l->built : f->code_dir;
    cleanup_words struct words runtime = l->argv;
    struct program c;

    l->argv = (struct words){0};
    if (program_build(words_all(&runtime), dir, f->handler, &c) < 0)
        return fail("out of memory");
    words_add_all(&l->argv, program_argv(&c));
    program_done(&c);
    return EXIT_DONE;
}

static int put_gdb_before(struct launch *l)
{
    static const char *const flags[] = {"-q", "-ex", "set breakpoint pending on", "--args", NULL};
    cleanup_words struct words program = l->argv;
    char gdb[PATH_MAX];

    l->argv = (struct words){0};
    if (home_program("gdb", gdb) < 0)
        return fail("--debug needs gdb, which is not in $PATH (apt-get install gdb)");
    words_add(&l->argv, gdb);
    words_add_all(&l->argv, flags);
    words_add_all(&l->argv, words_all(&program));
    return EXIT_DONE;
}

static bool built_here(const struct project *p, const char *dir)
{
    char program[2 * PATH_MAX];

    snprintf(program, sizeof(program), "%s/%s", dir, project_program(p));
    return access(program, X_OK) == 0;
}

int launch_prepare(struct launch *l, const struct project *p, bool debug, const char *debug_dir)
{
    const struct local_function *f = &p->function;
    bool provided = !strcmp(f->runtime, "provided");
    int e;

    if (debug && provided && !built_here(p, debug_dir))
        return fail("--debug runs what C sources beside the manifest become, and there are none");
    l->project = p;
    l->debug = debug;
    l->built = debug ? debug_dir : f->code_dir;
    e = add_runtime(l);
    if (e == EXIT_DONE && f->port)
        e = replace_by_server(l);
    if (e == EXIT_DONE && debug && provided)
        e = put_gdb_before(l);
    return e;
}

void launch_done(struct launch *l)
{
    words_done(&l->argv);
}
