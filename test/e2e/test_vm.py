"""cgroup v2 alone, on Debian's kernel: the sandbox tests and a whole platform, without systemd and with it, inside a
small virtual machine."""
import subprocess

import pytest
from harness import TOP

LIBRARY = "build/release/lib/librouse.a"
UNIT_TESTS = [f"build/release/test/unit/agent/{t}_test" for t in ("launcher/sandbox", "launcher/leftovers", "sandbox/landlock",
                                                              "launcher/rootless", "code/unpack")]

UNITS = r"""
mkdir -p /usr/bin; cp /bin/busybox /usr/bin/busybox
export CK_TIMEOUT_MULTIPLIER=10
failed=0
for t in TESTS; do $t || failed=1; done
find /sys/fs/cgroup -name 'rouse-*'
exit $failed
"""

# The cgroup below $2 of the program named $1.
BOX_OF = r"""
box_of() { for d in $2/*/; do for p in $(cat $d/cgroup.procs); do ! grep -q "^$1" /proc/$p/comm || { echo ${d%/}; return; }; done; done; }
"""

PLATFORM = BOX_OF + r"""
set -e
export ROUSE_STATE=/run/rouse-state ROUSE_FREEZE_AFTER=300ms
log=$ROUSE_STATE/logs/agent-node-1.log
fail() { echo "failed: $*"; cat $log; exit 1; }
call() { wget -q -O - --post-data="$1" http://127.0.0.1:8080/hello/c; }
figure() { wget -q -O - http://127.0.0.1:8082/metrics | grep "^rouse_agent_$1" | sed 's/.* //' | head -1; }
echo never >/sys/kernel/mm/transparent_hugepage/enabled
rouse up
rouse status
! grep -E 'cgroup|is not limited' $log | grep -v ' cgroup v2$' || fail warned
i=0; until [ "$(figure sandboxes_parked)" -gt 0 ]; do i=$((i+1)); [ $i -lt 200 ] || fail "nothing is parked"; sleep 0.1; done
rouse apply -f build/release/examples/hello-c/function.yaml
call 'Hello C'; echo
[ "$(figure 'sandbox_starts_total{from="pool"}')" = 1 ] || fail "not from the pool"
call 'Hello again' | grep -q again || fail again

box=$(box_of bootstrap /sys/fs/cgroup/rouse-*)
for f in memory.max memory.high memory.swap.max memory.oom.group cpu.max cpu.weight pids.max; do
  echo "limit $f $(cat $box/$f || true)"
done
until_frozen() { i=0; until grep -q "^frozen $1" $box/cgroup.events; do i=$((i+1)); [ $i -lt 200 ] || fail "frozen $1"; sleep 0.1; done; }
until_frozen 1
used=$(cat $box/cpu.stat | head -1)
call 'Hello thawed' | grep -q thawed || fail thawed
[ "$used" != "$(cat $box/cpu.stat | head -1)" ] || fail "another instance answered"
until_frozen 1
rouse delete hello-c
i=0; while [ -e $box ]; do i=$((i+1)); [ $i -lt 200 ] || fail "the frozen one stays"; sleep 0.1; done
rouse down
find /sys/fs/cgroup -name 'rouse-*'
echo platform-done
"""


