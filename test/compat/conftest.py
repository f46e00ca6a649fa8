"""conftest.py: starts bootstraps for a test in its directory, and ends them."""
import pytest
from bootstrap_test import COMMANDS, Instance


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = []

    def begin(language, *args, **options):
        started.append(Instance(tmp_path, COMMANDS[language], *args, **options))
        return started[-1]

    yield begin
    for instance in started:
        instance.close()


@pytest.fixture(params=["python", "node"])
def language(request):
    return request.param
