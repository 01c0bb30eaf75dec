"""Modules that are read when they are first asked for something."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Barrier, Thread
from types import ModuleType

import pytest

from farhand_agent.late_modules import LATE, _LateFinder, _LateLoader, is_late


def late(path: Path, text: str) -> ModuleType:
    """Import a module of this text, late."""
    path.write_text(text)
    spec = spec_from_file_location("late_one", path)
    assert isinstance(spec, ModuleSpec)
    assert isinstance(spec.loader, SourceFileLoader)
    loader = _LateLoader(spec.loader)
    spec.loader = loader  # type: ignore[assignment]
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_it_is_read_at_the_first_question_and_once(tmp_path: Path) -> None:
    note = tmp_path / "note"
    module = late(
        tmp_path / "one.py", f"with open({str(note)!r}, 'a') as file: file.write('x')\na = 1\n"
    )
    assert is_late(module)
    assert module.__name__ == "late_one"
    assert module.__spec__ is not None
    assert not note.exists()
    assert (module.a, module.a) == (1, 1)
    assert not is_late(module)
    assert note.read_text() == "x"
    with pytest.raises(AttributeError):
        _ = module.b


def test_threads_that_ask_together_wait_for_one_reading(tmp_path: Path) -> None:
    text = "import threading\nthreading.Event().wait(0.05)\na = object()\n"
    module = late(tmp_path / "one.py", text)
    together, found = Barrier(4), []

    def ask() -> None:
        together.wait(20)
        found.append(module.a)

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [module.a] * 4


def test_its_own_getattr_stays_and_names_it_lacks_are_told(tmp_path: Path) -> None:
    module = late(tmp_path / "one.py", "def __getattr__(name): return name.upper()\n")
    assert (module.some, module.thing) == ("SOME", "THING")
    early = "had = hasattr(this, 'later')\nlater = 1\n"
    circular = late(tmp_path / "two.py", early)
    vars(circular)["this"] = circular
    assert circular.had is False
    assert circular.later == 1


def test_what_cannot_be_read_says_so_and_stays_empty(tmp_path: Path) -> None:
    module = late(tmp_path / "one.py", "a = 1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        _ = module.a
    with pytest.raises(AttributeError, match="late_one"):
        _ = module.a


def test_only_its_own_names_are_found() -> None:
    finder = _LateFinder()
    assert finder.find_spec("json", None) is None
    spec = finder.find_spec("locale", None)
    assert spec is not None
    assert isinstance(spec.loader, _LateLoader)
    with pytest.raises(ModuleNotFoundError):
        finder.find_spec("typing_extensions", None)


def test_each_of_them_can_still_be_used() -> None:
    """In a process of its own: the modules, their submodules and a second import."""
    program = """
import sys
from farhand_agent.late_modules import LATE, is_late, leave_for_later
leave_for_later()
import websockets.asyncio.client, websockets.version, msgspec, asyncio, inspect
left = {name for name in LATE if name in sys.modules and is_late(sys.modules[name])}
assert left >= {"importlib.metadata", "inspect", "msgspec.inspect", "urllib.request"}, left
import urllib.request, importlib.metadata, calendar, locale
assert urllib.request.Request("http://localhost/").host == "localhost"
assert importlib.metadata.version("websockets")
assert msgspec.inspect.type_info(int) == msgspec.inspect.IntType()
assert inspect.signature(lambda a: a).parameters
assert calendar.monthrange(2024, 2)[1] == 29
assert locale.getpreferredencoding()
from urllib.request import getproxies
getproxies()
assert msgspec.convert([1], tuple[int, ...]) == (1,)
print(sorted(name for name in sys.modules if is_late(sys.modules[name])))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "inspect" not in done.stdout.replace("msgspec.inspect", "")
    assert LATE
