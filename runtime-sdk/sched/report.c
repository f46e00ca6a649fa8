/* report.c - see report.h. Tasks with the same stack in the same state are told together. */
#include "sched/report.h"
#include "sched/internal.h"
#include "sched/running.h"
#include "sched/symbols.h"
#include "sched/trace.h"

#include <string.h>
#include <sys/mman.h>

enum {
    TASKS_MAX = 10000, /* whose stacks are looked at */
    NAMED = 5,         /* of those that are told together */
    ROOM = 12 << 10,   /* that the unwinder needs on the visited stack */
};

struct visit {
    struct context back;
    struct trace *trace;
};

/* Not inlined: the visited function keeps no address of a thread's own across it. */
__attribute__((noinline)) void *report_visit(struct context *own, void *value)
{
    struct visit *v = (struct visit *)((uintptr_t)value & ~(uintptr_t)REPORT_VISIT);

    trace_take(v->trace, 0);
    return context_switch(own, &v->back, NULL);
}

static void visit(struct machine *m, struct task *t, struct trace *ret)
{
    struct visit v = {.trace = ret};

    if (m)
        v.back = m->current->context; /* what the tools know of this stack */
    context_switch(&v.back, &t->context, (void *)((uintptr_t)&v | REPORT_VISIT));
}

/* ---- what is known of one task */

enum seen { SEEN_STACK, SEEN_NOT_BEGUN, SEEN_NO_ROOM, SEEN_NO_ANSWER };

struct group {
    enum task_state state;
    enum seen seen;
    const char *waits_for;
    rouse_task_fn *fn;
    int64_t least, most; /* ns that they have waited; 0: not known */
    uint64_t hash;
    uint32_t count;
    const struct task *tasks[NAMED];
    struct trace trace;
};

struct report {
    struct machine *self;
    struct group *groups; /* TASKS_MAX */
    struct running *running;
    uint32_t count, looked_at;
    uint64_t tasks;
    int64_t now;
};

static void look_at(struct report *r, struct task *t, struct group *g)
{
    *g = (struct group){.state = atomic_load_explicit(&t->state, memory_order_relaxed),
                        .waits_for = t->waits_for,
                        .fn = t->fn,
                        .count = 1};
    g->tasks[0] = t;
    if (r->self && t == r->self->current) {
        trace_take(&g->trace, 0);
    } else if (atomic_load_explicit(&t->on_cpu, memory_order_acquire)) {
        g->state = TASK_RUNNING;
        if (!running_trace(r->running, t, &g->trace))
            g->seen = SEEN_NO_ANSWER;
    } else if (!t->stack) {
        g->seen = SEEN_NOT_BEGUN;
    } else if ((char *)t->context.sp - t->stack->low < ROOM) {
        g->seen = SEEN_NO_ROOM;
    } else {
        visit(r->self, t, &g->trace);
    }
    if (g->state != TASK_WAITING)
        g->waits_for = g->state == TASK_RUNNING ? "running" : "runnable";
    else if (t->since)
        g->least = g->most = r->now > t->since ? r->now - t->since : 1;
}

static uint64_t hash_of(const struct group *g)
{
    uint64_t h = g->state * 31u + (uint64_t)g->seen;

    h = (h ^ (uintptr_t)g->waits_for) * 0x100000001b3ull;
    h = (h ^ (uintptr_t)g->fn) * 0x100000001b3ull;
    for (uint32_t i = 0; i < g->trace.count; i++)
        h = (h ^ g->trace.first[i].pc) * 0x100000001b3ull;
    return (h ^ g->trace.more) * 0x100000001b3ull;
}

static bool alike(const struct group *a, const struct group *b)
{
    return a->hash == b->hash && a->state == b->state && a->waits_for == b->waits_for &&
           a->fn == b->fn && !memcmp(&a->trace, &b->trace, sizeof(a->trace));
}

static void add(struct task *t, void *arg)
{
    struct report *r = arg;
    struct group *g = &r->groups[r->count], *same;

    r->tasks++;
    if (r->looked_at == TASKS_MAX)
        return;
    r->looked_at++;
    look_at(r, t, g);
    g->hash = hash_of(g);
    for (same = r->groups; same < g && !alike(same, g); same++)
        ;
    if (same == g) {
        r->count++;
        return;
    }
    if (same->count < NAMED)
        same->tasks[same->count] = t;
    same->count++;
    if (g->least && (!same->least || g->least < same->least))
        same->least = g->least;
    if (g->most > same->most)
        same->most = g->most;
}

