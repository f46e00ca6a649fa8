/* cmd_invoke.c - rouse invoke: an event to a function by its name, or an HTTP request to a path
 * below it. */
#include "cli/api.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { DATA_MAX = 64 << 20 };

struct invoke {
    const char *name, *data, *path, *method;
    bool headers;
};

/* TEXT, @FILE, or - and @- for stdin. */
static int read_data(const char *given, struct buffer *ret)
{
    bool in = strcmp(given, "-") == 0 || strcmp(given, "@-") == 0;
    int r;

    if (!in && given[0] != '@') {
        r = buffer_puts(ret, given);
        return r < 0 ? fail("out of memory") : EXIT_DONE;
    }
    r = file_read(AT_FDCWD, in ? "/dev/stdin" : given + 1, DATA_MAX, ret);
    if (r == -EFBIG)
        return fail("%s: more than 64 MiB", in ? "stdin" : given + 1);
    return r < 0 ? fail("%s: %s", in ? "stdin" : given + 1, strerror(-r)) : EXIT_DONE;
}

static int make_url(const struct settings *s, const struct invoke *i, struct buffer *ret)
{
    int r = buffer_puts(ret, s->gateway);

    if (r == 0 && i->path) {
        r = buffer_puts(ret, "/function/");
        if (r == 0)
            r = http_escape(ret, s->ns, false);
        if (r == 0)
            r = buffer_puts(ret, "/");
        if (r == 0)
            r = http_escape(ret, i->name, false);
        if (r == 0)
            r = buffer_printf(ret, "%s%s", i->path[0] == '/' ? "" : "/", i->path);
    } else if (r == 0) {
        r = buffer_puts(ret, "/2015-03-31/functions/");
        if (r == 0 && strcmp(s->ns, "default") != 0)
            r = http_escape(ret, s->ns, false) < 0 ? -ENOMEM : buffer_puts(ret, ":");
        if (r == 0)
            r = http_escape(ret, i->name, false);
        if (r == 0)
            r = buffer_puts(ret, "/invocations");
    }
    return r < 0 ? r : buffer_append(ret, "", 1);
}

/* The platform's own reason in words, anything else as it came; where there is more to read. */
static int complain(const struct invoke *i, const struct http_response *a, const char *what)
{
    cleanup_json struct json_object *o = api_json(a);
    const char *reason = json_text(o, "reason"), *message = json_text(o, "message");
    const char *body = (const char *)buffer_bytes(&a->body);
    int n = (int)(buffer_size(&a->body) < 2000 ? buffer_size(&a->body) : 2000);
    char id[128] = "";

    while (n && body[n - 1] == '\n')
        n--;
    if (*reason && *message && *json_text(o, "requestId"))
        fail("%s %s: %s", what, reason, message);
    else
        fail("%s: %.*s", what, n, n ? body : "");
    if (http_header(a, "Rouse-Request-Id", id, sizeof(id)))
        fprintf(stderr, "rouse: its request id is %s\n", id);
    if (a->status < 300 || a->status >= 500)
        fprintf(stderr, "rouse: `rouse logs %s` and `rouse get function %s -o yaml` say more\n",
                i->name, i->name);
    return EXIT_FAILED;
}

static int print_answer(const struct invoke *i, const struct http_response *a)
{
    char what[128], error[64];
    size_t n = buffer_size(&a->body);

    if (i->headers)
        fwrite(buffer_bytes(&a->headers), 1, buffer_size(&a->headers), stdout);
    if (a->status < 200 || a->status >= 300) {
        snprintf(what, sizeof(what), "answered %ld", a->status);
        return complain(i, a, what);
    }
    if (http_header(a, "X-Amz-Function-Error", error, sizeof(error))) {
        snprintf(what, sizeof(what), "the function failed (%s)", error);
        return complain(i, a, what);
    }
    if (n)
        fwrite(buffer_bytes(&a->body), 1, n, stdout);
    /* A prompt after an answer without a newline would be hard to read. */
    if (n && isatty(STDOUT_FILENO) && buffer_bytes(&a->body)[n - 1] != '\n')
        putchar('\n');
    return fflush(stdout) == 0 ? EXIT_DONE : fail("cannot write: %s", strerror(errno));
}

static int invoke(const struct settings *s, const struct invoke *i)
{
    cleanup_response struct http_response a = {0};
    cleanup_buffer struct buffer url = {0}, data = {0};
    struct http_request q = {.method = i->method, .timeout_ms = 3660000};
    int r = i->data ? read_data(i->data, &data) : EXIT_DONE;

    if (r != EXIT_DONE)
        return r;
    if (!i->data && !i->path)
        buffer_puts(&data, "{}");
    if (make_url(s, i, &url) < 0)
        return fail("out of memory");
    q.url = (const char *)buffer_bytes(&url);
    if (i->data || !i->path) {
        q.headers[0] = "Content-Type: application/json";
        q.body = buffer_size(&data) ? (const void *)buffer_bytes(&data) : "";
        q.body_size = buffer_size(&data);
    }
    if (!q.method)
        q.method = q.body ? "POST" : "GET";
    /* Below --path every header is the function's to read: the token is not for it. */
    q.token = i->path ? NULL : s->token;
    r = http_do(&q, &a);
    if (r == -ECONNREFUSED)
        return fail("nothing answers at %s. Is the platform running? `rouse up` starts it.",
                    s->gateway);
    return r < 0 ? fail("%s", a.error) : print_answer(i, &a);
}

static int run_invoke(const struct command *c, int argc, char **argv)
{
    struct invoke i = {0};
    const struct flag flags[] = {{"data", 'd', FLAG_TEXT, &i.data},
                                 {"path", 0, FLAG_TEXT, &i.path},
                                 {"request", 'X', FLAG_TEXT, &i.method},
                                 {"include", 'i', FLAG_BOOL, &i.headers}};
    struct settings s = {0};
    struct arguments args;
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count != 1)
        return usage(c, args.count ? "one function at a time" : "name the function");
    if (i.method && !i.path)
        return usage(c, "-X goes with --path: an event is always posted");
    i.name = args.positional[0];
    r = settings_resolve(&s);
    return r >= 0 ? r : invoke(&s, &i);
}

const struct command command_invoke = {
    "invoke", "call a function and print its answer",
    "Usage: rouse invoke NAME [-d DATA|@FILE|-]\n"
    "\n"
    "Sends an event (JSON; {} if none is given) and prints the result. With --path an HTTP request "
    "instead.\n"
    "\n"
    "  -d, --data DATA      the event: text, @FILE, or - for stdin\n"
    "      --path PATH      an HTTP request to PATH of the function\n"
    "  -X, --request METHOD its method (GET, or POST with data)\n"
    "  -i, --include        print the answer's headers, too\n"
    "\n"
    "Examples:\n"
    "  rouse invoke hello\n"
    "  rouse invoke hello -d '{\"name\": \"Ada\"}'\n"
    "  rouse invoke resize -d @event.json\n"
    "  rouse invoke hello --path '/greet?name=Ada' -i\n",
    run_invoke};
