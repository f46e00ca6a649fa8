/* Providers: programs that answer, fail, babble, hang, and what becomes of their children. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "nodes/provider.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static struct loop *loop;
static struct providers *providers;
static struct provider_answer got;
static char nodes[4][64];

static void on_answer(void *user, const struct provider_answer *a)
{
    (void)user;
    got = *a;
    for (size_t i = 0; i < a->node_count && i < 4; i++)
        strcpy(nodes[i], a->nodes[i]);
    got.nodes = NULL;
    loop_stop(loop);
}

static void begin(const char *script)
{
    struct providers_config c = {
        .hooks = dir, .control = "tcp://10.0.0.1:7082", .on_answer = on_answer};
    char path[128];

    strcpy(dir, "/tmp/rouse-provider-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/hook", dir);
    if (script) {
        ck_assert_int_eq(file_write_atomic(path, script, strlen(script), 0700), 0);
        chmod(path, 0700);
    }
    ck_assert_int_eq(loop_new(&loop), 0);
    c.loop = loop;
    ck_assert_int_eq(providers_new(&c, &providers), 0);
}

static void end(void)
{
    providers = providers_free(providers);
    loop = loop_free(loop);
    file_remove_tree(dir);
}

static struct pool_spec *spec_of(uint32_t timeout_ms)
{
    struct pool_spec *s = calloc(1, sizeof(*s));

    s->refs = 1;
    strcpy(s->name, "p");
    s->provider = POOL_HOOK;
    strcpy(s->hook, "hook");
    s->hook_timeout_ms = timeout_ms;
    s->template_json = strdup("{\"memory\":\"1Gi\"}");
    return s;
}

static void ask_within(enum provider_verb verb, uint32_t timeout_ms)
{
    struct pool_spec *s = spec_of(timeout_ms);

    memset(&got, 0, sizeof(got));
    providers_ask(providers, &(struct provider_request){verb, s, verb == PROVIDER_LIST ? "" : "p-1"});
    pool_spec_unref(s);
    loop_run(loop);
    ck_assert_str_eq(got.pool, "p");
    ck_assert_int_eq(got.verb, verb);
}

static void ask(enum provider_verb verb)
{
    ask_within(verb, 30000);
}

static void read_text(const char *name, char *out, size_t size)
{
    cleanup_buffer struct buffer b = {0};
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(file_read(AT_FDCWD, path, size - 1, &b), 0);
    snprintf(out, size, "%.*s", (int)buffer_size(&b), (const char *)buffer_bytes(&b));
}

START_TEST(it_is_told_and_tells)
{
    char text[1024];

    begin("#!/bin/sh\ncat >\"$(dirname \"$0\")/question\"\necho '{\"nodes\":[{\"name\":\"p-1\"},{\"name\":\"p-b2\","
          "\"state\":\"new\"}]}'\n");
    ask(PROVIDER_LIST);
    ck_assert_int_eq(got.error, 0);
    ck_assert_uint_eq(got.node_count, 2);
    ck_assert_str_eq(nodes[1], "p-b2");
    ask(PROVIDER_CREATE);
    ck_assert_int_eq(got.error, 0);
    ck_assert_str_eq(got.node, "p-1");
    read_text("question", text, sizeof(text));
    ck_assert_str_eq(
        text, "{\"protocol\":\"rouse.provider.v1\",\"verb\":\"create\",\"pool\":\"p\",\"node\":\"p-1\","
              "\"control\":\"tcp://10.0.0.1:7082\",\"template\":{\"memory\":\"1Gi\"}}\n");
    end();
}
END_TEST

START_TEST(its_failures_are_told)
{
    static const struct {
        const char *script;
        int error;
        const char *message;
    } cases[] = {
        {"echo one >&2; echo 'no credit left' >&2; exit 3", -EREMOTEIO, "no credit left"},
        {"exit 3", -EREMOTEIO, "exit status 3"},
        {"kill -9 $$", -EREMOTEIO, "killed by signal 9"},
        {"echo '{\"error\":\"quota\"}'", -EREMOTEIO, "quota"},
        {"echo '{\"error\":\"\"}'", -EREMOTEIO, "no reason"},
        {"echo nodes", -EPROTO, "no JSON object"},
        {"true", -EPROTO, "no JSON object"},
        {"echo '{}'", -EPROTO, "no array"},
        {"echo '{\"nodes\":[{\"name\":\"../x\"}]}'", -EPROTO, "no \"name\""},
        {"echo '{\"nodes\":[\"p-1\"]}'", -EPROTO, "no \"name\""},
        {"head -c 2000000 /dev/zero", -E2BIG, "more than 1048576 bytes"},
        {"head -c 2000000 /dev/zero >&2; exit 1", -EREMOTEIO, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char script[256];

        snprintf(script, sizeof(script), "#!/bin/sh\n%s\n", cases[i].script);
        begin(script);
        ask(PROVIDER_LIST);
        ck_assert_msg(got.error == cases[i].error && strstr(got.message, cases[i].message),
                      "%s: %d %s", cases[i].script, got.error, got.message);
        ck_assert(got.error != 0 || got.node_count == 0);
        end();
    }
    begin(NULL);
    ask(PROVIDER_LIST);
    ck_assert_int_eq(got.error, -ENOENT);
    end();
}
END_TEST

START_TEST(an_error_of_null_is_none)
{
    begin("#!/bin/sh\necho '{\"error\":null,\"nodes\":[]}'\n");
    ask(PROVIDER_LIST);
    ck_assert_int_eq(got.error, 0);
    end();
}
END_TEST

/* A hook that hangs is one pool's trouble. */
START_TEST(who_hangs_leaves_threads_to_the_others)
{
    struct pool_spec *s = spec_of(600000), *other = spec_of(600000);

    begin("#!/bin/sh\ngrep -q other && echo '{\"nodes\":[]}' && exit\nexec sleep 1000\n");
    strcpy(other->name, "other");
    for (int i = 0; i < 3 * PROVIDER_THREADS; i++)
        providers_ask(providers, &(struct provider_request){PROVIDER_LIST, s, ""});
    for (int i = 0; i < 2 * PROVIDER_THREADS; i++) {
        providers_ask(providers, &(struct provider_request){PROVIDER_LIST, other, ""});
        loop_run(loop);
        ck_assert_str_eq(got.pool, "other");
        ck_assert_int_eq(got.error, 0);
    }
    providers_stop(providers);
    loop_run(loop); /* the answers of those that were killed */
    pool_spec_unref(s);
    pool_spec_unref(other);
    end();
}
END_TEST

