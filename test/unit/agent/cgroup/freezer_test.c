/* What is asked of a freezer, in a directory that only looks like a cgroup: files that take what is written. */
#include "cgroup/freezer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/rouse-freezer-XXXXXX";
static struct cgroups cgroups;
static struct freezer *freezer;

static void put(const char *path, const char *text)
{
    int fd = openat(cgroups.trees[0].dir, path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void open_all(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    cgroups.count = 1;
    cgroups.trees[0] = (struct cgroup_tree){
        .own = dir, .v2 = true, .controllers = 1u << CGROUP_FREEZER, .dir = open(dir, O_PATH)};
    ck_assert_int_eq(mkdirat(cgroups.trees[0].dir, "a", 0700), 0);
    ck_assert_int_eq(mkdirat(cgroups.trees[0].dir, "b", 0700), 0);
    ck_assert_int_eq(mkdirat(cgroups.trees[0].dir, "last", 0700), 0);
    put("a/cgroup.freeze", "0\n");
    put("b/cgroup.freeze", "0\n");
    put("last/cgroup.freeze", "0\n");
    ck_assert_int_eq(freezer_new(&cgroups, &freezer), 0);
}

static void close_all(void)
{
    freezer = freezer_free(freezer);
}

static char first_byte(const char *path)
{
    cleanup_fd int fd = openat(cgroups.trees[0].dir, path, O_RDONLY | O_CLOEXEC);
    char c = 0;

    ck_assert_int_eq(read(fd, &c, 1), 1);
    return c;
}

static void remove_all(void)
{
    static const char *const names[] = {
        "a/cgroup.freeze", "b/cgroup.freeze", "last/cgroup.freeze", "a", "b", "last"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unlinkat(cgroups.trees[0].dir, names[i], i < 3 ? 0 : AT_REMOVEDIR);
    close(cgroups.trees[0].dir);
    rmdir(dir);
}

static void await(const char *path, char c)
{
    struct timespec pause = {.tv_nsec = 100 * 1000};

    while (first_byte(path) != c)
        nanosleep(&pause, NULL);
}

/* Thaws go before freezes, which keep their order: behind this one nothing is left. */
static void await_all(void)
{
    put("last/cgroup.freeze", "0\n");
    ck_assert_int_eq(freezer_set(freezer, "last", true), 0);
    await("last/cgroup.freeze", '1');
}

START_TEST(the_last_word_holds)
{
    open_all();
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(freezer_set(freezer, "a", true), 0);
        ck_assert_int_eq(freezer_set(freezer, "b", true), 0);
        ck_assert_int_eq(freezer_set(freezer, "b", false), 0);
        ck_assert_int_eq(freezer_set(freezer, "a", false), 0);
        ck_assert_int_eq(freezer_set(freezer, "a", true), 0);
    }
    await_all();
    ck_assert_int_eq(first_byte("a/cgroup.freeze"), '1');
    ck_assert_int_eq(first_byte("b/cgroup.freeze"), '0');
    close_all();
    remove_all();
}
END_TEST

START_TEST(what_is_frozen_already_is_thawed)
{
    open_all();
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(freezer_set(freezer, "a", true), 0);
        await("a/cgroup.freeze", '1');
        ck_assert_int_eq(freezer_set(freezer, "a", true), 0);
        ck_assert_int_eq(freezer_set(freezer, "a", false), 0);
        await_all();
        ck_assert_int_eq(first_byte("a/cgroup.freeze"), '0');
    }
    close_all();
    remove_all();
}
END_TEST

static atomic_bool ending;
static pid_t first_thread;

static bool is_waiting(pid_t thread)
{
    char path[64], text[256] = "";
    cleanup_fd int fd = -1;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
    return strstr(text, ") S ");
}

/* Lets the write go on that is under way, once the end waits for it. */
static void *let_go(void *unused)
{
    struct timespec pause = {.tv_nsec = 100 * 1000};

    while (!atomic_load(&ending) || !is_waiting(first_thread))
        nanosleep(&pause, NULL);
    (void)unused;
    return (void *)(intptr_t)openat(cgroups.trees[0].dir, "a/cgroup.freeze",
                                    O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/* Who ends the sandboxes thaws them; a freeze that came after that would keep them from their end. */
START_TEST(what_is_queued_at_the_end_is_forgotten)
{
    pthread_t helper;
    void *fd;

    open_all();
    unlinkat(cgroups.trees[0].dir, "a/cgroup.freeze", 0);
    ck_assert_int_eq(mkfifoat(cgroups.trees[0].dir, "a/cgroup.freeze", 0600), 0);
    first_thread = gettid();
    ck_assert_int_eq(pthread_create(&helper, NULL, let_go, NULL), 0);
    ck_assert_int_eq(freezer_set(freezer, "a", true), 0);
    ck_assert_int_eq(freezer_set(freezer, "last", true), 0);
    atomic_store(&ending, true);
    close_all();
    pthread_join(helper, &fd);
    close((int)(intptr_t)fd);
    ck_assert_int_eq(first_byte("last/cgroup.freeze"), '0');
    remove_all();
}
END_TEST

START_TEST(what_cannot_be_is_said_at_once)
{
    open_all();
    ck_assert_int_eq(freezer_set(freezer, "c", true), -ENOENT);
    cgroups.trees[0].controllers = 0;
    ck_assert_int_eq(freezer_set(freezer, "a", true), -EOPNOTSUPP);
    close_all();
    remove_all();
}
END_TEST

START_TEST(thaws_are_counted)
{
    cleanup_buffer struct buffer out = {0};
    struct timespec pause = {.tv_nsec = 1000 * 1000};

    open_all();
    put("a/cgroup.freeze", "1\n");
    ck_assert_int_eq(freezer_set(freezer, "a", false), 0);
    for (;;) {
        freezer_metrics(freezer, &out);
        buffer_append(&out, "", 1);
        if (strstr((const char *)buffer_bytes(&out), "rouse_thaw_seconds_count 1\n"))
            break;
        buffer_clear(&out);
        nanosleep(&pause, NULL);
    }
    ck_assert_int_eq(first_byte("a/cgroup.freeze"), '0');
    close_all();
    remove_all();
}
END_TEST

UNIT_MAIN("freezer", the_last_word_holds, what_is_frozen_already_is_thawed,
          what_is_queued_at_the_end_is_forgotten, what_cannot_be_is_said_at_once, thaws_are_counted)