/* ---- as text */

static void write_task(const struct task *t, struct text *to)
{
    text_plain(to, t->id);
    if (t->name[0]) {
        text_put(to, " \"");
        text_put(to, t->name);
        text_put(to, "\"");
    }
}

static void write_span(int64_t ns, struct text *to)
{
    static const struct {
        int64_t ns;
        const char *name;
    } units[] = {{3600 * ROUSE_SECOND, " h"},
                 {60 * ROUSE_SECOND, " min"},
                 {ROUSE_SECOND, " s"},
                 {ROUSE_MS, " ms"}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (ns >= units[i].ns) {
            text_put(to, ", ");
            text_number(to, (uint64_t)(ns / units[i].ns));
            text_put(to, units[i].name);
            return;
        }
    }
}

static void write_head(const struct group *g, struct text *to)
{
    text_put(to, "\n");
    if (g->count == 1) {
        text_put(to, "task ");
        write_task(g->tasks[0], to);
    } else {
        text_number(to, g->count);
        text_put(to, " tasks");
    }
    text_put(to, " [");
    text_put(to, g->waits_for);
    if (g->most)
        write_span(g->most, to);
    text_put(to, "]:");
    for (uint32_t i = 0; g->count > 1 && i < g->count && i < NAMED; i++) {
        text_put(to, i ? ", " : " ");
        write_task(g->tasks[i], to);
    }
    text_put(to, g->count > NAMED ? ", ...\n" : "\n");
}

static void write_function(const struct group *g, struct text *to)
{
    struct symbol s = symbol_of((uintptr_t)g->fn, false);

    text_put(to, "    ");
    if (s.name)
        text_put(to, s.name);
    else
        text_hex(to, (uintptr_t)g->fn);
    text_put(to, "\n");
}

static void write_group(const struct group *g, struct text *to)
{
    write_head(g, to);
    switch (g->seen) {
    case SEEN_STACK:
        trace_write(&g->trace, to, true, false);
        break;
    case SEEN_NOT_BEGUN:
        write_function(g, to);
        break;
    case SEEN_NO_ROOM:
        text_put(to, "    (its stack is too full to be looked at)\n");
        write_function(g, to);
        break;
    case SEEN_NO_ANSWER:
        text_put(to, "    (its thread does not answer)\n");
        write_function(g, to);
        break;
    }
    text_flush(to);
}

void report_tasks(struct machine *m, bool asleep, struct text *to)
{
    struct report r = {.self = m, .now = rouse_now()};
    size_t size = TASKS_MAX * sizeof(struct group);
    uint32_t procs = atomic_load(&sched.procs);

    r.groups =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r.groups == MAP_FAILED) {
        text_put(to, "rouse: no memory for a report of tasks\n");
        text_flush(to);
        return;
    }
    if (!asleep)
        r.running = running_traces(m);
    tasks_each(add, &r);
    text_put(to, "rouse: ");
    text_number(to, r.tasks);
    text_put(to, r.tasks == 1 ? " task" : " tasks");
    text_put(to, " on ");
    text_number(to, procs);
    text_put(to, procs == 1 ? " processor\n" : " processors\n");
    for (int running = 1; running >= 0; running--) {
        for (uint32_t i = 0; i < r.count; i++) {
            if ((r.groups[i].state == TASK_RUNNING) == running)
                write_group(&r.groups[i], to);
        }
    }
    if (r.tasks > r.looked_at) {
        text_put(to, "\n... and ");
        text_number(to, r.tasks - r.looked_at);
        text_put(to, " more\n");
    }
    text_flush(to);
    running_free(r.running);
    munmap(r.groups, size);
}

void rouse_dump_tasks(int fd)
{
    struct machine *m = sched_enter();
    struct text to = {.fd = fd};

    if (!m)
        return;
    m = world_stop(m);
    report_tasks(m, false, &to);
    world_start(m);
    sched_leave(m);
}
