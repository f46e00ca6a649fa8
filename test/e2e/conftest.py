import concurrent.futures
import os
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import BIN, Load, Platform, left_behind, machine_state  # noqa: E402


def pytest_collection_modifyitems(items):
    reason = None
    if os.geteuid() != 0:
        reason = "sandboxes with cgroups and network need root"
    elif not (BIN / "rouse-agent").exists():
        reason = "the programs are not built"
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _platform(nodes, flags=(), **environ):
    before = machine_state()
    p = Platform(nodes, flags, environ)
    try:
        yield p
    finally:
        p.down()
        left = left_behind(p, before)
        if not os.environ.get("ROUSE_E2E_KEEP"):
            shutil.rmtree(p.state, ignore_errors=True)
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="module")
def platform():
    yield from _platform(1)


@pytest.fixture(scope="module")
def cluster():
    yield from _platform(3)


@pytest.fixture(autouse=True)
def no_load_after_it():
    """A test that failed before its load.stop() does not load those after it."""
    yield
    assert not Load.stop_all(), "a load did not stop"


@pytest.fixture
def together():
    """Calls that run at the same time."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield pool.submit


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    p = item.funcargs.get("platform") or item.funcargs.get("cluster")
    if report.when == "call" and report.failed and p is not None:
        report.sections.append(("daemon logs", p.daemon_logs()))
