#include "cli/build.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/home.h"
#include "cli/process.h"
#include "cli/words.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void __attribute__((format(printf, 2, 3)))
say(const struct build_options *o, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(o->to ? o->to : stdout, fmt, ap);
    va_end(ap);
}

/* ---------------------------------------------------------------- what lies there */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);

    return n > k && !strcmp(s + n - k, end);
}

static uint64_t changed_ns(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0
               ? 0
               : (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
}

/* The names of DIR/\*.EXT, sorted, and when the newest was changed. */
static int list(const char *dir, const char *const *ends, struct words *ret, uint64_t *newest_ns)
{
    struct dirent **found;
    char name[NAME_MAX + 3], path[2 * PATH_MAX];
    int n = scandir(dir, &found, NULL, alphasort), r = 0;

    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        bool taken = false;

        for (const char *const *end = ends; *end; end++)
            taken = taken || (found[i]->d_name[0] != '.' && ends_with(found[i]->d_name, *end));
        /* No tool shall take a name for a flag. */
        snprintf(name, sizeof(name), "%s%s", found[i]->d_name[0] == '-' ? "./" : "",
                 found[i]->d_name);
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        if (taken && newest_ns && changed_ns(path) > *newest_ns)
            *newest_ns = changed_ns(path);
        if (taken && ret && r == 0)
            r = words_add(ret, name);
        free(found[i]);
    }
    free(found);
    return r;
}

static void size_text(const char *path, char out[32])
{
    struct stat st = {0};

    (void)stat(path, &st);
    snprintf(out, 32, "%lld KiB", (long long)(st.st_size + 1023) / 1024);
}

/* ---------------------------------------------------------------- C */

static int add_compiler(struct words *argv)
{
    const char *cc = getenv("CC");

    return words_split(argv, cc && *cc ? cc : "cc");
}

/* The compiler's own word on where it would take lib from: the name alone if nowhere. */
static bool has_library(const char *name)
{
    cleanup_words struct words argv = {0};
    char flag[128], path[PATH_MAX];
    struct err e;

    snprintf(flag, sizeof(flag), "-print-file-name=lib%s.a", name);
    return add_compiler(&argv) == 0 && words_add(&argv, flag) == 0 &&
           process_ask((char *const *)words_all(&argv), path, sizeof(path), &e) == 0 &&
           strchr(path, '/');
}

/* What parts of the SDK need, of which the function may use none: it builds without them, too. */
static int add_libraries(struct words *libraries)
{
    cleanup_words struct words all = {0};
    int r = words_split(&all, SDK_LIBS); /* the Makefile's word */

    for (const char *const *word = words_all(&all); *word && r == 0; word++)
        if (strncmp(*word, "-l", 2) != 0 || has_library(*word + 2))
            r = words_add(libraries, *word);
    return r;
}

/* Where the SDK is: beside this program, so that the two are of one version, else as pkg-config knows it. */
static int add_sdk(struct words *flags, struct words *libraries, uint64_t *newest_ns)
{
    struct home_sdk sdk;
    char *const ask[] = {"pkg-config", "--static", "--cflags", "--libs", "rouse", NULL};
    char line[PATH_MAX];
    struct err e;

    if (home_sdk_find(&sdk) == 0) {
        if (changed_ns(sdk.library) > *newest_ns)
            *newest_ns = changed_ns(sdk.library);
        words_add(flags, "-isystem");
        words_add(flags, sdk.include);
        words_add(libraries, sdk.library);
        return add_libraries(libraries);
    }
    return process_ask(ask, line, sizeof(line), &e) == 0 ? words_split(libraries, line) : -ENOENT;
}

