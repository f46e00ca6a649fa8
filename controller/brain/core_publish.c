/* core_publish.c - revisions, nodes and instances as objects of the API. */
#include "brain/core_internal.h"

static void text(struct buffer *b, const char *name, const char *value)
{
    buffer_printf(b, "\"%s\":\"", name);
    buffer_json_string(b, value, strlen(value));
    buffer_puts(b, "\"");
}

static void more_text(struct buffer *b, const char *name, const char *value)
{
    buffer_puts(b, ",");
    text(b, name, value);
}

static void put_lifecycle(struct buffer *b, const struct function_lifecycle *l)
{
    const char *const all[][2] = {{"initializer", l->initializer},
                                  {"afterFork", l->after_fork},
                                  {"preFreeze", l->pre_freeze},
                                  {"preStop", l->pre_stop}};
    bool any = false;

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (!all[i][1])
            continue;
        buffer_puts(b, any ? "," : ",\"lifecycle\":{");
        text(b, all[i][0], all[i][1]);
        any = true;
    }
    if (l->initializer_timeout_ms)
        buffer_printf(b, ",\"initializerTimeout\":\"%ums\"", l->initializer_timeout_ms);
    if (any)
        buffer_puts(b, "}");
}

static const char *taken(struct core *c, struct buffer *b)
{
    char *s = actions_alloc(c->out, buffer_size(b) + 1);

    if (buffer_size(b))
        memcpy(s, buffer_bytes(b), buffer_size(b));
    buffer_clear(b);
    return s;
}

static void unpublish(struct core *c, enum object_kind kind, const char *ns, const char *name)
{
    struct action *a = actions_add(c->out, ACTION_UNPUBLISH);

    a->object.kind = kind;
    a->object.ns = ns ? actions_strdup(c->out, ns) : NULL;
    a->object.name = actions_strdup(c->out, name);
}

static struct action *publish(struct core *c, enum object_kind kind, const char *ns, const char *name)
{
    struct action *a = actions_add(c->out, ACTION_PUBLISH);

    a->object.kind = kind;
    a->object.ns = ns ? actions_strdup(c->out, ns) : NULL;
    a->object.name = actions_strdup(c->out, name);
    return a;
}

void publish_instance(struct core *c, const struct instance *i)
{
    const struct function *f = i->rev->spec;
    struct action *a = publish(c, KIND_INSTANCE, f->ns, i->id);
    cleanup_buffer struct buffer b = {0};

    buffer_puts(&b, "{");
    text(&b, "rouse.dev/function", f->name);
    more_text(&b, "rouse.dev/revision", i->rev->id);
    more_text(&b, "rouse.dev/node", i->host->name);
    buffer_puts(&b, "}");
    a->object.labels = taken(c, &b);
    buffer_puts(&b, "{");
    text(&b, "function", f->name);
    more_text(&b, "revision", i->rev->id);
    more_text(&b, "node", i->host->name);
    buffer_puts(&b, "}");
    a->object.spec = taken(c, &b);
    buffer_puts(&b, "{");
    text(&b, "state", instance_state_name(i->state));
    more_text(&b, "reason", i->reason);
    more_text(&b, "message", i->message);
    buffer_printf(&b, ",\"slots\":%u,\"exitCode\":%d,\"signal\":%d,\"readyAtMs\":%llu", i->slots,
                  i->exit_code, i->signal, (unsigned long long)i->ready_at_ms);
    buffer_printf(&b,
                  ",\"phases\":{\"schedule\":%llu,\"fetch\":%llu,\"sandbox\":%llu,\"runtime\":%llu,"
                  "\"init\":%llu}}",
                  (unsigned long long)i->schedule_us, (unsigned long long)i->fetch_us,
                  (unsigned long long)i->sandbox_us, (unsigned long long)i->runtime_us,
                  (unsigned long long)i->init_us);
    a->object.status = taken(c, &b);
    a->object.owner = function_ref(i->rev->spec);
}

void unpublish_instance(struct core *c, const struct instance *i)
{
    unpublish(c, KIND_INSTANCE, i->rev->spec->ns, i->id);
}

static void resources(struct buffer *b, const char *name, uint64_t memory, uint64_t cpu)
{
    buffer_printf(b, ",\"%s\":{\"cpu\":\"%llum\",\"memory\":\"%lluKi\"}", name,
                  (unsigned long long)cpu, (unsigned long long)(memory >> 10));
}

static void address(struct buffer *b, const char *type, const char *value, bool first)
{
    buffer_puts(b, first ? "{" : ",{");
    text(b, "type", type);
    more_text(b, "address", value);
    buffer_puts(b, "}");
}

