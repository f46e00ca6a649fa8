/* cmd_logs.c - rouse logs: what a function's instances wrote, and with -f what they go on writing.
 */
#include "cli/api.h"
#include "base/cleanup.h"

#include <stdio.h>

static bool on_text(void *user, const char *data, size_t n)
{
    *(bool *)user |= n > 0;
    return fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0;
}

static int run_logs(const struct command *c, int argc, char **argv)
{
    bool follow = false, any = false;
    long tail = -1;
    const struct flag flags[] = {{"follow", 'f', FLAG_BOOL, &follow},
                                 {"tail", 0, FLAG_NUMBER, &tail}};
    cleanup_response struct http_response a = {0};
    cleanup_free char *base = NULL;
    struct http_request q = {.method = "GET", .on_data = on_text, .user = &any};
    struct settings s = {0};
    struct arguments args;
    char url[4096], lines[48] = "";
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count != 1)
        return usage(c, args.count ? "one function at a time" : "name the function");
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    base = api_url(&s, resource_find("functions"), s.ns, args.positional[0]);
    if (tail >= 0)
        snprintf(lines, sizeof(lines), "&tailLines=%ld", tail);
    if (!base || snprintf(url, sizeof(url), "%s/log?follow=%s%s", base, follow ? "true" : "false",
                          lines) >= (int)sizeof(url))
        return fail("the name is too long");
    q.url = url;
    r = api_do(&s, &q, &a, 0);
    if (r == EXIT_DONE && !any && !follow && tail != 0)
        fprintf(stderr, "%s has written nothing yet.\n", args.positional[0]);
    return r;
}

const struct command command_logs = {"logs", "print what a function wrote",
                                     "Usage: rouse logs [-f] NAME\n"
                                     "\n"
                                     "Prints stdout and stderr of the function's instances.\n"
                                     "\n"
                                     "  -f, --follow     go on as more comes\n"
                                     "      --tail N     the last N lines only\n"
                                     "\n"
                                     "Examples:\n"
                                     "  rouse logs hello\n"
                                     "  rouse logs -f --tail 20 hello\n",
                                     run_logs};
