/* Who is asked for memory, when, and whose; with a launcher that writes it down and a /proc of our own. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "pool/memory.h"
#include "pool/reclaim.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char asked[512]; /* "NAME NAME "... */
static unsigned count;
static uint64_t each, last_bytes;
static int result;
static bool held; /* one that is asked does not come back until this is over */

int launcher_reclaim(const struct launcher *l, const char *cgroup, uint64_t bytes, uint64_t *ret_freed)
{
    int r;

    (void)l;
    pthread_mutex_lock(&lock);
    r = result;
    snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%s ", cgroup);
    count++;
    last_bytes = bytes;
    pthread_cond_broadcast(&changed);
    while (held)
        pthread_cond_wait(&changed, &lock);
    if (r == 0)
        *ret_freed = each;
    pthread_mutex_unlock(&lock);
    return r;
}

static void has_asked(const char *want)
{
    pthread_mutex_lock(&lock);
    ck_assert_str_eq(asked, want);
    pthread_mutex_unlock(&lock);
}

/* The thread has asked so many in all. */
static void until(unsigned n)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += 20;
    pthread_mutex_lock(&lock);
    while (count < n)
        ck_assert_msg(pthread_cond_timedwait(&changed, &lock, &at) == 0, "waited in vain: %s", asked);
    pthread_mutex_unlock(&lock);
}

static void hold(bool on)
{
    pthread_mutex_lock(&lock);
    held = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void answer(int with)
{
    pthread_mutex_lock(&lock);
    result = with;
    pthread_mutex_unlock(&lock);
}

static char proc[64];
static struct reclaim *reclaim;
static struct reclaim_entry a, b, c;

static void put(const char *dir, const char *file, const char *text)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0644), 0);
}

static void available(unsigned percent)
{
    char text[128];

    snprintf(text, sizeof(text), "MemTotal:  1000000 kB\nMemFree: 1 kB\nMemAvailable:  %u kB\n",
             percent * 10000);
    put(proc, "meminfo", text);
}

static void make_proc(void)
{
    strcpy(proc, "/tmp/reclaim-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(proc));
    available(50);
}

static void begin(void)
{
    struct reclaim_config config = {.below_percent = 10, .proc = proc, .period_ns = 5 * NS_PER_MS};

    log_set_level(LOG_ERROR);
    make_proc();
    config.proc = proc;
    ck_assert_int_eq(reclaim_new(&config, &reclaim), 0);
}

static void end(void)
{
    reclaim_free(reclaim);
    file_remove_tree(proc);
}

START_TEST(the_longest_frozen_first_and_once)
{
    begin();
    each = 1 << 20;
    reclaim_frozen(reclaim, &a, "a");
    reclaim_frozen(reclaim, &b, "b");
    reclaim_frozen(reclaim, &c, "c");
    reclaim_thawed(reclaim, &b);
    reclaim_thawed(reclaim, &b);
    has_asked("");
    available(9);
    until(2);
    reclaim_frozen(reclaim, &b, "b");
    until(3);
    has_asked("a c b ");
    while (!atomic_load(&b.taken)) /* the thread says so when it is done */
        ;
    ck_assert(atomic_load(&a.taken) && atomic_load(&c.taken));
    reclaim_thawed(reclaim, &a);
    reclaim_frozen(reclaim, &a, "a"); /* again: it has run since */
    until(4);
    end();
}
END_TEST

START_TEST(a_bounded_amount_a_period)
{
    struct reclaim_entry many[100] = {0};
    char name[16];

    begin();
    each = 40 << 20;
    available(1);
    hold(true); /* the first one's period */
    for (int k = 0; k < 3; k++) {
        snprintf(name, sizeof(name), "%d", k);
        reclaim_frozen(reclaim, &many[k], name);
    }
    until(1);
    ck_assert_uint_eq(last_bytes, 64 << 20);
    available(50); /* what is left of this period's amount is still asked for, then no more */
    hold(false);
    until(2);
    ck_assert_uint_eq(last_bytes, 24 << 20);
    hold(true);
    reclaim_frozen(reclaim, &many[3], "3");
    available(1);
    until(3);
    ck_assert_uint_eq(last_bytes, 64 << 20);
    hold(false);
    until(4);
    end();
    has_asked("0 1 2 3 ");
}
END_TEST

START_TEST(one_that_thaws_meanwhile)
{
    begin();
    available(1);
    hold(true);
    reclaim_frozen(reclaim, &a, "a");
    until(1);
    reclaim_thawed(reclaim, &a); /* does not wait for it */
    hold(false);
    reclaim_frozen(reclaim, &b, "b");
    until(2);
    end();
    ck_assert(!atomic_load(&a.taken));
    ck_assert(atomic_load(&b.taken));
}
END_TEST

START_TEST(figures)
{
    cleanup_buffer struct buffer out = {0};

    begin();
    each = 4096;
    available(1);
    reclaim_frozen(reclaim, &a, "a");
    until(1);
    while (!atomic_load(&a.taken))
        ;
    answer(-ENOENT);
    hold(true);
    reclaim_frozen(reclaim, &b, "b");
    until(2);
    reclaim_frozen(reclaim, &c, "c"); /* in the same period */
    reclaim_thawed(reclaim, &a);
    reclaim_frozen(reclaim, &a, "a");
    answer(-EOPNOTSUPP); /* to c: then it is given up */
    hold(false);
    until(3);
    reclaim_metrics(NULL, &out);
    ck_assert_uint_eq(buffer_size(&out), 0);
    reclaim_metrics(reclaim, &out);
    buffer_append(&out, "", 1);
    ck_assert_ptr_nonnull(
        strstr((const char *)buffer_bytes(&out), "\nrouse_reclaimed_bytes_total 4096\n"));
    end();
    ck_assert_uint_eq(count, 3);
}
END_TEST

/* One look at a meminfo that is a pipe. */
static void look(unsigned percent)
{
    char path[100], text[128];
    int n = snprintf(text, sizeof(text), "MemTotal:  1000000 kB\nMemAvailable:  %u kB\n",
                     percent * 10000);
    int fd;

    snprintf(path, sizeof(path), "%s/meminfo", proc);
    fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, (size_t)n), n);
    close(fd);
}

