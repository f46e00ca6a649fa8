/* cmd_new.c - rouse new: the directory of a new function. */
#include "cli/cli.h"
#include "cli/template.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int write_files(const char *dir, const struct template_file *files, int n)
{
    char path[PATH_MAX];

    if (mkdir(dir, 0777) < 0)
        return errno == EEXIST ? fail("%s is there already: nothing was changed", dir)
                               : fail("%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        const struct buffer *text = &files[i].text;
        int r;

        snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
        r = file_write_atomic(path, buffer_bytes(text), buffer_size(text), 0644);
        if (r < 0)
            return fail("%s: %s", path, strerror(-r));
    }
    return EXIT_DONE;
}

static void print_next(const char *name, const struct template_language *l)
{
    printf("created %s/: function.yaml, %s, README.md\n\n"
           "  cd %s\n"
           "  rouse run       # here: http://127.0.0.1:8000/%s\n"
           "  rouse deploy    # on the platform; `rouse up` starts one on this machine\n"
           "  rouse invoke %s\n",
           name, l->source, name, name, name);
}

static int run_new(const struct command *c, int argc, char **argv)
{
    struct template_file files[TEMPLATE_FILES_MAX];
    const struct template_language *l;
    bool http = false;
    const struct flag flags[] = {{"http", 0, FLAG_BOOL, &http}};
    struct settings s = {0};
    struct arguments args;
    struct err e = {0};
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args), n;

    if (r >= 0)
        return r;
    if (args.count < 1)
        return usage(c, "name the language (%s) and the function", template_languages());
    l = template_language(args.positional[0]);
    if (!l)
        return usage(c, "\"%s\" is no language that rouse new knows: %s", args.positional[0],
                     template_languages());
    if (args.count != 2)
        return usage(c,
                     args.count < 2 ? "name the function, too: rouse new %s NAME"
                                    : "one function at a time: rouse new %s NAME",
                     l->name);
    if (template_name_check(args.positional[1], &e) < 0)
        return usage(c, "%s", e.message);
    n = template_files(l, args.positional[1], http, files);
    if (n < 0)
        return fail("out of memory");
    r = write_files(args.positional[1], files, n);
    template_files_done(files, n);
    if (r == EXIT_DONE)
        print_next(args.positional[1], l);
    return r;
}

const struct command command_new = {
    "new", "make the directory of a new function",
    "Usage: rouse new LANGUAGE NAME [--http]\n"
    "\n"
    "Makes the directory NAME with function.yaml, a source file to begin with, a .gitignore and a "
    "README.md.\n"
    "LANGUAGE is c, python3 or nodejs. NAME is the function's: lower case letters, digits and '-', "
    "63 at most.\n"
    "\n"
    "      --http    takes HTTP as it is, bodies as streams, instead of events: in c a handler, in "
    "python3 and\n"
    "                nodejs a server of your own on $PORT\n"
    "\n"
    "From there (in NAME):\n"
    "  rouse run       runs it on this machine, without a platform: http://127.0.0.1:8000/NAME\n"
    "  rouse build     compiles it, or checks its syntax (run and deploy do that, too)\n"
    "  rouse deploy    puts it on the platform\n"
    "\n"
    "Examples:\n"
    "  rouse new c hello\n"
    "  rouse new python3 resize\n"
    "  rouse new nodejs chat --http\n",
    run_new};
