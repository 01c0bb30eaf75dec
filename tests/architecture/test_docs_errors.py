"""docs/errors.md and the code agree: each code that can be raised is explained, and no other is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.error_codes import KEBAB, codes_raised
from tests.architecture.source import ROOT, Module, package_modules

ERRORS = ROOT / "docs" / "errors.md"
# A table row or list entry that begins with a code in backticks explains that code.
ENTRY = re.compile(r"^\s*(?:\||[-*]|#+)\s*`(?P<code>[^`]+)`\s*(?P<words>.*)$", re.MULTILINE)


def documented() -> dict[str, str]:
    """Code to the words that explain it."""
    found: dict[str, str] = {}
    for entry in ENTRY.finditer(ERRORS.read_text("utf-8")):
        if KEBAB.fullmatch(entry["code"]):
            assert entry["code"] not in found, f"docs/errors.md explains {entry['code']} twice"
            found[entry["code"]] = entry["words"]
    return found


def test_every_code_is_explained() -> None:
    raised, explained = codes_raised(package_modules()), documented()
    missing = [f"{code} ({at})" for code, at in sorted(raised.items()) if code not in explained]
    assert not missing, "docs/errors.md does not explain: " + ", ".join(missing)


def test_every_explained_code_exists() -> None:
    # Codes also travel as plain data (a refusal's reason, a problem's code), so a literal
    # anywhere in the packages is enough here.
    literals = {
        node.value
        for module in package_modules()
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    gone = sorted(set(documented()) - literals)
    assert not gone, "docs/errors.md explains what no code raises: " + ", ".join(gone)


def test_every_explanation_says_something() -> None:
    empty = [code for code, words in documented().items() if not re.search(r"\w{3,}", words)]
    assert not empty, "docs/errors.md has no words for: " + ", ".join(empty)


SAMPLE = """
LATE = "too-late"
class FarhandError(Exception): ...
class Refused(FarhandError):
    code = "refused-here"
class Missing(FarhandError):
    def __init__(self, program):
        super().__init__("command-missing", program)
class Wire:
    def _close(self, reason, code):
        raise FarhandError(code, reason)
    def _break(self, code, *, reason):
        self._close(reason, code=code)
    def read(self):
        self._break("bad-frame", reason="short")
def first(x):
    raise Refused("old" if x else "not-yet", "words")
def second(reply):
    Missing("not-a-code-but-a-program")
    raise FarhandError(LATE, "words") if reply else FarhandError(reply.code, "words")
def third():
    raise FarhandError(message="words", code="by-keyword")
"""


def test_the_search_itself_finds_each_way_of_raising() -> None:
    module = Module(ROOT / Path("sample.py"), SAMPLE, ast.parse(SAMPLE))
    assert set(codes_raised([module])) == {
        "bad-frame",
        "by-keyword",
        "command-missing",
        "not-yet",
        "old",
        "refused-here",
        "too-late",
    }
