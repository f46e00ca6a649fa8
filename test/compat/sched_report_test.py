"""What a program that links librouse.a says of its tasks: by name, and stripped by what addr2line takes."""
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
LIB = "build/release/lib/librouse.a"
PROGRAM = """
#include <rouse/sched.h>
static volatile int sink;
__attribute__((noinline)) static int dig(int n)
{
    volatile char hole[256];

    hole[n % 256] = (char)n;
    if (n >= 0)
        sink = dig(n + 1);
    return hole[0] + sink;
}
static void greedy(void *arg)
{
    sink = dig(*(int *)arg);
}
static void stuck(void *arg)
{
    rouse_chan_receive(arg, (void *)&sink, ROUSE_NEVER);
    sink = 1;
}
static void program(void *arg)
{
    static struct rouse_chan *chan;
    static int n;

    if (rouse_chan_new(sizeof(int), 0, &chan) < 0)
        return;
    rouse_spawn(stuck, chan);
    if (arg)
        rouse_spawn(greedy, &n);
    stuck(chan);
    sink = 1;
}
int main(int argc, char **argv)
{
    return rouse_run(program, argc > 1 ? argv[1] : NULL) < 0;
}
"""


@pytest.fixture(scope="module", params=[[], ["-static"]], ids=["dynamic", "static"])
def program(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    (path / "program.c").write_text(PROGRAM)
    subprocess.run(["make", "-s", LIB], cwd=TOP, check=True, timeout=600)
    subprocess.run(["cc", "-O1", "-g", "-pthread", *request.param, "-Iruntime-sdk/include", path / "program.c", LIB, "-o", path / "program"],
                   cwd=TOP, check=True, timeout=100)
    subprocess.run(["strip", "-o", path / "stripped", path / "program"], check=True, timeout=100)
    return path / "program", path / "stripped"


def said(*command):
    done = subprocess.run(["sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode < 0, done
    return done.stderr


def test_frames_have_names_and_not_ours(program):
    report = said(program[0])
    assert "all tasks are asleep: deadlock" in report
    assert re.search(r"^    stuck\+0x", report, re.M)
    for ours in ("trace_take", "report_visit", "wait_park", "task_entry"):
        assert ours not in report


def test_an_overflow_has_its_frames(program):
    report = said(program[0], "over")
    assert "rouse: task greedy (id " in report
    assert re.search(r"^    dig\+0x\w+ \([0-9,]+ times\)\n    greedy\+0x", report, re.M)


def test_a_stripped_one_tells_addresses_that_addr2line_takes(program):
    report = said(program[1], "over")
    addresses = re.findall(r"^    program\+(0x\w+)", report, re.M)
    names = subprocess.run(["addr2line", "-f", "-e", program[0], *addresses], capture_output=True, text=True, check=True, timeout=60).stdout.split("\n")[::2]
    assert names[:3] == ["dig", "dig", "greedy"], report
    task = re.search(r"rouse: task program\+(0x\w+) \(id", report).group(1)
    assert subprocess.run(["addr2line", "-f", "-e", program[0], task], capture_output=True, text=True, check=True, timeout=60).stdout.startswith("greedy\n")
