#include "cli/template.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct template_language languages[] = {
    {"c", NULL, "provided", "bootstrap.c"},
    {"python3", "python", "python3", "index.py"},
    {"nodejs", "node", "nodejs", "index.js"},
};

const struct template_language *template_language(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(languages); i++)
        if (!strcmp(name, languages[i].name) ||
            (languages[i].alias && !strcmp(name, languages[i].alias)))
            return &languages[i];
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

static const char c_source[] =
    "/* @: a function in C. <rouse/rouse.h> documents what it may use. */\n"
    "#include <rouse/rouse.h>\n"
    "\n"
    "/* Runs for each request. */\n"
    "static int handle(const struct rouse_event *event, struct rouse_response *resp,\n"
    "                  struct rouse_context *ctx)\n"
    "{\n"
    "    rouse_log(ctx, \"an event of %zu bytes\", event->size);\n"
    "    return rouse_respond_text(resp, \"Hello from @\\n\");\n"
    "}\n"
    "\n"
    "/* Runs once, when an instance starts. */\n"
    "int main(void)\n"
    "{\n"
    "    return rouse_start(handle) < 0;\n"
    "}\n";

static const char python_source[] =
    "\"\"\"@: a function in Python. What stands out here runs once, when "
    "an instance starts.\"\"\"\n"
    "\n"
    "\n"
    "def handler(event, context):\n"
    "    \"\"\"Runs for each request.\"\"\"\n"
    "    print(\"an event with\", len(event), \"fields\")\n"
    "    return \"Hello from @\\n\"\n";

static const char node_source[] =
    "// @: a function in JavaScript. What stands out here runs once, when an instance starts.\n"
    "\n"
    "// Runs for each request.\n"
    "exports.handler = async (event, context) => {\n"
    "  console.log('an event with', Object.keys(event).length, 'fields');\n"
    "  return 'Hello from @\\n';\n"
    "};\n";

static const char python_server[] =
    "\"\"\"@: a function that is an HTTP server: any program that listens on $PORT.\"\"\"\n"
    "import os\n"
    "from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer\n"
    "\n"
    "\n"
    "class Handler(BaseHTTPRequestHandler):\n"
    "    protocol_version = \"HTTP/1.1\"\n"
    "\n"
    "    def do_GET(self):\n"
    "        body = f\"Hello from @, at {self.path}\\n\".encode()\n"
    "        self.send_response(200)\n"
    "        self.send_header(\"Content-Type\", \"text/plain\")\n"
    "        self.send_header(\"Content-Length\", str(len(body)))\n"
    "        self.end_headers()\n"
    "        self.wfile.write(body)\n"
    "\n"
    "\n"
    "ThreadingHTTPServer((\"127.0.0.1\", int(os.environ[\"PORT\"])), Handler).serve_forever()\n";

static const char node_server[] =
    "// @: a function that is an HTTP server: any program that listens on $PORT.\n"
    "const http = require('http');\n"
    "\n"
    "http\n"
    "  .createServer((request, response) => {\n"
    "    response.setHeader('Content-Type', 'text/plain');\n"
    "    response.end(`Hello from @, at ${request.url}\\n`);\n"
    "  })\n"
    "  .listen(process.env.PORT, '127.0.0.1');\n";

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
    bool c = !strcmp(l->name, "c");
    const char *handler = c ? "bootstrap" : http ? l->source : "index.handler";
    const char *port = "  port: 8080                  # it listens there: PORT in its environment\n";
    const char *path =
        c ? "build}         # what `rouse build` makes" : ".}             # this directory";
    int r = buffer_printf(&b, manifest, l->runtime, handler, http ? port : "", path,
                          c ? "32Mi" : "128Mi", c || http ? "10" : "1 ",
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
                   struct template_file ret[TEMPLATE_FILES_MAX], struct err *e)
{
    bool c = !strcmp(l->name, "c"), python = !strcmp(l->name, "python3");
    const char *source = c        ? c_source
                         : python ? http ? python_server : python_source
                         : http   ? node_server
                                  : node_source;
    const char *ignore = c ? "build/\n" : python ? "__pycache__/\n" : "node_modules/\n";

    if (c && http)
        return err_set(e, EINVAL, "--http: not in c; python3 and nodejs have it");
    memset(ret, 0, TEMPLATE_FILES_MAX * sizeof(*ret));
    ret[0].name = "function.yaml";
    ret[1].name = l->source;
    ret[2].name = "README.md";
    ret[3].name = ".gitignore";
    if (put_manifest(&ret[0].text, l, name, http) == 0 && put(&ret[1].text, source, name) == 0 &&
        put_readme(&ret[2].text, l, name) == 0 && put(&ret[3].text, ignore, name) == 0)
        return 4;
    template_files_done(ret, 4);
    return err_set(e, ENOMEM, "out of memory");
}

void template_files_done(struct template_file *files, int n)
{
    for (int i = 0; i < n; i++)
        buffer_done(&files[i].text);
}