START_TEST(with_enough_memory_nobody_is_asked)
{
    char path[100];
    int fd;

    begin();
    snprintf(path, sizeof(path), "%s/meminfo", proc);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    reclaim_frozen(reclaim, &a, "a");
    for (int k = 0; k < 4; k++) /* the last one begins after the first one's end */
        look(50);
    has_asked("");
    fd = open(path, O_RDWR | O_NONBLOCK); /* lets go who waits for the pipe now */
    available(5);
    close(fd);
    until(1);
    end();
}
END_TEST

START_TEST(nobody_to_take_from)
{
    reclaim_frozen(NULL, &a, "a");
    reclaim_thawed(NULL, &a);
    reclaim_free(NULL);
    begin();
    available(1);
    end();
    has_asked("");
}
END_TEST

START_TEST(what_is_looked_at)
{
    struct memory_state m;
    char dir[100];

    make_proc();
    ck_assert_int_eq(memory_look(proc, NULL, &m), 0);
    ck_assert_uint_eq(m.total, 1000000ull << 10);
    ck_assert_uint_eq(m.available, 500000ull << 10);
    ck_assert_uint_eq(m.limit, 0);
    ck_assert(m.stalled == 0);
    snprintf(dir, sizeof(dir), "%s/pressure", proc);
    ck_assert_int_eq(file_mkdirs(dir, 0755), 0);
    put(proc, "pressure/memory",
        "some avg10=21.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=1\n");
    snprintf(dir, sizeof(dir), "%s/v2", proc);
    ck_assert_int_eq(file_mkdirs(dir, 0755), 0);
    put(dir, "memory.current", "1000\n");
    put(dir, "memory.max", "2000\n");
    put(dir, "memory.stat", "anon 1\ninactive_anon 77\ninactive_file 300\n");
    ck_assert_int_eq(memory_look(proc, dir, &m), 0);
    ck_assert(m.stalled == 21.5);
    ck_assert_uint_eq(m.limit, 2000);
    ck_assert_uint_eq(m.used, 700);
    put(dir, "memory.max", "max\n");
    ck_assert_int_eq(memory_look(proc, dir, &m), 0);
    ck_assert_uint_eq(m.limit, 0);
    snprintf(dir, sizeof(dir), "%s/v1", proc);
    ck_assert_int_eq(file_mkdirs(dir, 0755), 0);
    put(dir, "memory.usage_in_bytes", "500\n");
    put(dir, "memory.limit_in_bytes", "800\n");
    put(dir, "memory.stat", "inactive_file 1\ntotal_inactive_file 9000\n");
    ck_assert_int_eq(memory_look(proc, dir, &m), 0);
    ck_assert_uint_eq(m.limit, 800);
    ck_assert_uint_eq(m.used, 0);
    snprintf(dir, sizeof(dir), "%s/none", proc);
    ck_assert_int_eq(memory_look(dir, NULL, &m), -ENOENT);
    file_remove_tree(proc);
}
END_TEST

START_TEST(when_it_is_short)
{
    static const struct {
        struct memory_state m;
        bool is_short;
    } cases[] = {
        {{.total = 1000, .available = 100}, false},
        {{.total = 1000, .available = 99}, true},
        {{.total = 1000, .available = 900, .limit = 200, .used = 179}, false},
        {{.total = 1000, .available = 900, .limit = 200, .used = 185}, true},
        {{.total = 1000, .available = 900, .limit = 200, .used = 300}, true},
        {{.total = 1000, .available = 199, .stalled = 25}, true},
        {{.total = 1000, .available = 199, .stalled = 15}, false},
        {{.total = 1000, .available = 201, .stalled = 99}, false}, /* one function at its limit */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(memory_short(&cases[i].m, 10) == cases[i].is_short, "case %zu", i);
}
END_TEST

UNIT_MAIN("reclaim", the_longest_frozen_first_and_once, a_bounded_amount_a_period,
          one_that_thaws_meanwhile, figures, with_enough_memory_nobody_is_asked,
          nobody_to_take_from, what_is_looked_at, when_it_is_short)
