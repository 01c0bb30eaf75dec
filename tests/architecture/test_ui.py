"""The web console's page: typed, current, quiet, and with nothing from elsewhere."""

from __future__ import annotations

import itertools
import json
import os
import re
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest

from farhand_console.web.assets import DIST, is_built
from farhand_server.contracts.formats import minor_digits
from tests.architecture.source import ROOT

WEB = ROOT / "console/farhand_console/web"
APP = WEB / "app"
SOURCES = sorted(
    path
    for path in (APP / "src").rglob("*")
    if path.suffix in (".svelte", ".ts", ".css") and path.name != "api.d.ts"
)
FIRST_LOAD_BYTES = 300_000
HANDLERS = (
    "on(?:click|input|change|load|error|submit|focus|blur|key[a-z]+|mouse[a-z]+|pointer[a-z]+)"
)


def _built() -> None:
    if is_built() and (APP / "node_modules").is_dir():
        return
    if os.environ.get("FARHAND_CI") == "1":
        pytest.fail("the page is not built: make ui", pytrace=False)
    pytest.skip("the page is not built: make ui")


def _builder() -> dict[str, Any]:
    import runpy  # a program of the source tree, not a module of a package

    return runpy.run_path(str(ROOT / "console/ui_build.py"), run_name="ui_build")


def test_the_page_is_typed() -> None:
    _built()
    node: str = _builder()["install"]()
    words = [node, "node_modules/svelte-check/bin/svelte-check", "--tsconfig", "./tsconfig.json"]
    done = subprocess.run(
        [*words, "--fail-on-warnings", "--output", "human"],
        cwd=APP,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_types_are_those_of_the_relays_api() -> None:
    """`make ui-types` writes them; what it wrote must be what it would write now."""
    _built()
    kept = (APP / "src/lib/api.d.ts").read_text()
    builder = _builder()
    node: str = builder["install"]()
    made = builder["described"](node)
    assert made == kept, "the relay's API has changed: make ui-types"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(APP / "src")))
def test_a_source_makes_no_markup_of_text(path: Path) -> None:
    text = path.read_text()
    for trick in (
        "{@html",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "new Function",
    ):
        assert trick not in text, trick
    if path.suffix == ".svelte":
        markup = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
        assert not re.search(r"\sstyle=", markup), "an inline style, which the policy forbids"
        assert not re.search(rf"\s(?:{HANDLERS})=\"", markup), "an inline handler"


def test_the_page_counts_money_as_the_relay_does() -> None:
    text = (APP / "src/pages/reports/money.ts").read_text()
    for digits in (0, 3):
        found = re.search(rf"^  {digits}: \[(.*)\],$", text, re.MULTILINE)
        assert found, digits
        named = set(re.findall(r'"([A-Z]{3})"', found[1]))
        letters = string.ascii_uppercase
        every = ("".join(three) for three in itertools.product(letters, repeat=3))
        assert named == {one for one in every if minor_digits(one) == digits}


def test_nothing_comes_from_elsewhere() -> None:
    for path in [*SOURCES, APP / "index.html", APP / "package.json", APP / "package-lock.json"]:
        text = path.read_text()
        if path.name == "package-lock.json":
            assert "resolved" not in text
            continue
        for found in re.findall(r"https?://[^\s\"'`)]+", text):
            assert found.startswith(("http://127.0.0.1", "http://www.w3.org/")), found


def test_the_first_load_is_small() -> None:
    _built()
    index = (DIST / "index.html").read_text()
    names = re.findall(r"(?:src|href)=\"/(assets/[^\"]+)\"", index)
    assert any(name.endswith(".js") for name in names)
    total = len(index) + sum((DIST / name).stat().st_size for name in names)
    assert total < FIRST_LOAD_BYTES, f"{total} bytes in {names}"


def test_what_is_bundled_has_its_licence() -> None:
    _built()
    text = (DIST / "assets/licences.txt").read_text()
    packages = json.loads((APP / "package.json").read_text())["dependencies"]
    for name in set(packages) - {"openapi-fetch", "@xterm/addon-fit"}:
        assert f"== {name} " in text, name
