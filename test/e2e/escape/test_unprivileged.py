"""The same attempts where the platform is a user's: the node lends it nothing, and the answers are the same."""
import shutil

import pytest
from harness import http_request
from test_kernel import expected
from test_rootless import User, platform_of


@pytest.fixture(scope="module")
def user():
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv here")
    yield from platform_of(User())


def test_calls(user, program, landlock):
    folder = user.home / "attackers"
    shutil.copytree(program, folder)
    shutil.chown(folder, user.id, user.id)
    user.run("rouse", "apply", "-f", folder / "attackers.yaml")
    r = http_request(user.gateway, "POST", "/2015-03-31/functions/attackers/invocations", b'"all"', timeout=80)
    assert r.status == 200, (r, user.log())
    seen = r.json
    seen.pop("a namespace of a pidfd")
    # There is one user inside, and no other to become; the program is that user's, but runs (and is read-only).
    assert seen == expected(landlock) | {"setuid": "EINVAL", "setgid": "EINVAL", "own program": "ETXTBSY"}
