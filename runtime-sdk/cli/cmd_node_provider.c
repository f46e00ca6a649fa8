/* cmd_node_provider.c - rouse node-provider: makes and removes nodes of a platform on this machine, as the
 * controller's pools of provider process ask. One question on stdin, one answer on stdout.
 *
 * A node is in platform.json before anything of it is made, and until all of it is gone: whatever dies in
 * between, `list` tells of it. */
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/daemons.h"
#include "cli/network.h"
#include "cli/process.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUESTION_PATIENCE = 30, STOP_SECONDS = 20 };

struct ask {
    char state[PATH_MAX];
    struct json_object *question;
    const char *pool, *node;
    struct platform p;
};

static int load(struct ask *a)
{
    int fd = daemons_lock(a->state, QUESTION_PATIENCE), r; /* `up` and `down` take their time */

    if (fd < 0)
        return fail("%s/lock: %s", a->state, strerror(-fd)), -1;
    r = platform_load(a->state, &a->p);
    if (r == 0)
        return fd;
    close(fd);
    return fail("%s/platform.json: %s", a->state,
                r == -ENOENT ? "no platform runs there" : strerror(-r)),
           -1;
}

static int save(struct ask *a)
{
    int r = platform_save(a->state, &a->p);

    return r < 0 ? fail("%s/platform.json: %s", a->state, strerror(-r)) : EXIT_DONE;
}

/* ---- create */

static int add_flag(struct platform_node *n, const char *flag, const char *value)
{
    size_t at = strlen(n->flags);
    int size = snprintf(n->flags + at, sizeof(n->flags) - at, "%s\n%s\n", flag, value);

    if (strchr(value, '\n') || (size_t)size >= sizeof(n->flags) - at)
        return fail("the labels of the template are too long");
    return EXIT_DONE;
}

static int add_flags(struct json_object *template, struct platform_node *n)
{
    struct json_object *labels = json_at(template, "labels"), *taints = json_at(template, "taints");
    int r = add_flag(n, "--allocatable-memory", json_text(template, "memory"));

    if (r == EXIT_DONE)
        r = add_flag(n, "--allocatable-cpu", json_text(template, "cpu"));
    for (size_t i = 0; json_object_is_type(taints, json_type_array) &&
                       i < json_object_array_length(taints) && r == EXIT_DONE;
         i++) {
        struct json_object *o = json_object_array_get_idx(taints, i);
        cleanup_free char *text = NULL;

        if (asprintf(&text, "%s=%s:NoSchedule", json_text(o, "key"), json_text(o, "value")) < 0)
            return fail("out of memory");
        r = add_flag(n, "--taint", text);
    }
    if (!json_object_is_type(labels, json_type_object))
        return r;
    json_object_object_foreach(labels, name, value)
    {
        cleanup_free char *text = NULL;

        if (asprintf(&text, "%s=%s", name, json_object_get_string(value)) < 0)
            return fail("out of memory");
        r = r == EXIT_DONE ? add_flag(n, "--label", text) : r;
    }
    return r;
}

static int enter(struct ask *a)
{
    struct platform_node n = {0};
    struct err e = {0};
    int r;

    if (a->p.node_count == NODES_MAX)
        return fail("this machine takes %d nodes at most", NODES_MAX);
    snprintf(n.name, sizeof(n.name), "%s", a->node);
    snprintf(n.pool, sizeof(n.pool), "%s", a->pool);
    if (network_place(&a->p, &n, &e) < 0)
        return fail("%s", e.message);
    r = add_flags(json_at(a->question, "template"), &n);
    if (r != EXIT_DONE)
        return r;
    a->p.nodes[a->p.node_count++] = n;
    return save(a);
}

static int create(struct ask *a)
{
    cleanup_fd int held = load(a);
    const struct platform_node *n;
    struct err e = {0};
    char name[80];
    int at, r = EXIT_DONE;

    if (held < 0)
        return EXIT_FAILED;
    if (platform_node_index(&a->p, a->node) < 0)
        r = enter(a);
    if (r != EXIT_DONE)
        return r;
    at = platform_node_index(&a->p, a->node);
    n = &a->p.nodes[at];
    daemon_agent_name(n, name);
    if (strcmp(n->pool, a->pool) != 0)
        return fail("there is a node %s already, and it is not the pool's", a->node);
    if (n->leaving)
        return fail("the node %s is being deleted", a->node);
    if (process_running(a->state, name))
        return EXIT_DONE;
    if (network_add(&a->p, n, &e) < 0 || daemons_start_agent(a->state, &a->p, n, &e) < 0)
        return fail("%s", e.message);
    return EXIT_DONE;
}

