/* loop_metrics.c - see the header. */
#include "reactor/loop_metrics.h"
#include "base/cleanup.h"
#include "base/metrics.h"

static const struct {
    const char *name, *help;
    size_t offset;
} counters[] = {
#define COUNTER(field, help)                                                                       \
    {                                                                                              \
        "rouse_loop_" #field "_total", help, offsetof(struct loop_stats, field)                    \
    }
    COUNTER(turns, "Turns of each event loop: times that it asked the kernel."),
    COUNTER(events, "Events that the kernel told a loop."),
    COUNTER(mails, "Work that came to a loop from other threads."),
    COUNTER(timers, "Timers that ran out."),
    COUNTER(wakeups, "Times that another thread woke a loop."),
    COUNTER(timer_steps, "Places that timers moved through in a loop's heap."),
    COUNTER(system_calls, "System calls by the loop itself, not by who hangs on it."),
    COUNTER(accepted, "Connections accepted."),
    COUNTER(dialled, "Connections dialled."),
    COUNTER(closed, "Connections that ended, however they did."),
    COUNTER(bytes_in, "Bytes read from connections."),
    COUNTER(bytes_out, "Bytes written to connections."),
    COUNTER(bytes_spliced, "Of both, those that the kernel moved from connection to connection."),
    COUNTER(partial_writes, "Writes of which the kernel took a part."),
    COUNTER(high_water,
            "Times that a connection came to have more to write than its high water mark."),
    COUNTER(buffers_exhausted, "Times that the ring of receive buffers ran empty (io_uring)."),
#undef COUNTER
};

void loop_sample_take(const struct loop *l, const char *name, struct loop_sample *ret)
{
    *ret = (struct loop_sample){name, loop_backend_name(l), *loop_stats(l)};
}

void loop_metrics(struct buffer *out, const struct loop_sample *samples, size_t n)
{
    if (!n)
        return;
    metrics_family(out, "rouse_loop_info", "gauge", "How each event loop asks the kernel.");
    for (size_t k = 0; k < n; k++)
        metrics_sample(out, "rouse_loop_info", 1, "loop", samples[k].name, "backend",
                       samples[k].backend, NULL);
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        metrics_family(out, counters[i].name, "counter", counters[i].help);
        for (size_t k = 0; k < n; k++) {
            const uint64_t *value =
                (const uint64_t *)((const char *)&samples[k].stats + counters[i].offset);

            metrics_sample(out, counters[i].name, (double)*value, "loop", samples[k].name, NULL);
        }
    }
}
