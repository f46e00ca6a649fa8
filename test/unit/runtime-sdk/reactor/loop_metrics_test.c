#include "reactor/loop_metrics.h"
#include "backends.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

static struct loop *loop;

static void stop(struct mail *m)
{
    (void)m;
    loop_stop(loop);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

START_TEST(what_a_loop_did_is_shown)
{
    struct mail mails[2] = {{.fn = stop}, {.fn = stop}};
    struct loop_sample sample;
    struct buffer b = {0};
    char line[128], *text;

    ck_assert_int_eq(loop_new(&loop), 0);
    for (int i = 0; i < 2; i++)
        loop_post(loop, &mails[i]);
    loop_run(loop);
    loop_sample_take(loop, "main", &sample);
    loop_metrics(&b, &sample, 1);
    text = buffer_take_string(&b);
    snprintf(line, sizeof(line), "\nrouse_loop_info{loop=\"main\",backend=\"%s\"} 1\n",
             loop_backend_name(loop));
    ck_assert_ptr_nonnull(strstr(text, line));
    ck_assert_ptr_nonnull(strstr(text, "\n# TYPE rouse_loop_mails_total counter\n"
                                       "rouse_loop_mails_total{loop=\"main\"} 2\n"));
    ck_assert_ptr_null(strstr(text, "rouse_loop_turns_total{loop=\"main\"} 0\n"));
    free(text);
    loop_free(loop);
}
END_TEST

/* All are counters of 64 bits: a new one that nobody prints is found here. */
START_TEST(every_counter_is_shown_under_its_loop)
{
    struct loop_sample samples[2] = {{.name = "0", .backend = "epoll"},
                                     {.name = "1", .backend = "io_uring"}};
    enum { COUNTERS = sizeof(struct loop_stats) / sizeof(uint64_t) };
    struct buffer b = {0};
    char *text;

    for (size_t i = 0; i < COUNTERS; i++) {
        ((uint64_t *)&samples[0].stats)[i] = 1000 + i;
        ((uint64_t *)&samples[1].stats)[i] = 2000 + i;
    }
    loop_metrics(&b, samples, 2);
    text = buffer_take_string(&b);
    for (size_t i = 0; i < COUNTERS; i++) {
        char line[64];

        snprintf(line, sizeof(line), "{loop=\"0\"} %zu\n", 1000 + i);
        ck_assert_msg(count(text, line) == 1, "%s", line);
        snprintf(line, sizeof(line), "{loop=\"1\"} %zu\n", 2000 + i);
        ck_assert_msg(count(text, line) == 1, "%s", line);
    }
    ck_assert_uint_eq(count(text, "# HELP "), COUNTERS + 1);
    ck_assert_uint_eq(count(text, "# TYPE "), COUNTERS + 1);
    free(text);
    loop_metrics(&b, samples, 0);
    ck_assert_uint_eq(buffer_size(&b), 0);
}
END_TEST

BACKENDS_MAIN("loop_metrics", what_a_loop_did_is_shown, every_counter_is_shown_under_its_loop)
