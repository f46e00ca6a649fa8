/* template_all.c - the languages of `rouse new`, and what a function in each begins as: @ stands for its
 * name. */
#include "cli/template.h"

#include <stddef.h>

static const char c_source[] =
    "/* @: a function in C. <rouse/rouse.h> documents what it may use. */\n"
    "#include <rouse/rouse.h>\n"
    "#include <string.h>\n"
    "\n"
    "/* Runs for each request, as a task: it may wait. What it returns is freed. */\n"
    "static char *handle(const char *event, struct rouse_context *ctx)\n"
    "{\n"
    "    rouse_log(ctx, \"an event of %zu bytes\", strlen(event));\n"
    "    return strdup(\"Hello from @\\n\");\n"
    "}\n"
    "\n"
    "/* Runs once, when an instance starts. */\n"
    "int main(void)\n"
    "{\n"
    "    return rouse_start(handle) < 0;\n"
    "}\n";

static const char c_http[] =
    "/* @: a function in C that takes HTTP, bodies as streams. <rouse/rouse.h> documents what it may use. */\n"
    "#include <rouse/rouse.h>\n"
    "\n"
    "/* Runs for each request, as a task: it may wait. */\n"
    "static int handle(struct rouse_http_request *req, struct rouse_http_response *resp,\n"
    "                  struct rouse_context *ctx)\n"
    "{\n"
    "    static const char text[] = \"Hello from @\\n\";\n"
    "\n"
    "    rouse_log(ctx, \"%s %s\", req->method, req->path);\n"
    "    rouse_http_add(resp, \"content-type\", \"text/plain\");\n"
    "    return rouse_http_write(resp, text, sizeof(text) - 1, rouse_deadline(ctx));\n"
    "}\n"
    "\n"
    "/* Runs once, when an instance starts. */\n"
    "int main(void)\n"
    "{\n"
    "    return rouse_start_http(handle) < 0;\n"
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

const struct template_language template_all[] = {
    {
        .name = "c",
        .runtime = "provided",
        .source = "bootstrap.c",
        .text = c_source,
        .http_text = c_http,
        .handler = "bootstrap",
        .http_handler = "bootstrap",
        .code = "build}         # what `rouse build` makes",
        .memory = "32Mi",
        .concurrency = "100",
        .http_concurrency = "100",
        .ignore = "build/\n",
    },
    {
        .name = "python3",
        .alias = "python",
        .runtime = "python3",
        .source = "index.py",
        .text = python_source,
        .http_text = python_server,
        .handler = "index.handler",
        .http_handler = "index.py",
        .http_port = true,
        .code = ".}             # this directory",
        .memory = "128Mi",
        .concurrency = "1  ",
        .http_concurrency = "10 ",
        .ignore = "__pycache__/\n",
    },
    {
        .name = "nodejs",
        .alias = "node",
        .runtime = "nodejs",
        .source = "index.js",
        .text = node_source,
        .http_text = node_server,
        .handler = "index.handler",
        .http_handler = "index.js",
        .http_port = true,
        .code = ".}             # this directory",
        .memory = "128Mi",
        .concurrency = "1  ",
        .http_concurrency = "10 ",
        .ignore = "node_modules/\n",
    },
    {.name = NULL},
};
