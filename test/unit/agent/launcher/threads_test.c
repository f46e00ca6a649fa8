/* A program that schedules tasks on threads finds what it needs of the kernel inside a sandbox. */
#include "agent/launcher/bench.h"

#define SOURCE "test/unit/agent/launcher/threads_program.c"

START_TEST(a_scheduler_can_run)
{
    struct bench b;
    struct sandbox_spec s;
    char command[512], *out;

    NEED();
    bench_open(&b);
    snprintf(command, sizeof(command),
             "cc -O1 -std=gnu17 -D_GNU_SOURCE -static -pthread -o %s/program %s", b.code, SOURCE);
    if (shell(command) != 0) {
        printf("skipped: no C compiler here that links statically\n");
        bench_close(&b);
        return;
    }
    s = spec_of(&b, NULL);
    out = run_script(&b, &s, "exec /var/task/program");
    ck_assert_str_eq(out, "all well\n");
    ck_assert_int_eq(b.exit.code, 0);
    free(out);
    bench_close(&b);
}
END_TEST

UNIT_MAIN("threads", a_scheduler_can_run)
