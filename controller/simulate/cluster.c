#include "simulate/cluster_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FUNCTIONS_TURN = 1000 };

uint64_t cluster_start_time(struct draw *d, uint64_t start, uint64_t init)
{
    double ns = (double)start * draw_lognormal(d, 0, 0.4) + (double)init * draw_lognormal(d, 0, 1.0);

    return (uint64_t)ns;
}

/* ---- between the core and what is imitated */

void cluster_carry_out(struct cluster *c, struct actions *out)
{
    for (struct action *a = out->first; a; a = a->next) {
        if (a->kind == ACTION_SEND && a->send.peer && a->send.peer <= c->node_count)
            node_message(c, c->nodes[a->send.peer - 1], a->send.message);
        else if (a->kind == ACTION_ANSWER)
            call_answered(c, a->answer.ticket, a->answer.grant);
        else if (a->kind == ACTION_PROVIDER)
            provider_asked(c, a->provider);
    }
    actions_done(out);
}

void cluster_tell(struct cluster *c, const struct sim_node *n, const AgentMessage *m)
{
    struct actions out = {0};

    core_agent_message(c->core, c->now, n->peer, m, &out);
    cluster_carry_out(c, &out);
    c->touched = true;
}

static void decide(struct cluster *c)
{
    struct actions out = {0};
    uint64_t since = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    c->touched = false;
    core_turn(c->core, c->now, &out);
    c->out->core_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - since;
    c->out->turns++;
    c->next_turn = c->now + c->config.turn;
    cluster_carry_out(c, &out);
}

/* ---- making */

static struct function *make_function(const struct cluster *c, uint32_t index, uint32_t memory)
{
    struct function *f;
    char name[16];

    snprintf(name, sizeof(name), "f%u", index);
    f = function_new("sim", name);
    if (!f)
        abort();
    f->runtime = strdup("simulated");
    f->handler = strdup("x.y");
    f->package = strdup("sha256:0");
    if (!f->runtime || !f->handler || !f->package)
        abort();
    f->generation = 1;
    f->created_ms = 1;
    strcpy(f->revision, "1");
    f->memory = (uint64_t)memory << 20;
    f->cpu_millis = 500;
    f->timeout_ms = 3600 * 1000;
    f->concurrency = c->config.concurrency;
    f->scaling = (struct autoscaler_spec){
        .max = 1000, .idle_timeout_ns = c->config.idle_timeout, .predictive = c->config.predictive};
    return f;
}

static void apply_functions(struct cluster *c, const struct trace *t)
{
    for (uint32_t i = 0; i < c->config.functions; i++) {
        struct sim_function *f = &c->functions[i];
        struct actions out = {0};
        struct function *spec;

        f->memory = trace_function(t, i)->memory;
        list_init(&f->free);
        list_init(&f->all);
        list_init(&f->levels);
        spec = make_function(c, i, f->memory);
        snprintf(f->key, sizeof(f->key), "%s", spec->key);
        core_function(c->core, c->now, NULL, spec, &out);
        cluster_carry_out(c, &out);
        function_unref(spec);
        if (i % FUNCTIONS_TURN == 0)
            decide(c);
    }
    decide(c);
}

static int make(struct cluster *c)
{
    struct core_config core = core_defaults;

    core.incarnation = c->config.seed + 1;
    core.adopt_ns = 1;
    c->functions = calloc(c->config.functions, sizeof(*c->functions));
    if (!c->functions)
        return -ENOMEM;
    return core_new(&core, c->now, &c->core);
}

/* What still lives at the end has lived until then. */
static void done(struct cluster *c)
{
    map_for_each(m, &c->instances)
    {
        struct sim_instance *i = map_entry(m, struct sim_instance, by_id);

        instance_count(c, i);
        outcome_end(c->out, i->function->memory, i->created - CLUSTER_BEGIN, c->now - CLUSTER_BEGIN,
                    i->busy);
        free(i);
    }
    map_for_each(m, &c->calls) free(map_entry(m, struct sim_call, by_ticket));
    map_for_each(m, &c->slots) free(map_entry(m, struct sim_slot, by_id));
    for (uint32_t i = 0; c->core && i < c->config.functions; i++)
        list_for_each(it, &c->functions[i].levels) free(list_entry(it, struct sim_level, link));
    map_done(&c->instances);
    map_done(&c->calls);
    map_done(&c->slots);
    events_done(&c->events);
    nodes_end(c);
    free(c->functions);
    c->core = core_free(c->core);
}

/* ---- running */

static void happens(struct cluster *c, const struct event *e)
{
    switch ((enum cluster_event)e->kind) {
    case CLUSTER_READY:
        instance_ready(c, e->what);
        break;
    case CLUSTER_DONE:
        instance_done(c, e->what);
        break;
    case CLUSTER_OFFER:
        instance_offer(c, e->what);
        break;
    case CLUSTER_LEASE:
        lease_over(c, e->extra);
        break;
    case CLUSTER_STOPPED:
        instance_stopped(c, e->what);
        break;
    case CLUSTER_REPORT:
        node_report(c, e->what);
        break;
    case CLUSTER_ACK:
        nodes_acknowledge(c);
        break;
    case CLUSTER_NODE:
        node_comes(c, e->what);
        break;
    case CLUSTER_ANSWER:
        provider_answers(c, e->what, (enum provider_verb)e->extra);
        break;
    }
}

/* When it decides next: at once, unless it has a turn's time to go. */
static uint64_t turn_due(const struct cluster *c)
{
    uint64_t due = c->touched ? c->now : core_due(c->core);

    return due < c->next_turn ? c->next_turn : due;
}

static void run(struct cluster *c, struct trace *t)
{
    uint64_t end = CLUSTER_BEGIN + c->config.end;
    struct trace_call next;

    trace_next(t, &next);
    for (;;) {
        uint64_t call = CLUSTER_BEGIN + next.at, event = UINT64_MAX, due = turn_due(c), at;

        events_first(&c->events, &event);
        at = due < call ? due : call;
        at = event < at ? event : at;
        if (at >= end)
            break;
        c->now = at > c->now ? at : c->now;
        if (at == event) {
            struct event e = events_pop(&c->events);

            happens(c, &e);
        } else if (at == due) {
            decide(c);
        } else {
            call_arrives(c, &next);
            trace_next(t, &next);
        }
    }
    c->now = end;
}

int cluster_run(const struct cluster_config *config, struct trace *t, struct outcome *ret)
{
    struct cluster c = {.config = *config, .now = CLUSTER_BEGIN, .out = ret, .draw = {config->seed}};
    int r;

    if (config->nodes > CLUSTER_NODES_MAX || config->node_max > CLUSTER_NODES_MAX ||
        config->node_min > config->node_max || (!config->nodes && !config->node_max))
        return -EINVAL;
    *ret = (struct outcome){0};
    outcome_begin(ret, config->end);
    r = make(&c);
    if (r == 0) {
        c.now += 2;
        nodes_begin(&c);
        decide(&c);
        apply_functions(&c, t);
        run(&c, t);
    }
    done(&c);
    outcome_close(ret);
    return r;
}
