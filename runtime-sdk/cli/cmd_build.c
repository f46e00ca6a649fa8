/* cmd_build.c - rouse build and rouse deploy: from a function's directory to a program, and on to the
 * platform. */
#include "cli/apply.h"
#include "cli/build.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- build */

static int run_build(const struct command *c, int argc, char **argv)
{
    struct build_options o = {0};
    const struct flag flags[] = {{"force", 'B', FLAG_BOOL, &o.force}};
    cleanup_project struct project p = {0};
    struct settings s = {0};
    struct arguments args;
    struct err e = {0};
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count > 1)
        return usage(c, "one directory at a time");
    if (project_load(args.count ? args.positional[0] : NULL, "default", &p, &e) < 0)
        return fail("%s", e.message);
    return build_project(&p, &o);
}

const struct command command_build = {
    "build", "compile a function, or check its syntax",
    "Usage: rouse build [DIR]\n"
    "\n"
    "Makes the function in DIR (here, if none is given) ready to be applied.\n"
    "  provided          DIR/*.c become one static program, where spec.code.path expects it:\n"
    "                    DIR/build/bootstrap. Nothing is done when it is newer than they are.\n"
    "  python3, nodejs   the sources beside each other are checked; there is nothing to build\n"
    "\n"
    "  -B, --force       compile though nothing has changed\n"
    "\n"
    "The compiler is $CC, else cc; $CFLAGS and $LDLIBS are added to its command. The C SDK is the one\n"
    "beside this program, else the one that pkg-config calls `rouse`.\n"
    "\n"
    "Examples:\n"
    "  rouse build\n"
    "  CC=clang CFLAGS=-O3 rouse build -B hello\n",
    run_build};

/* ---------------------------------------------------------------- deploy */

static void print_reached(const struct settings *s, const struct project *p)
{
    const struct local_function *f = &p->function;

    for (size_t i = 0; i < f->trigger_count; i++)
        if (!f->triggers[i].host && !strpbrk(f->triggers[i].path, "{*")) {
            printf("  curl %s%s\n", s->gateway, f->triggers[i].path);
            break;
        }
    if (f->port)
        printf("  rouse invoke %s --path /\n", f->name);
    else
        printf("  rouse invoke %s\n", f->name);
}

static int run_deploy(const struct command *c, int argc, char **argv)
{
    const struct build_options o = {.quiet = true};
    cleanup_project struct project p = {0};
    struct settings s = {0};
    struct arguments args;
    struct err e = {0};
    int r = flags_parse(c, NULL, 0, argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count > 1)
        return usage(c, "one directory at a time");
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    if (project_load(args.count ? args.positional[0] : NULL, s.ns, &p, &e) < 0)
        return fail("%s", e.message);
    r = build_project(&p, &o);
    if (r == EXIT_DONE)
        r = apply_manifest(&s, &p.manifest);
    if (r == EXIT_DONE)
        print_reached(&s, &p);
    return r;
}

const struct command command_deploy = {
    "deploy", "build a function and put it on the platform",
    "Usage: rouse deploy [DIR]\n"
    "\n"
    "rouse build, then rouse apply -f DIR/function.yaml: the function in DIR (here, if none is given) is\n"
    "created or gets a new revision. Says where it is reached.\n"
    "\n"
    "Examples:\n"
    "  rouse deploy\n"
    "  rouse deploy -n staging hello\n",
    run_deploy};
