/* settings.c - where the platform is and how this user shows who they are. */
#include "cli/cli.h"
#include "cli/platform.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *from_environment(const char *given, const char *name)
{
    const char *v = given ? given : getenv(name);

    return v && *v ? v : NULL;
}

static const char *read_token(const char *state)
{
    static char token[4096];
    cleanup_buffer struct buffer b = {0};
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/token", state) >= (int)sizeof(path) ||
        file_read(AT_FDCWD, path, sizeof(token) - 1, &b) < 0)
        return NULL;
    snprintf(token, sizeof(token), "%.*s", (int)buffer_size(&b), (const char *)buffer_bytes(&b));
    token[strcspn(token, "\r\n")] = '\0';
    return token[0] ? token : NULL;
}

/* Without a trailing '/', so that paths can follow. */
static int check_url(const char **url, const char *what)
{
    size_t n = strlen(*url);

    if (strncmp(*url, "http://", 7) != 0 && strncmp(*url, "https://", 8) != 0) {
        fail("%s must begin with http:// or https://, not \"%s\"", what, *url);
        return EXIT_USAGE;
    }
    if ((*url)[n - 1] == '/') {
        char *copy = strndup(*url, n - 1);

        if (!copy)
            return fail("out of memory");
        *url = copy;
    }
    return -1;
}

int settings_resolve(struct settings *s)
{
    static char state[PATH_MAX];
    static struct platform platform;
    bool local = false; /* the API's address is the one that asks for no token */
    int r;

    s->state = from_environment(s->state, "ROUSE_STATE");
    s->state_named = s->state != NULL;
    if (!s->state && platform_default_state(state, sizeof(state)) == 0)
        s->state = state;
    s->api = from_environment(s->api, "ROUSE_API");
    s->gateway = from_environment(s->gateway, "ROUSE_GATEWAY");
    if ((!s->api || !s->gateway) && s->state) {
        r = platform_load(s->state, &platform);
        if (r == -EINVAL)
            return fail("%s/platform.json is damaged; rouse up writes it anew", s->state);
        local = r == 0 && !s->api;
        if (local)
            s->api = platform.local_api;
        if (r == 0 && !s->gateway)
            s->gateway = platform.nodes[0].gateway;
    }
    if (!s->api)
        s->api = "http://127.0.0.1:7080";
    if (!s->gateway)
        s->gateway = "http://127.0.0.1:8080";
    r = check_url(&s->api, "--api");
    if (r < 0)
        r = check_url(&s->gateway, "--gateway");
    if (r >= 0)
        return r;
    s->token = from_environment(s->token, "ROUSE_TOKEN");
    if (!s->token && s->state && !local)
        s->token = read_token(s->state);
    if (!s->ns)
        s->ns = "default";
    return -1;
}
