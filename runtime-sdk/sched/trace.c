/* trace.c - see trace.h. By the unwinder of the compiler's library, which reads what the compiler said of each
 * frame: there are no frame pointers at -O2. */
#include "sched/trace.h"
#include "sched/symbols.h"

#include "base/cleanup.h"

#include <string.h>
#include <unwind.h>

enum {
    FRAMES_MAX = 1 << 24
}; /* of 16 bytes in the largest stack; more are a stack that was written over */

struct walk {
    struct trace *trace;
    uintptr_t from;
};

static _Unwind_Reason_Code add(struct _Unwind_Context *context, void *arg)
{
    struct walk *w = arg;
    struct trace *t = w->trace;
    struct frame *newest;
    int interrupted = 0;
    uintptr_t pc = _Unwind_GetIPInfo(context, &interrupted);

    if (!pc || t->more > FRAMES_MAX)
        return _URC_END_OF_STACK;
    if (w->from && pc != w->from)
        return _URC_NO_REASON;
    w->from = 0;
    if (!interrupted)
        pc--; /* a return address may be that of the next function */
    newest = t->more    ? &t->last[(t->more - 1) % TRACE_LAST]
             : t->count ? &t->first[t->count - 1]
                        : NULL;
    if (newest && newest->pc == pc)
        newest->times++;
    else if (t->count < TRACE_FIRST)
        t->first[t->count++] = (struct frame){pc, 1};
    else
        t->last[t->more++ % TRACE_LAST] = (struct frame){pc, 1};
    return _URC_NO_REASON;
}

void trace_take(struct trace *t, uintptr_t from)
{
    struct walk w = {t, from};

    *t = (struct trace){0};
    _Unwind_Backtrace(add, &w);
    if (!from || t->count)
        return;
    /* ThreadSanitizer calls handlers later, from elsewhere */
    w.from = 0;
    _Unwind_Backtrace(add, &w);
}

static void write_frame(const struct frame *f, struct text *to, bool in_handler)
{
    struct symbol s = symbol_of(f->pc, in_handler);

    text_put(to, "    ");
    if (s.name) {
        text_put(to, s.name);
        text_put(to, "+");
        text_hex(to, s.offset);
    } else {
        text_hex(to, f->pc);
    }
    if (f->times > 1) {
        text_put(to, " (");
        text_number(to, f->times);
        text_put(to, " times)");
    }
    text_put(to, "\n");
}

/* How a task waits, innermost first, and what calls its function. */
static const char *const waiting[] = {"trace_take", "report_visit", "leave_for",
                                      "machine_leave_task", "wait_park"};
static const char *const calling[] = {"main_entry", "task_entry"};

/* In librouse.a our own names have the prefix rouse__ (Makefile). */
static const char own[] = "rouse__";

static bool is_one_of(const struct frame *f, const char *const *names, size_t n, bool in_handler)
{
    const char *name = symbol_of(f->pc, in_handler).name;

    if (name && !strncmp(name, own, strlen(own)))
        name += strlen(own);
    for (size_t i = 0; name && i < n; i++) {
        if (!strcmp(name, names[i]))
            return true;
    }
    return false;
}

static bool is_public(const struct frame *f, bool in_handler)
{
    const char *name = symbol_of(f->pc, in_handler).name;

    return name && !strncmp(name, "rouse_", 6) && strncmp(name, own, strlen(own)) != 0;
}

void trace_write(const struct trace *t, struct text *to, bool brief, bool in_handler)
{
    uint32_t first = 0;

    while (brief && first < t->count &&
           is_one_of(&t->first[first], waiting, ARRAY_LEN(waiting), in_handler))
        first++;
    for (uint32_t i = first; brief && i < t->count; i++) {
        if (is_public(&t->first[i], in_handler)) {
            first = i;
            break;
        }
    }
    for (uint32_t i = first; i < t->count; i++) {
        if (brief && is_one_of(&t->first[i], calling, ARRAY_LEN(calling), in_handler))
            return;
        write_frame(&t->first[i], to, in_handler);
    }
    if (t->more > TRACE_LAST) {
        text_put(to, "    ... ");
        text_number(to, t->more - TRACE_LAST);
        text_put(to, " more\n");
    }
    for (uint64_t i = t->more > TRACE_LAST ? t->more - TRACE_LAST : 0; i < t->more; i++) {
        const struct frame *f = &t->last[i % TRACE_LAST];

        if (brief && is_one_of(f, calling, ARRAY_LEN(calling), in_handler))
            return;
        write_frame(f, to, in_handler);
    }
}
