/* An output that is written faster than its budget is left unread; nothing of it is lost while its
 * writer lives, and it ends at once when the writer is gone. */
#include "invoke/log_pipe.h"
#include "runtime-sdk/invoke/support.h"
#include "unit.h"

#include <sys/ioctl.h>

static struct log_budget budget;
static struct log_pipe p;
static size_t lines, bytes;
static char last[128];
static int out;

static void on_line(struct log_pipe *from, const char *line, size_t n)
{
    (void)from;
    lines++;
    bytes += n;
    snprintf(last, sizeof(last), "%.*s", (int)n, line);
}

static void begin(void)
{
    int fds[2];

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(log_pipe_open(&p, loop, fds[0], &budget, on_line), 0);
    out = fds[1];
}

static void end(void)
{
    log_pipe_close(&p);
    loop_free(loop);
}

static bool is_paused(void *user)
{
    static const char newlines[4096] = {[0 ... 4095] = '\n'};

    (void)user;
    while (write(out, newlines, sizeof(newlines)) > 0)
        ;
    return loop_timer_armed(&p.pause);
}

static bool has_ended(void *user)
{
    (void)user;
    return !p.open;
}

static bool has_read_all(void *user)
{
    int left = 0;

    (void)user;
    ck_assert_int_eq(ioctl(p.watch.fd, FIONREAD, &left), 0);
    return left == 0;
}

START_TEST(empty_lines_cost_too)
{
    begin();
    wait_for(is_paused, NULL);
    ck_assert_uint_ge(lines, LOG_BURST / LOG_LINE_COST);
    /* Overdrawn by a read or two of each kind, refilled while this ran. */
    ck_assert_uint_lt(lines, 8 * LOG_BURST / LOG_LINE_COST);
    ck_assert_uint_eq(bytes, 0);
    close(out);
    end();
}
END_TEST

START_TEST(what_waits_is_read_later)
{
    size_t before;

    begin();
    wait_for(is_paused, NULL);
    budget.spent = LOG_BURST + LOG_RATE / 10;
    before = lines;
    log_pipe_drain(&p, false); /* an invocation ended: not even then */
    ck_assert_uint_eq(lines, before);
    wait_for(has_read_all, NULL);
    ck_assert_uint_gt(lines, before);
    close(out);
    end();
}
END_TEST

START_TEST(a_writer_that_left_is_not_waited_for)
{
    begin();
    wait_for(is_paused, NULL);
    budget.spent = 1ll << 40; /* for ever */
    close(out);
    wait_for(has_ended, NULL);
    ck_assert_str_eq(last, "[rouse] output beyond the limit was dropped");
    end();
}
END_TEST

/* Who says that the loop's event came after it is believed; and who does not is not. */
START_TEST(what_was_told_is_not_read_again)
{
    begin();
    ck_assert_int_eq(write(out, "one\n", 4), 4);
    wait_for(has_read_all, NULL);
    ck_assert_uint_eq(lines, 1);
    ck_assert_int_eq(write(out, "two", 3), 3);
    log_pipe_drain(&p, true);
    ck_assert_uint_eq(lines, 1 + !loop_early_told(loop));
    log_pipe_drain(&p, false);
    ck_assert_uint_eq(lines, 2);
    ck_assert_str_eq(last, "two");
    close(out);
    end();
}
END_TEST

START_TEST(a_bucket_fills_with_time)
{
    struct log_budget b = {0};
    uint64_t now = 1000 * NS_PER_S;

    ck_assert(log_budget_left(&b, now));
    log_budget_spend(&b, LOG_BURST, 0);
    ck_assert(!log_budget_left(&b, now));
    ck_assert(!log_budget_left(&b, now + 100)); /* too short for a byte, but not forgotten */
    ck_assert(log_budget_left(&b, now + 10 * NS_PER_US));
    log_budget_spend(&b, LOG_RATE, 0);
    ck_assert(!log_budget_left(&b, now + NS_PER_S / 2));
    ck_assert(log_budget_left(&b, now + 2 * NS_PER_S));
    log_budget_spend(&b, 1u << 30, 0);
    ck_assert(log_budget_left(&b, now + 1ull * 365 * 24 * 3600 * NS_PER_S));
    ck_assert_int_eq(b.spent, 0);
}
END_TEST

UNIT_MAIN("log_pipe", empty_lines_cost_too, what_waits_is_read_later, what_was_told_is_not_read_again,
          a_writer_that_left_is_not_waited_for, a_bucket_fills_with_time)
