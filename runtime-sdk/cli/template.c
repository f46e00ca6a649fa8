#include "cli/template.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct template_language *template_language(const char *name)
{
    for (const struct template_language *l = template_all; l->name; l++)
        if (!strcmp(name, l->name) || (l->alias && !strcmp(name, l->alias)))
            return l;
    return NULL;
}

const char *template_languages(void)
{
    return "c, python3, nodejs";
}

int template_name_check(const char *name, struct err *e)
{
    size_t n = strlen(name);

    if (!n)
        return err_set(e, EINVAL, "the name is empty");
    if (n > TEMPLATE_NAME_MAX)
        return err_set(e, EINVAL, "a name of %zu characters: metadata.name takes %d at most", n,
                       TEMPLATE_NAME_MAX);
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n || name[0] == '-' ||
        name[n - 1] == '-')
        return err_set(
            e, EINVAL,
            "the name \"%.100s\": metadata.name consists of lower case letters, digits and '-', "
            "and begins and ends with a letter or digit",
            name);
    return 0;
}

/* ---------------------------------------------------------------- the texts: @ stands for the name */

static const char manifest[] =
    "apiVersion: rouse.dev/v1\n"
    "kind: Function\n"
    "metadata:\n"
    "  name: @\n"
    "spec:\n"
    "  runtime: %s\n"
    "  handler: %s\n"
    "%s"
    "  code: {path: %s\n"
    "  memory: %s\n"
    "  timeout: 3s                 # one invocation may take so long\n"
    "  concurrency: %s             # invocations that an instance serves at once\n"
    "  env: []                     # - {name: GREETING, value: hello}\n"
    "  triggers:\n"
    "  - http: {path: %s}\n";

static const char readme[] =
    "# @\n"
    "\n"
    "A Rouse function: its code is in `%s`, all else about it in `function.yaml`.\n"
    "\n"
    "```\n"
    "rouse run                      # here, without a platform: http://127.0.0.1:8000/@\n"
    "rouse deploy                   # on the platform (`rouse up` starts one on this machine)\n"
    "curl http://127.0.0.1:8080/@\n"
    "rouse logs @\n"
    "```\n"
    "\n"
    "`rouse run --event '{}'` calls it once, `rouse run --debug` runs it in a debugger.\n";

/* ---------------------------------------------------------------- filling them in */

/* '@' of a text becomes the name. */
static int put(struct buffer *to, const char *text, const char *name)
{
    int r = 0;

    for (; *text && r == 0; text++)
        r = *text == '@' ? buffer_puts(to, name) : buffer_append(to, text, 1);
    return r;
}

static int put_manifest(struct buffer *to, const struct template_language *l, const char *name,
                        bool http)
{
    cleanup_buffer struct buffer b = {0};
    const char *port = "  port: 8080                  # it listens there: PORT in its environment\n";
    int r = buffer_printf(&b, manifest, l->runtime, http ? l->http_handler : l->handler,
                          http && l->http_port ? port : "", l->code, l->memory,
                          http ? l->http_concurrency : l->concurrency,
                          http ? "/@}\n  - http: {path: /@/*" : "/@");

    if (r == 0)
        r = buffer_append(&b, "", 1);
    return r < 0 ? r : put(to, (const char *)buffer_bytes(&b), name);
}

static int put_readme(struct buffer *to, const struct template_language *l, const char *name)
{
    cleanup_buffer struct buffer b = {0};
    int r = buffer_printf(&b, readme, l->source);

    if (r == 0)
        r = buffer_append(&b, "", 1);
    return r < 0 ? r : put(to, (const char *)buffer_bytes(&b), name);
}

int template_files(const struct template_language *l, const char *name, bool http,
                   struct template_file ret[TEMPLATE_FILES_MAX])
{
    memset(ret, 0, TEMPLATE_FILES_MAX * sizeof(*ret));
    ret[0].name = "function.yaml";
    ret[1].name = l->source;
    ret[2].name = "README.md";
    ret[3].name = ".gitignore";
    if (put_manifest(&ret[0].text, l, name, http) == 0 &&
        put(&ret[1].text, http ? l->http_text : l->text, name) == 0 &&
        put_readme(&ret[2].text, l, name) == 0 && buffer_puts(&ret[3].text, l->ignore) == 0)
        return 4;
    template_files_done(ret, 4);
    return -ENOMEM;
}

void template_files_done(struct template_file *files, int n)
{
    for (int i = 0; i < n; i++)
        buffer_done(&files[i].text);
}
