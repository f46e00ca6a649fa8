/* sandbox_starts.c - our sandboxes by themselves, through the launcher as the agent uses it.
 *
 *   sandbox_starts STATE ROOT CODE PROGRAM whole         orders of starts.h: from the request to the end and removal
 *   sandbox_starts STATE ROOT CODE PROGRAM first PARK    the same, but to the program's first instruction: first_word.c
 *   sandbox_starts STATE ROOT CODE PROGRAM rate PARK     orders `COUNT IN_FLIGHT`: so many at once; nanoseconds for all
 *
 * PARK is how many boxes are kept parked. The first line of the output is "ready". */
/* module: agent/launcher */
#include "launcher/launcher.h"

#include "starts.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IN_FLIGHT_MAX = 256 };

static struct {
    struct sandbox_kind kind;
    const char *code, *program;
    struct launcher *launcher;
    struct loop *loop;
    unsigned serial, running, left;
    uint64_t began, took;
    bool until_first; /* counts to the program's own word */
    int out;
} bench = {.out = -1};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void create_one(void)
{
    static const char *const env[] = {"PATH=/bin", NULL};
    const char *const argv[] = {bench.program, NULL};
    char id[32];
    const struct sandbox_spec spec = {.id = id,
                                      .hostname = "bench",
                                      .kind = bench.kind,
                                      .code_dir = bench.code,
                                      .argv = argv,
                                      .env = env,
                                      .memory = 64u << 20,
                                      .cpu_millis = 1000};
    int r;

    snprintf(id, sizeof(id), "bench-%u", bench.serial++);
    r = launcher_create(bench.launcher, &spec);
    if (r < 0)
        fail("create", strerror(-r));
    bench.running++;
    bench.left--;
}

static void on_started(void *user, const char *id, const struct sandbox_started *s)
{
    (void)user, (void)id;
    if (bench.until_first)
        bench.out = s->stdout_fd;
    else
        close(s->stdout_fd);
    close(s->stderr_fd);
    close(s->frames_listen_fd);
}

static void on_failed(void *user, const char *id, const struct err *e)
{
    (void)user;
    fail(id, e->message);
}

static void on_ended(void *user, const char *id, const struct sandbox_exit *e)
{
    (void)user;
    if (e->code)
        fail(id, "the program did not end well");
    bench.running--;
    if (bench.left)
        create_one();
    else if (!bench.running) {
        bench.took = clock_monotonic_ns() - bench.began;
        loop_stop(bench.loop);
    }
}

static void on_lost(void *user)
{
    (void)user;
    fail("launcher", "it died");
}

static uint64_t run(unsigned count, unsigned at_once)
{
    bench.left = count;
    bench.began = clock_monotonic_ns();
    for (unsigned i = 0; i < at_once && bench.left; i++)
        create_one();
    loop_run(bench.loop);
    return bench.took;
}

static uint64_t start(void *user)
{
    uint64_t took = run(1, 1), first;

    (void)user;
    if (!bench.until_first)
        return took;
    if (read(bench.out, &first, sizeof(first)) != sizeof(first) || first < bench.began)
        fail("first word", "it did not come");
    close(bench.out);
    return first - bench.began;
}

static int serve_rate(void)
{
    unsigned count, at_once;

    while (scanf("%u %u", &count, &at_once) == 2) {
        if (at_once > IN_FLIGHT_MAX)
            fail("rate", "too many at once");
        printf("%llu\n", (unsigned long long)run(count, at_once));
        fflush(stdout);
    }
    return 0;
}

static void open_launcher(const char *state, unsigned park)
{
    static const struct launcher_ops ops = {on_started, on_failed, on_ended, on_lost};
    const struct launcher_config config = {.state_dir = state};
    struct err e = {0};

    if (launcher_start(&config, &bench.launcher, &e) < 0)
        fail("launcher", e.message);
    if (loop_new(&bench.loop) < 0 || launcher_attach(bench.launcher, bench.loop, &ops, NULL) < 0)
        fail("loop", "cannot attach");
    if (park && launcher_park(bench.launcher, &bench.kind, park) < 0)
        fail("park", "refused");
}

int main(int argc, char **argv)
{
    int r;

    if (argc < 6) {
        fprintf(stderr, "usage: sandbox_starts STATE ROOT CODE PROGRAM whole|first|rate [PARK]\n");
        return 2;
    }
    bench.kind = (struct sandbox_kind){
        .runtime_root = argv[2], .network = SANDBOX_NETWORK_NONE, .frames_socket = true};
    bench.code = argv[3];
    bench.program = argv[4];
    bench.until_first = !strcmp(argv[5], "first");
    open_launcher(argv[1], argc > 6 ? (unsigned)atoi(argv[6]) : 0);
    puts("ready");
    fflush(stdout);
    r = strcmp(argv[5], "rate") ? starts_serve(start, NULL) : serve_rate();
    launcher_free(bench.launcher);
    loop_free(bench.loop);
    return r;
}
