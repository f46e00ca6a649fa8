#include "base/metrics.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const double histogram_seconds[HISTOGRAM_BUCKETS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60,
};

void histogram_init(struct histogram *h, const double *bounds)
{
    *h = (struct histogram){.bounds = bounds};
}

void histogram_observe(struct histogram *h, double value)
{
    int i = 0;

    while (i < HISTOGRAM_BUCKETS && value > h->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += value;
    h->count++;
}

void metrics_family(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(struct buffer *out, bool first, const char *name, const char *value)
{
    buffer_printf(out, "%s%s=\"", first ? "{" : ",", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            buffer_append(out, "\\", 1);
        if (*value == '\n')
            buffer_puts(out, "\\n");
        else
            buffer_append(out, value, 1);
    }
    buffer_append(out, "\"", 1);
}

/* Writes the pairs of `ap` and, if `le` is given, that one; returns after the closing brace. */
static void labels(struct buffer *out, va_list ap, const char *le)
{
    bool first = true;
    const char *name;

    while ((name = va_arg(ap, const char *))) {
        label(out, first, name, va_arg(ap, const char *));
        first = false;
    }
    if (le) {
        label(out, first, "le", le);
        first = false;
    }
    if (!first)
        buffer_append(out, "}", 1);
}

void metrics_sample(struct buffer *out, const char *name, double value, ...)
{
    va_list ap;

    buffer_puts(out, name);
    va_start(ap, value);
    labels(out, ap, NULL);
    va_end(ap);
    buffer_printf(out, " %.15g\n", value);
}

void metrics_histogram(struct buffer *out, const char *name, const struct histogram *h, ...)
{
    uint64_t running = 0;
    va_list ap;

    for (int i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        char le[32] = "+Inf";

        running += h->counts[i];
        if (i < HISTOGRAM_BUCKETS)
            snprintf(le, sizeof(le), "%g", h->bounds[i]);
        buffer_printf(out, "%s_bucket", name);
        va_start(ap, h);
        labels(out, ap, le);
        va_end(ap);
        buffer_printf(out, " %llu\n", (unsigned long long)running);
    }
    buffer_printf(out, "%s_sum", name);
    va_start(ap, h);
    labels(out, ap, NULL);
    va_end(ap);
    buffer_printf(out, " %.9g\n%s_count", h->sum, name);
    va_start(ap, h);
    labels(out, ap, NULL);
    va_end(ap);
    buffer_printf(out, " %llu\n", (unsigned long long)h->count);
}

static double resident_bytes(void)
{
    struct buffer b = {0};
    double pages = 0;

    if (file_read(AT_FDCWD, "/proc/self/statm", 4096, &b) == 0 && buffer_append(&b, "", 1) == 0) {
        const char *second = strchr((const char *)buffer_bytes(&b), ' ');

        pages = second ? strtod(second, NULL) : 0;
    }
    buffer_done(&b);
    return pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 3;
}

/* Field 22 of /proc/self/stat is the start in clock ticks after boot; btime is the boot. */
static double start_time(void)
{
    struct buffer b = {0};
    double ticks = 0, boot = 0;

    if (file_read(AT_FDCWD, "/proc/self/stat", 4096, &b) == 0 && buffer_append(&b, "", 1) == 0) {
        const char *p = strrchr((const char *)buffer_bytes(&b), ')');

        for (int i = 2; p && i < 22; i++)
            p = strchr(p + 1, ' ');
        ticks = p ? strtod(p, NULL) : 0;
    }
    buffer_clear(&b);
    if (file_read(AT_FDCWD, "/proc/stat", 1 << 20, &b) == 0 && buffer_append(&b, "", 1) == 0) {
        const char *p = strstr((const char *)buffer_bytes(&b), "btime ");

        boot = p ? strtod(p + 6, NULL) : 0;
    }
    buffer_done(&b);
    return boot + ticks / (double)sysconf(_SC_CLK_TCK);
}

void metrics_process(struct buffer *out)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    metrics_family(out, "process_cpu_seconds_total", "counter", "User and system CPU time.");
    metrics_sample(out, "process_cpu_seconds_total",
                   (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
                   NULL);
    metrics_family(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    metrics_sample(out, "process_resident_memory_bytes", resident_bytes(), NULL);
    metrics_family(out, "process_open_fds", "gauge", "Open file descriptors.");
    metrics_sample(out, "process_open_fds", open_fds(), NULL);
    metrics_family(out, "process_start_time_seconds", "gauge",
                   "Start of the process since the epoch.");
    metrics_sample(out, "process_start_time_seconds", start_time(), NULL);
}