static bool alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

static pid_t child(void)
{
    char text[64];

    read_text("child", text, sizeof(text));
    return (pid_t)atoi(text);
}

/* Until the kernel has taken it away; init reaps it. */
static void gone(pid_t pid)
{
    uint64_t deadline = clock_monotonic_ns() + 10 * NS_PER_S;

    while (alive(pid) && clock_monotonic_ns() < deadline) {
        char path[64], text[256] = "";
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            ck_assert_int_ge(read(fd, text, sizeof(text) - 1), 0);
            close(fd);
        }
        if (strstr(text, ") Z "))
            return;
    }
    ck_assert_msg(!alive(pid), "%d lives on", pid);
}

START_TEST(one_that_hangs_is_killed_with_its_children)
{
    begin("#!/bin/sh\ntrap '' TERM\nsleep 1000 &\necho $! >\"$(dirname \"$0\")/child\"\nwait; sleep 1000\n");
    ask_within(PROVIDER_CREATE, 300);
    ck_assert_int_eq(got.error, -ETIMEDOUT);
    gone(child());
    end();
}
END_TEST

START_TEST(what_it_leaves_running_is_not_waited_for)
{
    begin("#!/bin/sh\nsetsid sleep 30 &\necho $! >\"$(dirname \"$0\")/child\"\necho '{\"nodes\":[]}'\n");
    ask(PROVIDER_LIST);
    ck_assert_int_eq(got.error, 0);
    kill(child(), SIGKILL);
    end();
}
END_TEST

START_TEST(the_end_does_not_wait_for_it)
{
    struct pool_spec *s = spec_of(600000);
    char path[128];

    begin("#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho $$ >new.$$\nmv new.$$ child\nexec sleep 1000\n");
    for (int i = 0; i < PROVIDER_THREADS + 3; i++) /* more than there are threads */
        providers_ask(providers, &(struct provider_request){PROVIDER_LIST, s, ""});
    pool_spec_unref(s);
    snprintf(path, sizeof(path), "%s/child", dir);
    while (access(path, F_OK) < 0)
        ;
    providers_stop(providers);
    gone(child());
    /* The answers of those that were killed are mail that nobody has read. */
    loop_run(loop);
    end();
}
END_TEST

UNIT_MAIN("provider", it_is_told_and_tells, its_failures_are_told, an_error_of_null_is_none,
          who_hangs_leaves_threads_to_the_others, one_that_hangs_is_killed_with_its_children,
          what_it_leaves_running_is_not_waited_for, the_end_does_not_wait_for_it)