void publish_node(struct core *c, const struct node *n)
{
    struct action *a = publish(c, KIND_NODE, NULL, n->name);
    bool ready = n->state == NODE_READY;
    cleanup_buffer struct buffer b = {0};
    char spec[NODE_SPEC_TEXT];

    buffer_puts(&b, "{");
    text(&b, "rouse.dev/node", n->name);
    more_text(&b, "kubernetes.io/arch", n->traits.architecture);
    for (size_t k = 0; k < n->traits.label_count; k++)
        more_text(&b, n->traits.labels[k].key, n->traits.labels[k].value);
    buffer_puts(&b, "}");
    a->object.labels = taken(c, &b);
    node_spec_text(&(struct node_wanted){n->cordoned || n->draining || n->leaving, n->draining},
                   spec);
    a->object.spec = actions_strdup(c->out, spec);
    buffer_printf(&b,
                  "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\",\"reason\":\"%s\","
                  "\"message\":\"%s\"}]",
                  ready                   ? "True"
                  : n->state == NODE_LOST ? "False"
                                          : "Unknown",
                  ready                   ? "AgentConnected"
                  : n->state == NODE_LOST ? "AgentLost"
                                          : "AgentSilent",
                  ready ? "" : "the agent's control channel is closed");
    buffer_printf(&b, ",\"state\":\"%s\",\"instances\":%zu", node_state_name(n->state),
                  n->instance_count);
    more_text(&b, "gatewayAddress", n->gateway_address);
    resources(&b, "capacity", n->allocatable_memory, n->allocatable_cpu);
    resources(&b, "allocatable", n->allocatable_memory, n->allocatable_cpu);
    buffer_puts(&b, ",\"addresses\":[");
    address(&b, "Gateway", n->gateway_address, true);
    address(&b, "Peer", n->peer_address, false);
    buffer_puts(&b, "],\"nodeInfo\":{");
    text(&b, "architecture", n->traits.architecture);
    more_text(&b, "agentVersion", n->version);
    buffer_puts(&b, "},\"runtimes\":[");
    for (size_t k = 0; k < n->traits.runtime_count; k++) {
        buffer_puts(&b, k ? ",\"" : "\"");
        buffer_json_string(&b, n->traits.runtimes[k], strlen(n->traits.runtimes[k]));
        buffer_puts(&b, "\"");
    }
    buffer_puts(&b, "]}");
    a->object.status = taken(c, &b);
}

void unpublish_node(struct core *c, const struct node *n)
{
    unpublish(c, KIND_NODE, NULL, n->name);
}

static const char *revision_name(struct core *c, const struct revision *r)
{
    return actions_printf(c->out, "%s-%s", r->spec->name, r->id);
}

void publish_revision(struct core *c, const struct revision *r, const struct tally *t)
{
    const struct function *f = r->spec;
    struct action *a = publish(c, KIND_REVISION, f->ns, revision_name(c, r));
    cleanup_buffer struct buffer b = {0};
    char memory[24];

    buffer_puts(&b, "{");
    text(&b, "rouse.dev/function", f->name);
    buffer_puts(&b, "}");
    a->object.labels = taken(c, &b);
    quantity_memory_text(f->memory, memory);
    buffer_puts(&b, "{");
    text(&b, "function", f->name);
    more_text(&b, "revision", r->id);
    if (!r->foreign) {
        more_text(&b, "runtime", f->runtime);
        more_text(&b, "handler", f->handler);
        more_text(&b, "package", f->package);
        more_text(&b, "memory", memory);
        buffer_printf(&b, ",\"cpu\":\"%um\",\"timeout\":\"%ums\",\"concurrency\":%u", f->cpu_millis,
                      f->timeout_ms, f->concurrency);
        if (f->fork)
            more_text(&b, "start", "fork");
        put_lifecycle(&b, &f->lifecycle);
    }
    buffer_puts(&b, "}");
    a->object.spec = taken(c, &b);
    buffer_printf(&b, "{\"active\":%s,\"latest\":%s,\"instances\":%u,\"readyInstances\":%u}",
                  r == r->fn->active ? "true" : "false", r == r->fn->latest ? "true" : "false",
                  t->counted, t->ready);
    a->object.status = taken(c, &b);
    a->object.owner = function_ref(r->spec);
}

void unpublish_revision(struct core *c, const struct revision *r)
{
    struct fn *now = fn_find(c, r->spec->key);

    if (!now || now == r->fn || !fn_revision(now, r->id)) /* else the name is another's by now */
        unpublish(c, KIND_REVISION, r->spec->ns, revision_name(c, r));
}
