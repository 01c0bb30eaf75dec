"""Each package declares exactly what it imports: nothing comes in through a neighbour by luck."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.architecture.source import MEMBERS, ROOT, package_modules, package_of

# Declared without an import of ours, each with its reason.
LOADED_BY_NAME = {
    ("console", "bcrypt"): "cryptography needs it for OpenSSH keys with a passphrase",
    ("server", "aiosqlite"): "SQLAlchemy loads it for sqlite+aiosqlite addresses",
    ("server", "asyncpg"): "SQLAlchemy loads it for postgresql+asyncpg addresses",
    ("server", "linkify-it-py"): "markdown-it-py loads it to make links of addresses",
}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(member: str) -> set[str]:
    project = tomllib.loads((ROOT / member / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        wanted += extra
    return {_normal(re.split(r"[^\w.-]", line)[0]) for line in wanted}


def _imported(member: str) -> set[str]:
    known = packages_distributions()
    found: set[str] = set()
    for module in package_modules(member):
        for node in module.nodes:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                if top in sys.stdlib_module_names or top == package_of(member):
                    continue
                found |= {_normal(one) for one in known.get(top, [top])}
    return found


@pytest.mark.parametrize("member", MEMBERS)
def test_what_is_imported_is_declared(member: str) -> None:
    assert _imported(member) <= _declared(member)


@pytest.mark.parametrize("member", MEMBERS)
def test_what_is_declared_is_imported(member: str) -> None:
    by_name = {name for owner, name in LOADED_BY_NAME if owner == member}
    assert _declared(member) - by_name <= _imported(member)