# From a login session's scope, where a shell and another process are.
SESSION = BOX_OF + r"""
set -e
export ROUSE_STATE=/run/rouse-state
fail() { echo "failed: $*"; cat $ROUSE_STATE/logs/agent-node-1.log; exit 1; }
agent() { cut -d' ' -f1 $ROUSE_STATE/run/agent-node-1.pid; }
scopes() { ls /sys/fs/cgroup/system.slice | grep '^rouse-' || true; }
until_scopes() { i=0; while [ "$(scopes | wc -l)" != $1 ]; do i=$((i+1)); [ $i -lt 200 ] || fail "scopes: $(scopes)"; sleep 0.1; done; }
call() { wget -q -O - --post-data="$2" http://127.0.0.1:8080/$1; }

grep -q session-1.scope /proc/self/cgroup
# The emulator takes a second to clear a huge page.
echo never >/sys/kernel/mm/transparent_hugepage/enabled
rouse up
until_scopes 1
first=$(agent)
grep "$(scopes)" /proc/$first/cgroup
grep -q session-1.scope /proc/$(cut -d' ' -f1 $ROUSE_STATE/run/controller.pid)/cgroup
! grep -E 'cgroup|is not limited' $ROUSE_STATE/logs/agent-node-1.log | grep -v ' cgroup v2$' || fail warned
rouse apply -f build/release/examples/hello-c/function.yaml
rouse apply -f build/vm/hungry/function.yaml
call hello/c one | grep -q '"one"' || fail one
cd $(box_of bootstrap /sys/fs/cgroup/system.slice/$(scopes)/rouse-*)
echo "limits $(cat memory.max) $(cat memory.swap.max || true) $(cat cpu.max) $(cat pids.max)"
cd /repo
call hungry little
! rouse invoke hungry -d '"much"' || fail "much memory"
call hungry little

rouse up | grep -q 'running already'
[ $(agent) = $first ] || fail another
kill -9 $first
rouse up --node node-1
[ $(agent) != $first ] || fail same
call hello/c two | grep -q '"two"' || fail two
until_scopes 1
kill -9 $(agent) $(pidof rouse-launcher)
rouse up
call hello/c three | grep -q '"three"' || fail three
until_scopes 1
[ -z "$(dmesg | grep -i 'systemd.*rouse.*fail')" ] || fail systemd
rouse down
until_scopes 0
[ -z "$(find /sys/fs/cgroup -name 'rouse-*')" ] || fail left

printf '#!/bin/sh\necho no scope today >&2\nexit 1\n' >/usr/bin/systemd-run
rouse up
call hello/c four | grep -q '"four"' || fail four
grep -q 'no scope today' $ROUSE_STATE/logs/agent-node-1.log
grep -q 'session-1.scope holds other processes too' $ROUSE_STATE/logs/agent-node-1.log
rouse down
[ -z "$(find /sys/fs/cgroup -name 'rouse-*')" ] || fail left
echo session-done
"""
# Somebody without root, under a manager of systemd's of their own.
ROOTLESS = BOX_OF + r"""
set -e
cd /repo
fail() { echo "failed: $*"; cat $ROUSE_STATE/logs/agent-node-1.log; exit 1; }
call() { wget -q -O - --post-data="$2" http://127.0.0.1:8080/$1; }
rouse up | tee /run/home/said
grep -q 'not root: instances have no network beyond loopback, no functions with a port, no user ids of their own$' \
  /run/home/said || { cat /proc/$(cut -d' ' -f1 $ROUSE_STATE/run/agent-node-1.pid)/cgroup; fail said; }
rouse apply -f build/release/examples/hello-c/function.yaml
rouse apply -f build/vm/hungry/function.yaml
call hello/c one | grep -q one || fail one
call hungry little || fail little
boxes=/sys/fs/cgroup$(sed 's/^0:://; s,/_agent$,,' /proc/$(cut -d' ' -f1 $ROUSE_STATE/run/agent-node-1.pid)/cgroup)
echo "rootless limits $(cat $(box_of bootstrap $boxes)/memory.max) $(id -u)"
! rouse invoke hungry -d '"much"' || fail "much memory"
call hungry little || fail again
rouse down
[ -z "$(find /sys/fs/cgroup -name 'rouse-*')" ] || fail left
echo rootless-done
"""
USER_MANAGER = """
set -e
echo never >/sys/kernel/mm/transparent_hugepage/enabled
echo 'somebody:x:1001:1001::/run/home:/bin/sh' >>/etc/passwd
echo 'somebody:x:1001:' >>/etc/group
mkdir -p /run/home /run/user/1001 /usr/lib/systemd/user
printf '[Unit]\nDefaultDependencies=no\n' >/usr/lib/systemd/user/default.target
chown -R 1001:1001 /run/home /run/user/1001
cat >/run/rootless <<'SCRIPT'
%s
SCRIPT
systemd-run --quiet --unit user-1001 -p User=1001 -p Delegate=yes -p DefaultDependencies=no -p Environment=XDG_RUNTIME_DIR=/run/user/1001 \
  -p Environment=HOME=/run/home /usr/lib/systemd/systemd --user --log-target=console
i=0; until [ -S /run/user/1001/systemd/private ]; do i=$((i+1)); [ $i -lt 300 ] || { dmesg | tail -20; systemctl status user-1001; exit 1; }; sleep 0.1; done
# As where a session is the manager's own: from elsewhere it would ask the system's manager over D-Bus.
own=/sys/fs/cgroup/system.slice/user-1001.service
mkdir $own/session && chown -R 1001:1001 $own/session && echo $$ >$own/session/cgroup.procs
export ROUSE_STATE=/run/home/state HOME=/run/home
su -p somebody -s /bin/sh -c 'sh /run/rootless'
"""
HUNGRY = r"""
#include <rouse/rouse.h>
#include <stdlib.h>
#include <string.h>

static int eat(const struct rouse_event *event, struct rouse_response *resp, struct rouse_context *ctx)
{
    size_t size = (size_t)(strstr(event->data, "much") ? 256 : 4) << 20;
    char *p = malloc(size);

    if (!p)
        return rouse_fail(ctx, "NoMemory", "malloc");
    memset(p, 1, size);
    size = (size_t)p[size / 2];
    free(p);
    return rouse_respond_text(resp, size == 1 ? "eaten" : "not");
}

int main(void)
{
    return rouse_start(eat) < 0;
}
"""
HUNGRY_FUNCTION = """
apiVersion: rouse.dev/v1
kind: Function
metadata: {name: hungry}
spec:
  runtime: provided
  handler: bootstrap
  code: {path: .}
  memory: 32Mi
  timeout: 60s
  triggers: [{http: {path: /hungry}}]
"""


