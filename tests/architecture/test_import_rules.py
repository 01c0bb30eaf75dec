"""The import rules of pyproject.toml hold, and each of them fails when it is broken.

Each case adds one import that must not be to a copy of the packages' sources, and runs
import-linter with the real settings on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import MEMBERS, ROOT, package_modules, package_of

LINT = "from importlinter.cli import lint_imports_command as command; command()"


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "pyproject.toml", folder)
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four packages' modules, side by side in a folder of their own; left as it was found."""
    folder = tmp_path_factory.mktemp("copy")
    for member in MEMBERS:
        for module in package_modules(member):
            target = folder / module.path.relative_to(ROOT / member)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(module.text, "utf-8")
        assert (folder / package_of(member) / "__init__.py").is_file()
    return folder


def test_the_rules_hold(copy: Path) -> None:
    done = _lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("farhand_protocol/errors", "import farhand_agent", "protocol imports none"),
        ("farhand_server/store/__init__", "import farhand_console", "never import each other"),
        ("farhand_agent/__init__", "import farhand_server", "never import each other"),
        ("farhand_protocol/errors", "import time", "protocol does no I/O"),
        ("farhand_server/store/revisions", "import asyncssh", "only the jump port can parse SSH"),
        ("farhand_agent/__init__", "import sqlalchemy", "neither desk nor web libraries"),
        ("farhand_server/store/revisions", "import nats", "only in the files named after them"),
        ("farhand_protocol/errors", "import farhand_protocol.orders", "layers of the protocol"),
        ("farhand_agent/errors", "import farhand_agent.journal", "layers of the agent"),
        ("farhand_server/errors", "import farhand_server.app", "layers of the relay and desk"),
        ("farhand_console/home", "import farhand_console.cli", "layers of the console"),
    ],
)
def test_a_broken_rule_is_noticed(copy: Path, module: str, line: str, broken: str) -> None:
    path = copy / f"{module}.py"
    before = path.read_text("utf-8")
    path.write_text(f"{before}\n{line}\n", "utf-8")
    done = _lint(copy)
    path.write_text(before, "utf-8")
    verdicts = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    assert done.returncode != 0
    assert any(broken in verdict for verdict in verdicts), done.stdout + done.stderr


def test_a_module_without_a_place_is_noticed(copy: Path) -> None:
    newcomers = [copy / package_of(member) / "newcomer.py" for member in MEMBERS]
    for newcomer in newcomers:
        newcomer.write_text('"""New."""\n', "utf-8")
    done = _lint(copy)
    for newcomer in newcomers:
        newcomer.unlink()
    verdicts = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert len(verdicts) == len(MEMBERS), done.stdout + done.stderr