static int compile(const struct project *p, const struct words *sources, const struct words *flags,
                   const struct words *libraries, const char *to, bool debug)
{
    static const char *const always[] = {
        "-std=gnu17", "-Wall", "-Wextra", "-Wno-unused-parameter",
        "-Werror=implicit-function-declaration", "-Werror=int-conversion",
        /* a large frame may not step over a stack's guard */
        "-fstack-clash-protection", "-g", "-pthread", "-static", NULL};
    cleanup_words struct words argv = {0};
    const char *more = getenv("CFLAGS"), *last = getenv("LDLIBS");
    struct err e = {0};
    int r = add_compiler(&argv);

    r |= words_add_all(&argv, always);
    r |= words_add(&argv, debug ? "-Og" : "-O2");
    r |= words_add_all(&argv, words_all(flags));
    r |= words_split(&argv, more ? more : "");
    r |= words_add(&argv, "-o");
    r |= words_add(&argv, to);
    r |= words_add_all(&argv, words_all(sources));
    r |= words_add_all(&argv, words_all(libraries));
    r |= words_split(&argv, last ? last : "");
    if (r < 0)
        return fail("the compiler's command is too long");
    r = process_call((char *const *)words_all(&argv), p->dir, &e);
    if (r < 0)
        return fail("%s. A C function needs a compiler: install one (apt-get install gcc), or name it "
                    "by $CC",
                    e.message);
    return r == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int build_c(const struct project *p, const struct build_options *o,
                   const struct words *sources, uint64_t newest_ns)
{
    cleanup_words struct words flags = {0}, libraries = {0};
    const char *dir = o->debug ? o->debug : p->code_dir;
    char program[2 * PATH_MAX], fresh[2 * PATH_MAX], shown[2 * PATH_MAX], size[32];
    size_t prefix = strlen(p->dir);
    uint64_t began = clock_monotonic_ns();
    int r = add_sdk(&flags, &libraries, &newest_ns);

    if (r < 0)
        return fail("the C SDK is not here: neither librouse.a beside this program, nor does pkg-config "
                    "know `rouse`");
    snprintf(program, sizeof(program), "%s/%s", dir, project_program(p));
    snprintf(shown, sizeof(shown), "%s",
             !strncmp(program, p->dir, prefix) && program[prefix] == '/' ? program + prefix + 1
                                                                         : program);
    if (!o->force && changed_ns(program) > newest_ns) {
        size_text(program, size);
        if (!o->quiet)
            say(o, "%s is up to date (%s)\n", shown, size);
        return EXIT_DONE;
    }
    r = file_mkdirs(dir, 0777);
    if (r < 0)
        return fail("%s: %s", dir, strerror(-r));
    /* Never half a program, and the old one until the new one is there: it may be running. */
    snprintf(fresh, sizeof(fresh), "%s/.%s.%d", dir, "new", (int)getpid());
    fflush(stdout);
    r = compile(p, sources, &flags, &libraries, fresh, o->debug != NULL);
    if (r == EXIT_DONE && rename(fresh, program) < 0)
        r = fail("%s: %s", program, strerror(errno));
    if (r != EXIT_DONE) {
        unlink(fresh);
        return r;
    }
    size_text(program, size);
    if (!o->debug)
        say(o, "built %s: %s in %.1f s\n", shown, size, (double)(clock_monotonic_ns() - began) / 1e9);
    return EXIT_DONE;
}

static bool has_program(const struct project *p)
{
    char path[2 * PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", p->code_dir, project_program(p));
    return access(path, X_OK) == 0;
}

static int build_provided(const struct project *p, const struct build_options *o)
{
    static const char *const sources_end[] = {".c", NULL}, *const all_end[] = {".c", ".h", NULL};
    cleanup_words struct words sources = {0};
    uint64_t newest_ns = 0;
    int r = list(p->dir, sources_end, &sources, NULL);

    if (r == 0)
        r = list(p->dir, all_end, NULL, &newest_ns);
    if (r < 0)
        return fail("%s: %s", p->dir, r == -E2BIG ? "too many sources" : strerror(-r));
    if (words_count(&sources))
        return build_c(p, o, &sources, newest_ns);
    if (!has_program(p))
        return fail("%s has no C source to build, and %s has no executable file `%s`, which is what "
                    "is started",
                    p->dir, p->code_dir, project_program(p));
    if (!o->quiet)
        say(o, "nothing to build: %s/%s is there\n", p->code_dir, project_program(p));
    return EXIT_DONE;
}

/* ---------------------------------------------------------------- languages that are not compiled */

static const char python_check[] = "import sys\n"
                                   "import traceback\n"
                                   "bad = 0\n"
                                   "for name in sys.argv[1:]:\n"
                                   "    try:\n"
                                   "        compile(open(name, 'rb').read(), name, 'exec')\n"
                                   "    except (SyntaxError, ValueError) as e:\n"
                                   "        traceback.print_exception(type(e), e, None)\n"
                                   "        bad = 1\n"
                                   "sys.exit(bad)\n";

static int check_python(const char *program, const struct words *sources, const char *dir,
                        struct err *e)
{
    const char *const first[] = {program, "-I", "-B", "-c", python_check, NULL};
    cleanup_words struct words argv = {0};

    if (words_add_all(&argv, first) < 0 || words_add_all(&argv, words_all(sources)) < 0)
        return err_set(e, E2BIG, "too many sources");
    return process_call((char *const *)words_all(&argv), dir, e);
}

/* node looks at one file a run. */
static int check_node(const char *program, const struct words *sources, const char *dir,
                      struct err *e)
{
    int worst = 0;

    for (const char *const *name = words_all(sources); *name && worst >= 0; name++) {
        char *argv[] = {(char *)program, "--check", (char *)*name, NULL};
        int r = process_call(argv, dir, e);

        worst = r < 0 || r > worst ? r : worst;
    }
    return worst;
}

static int check_sources(const struct project *p, const struct build_options *o, bool python)
{
    static const char *const python_end[] = {".py", NULL}, *const node_end[] = {".js", ".mjs",
                                                                                ".cjs", NULL};
    const char *dir = *p->code_dir ? p->code_dir : p->dir, *name = python ? "python3" : "node";
    cleanup_words struct words sources = {0};
    char program[PATH_MAX];
    struct err e = {0};
    int r = list(dir, python ? python_end : node_end, &sources, NULL);

    if (r < 0)
        return fail("%s: %s", dir, r == -E2BIG ? "too many sources" : strerror(-r));
    if (!words_count(&sources))
        return fail("%s has no %s file", dir, python ? ".py" : ".js");
    if (home_program(name, program) < 0)
        return fail("%s is not in $PATH: the sources cannot be checked", name);
    fflush(stdout);
    r = python ? check_python(program, &sources, dir, &e) : check_node(program, &sources, dir, &e);
    if (r < 0)
        return fail("%s", e.message);
    if (r > 0)
        return fail("the sources do not compile");
    if (!o->quiet)
        say(o, "checked %zu file%s: nothing to build\n", words_count(&sources),
            words_count(&sources) == 1 ? "" : "s");
    return EXIT_DONE;
}

int build_project(const struct project *p, const struct build_options *o)
{
    const char *runtime = p->function.runtime;

    if (!*p->code_dir) {
        if (!o->quiet)
            say(o, "nothing to build: the code is in the %s\n", *p->archive ? "archive" : "manifest");
        return EXIT_DONE;
    }
    if (!strcmp(runtime, "provided"))
        return build_provided(p, o);
    if (!strcmp(runtime, "python3") || !strcmp(runtime, "nodejs"))
        return check_sources(p, o, !strcmp(runtime, "python3"));
    return fail("spec.runtime: \"%s\" cannot be built here; provided, python3 and nodejs can",
                runtime);
}
