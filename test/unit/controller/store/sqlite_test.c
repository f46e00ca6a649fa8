/* The SQLite store: rows survive, marks only rise, errors carry their reason, kill -9 loses nothing
 * acknowledged. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"
#include "store/store.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct fixture {
    char dir[64];
    struct loop *loop;
    struct store *store;
    unsigned waiting;
};
struct write {
    struct store_write w;
    struct fixture *f;
    char key[64];
    char *json;
};

static void temporary_dir(char out[64])
{
    strcpy(out, "/tmp/rouse-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(out));
}

static void begin(struct fixture *f)
{
    struct err e = {0};

    ck_assert_int_eq(loop_new(&f->loop), 0);
    ck_assert_msg(store_open_sqlite(f->dir, &f->store, &e) == 0, "%s", e.message);
    f->waiting = 0;
}

static void end(struct fixture *f)
{
    f->store = store_free(f->store);
    f->loop = loop_free(f->loop);
}

static void on_done(struct store_write *w)
{
    struct write *x = container_of(w, struct write, w);

    if (--x->f->waiting == 0)
        loop_stop(x->f->loop);
}

static void submit(struct fixture *f, struct write *x, enum store_op op, const char *key,
                   const char *json, uint64_t rv)
{
    *x = (struct write){.f = f};
    snprintf(x->key, sizeof(x->key), "%s", key);
    x->w = (struct store_write){.op = op,
                                .kind = "Function",
                                .key = x->key,
                                .json = json,
                                .rv = rv,
                                .reply = f->loop,
                                .on_done = on_done};
    f->waiting++;
    store_submit(f->store, &x->w);
}

struct found {
    unsigned count;
    char key[64], json[64];
    uint64_t rv;
};

static int on_row(void *user, const struct store_row *row)
{
    struct found *found = user;

    found->count++;
    snprintf(found->key, sizeof(found->key), "%s", row->key);
    snprintf(found->json, sizeof(found->json), "%s", row->json);
    found->rv = row->rv;
    ck_assert_str_eq(row->kind, "Function");
    return 0;
}

START_TEST(rows_survive)
{
    struct fixture f = {0};
    struct write w[4];
    struct found found = {0};
    struct store_stats st;
    struct err e;

    temporary_dir(f.dir);
    begin(&f);
    ck_assert_uint_eq(store_reserved(f.store), 0);
    submit(&f, &w[0], STORE_PUT, "default/a", "{\"a\":1}", 7);
    submit(&f, &w[1], STORE_PUT, "default/b", "{}", 8);
    submit(&f, &w[2], STORE_RESERVE, "", NULL, 1000);
    loop_run(f.loop);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(w[i].w.error == 0, "%s", w[i].w.message);
    submit(&f, &w[3], STORE_PUT, "default/a", "{\"a\":2}", 9);
    submit(&f, &w[1], STORE_DELETE, "default/b", NULL, 0);
    submit(&f, &w[2], STORE_RESERVE, "", NULL, 10);
    loop_run(f.loop);
    store_stats(f.store, &st);
    ck_assert_uint_eq(st.writes, 6);
    ck_assert_uint_eq(st.queue, 0);
    ck_assert_uint_ge(st.commits, 2);
    end(&f);
    begin(&f);
    ck_assert_uint_eq(store_reserved(f.store), 1000);
    ck_assert_int_eq(store_list(f.store, on_row, &found, &e), 0);
    ck_assert_uint_eq(found.count, 1);
    ck_assert_str_eq(found.key, "default/a");
    ck_assert_str_eq(found.json, "{\"a\":2}");
    ck_assert_uint_eq(found.rv, 9);
    end(&f);
    file_remove_tree(f.dir);
}
END_TEST

START_TEST(one_controller_a_directory)
{
    struct fixture f = {0};
    struct store *second;
    struct err e = {0};

    temporary_dir(f.dir);
    begin(&f);
    ck_assert_int_eq(store_open_sqlite(f.dir, &second, &e), -EBUSY);
    ck_assert_msg(strstr(e.message, "in use by another controller") != NULL, "%s", e.message);
    end(&f);
    file_remove_tree(f.dir);
}
END_TEST

START_TEST(damage_is_told)
{
    struct fixture f = {0};
    cleanup_free char *path = NULL;
    struct store *s;
    struct err e = {0};

    temporary_dir(f.dir);
    ck_assert_int_ge(asprintf(&path, "%s/store.db", f.dir), 0);
    ck_assert_int_eq(
        file_write_atomic(path, "this was never a database, or it was one once", 45, 0600), 0);
    ck_assert_int_eq(store_open_sqlite(f.dir, &s, &e), -EUCLEAN);
    ck_assert_msg(strstr(e.message, path) != NULL, "%s", e.message);
    file_remove_tree(f.dir);
}
END_TEST

START_TEST(full_disk_is_told_and_recovered_from)
{
    struct fixture f = {0};
    struct write w;
    struct rlimit old, small;
    cleanup_free char *big = NULL;
    struct found found = {0};
    struct err e;

    temporary_dir(f.dir);
    begin(&f);
    ck_assert_ptr_nonnull(big = malloc(1 << 20));
    memset(big, 'x', (1 << 20) - 1);
    big[(1 << 20) - 1] = '\0';
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){256 << 10, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    submit(&f, &w, STORE_PUT, "default/big", big, 1);
    loop_run(f.loop);
    ck_assert_int_lt(w.w.error, 0);
    ck_assert_msg(strstr(w.w.message, "the store cannot write") != NULL, "%s", w.w.message);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    submit(&f, &w, STORE_PUT, "default/small", "{}", 2);
    loop_run(f.loop);
    ck_assert_msg(w.w.error == 0, "%s", w.w.message);
    end(&f);
    begin(&f);
    ck_assert_int_eq(store_list(f.store, on_row, &found, &e), 0);
    ck_assert_uint_eq(found.count, 1);
    ck_assert_str_eq(found.key, "default/small");
    end(&f);
    file_remove_tree(f.dir);
}
END_TEST

/* ---- kill -9: the child keeps eight writes in flight and tells each one that was acknowledged. */
enum { FLIGHT = 8 };
static unsigned next_number;
static int told;

