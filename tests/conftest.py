"""What every test in the house gets.

- A session of its own: HOME, XDG_RUNTIME_DIR and the FARHAND_* settings of the person who runs the
  tests are put aside, so that no test reads or writes anything of hers. PYTHONDONTWRITEBYTECODE is
  put aside too: every process that a test starts would compile all of Farhand anew.
- `postgres_url` and `nats_url`: real servers, started at first use, one of each per test process.
- `@pytest.mark.needs("ssh", ...)`: programs that only the operating system's packages have.
- Tests that share a fixture of their module stay together on one worker, which makes it once; what
  takes longest begins.
- In CI a test that fails runs once more, and the summary names it (see CONTRIBUTING.md); more than
  `MAX_RERUNS` of them are a failure, whatever became of them.
- A guard: no process that a test started may be left when the session ends.

With FARHAND_CI=1 whatever is missing is a failure; elsewhere such a test is skipped, with a reason.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from tests.support.leftovers import Leftovers
from tests.support.prepared import FOLDER
from tests.support.servers import NatsServer, PostgresServer, ServerMissing
from tests.support.warm import warm_programs

IN_CI = os.environ.get("FARHAND_CI") == "1"
MAX_RERUNS = 3
# Python's own (700, 10, 10) looks through all that thousands of collected tests hold, again and
# again, and finds nothing: a tenth of what the tests would cost, and most of parsing our source.
GARBAGE_THRESHOLDS = (50_000, 10, 10)
LONGEST_FIRST = ("faults", "interop", "integration", "security")
# A person's shell often lacks the folders where Debian puts sshd and its like.
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"

# How fast an example runs says something about the machine only. CI draws the same ones each time.
hypothesis.settings.register_profile(
    "house",
    deadline=None,
    derandomize=IN_CI,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("house")

_patch = pytest.MonkeyPatch()
_places: list[Path] = []


def pytest_configure(config: pytest.Config) -> None:
    """Put the person's own settings aside for the whole session."""
    # Ended from outside (`timeout`, a closing CI), the fixtures still stop what they started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Started below nohup, programs under test would not hear of a terminal that goes.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in list(os.environ):
        if name.startswith("FARHAND_") and name != "FARHAND_CI":
            _patch.delenv(name)
    # What a person reads is looked at in one language, whatever hers is.
    _patch.setenv("FARHAND_LANG", "en")
    _patch.delenv("SSH_AUTH_SOCK", raising=False)
    _patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    _patch.setattr(sys, "dont_write_bytecode", False)
    home = Path(tempfile.mkdtemp(prefix="fh-"))  # 0700, and short: sockets live below it
    _places.append(home)
    for variable, folder in (("HOME", "home"), ("XDG_RUNTIME_DIR", "run")):
        (home / folder).mkdir(mode=0o700)
        _patch.setenv(variable, str(home / folder))
    if FOLDER not in os.environ:  # else this is a worker, and shares what the first of them makes
        (home / "prepared").mkdir()
        _patch.setenv(FOLDER, str(home / "prepared"))
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        _patch.delenv(variable, raising=False)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the settings back and remove the session's folders."""
    _patch.undo()
    while _places:
        shutil.rmtree(_places.pop(), ignore_errors=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what was collected out of every later search for garbage, and search less often."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where more tests than a busy machine explains passed only when they ran again."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    again = reporter.stats.get("rerun", []) if reporter is not None else []
    if reporter and len(again) > MAX_RERUNS and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(again)} tests ran again, where {MAX_RERUNS} may", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip (in CI: fail) a test whose `needs` names a program that this machine lacks."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), SYSTEM_FOLDERS))
    wanted = [str(tool) for mark in item.iter_markers("needs") for tool in mark.args]
    absent = [tool for tool in wanted if shutil.which(tool, path=path) is None]
    if absent:
        _missing(f"not installed here: {', '.join(absent)} (see .ci/apt.txt)")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Put tests that share a module's fixture into one group per parameter of that fixture.

    Such a fixture is often a whole house of processes, and every worker would build its own.  xdist
    reads the marks before any hook that sees all items together.
    """
    if not isinstance(item, pytest.Function):
        return
    fixtures = item._fixtureinfo.name2fixturedefs
    shared = sorted(name for name, made in fixtures.items() if made[-1].scope == "module")
    if shared:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        group = [f"{item.path.parent.name}/{item.path.stem}"]
        group += [str(given[name]) for name in shared if isinstance(given.get(name), str)]
        item.add_marker(pytest.mark.xdist_group("-".join(group)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it at the end.

    `make test` hands groups and tests out in this order.
    """
    items.sort(key=_place_in_line)


def _place_in_line(item: pytest.Item) -> tuple[int, bool, bool]:
    folder = item.path.parent.name
    first = LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)
    is_slow = item.get_closest_marker("slow") is not None
    is_grouped = item.get_closest_marker("xdist_group") is not None
    return first, not is_slow, not is_grouped


def _missing(reason: str) -> NoReturn:
    """End the test: skipped with `reason` on a person's machine, failed in CI."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail at the end of the session where a process that it started still runs, naming each."""
    with Leftovers() as watch:
        with warm_programs():
            yield
        left = watch.end_and_name()
    if left:
        pytest.fail("the tests left processes behind:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for this test process."""
    server = PostgresServer()
    try:
        server.start()
    except ServerMissing as error:
        _missing(str(error))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty database made for this test, `postgresql+asyncpg://...`."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """The address of a NATS server of this test process. Use subjects of your own below it."""
    server = NatsServer()
    try:
        server.start()
    except ServerMissing as error:
        _missing(str(error))
    try:
        yield server.url
    finally:
        server.stop()