/* ---- delete */

static int delete (struct ask *a)
{
    cleanup_fd int held = load(a);
    char name[80], path[PATH_MAX + 80];
    int at, r;

    if (held < 0)
        return EXIT_FAILED;
    at = platform_node_index(&a->p, a->node);
    if (at < 0)
        return EXIT_DONE;
    if (strcmp(a->p.nodes[at].pool, a->pool) != 0)
        return fail("the node %s is not the pool's", a->node);
    daemon_agent_name(&a->p.nodes[at], name);
    a->p.nodes[at].leaving = true;
    r = save(a);
    if (r != EXIT_DONE)
        return r;
    /* The others need not wait for its last requests; an `up` that comes in between leaves it alone. */
    close(TAKE_FD(held));
    r = daemon_stop(a->state, name, STOP_SECONDS);
    if (r < 0)
        return fail("%s does not end: %s", name, strerror(-r));
    held = load(a);
    at = held < 0 ? -1 : platform_node_index(&a->p, a->node);
    if (at < 0)
        return held < 0 ? EXIT_FAILED : EXIT_DONE;
    network_drop(&a->p, &a->p.nodes[at]);
    snprintf(path, sizeof(path), "%s/agents/%s", a->state, a->node);
    file_remove_tree(path);
    a->p.nodes[at] = a->p.nodes[--a->p.node_count];
    return save(a);
}

/* ---- list */

static int list(struct ask *a, struct json_object *answer)
{
    struct json_object *nodes = json_object_new_array();
    cleanup_fd int held = load(a);

    json_object_object_add(answer, "nodes", nodes);
    if (held < 0)
        return EXIT_FAILED;
    for (unsigned i = 0; i < a->p.node_count; i++) {
        struct json_object *o;

        if (strcmp(a->p.nodes[i].pool, a->pool) != 0)
            continue;
        o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(a->p.nodes[i].name));
        json_object_array_add(nodes, o);
    }
    return EXIT_DONE;
}

/* ---- */

static int answer(struct ask *a)
{
    const char *verb = json_text(a->question, "verb");
    cleanup_json struct json_object *o = json_object_new_object();
    int r;

    a->pool = json_text(a->question, "pool");
    a->node = json_text(a->question, "node");
    if (strcmp(json_text(a->question, "protocol"), "rouse.provider.v1") != 0 || !a->pool[0])
        return fail("stdin has no question of protocol rouse.provider.v1");
    if (!strcmp(verb, "list"))
        r = list(a, o);
    else if (!a->node[0] || strlen(a->node) > 63 || strchr(a->node, '/') || a->node[0] == '.')
        return fail("the question names no node");
    else if (!strcmp(verb, "create"))
        r = create(a);
    else if (!strcmp(verb, "delete"))
        r = delete (a);
    else
        return fail("the verb is create, delete or list, not \"%.20s\"", verb);
    if (r == EXIT_DONE)
        printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    return r;
}

static int run_node_provider(const struct command *c, int argc, char **argv)
{
    enum { QUESTION_MAX = 1 << 20 };
    static struct ask a;
    cleanup_buffer struct buffer b = {0};
    struct settings s = {0};
    struct arguments args;
    int r = flags_parse(c, NULL, 0, argc, argv, &s, &args);

    if (r >= 0)
        return r;
    if (args.count || !s.state)
        return usage(c, "say --state DIR and nothing else");
    if (!realpath(s.state, a.state))
        return fail("%s: %s", s.state, strerror(errno));
    if (file_read(AT_FDCWD, "/dev/stdin", QUESTION_MAX, &b) < 0 || buffer_append(&b, "", 1) < 0)
        return fail("stdin cannot be read");
    a.question = json_tokener_parse((const char *)buffer_bytes(&b));
    r = answer(&a);
    json_object_put(a.question);
    return r;
}

const struct command command_node_provider = {
    "node-provider", "nodes of a pool on this machine, for the controller",
    "Usage: rouse node-provider --state DIR\n"
    "\n"
    "Answers one question of a pool of provider process; the controller runs it. The question is on stdin:\n"
    "{\"protocol\":\"rouse.provider.v1\",\"verb\":\"create\",\"pool\":P,\"node\":N,\"template\":{...}}, or delete, or "
    "list.\n"
    "\n"
    "Examples:\n"
    "  echo '{\"protocol\":\"rouse.provider.v1\",\"verb\":\"list\",\"pool\":\"big\"}' | rouse node-provider --state DIR\n",
    run_node_provider};
