/* What `rouse new` makes: names that the API takes, and files without a gap in them. */
#include "base/cleanup.h"
#include "cli/project.h"
#include "cli/template.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

START_TEST(names_are_the_apis)
{
    static const struct {
        const char *name;
        bool ok;
        const char *words;
    } rows[] = {
        {"a", true, ""},
        {"0-a", true, ""},
        {"", false, "empty"},
        {"-a", false, "begins and ends"},
        {"a-", false, "begins and ends"},
        {"A", false, "lower case"},
        {"a.b", false, "lower case"},
        {"a/b", false, "lower case"},
        {"\xc3\xa4", false, "lower case"},
        {"a234567890123456789012345678901234567890123456789012345678901234", false, "63 at most"},
        {"a23456789012345678901234567890123456789012345678901234567890123", true, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};

        ck_assert_msg((template_name_check(rows[i].name, &e) == 0) == rows[i].ok, "%s", rows[i].name);
        ck_assert_msg(strstr(e.message, rows[i].words), "%s: %s", rows[i].name, e.message);
    }
}
END_TEST

START_TEST(languages_have_aliases)
{
    ck_assert_str_eq(template_language("python")->runtime, "python3");
    ck_assert_ptr_eq(template_language("python"), template_language("python3"));
    ck_assert_ptr_eq(template_language("node"), template_language("nodejs"));
    ck_assert_str_eq(template_language("c")->source, "bootstrap.c");
    ck_assert_ptr_null(template_language("cobol"));
    ck_assert_ptr_null(template_language(""));
}
END_TEST

static const struct template_file *find(const struct template_file *files, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(files[i].name, name))
            return &files[i];
    ck_abort_msg("there is no %s", name);
}

static void write_file(const char *dir, const struct template_file *f)
{
    char path[128];
    FILE *to;

    snprintf(path, sizeof(path), "%s/%s", dir, f->name);
    to = fopen(path, "w");
    ck_assert_ptr_nonnull(to);
    fwrite(buffer_bytes(&f->text), 1, buffer_size(&f->text), to);
    fclose(to);
}

/* The manifest is one that `rouse run` takes, and says what the arguments said. */
static void check_project(const char *language, bool http)
{
    char dir[] = "/tmp/rouse-template-XXXXXX", path[64];
    struct template_file files[TEMPLATE_FILES_MAX];
    const struct template_language *l = template_language(language);
    struct project p;
    struct err e = {0};
    int n = template_files(l, "my-name", http, files);

    ck_assert_int_eq(n, 4);
    for (int i = 0; i < n; i++)
        ck_assert_msg(!memchr(buffer_bytes(&files[i].text), '@', buffer_size(&files[i].text)),
                      "%s of %s has a gap", files[i].name, language);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_file(dir, find(files, n, "function.yaml"));
    ck_assert_msg(project_load(dir, "default", &p, &e) == 0, "%s", e.message);
    ck_assert_str_eq(p.function.name, "my-name");
    ck_assert_str_eq(p.function.runtime, l->runtime);
    ck_assert_str_eq(p.function.triggers[0].path, "/my-name");
    ck_assert_uint_eq(p.function.trigger_count, http ? 2 : 1);
    ck_assert_int_eq(p.function.port != 0, http && l->http_port);
    ck_assert_uint_eq(p.function.timeout_ms, 3000);
    if (http && l->http_port)
        ck_assert_str_eq(p.function.handler, l->source);
    ck_assert_str_eq(strrchr(p.code_dir, '/') + 1,
                     strcmp(language, "c") == 0 ? "build" : strrchr(dir, '/') + 1);
    (void)find(files, n, l->source);
    project_done(&p);
    template_files_done(files, n);
    snprintf(path, sizeof(path), "%s/function.yaml", dir);
    unlink(path);
    rmdir(dir);
}

START_TEST(files_are_whole)
{
    check_project("c", false);
    check_project("python3", false);
    check_project("nodejs", false);
    check_project("c", true);
    check_project("python3", true);
    check_project("nodejs", true);
}
END_TEST

UNIT_MAIN("template", names_are_the_apis, languages_have_aliases, files_are_whole)
