/* cmd_kubeconfig.c - rouse kubeconfig: what kubectl needs to reach the API. */
#include "cli/cli.h"
#include "cli/yaml.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

static struct json_object *named(const char *key, struct json_object *value)
{
    struct json_object *list = json_object_new_array(), *o = json_object_new_object();

    json_object_object_add(o, "name", json_object_new_string("rouse"));
    json_object_object_add(o, key, value);
    json_object_array_add(list, o);
    return list;
}

static struct json_object *kubeconfig(const struct settings *s)
{
    struct json_object *o = json_object_new_object(), *cluster = json_object_new_object();
    struct json_object *user = json_object_new_object(), *context = json_object_new_object();

    json_object_object_add(cluster, "server", json_object_new_string(s->api));
    if (s->token)
        json_object_object_add(user, "token", json_object_new_string(s->token));
    json_object_object_add(context, "cluster", json_object_new_string("rouse"));
    json_object_object_add(context, "namespace", json_object_new_string(s->ns));
    json_object_object_add(context, "user", json_object_new_string("rouse"));
    json_object_object_add(o, "apiVersion", json_object_new_string("v1"));
    json_object_object_add(o, "kind", json_object_new_string("Config"));
    json_object_object_add(o, "clusters", named("cluster", cluster));
    json_object_object_add(o, "contexts", named("context", context));
    json_object_object_add(o, "users", named("user", user));
    json_object_object_add(o, "current-context", json_object_new_string("rouse"));
    return o;
}

static int run_kubeconfig(const struct command *c, int argc, char **argv)
{
    const char *file = NULL;
    const struct flag flags[] = {{"write", 0, FLAG_TEXT, &file}};
    cleanup_buffer struct buffer b = {0};
    struct settings s = {0};
    struct arguments args;
    struct json_object *o;
    bool usable;
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count)
        return usage(c, "unexpected \"%s\"", args.positional[0]);
    r = settings_resolve(&s);
    if (r >= 0)
        return r;
    usable = !s.token || strncmp(s.api, "http://", 7) != 0;
    if (!usable)
        fprintf(stderr,
                "rouse: kubectl sends a token over https only: it will not be let in at %s\n", s.api);
    o = kubeconfig(&s);
    r = yaml_emit(o, &b);
    json_object_put(o);
    if (r < 0)
        return fail("%s", strerror(-r));
    if (!file) {
        fwrite(buffer_bytes(&b), 1, buffer_size(&b), stdout);
        return EXIT_DONE;
    }
    r = file_write_atomic(file, buffer_bytes(&b), buffer_size(&b), 0600);
    if (r < 0)
        return fail("%s: %s", file, strerror(-r));
    if (usable)
        printf("%s is written: kubectl --kubeconfig %s get functions\n", file, file);
    return EXIT_DONE;
}

const struct command command_kubeconfig = {"kubeconfig", "print a kubeconfig, for kubectl",
                                           "Usage: rouse kubeconfig [--write FILE]\n"
                                           "\n"
                                           "Examples:\n"
                                           "  rouse kubeconfig --write ~/.kube/rouse\n"
                                           "  KUBECONFIG=~/.kube/rouse kubectl get functions\n",
                                           run_kubeconfig};
