"""docs/ keeps what it says: named tests exist, limits are the code's, links lead somewhere.

docs/protocol.md has its own checks (tests/protocol/test_docs.py), so has docs/errors.md
(test_docs_errors.py), and so have the commands that any page shows (test_readme.py).
"""

from __future__ import annotations

import ast
import functools
import re
from datetime import timedelta

import pytest

from tests.architecture.source import ROOT, Module, package_modules

DOCS = ROOT / "docs"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")
CONSTANT = re.compile(r"`(farhand_[\w.]+)`")
UNITS = {
    "": 1,
    "bytes": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "s": 1,
    "minutes": 60,
    "hours": 3600,
    "days": 86400,
}


def section(text: str, title: str) -> str:
    """The part of a page below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {title!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row that is neither a heading nor a rule."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        rule_follows = number + 1 < len(lines) and re.match(r"\|[\s:|-]+\|$", lines[number + 1])
        if line.startswith("|") and not rule_follows and not re.match(r"\|[\s:|-]+\|$", line):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


# The threat model.


@functools.cache
def names_in(name: str) -> frozenset[str]:
    """Names of the tests of one file."""
    path = ROOT / name
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_claim_names_tests_that_exist() -> None:
    claims = rows(section((DOCS / "threat-model.md").read_text("utf-8"), "Claims"))
    assert len(claims) > 20
    bare = [row[0] for row in claims if len(row) != 3 or not TEST.search(row[2])]
    assert not bare, f"no test tries to break: {bare}"
    named = [found for row in claims for found in TEST.findall(row[2])]
    gone = [f"{path}::{test}" for path, test in named if test not in names_in(path)]
    assert not gone, "docs/threat-model.md names tests that are not there: " + ", ".join(gone)


# What a desk is asked for.


def test_every_row_of_the_desk_names_a_test_that_exists() -> None:
    title = "Everything a desk is asked for, where it is, and the test that drives it"
    found = rows(section((DOCS / "desk.md").read_text("utf-8"), title))
    assert len(found) > 60
    for number, _what, _where, test in found:
        path, _, name = test.strip("`").partition("::")
        there = names_in(f"tests/{path}")
        assert there, f"{number}: tests/{path} is not there, or holds no test"
        assert not name or name in there, f"{number}: tests/{path} has no {name}"


# The limits.


@functools.cache
def modules() -> dict[str, Module]:
    """Every module of the packages by its dotted name."""
    found = {}
    for module in package_modules():
        parts = module.path.relative_to(ROOT).with_suffix("").parts[1:]
        found[".".join(parts)] = module
    return found


def assigned(body: list[ast.stmt], name: str) -> ast.expr | None:
    """What a name is set to in a module or class body."""
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        if any(isinstance(one, ast.Name) and one.id == name for one in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            return node.value
    return None


def constant(dotted: str) -> float:
    """The number behind a dotted name: a module's constant or a class's default; durations in s."""
    module, _, name = dotted.rpartition(".")
    if module in modules():
        body = modules()[module].tree.body
    else:
        module, _, owner = module.rpartition(".")
        classes = [
            node
            for node in modules()[module].tree.body
            if isinstance(node, ast.ClassDef) and node.name == owner
        ]
        assert classes, f"{dotted} is not in the code"
        body = classes[0].body
    value = assigned(body, name)
    assert value is not None, f"{dotted} is not in the code"
    return number(value, module)


def number(node: ast.expr, module: str) -> float:
    """The value of a constant expression; a name is looked up in its module or its imports."""
    match node:
        case ast.Constant(value=int() | float() as plain):
            return float(plain)
        case ast.BinOp(left=left, op=op, right=right):
            one, other = number(left, module), number(right, module)
            match op:
                case ast.Add():
                    return one + other
                case ast.Sub():
                    return one - other
                case ast.Mult():
                    return one * other
                case ast.Pow():
                    return float(one**other)
        case ast.Call(func=ast.Name(id="timedelta"), keywords=words):
            values = {str(word.arg): number(word.value, module) for word in words}
            return timedelta(**values).total_seconds()
        case ast.Name(id=name):
            tree = modules()[module].tree
            if (value := assigned(tree.body, name)) is not None:
                return number(value, module)
            for imported in tree.body:
                if (
                    isinstance(imported, ast.ImportFrom)
                    and imported.module in modules()
                    and any(alias.name == name for alias in imported.names)
                ):
                    return constant(f"{imported.module}.{name}")
    raise AssertionError(f"{module}: {ast.unparse(node)} is no plain constant")


def quantity(text: str) -> float:
    """Read `8 MiB`, `60 s`, `24 hours` or a plain number; bytes or seconds."""
    found = re.fullmatch(r"([0-9.]+) ?([A-Za-z]*)", text)
    assert found, f"{text!r} is no number with a unit"
    assert found[2] in UNITS, f"{text!r} has a unit that is not known"
    return float(found[1]) * UNITS[found[2]]


def limits() -> dict[str, str]:
    """Dotted name to the number that docs/limits.md gives."""
    found = {}
    for row in rows((DOCS / "limits.md").read_text("utf-8")):
        if len(row) == 4 and (name := CONSTANT.fullmatch(row[2])):
            assert name[1] not in found, f"docs/limits.md has {name[1]} twice"
            found[name[1]] = row[1]
    return found


def test_limits_are_what_the_code_says() -> None:
    told = limits()
    assert len(told) > 100
    wrong = []
    for name, text in told.items():
        value = constant(name) / (1000 if name.endswith("_MS") else 1)
        if value != quantity(text):
            wrong.append(f"{name} is {value:g}, the page says {text}")
    assert not wrong, "docs/limits.md: " + "; ".join(wrong)


def test_every_public_limit_has_a_row() -> None:
    told = limits()
    there = {
        f"{name}.{target.id}"
        for name, module in modules().items()
        for node in module.tree.body
        for target in (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if isinstance(target, ast.Name) and target.id.startswith("MAX_")
    }
    gateway = modules()["farhand_server.gateway.limits"].tree.body
    fields = next(
        node for node in gateway if isinstance(node, ast.ClassDef) and node.name == "GatewayLimits"
    )
    there |= {
        f"farhand_server.gateway.limits.GatewayLimits.{node.target.id}"
        for node in fields.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    missing = sorted(there - set(told))
    assert not missing, "docs/limits.md has no row for: " + ", ".join(missing)


@pytest.mark.parametrize(
    ("text", "value"), [("8 MiB", 8 * 1024**2), ("0.2 s", 0.2), ("7 days", 604800), ("6", 6)]
)
def test_quantities_are_read(text: str, value: float) -> None:
    assert quantity(text) == value


# Decisions and links.


def test_decisions_are_numbered_and_whole() -> None:
    pages = sorted((DOCS / "adr").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text("utf-8")
        assert text.startswith(f"# {page.name[:4]} "), page.name
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert headings == ["Context", "Options", "Decision", "Cost"], page.name
        assert len(text.splitlines()) <= 60, f"{page.name} is more than a page"


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("*/README.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in LINK.findall(page.read_text("utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not dead, "links that lead nowhere: " + ", ".join(dead)


def test_paths_in_the_architecture_page_exist() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    named = re.findall(r"`((?:protocol|agent|server|console|tests)/[\w/.-]+)`", text)
    gone = [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
    assert not gone, f"docs/architecture.md names what is not there: {gone}"
