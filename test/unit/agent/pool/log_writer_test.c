#include "pool/log_writer.h"
#include "base/file.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[128], old[160];

static void begin(void)
{
    strcpy(dir, "/tmp/log-writer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.log", dir);
    snprintf(old, sizeof(old), "%s.1", path);
}

static off_t size_of(const char *name)
{
    struct stat st;

    return stat(name, &st) < 0 ? -1 : st.st_size;
}

static void append(struct log_writer *w, size_t n, char fill)
{
    struct buffer b = {0};

    memset(buffer_reserve(&b, n), fill, n);
    buffer_commit(&b, n);
    log_writer_append(w, path, &b);
    ck_assert_uint_eq(buffer_size(&b), 0);
}

START_TEST(files_rotate)
{
    struct log_writer *w;

    begin();
    for (int life = 0; life < 3; life++) {
        ck_assert_int_eq(log_writer_new(&w), 0);
        for (int i = 0; i < 4; i++)
            append(w, 1 << 20, (char)('a' + life));
        ck_assert_uint_eq(log_writer_dropped(w), 0);
        log_writer_free(w); /* all of it is on disk then */
    }
    ck_assert_int_eq(size_of(old), 10 << 20);
    ck_assert_int_eq(size_of(path), 2 << 20);
    file_remove_tree(dir);
}
END_TEST

static atomic_bool done;

/* Takes what is written into the pipe. */
static void *swallow(void *user)
{
    static char into[65536];
    struct pollfd p = {.fd = *(int *)user, .events = POLLIN};

    while (!atomic_load(&done))
        if (poll(&p, 1, 10) > 0 && read(p.fd, into, sizeof(into)) <= 0)
            poll(NULL, 0, 1);
    return NULL;
}

START_TEST(what_the_disk_does_not_take_is_counted)
{
    struct log_writer *w;
    pthread_t drain;
    int reader;

    begin();
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* nobody reads it: the open blocks */
    ck_assert_int_eq(log_writer_new(&w), 0);
    for (int i = 0; i < 12; i++)
        append(w, 1 << 20, 'x');
    ck_assert_uint_ge(log_writer_dropped(w), 3 << 20);
    /* A reader lets it go on. */
    ck_assert_int_ge(reader = open(path, O_RDONLY | O_NONBLOCK), 0);
    ck_assert_int_eq(pthread_create(&drain, NULL, swallow, &reader), 0);
    log_writer_free(w);
    atomic_store(&done, true);
    pthread_join(drain, NULL);
    close(reader);
    file_remove_tree(dir);
}
END_TEST

UNIT_MAIN("log_writer", files_rotate, what_the_disk_does_not_take_is_counted)