static void on_acknowledged(struct store_write *w)
{
    struct write *x = container_of(w, struct write, w);
    unsigned number = (unsigned)strtoul(x->key, NULL, 10);

    if (w->error || write(told, &number, sizeof(number)) != sizeof(number))
        _exit(2);
    snprintf(x->key, sizeof(x->key), "%08u", next_number++);
    store_submit(x->f->store, &x->w);
}

static void child_main(struct fixture *f, unsigned first, int fd)
{
    static struct write w[FLIGHT];

    told = fd;
    next_number = first;
    begin(f);
    for (int i = 0; i < FLIGHT; i++) {
        w[i] = (struct write){.f = f};
        snprintf(w[i].key, sizeof(w[i].key), "%08u", next_number++);
        w[i].w = (struct store_write){.op = STORE_PUT,
                                      .kind = "Function",
                                      .key = w[i].key,
                                      .json = "{}",
                                      .rv = 1,
                                      .reply = f->loop,
                                      .on_done = on_acknowledged};
        store_submit(f->store, &w[i].w);
    }
    loop_run(f->loop);
    _exit(3);
}

static uint8_t *kept;
static unsigned kept_size;

static int on_kept(void *user, const struct store_row *row)
{
    unsigned long number = strtoul(row->key, NULL, 10);

    (void)user;
    if (number < kept_size)
        kept[number] = 1;
    return 0;
}

START_TEST(kill_loses_nothing_acknowledged)
{
    struct fixture f = {0};
    unsigned acknowledged[1 << 16], count = 0, first = 0;
    struct err e;

    temporary_dir(f.dir);
    for (int round = 0; round < 8; round++) {
        unsigned wanted = count + 1 + (unsigned)(random_u64() % 60), number;
        int fds[2], status;
        pid_t pid;

        ck_assert_int_eq(pipe(fds), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            close(fds[0]);
            child_main(&f, first, fds[1]);
        }
        close(fds[1]);
        while (count < wanted && read(fds[0], &number, sizeof(number)) == sizeof(number))
            acknowledged[count++] = number;
        ck_assert_uint_eq(count, wanted);
        kill(pid, SIGKILL);
        while (read(fds[0], &number, sizeof(number)) == sizeof(number) &&
               count < ARRAY_LEN(acknowledged))
            acknowledged[count++] = number;
        close(fds[0]);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        for (unsigned i = 0; i < count; i++)
            if (acknowledged[i] >= first)
                first = acknowledged[i] + FLIGHT + 1;
    }
    kept_size = first + 1;
    kept = calloc(kept_size, 1);
    ck_assert_ptr_nonnull(kept);
    begin(&f);
    ck_assert_int_eq(store_list(f.store, on_kept, NULL, &e), 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_msg(kept[acknowledged[i]], "write %u was acknowledged and is gone",
                      acknowledged[i]);
    end(&f);
    free(kept);
    file_remove_tree(f.dir);
}
END_TEST

UNIT_MAIN("store", rows_survive, one_controller_a_directory, damage_is_told,
          full_disk_is_told_and_recovered_from, kill_loses_nothing_acknowledged)
