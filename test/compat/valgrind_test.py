"""The scheduler under valgrind, which knows of its stacks: no error is found where there is none, and one that is there is."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DIR = "build/release/test/unit/runtime-sdk/sched"
TESTS = ["tasks_test", "chan_test", "timer_test"]
PROGRAM = """
#include <rouse/sched.h>
#include <stdlib.h>
static struct rouse_chan *chan;
static volatile int sink;
static void look_behind(const int *block)
{
    if (block[4])
        sink++;
}
static void task(void *arg)
{
    int *block = calloc(4, sizeof(*block));

    rouse_sleep(ROUSE_MS);
    look_behind(block);
    free(block);
    rouse_chan_send(chan, &arg, ROUSE_NEVER);
}
static void program(void *arg)
{
    rouse_chan_new(sizeof(arg), 0, &chan);
    rouse_spawn(task, arg);
    rouse_chan_receive(chan, &arg, ROUSE_NEVER);
    rouse_chan_free(chan);
}
int main(void)
{
    return rouse_run(program, NULL) < 0;
}
"""


def valgrind(*command):
    return subprocess.run(["valgrind", "-q", "--fair-sched=yes", "--error-exitcode=3", *map(str, command)], cwd=TOP,
                          capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module", autouse=True)
def built():
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")
    libs = [f"build/release/lib/runtime-sdk/{m}.a" for m in ("sched", "base")]
    subprocess.run(["make", "-s", *(f"{DIR}/{t}" for t in TESTS), *libs], cwd=TOP, check=True, timeout=600)
    return libs


@pytest.mark.parametrize("test", TESTS)
def test_no_error_where_there_is_none(test):
    done = valgrind(f"{DIR}/{test}")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "Failures: 0, Errors: 0" in done.stdout
    assert "== Invalid" not in done.stderr and "uninitialised" not in done.stderr, done.stderr[-4000:]


def test_an_error_in_a_task_is_found_with_its_calls(built, tmp_path):
    (tmp_path / "program.c").write_text(PROGRAM)
    subprocess.run(["cc", "-O0", "-g", "-pthread", "-Iruntime-sdk/include", tmp_path / "program.c", *built, "-o", tmp_path / "program"],
                   cwd=TOP, check=True, timeout=100)
    done = valgrind(tmp_path / "program")
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("== Invalid") == 1, done.stderr
    said = done.stderr.split("== Invalid")[1]
    assert re.search(r"look_behind .*\n.* task \(program\.c", said), said