def vm(script, *files, seconds=240, init=""):
    path = TOP / "build/vm"
    path.mkdir(parents=True, exist_ok=True)
    (path / "script.sh").write_text(script)
    r = subprocess.run([TOP / "hack/vm", path / "script.sh", *files], cwd=TOP, text=True, capture_output=True,
                       timeout=seconds + 60, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "VM_SECONDS": str(seconds),
                                                     "VM_INIT": init})
    if r.returncode == 77:
        pytest.skip(r.stderr.strip())
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-2000:]
    return r.stdout


def test_sandboxes_on_cgroup_v2():
    subprocess.run(["make", "-s", *UNIT_TESTS], cwd=TOP, check=True)
    out = vm(UNITS.replace("TESTS", " ".join(UNIT_TESTS)), *UNIT_TESTS)
    assert out.count("Failures: 0, Errors: 0") == out.count("100%") == len(UNIT_TESTS), out[-4000:]
    skipped = [x for x in out.splitlines() if "skipped:" in x]
    assert [x for x in skipped if "no cgroup v1" not in x and "Landlock of ABI 6" not in x] == [], out[-3000:]
    assert "/sys/fs/cgroup/rouse-" not in out, out[-3000:]


def test_platform_on_cgroup_v2():
    out = vm(PLATFORM, "build/release/bin", "build/release/examples/hello-c", "build/runtimes/provided")
    assert "platform-done" in out and "Hello C" in out, out[-4000:]
    limits = dict(x[6:].split(" ", 1) for x in out.splitlines() if x.startswith("limit "))
    assert limits.pop("memory.swap.max") in ("0", ""), out[-4000:]    # "": a kernel without swap accounting
    assert limits == {"memory.max": "33554432", "memory.high": "33292288", "memory.oom.group": "1", "cpu.max": "50000 100000",
                      "cpu.weight": "20", "pids.max": "257"}, out[-4000:]
    assert "/sys/fs/cgroup/rouse-" not in out.split("pids.max")[-1].split("platform-done")[0], out[-3000:]


def hungry_function():
    hungry = TOP / "build/vm/hungry"
    hungry.mkdir(parents=True, exist_ok=True)
    (hungry / "bootstrap.c").write_text(HUNGRY)
    (hungry / "function.yaml").write_text(HUNGRY_FUNCTION)
    subprocess.run(["make", "-s", LIBRARY], cwd=TOP, check=True)
    subprocess.run(["gcc", "-Iruntime-sdk/include", hungry / "bootstrap.c", LIBRARY, "-static", "-o", hungry / "bootstrap"],
                   cwd=TOP, check=True)


def test_limits_hold_without_root_under_the_users_manager():
    hungry_function()
    out = vm(USER_MANAGER % ROOTLESS, "build/release/bin", "build/release/examples/hello-c", "build/runtimes/provided",
             "build/vm/hungry", init="systemd")
    assert "rootless-done" in out and "rootless limits 33554432 1001" in out, out[-4000:]


def test_limits_hold_in_a_login_session_under_systemd():
    hungry_function()
    out = vm(SESSION, "build/release/bin", "build/release/examples/hello-c", "build/runtimes/provided", "build/vm/hungry",
             init="systemd")
    assert "session-done" in out, out[-4000:]
    assert "limits 33554432 0 50000 100000 " in out, out[-4000:]
    assert "used more memory than its limit of 32Mi" in out, out[-4000:]
