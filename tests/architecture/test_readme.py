"""The README and the pages for operators show commands that exist, and the demo's own walk.

Command lines are read out of fenced blocks, and single ones out of running text, and held against
the click commands of the three programs: names, options, how many arguments, values of choices.
Nothing is started here; the walk itself is driven by `make demo` and tests/integration.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from farhand_agent.cli import cli as agent_cli
from farhand_console.cli.entry import farhand as console_cli
from farhand_server.cli.main import cli as server_cli
from tests.architecture.source import ROOT

README = ROOT / "README.md"
PROGRAMS: dict[str, click.Command] = {
    "farhand": console_cli,
    "farhand-agent": agent_cli,
    "farhand-server": server_cli,
}
PAGES = [
    README,
    *sorted(ROOT.glob("*/README.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PROMPT = re.compile(r"^(?:[\w.-]+@[\w.-]+)?\$ ")
INLINE = re.compile(r"`((?:farhand(?:-agent|-server)?|make)(?: [^`]+)?)`")
QUICK_START = "## Quick start on one machine"
DEMO = ROOT / "tests" / "demo" / "__main__.py"
STAGE = ROOT / "tests" / "support" / "stage.py"


def fenced(text: str) -> Iterator[str]:
    """Every command line in the fenced blocks of a page, without prompts."""
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
            continue
        command = PROMPT.sub("", line.strip())
        if inside and command.split(" ", 1)[0] in {*PROGRAMS, "make"}:
            yield command


def inline(text: str) -> Iterator[str]:
    """Every command line in the running text of a page."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from INLINE.findall(re.sub(r"\s+", " ", outside))


def problem(line: str) -> str | None:
    """What is wrong with a command line; None where it could be typed."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        return _make_problem(words[1:])
    return _program_problem(words)


def _make_problem(words: list[str]) -> str | None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    unknown = [word for word in words if "=" not in word and word not in targets]
    return f"no such target: {unknown[0]}" if unknown else None


def _program_problem(words: list[str]) -> str | None:
    node = PROGRAMS[words[0]]
    context = click.Context(node, info_name=words[0])
    rest = words[1:]
    while isinstance(node, click.Group):
        if rest in ([], ["..."]):
            return None  # the program or group as a whole is spoken of
        # A group may have arguments of its own before its commands: `farhand tool S processes`.
        rest = rest[sum(isinstance(one, click.Argument) for one in node.params) :]
        if rest in ([], ["..."], ["--help"]):
            return None
        found = node.get_command(context, rest[0])
        if found is None:
            return f"no such command: {rest[0]}"
        node, rest = found, rest[1:]
        context = click.Context(node, parent=context, info_name=node.name)
    return _options_problem(node, context, rest)


def _options_problem(node: click.Command, context: click.Context, rest: list[str]) -> str | None:
    if "..." in rest or "--help" in rest:
        return None  # an abbreviated mention
    try:
        given, left, _ = node.make_parser(context).parse_args(list(rest))
    except click.UsageError as error:
        return error.format_message()
    if left:
        return f"too many arguments: {left}"
    for parameter in node.params:
        value = given.get(parameter.name or "")
        is_missing = not isinstance(value, str | tuple | list) or not value
        # Somebody speaks of a command by its name alone: that names no arguments at all.
        if rest and parameter.required and is_missing:
            return f"missing: {parameter.name}"
        choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else ()
        if choices and isinstance(value, str) and value not in choices:
            return f"{value} is not one of {choices}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    lines = [*fenced(text), *inline(text)]
    wrong = [f"{line}: {why}" for line in lines if (why := problem(line))]
    assert not wrong, f"{page.relative_to(ROOT)}: " + "; ".join(wrong)


@pytest.mark.parametrize(
    ("line", "is_fine"),
    [
        ("farhand session open --code X --ticket FH-1", True),
        ("farhand session open --cod X", False),
        ("farhand sessions open", False),
        ("farhand account add tess --role technician", True),
        ("farhand account add tess --role boss", False),
        ("farhand account add tess", False),
        ("farhand exec reception -- cat /etc/hostname", True),
        ("farhand-agent enrol --home DIR", False),
        ("make demo    # with a remark", True),
        ("make coffee", False),
    ],
)
def test_the_search_itself(line: str, is_fine: bool) -> None:
    assert (problem(line) is None) is is_fine


def test_the_first_screen() -> None:
    text = README.read_text("utf-8")
    screen = "\n".join(text.splitlines()[:50])
    assert text.startswith("# Farhand\n")
    assert "make demo" in screen
    assert "make test" in screen
    assert "What the relay cannot do" in screen
    for who in ("end user", "technician", "admin"):
        assert f"\n| {who} |" in screen
    transcript = re.search(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert transcript is not None
    assert len(transcript[1].splitlines()) == 10


# The quick start is the walk that the demo drives.


def steps(lines: list[str]) -> list[str]:
    """The subcommands of command lines, such as `session open`."""
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        node, path = PROGRAMS[words[0]], []
        for word in words[1:]:
            if not isinstance(node, click.Group):
                break
            command = node.get_command(click.Context(node), word)
            assert command is not None, line
            node = command
            path.append(word)
        found.append(" ".join(path))
    return found


class Walk:
    """The subcommands that the demo's source drives, in order, calls of its own followed."""

    def __init__(self) -> None:
        trees = [ast.parse(path.read_text("utf-8")) for path in (DEMO, STAGE)]
        self._functions: dict[str, list[ast.FunctionDef]] = {}
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    self._functions.setdefault(node.name, []).append(node)
        paths = {path for program in PROGRAMS.values() for path in _paths(program, ())}
        self._paths = sorted(paths, key=len, reverse=True)
        self.steps: list[str] = []

    def follow(self, name: str, above: tuple[str, ...] = ()) -> None:
        """Add the steps of one function; of all that bear the name, where classes share it."""
        bodies = self._functions[name]
        calls = [
            node
            for body in bodies
            for node in ast.walk(body)
            if isinstance(node, ast.Call | ast.List)
        ]
        for call in sorted(
            calls, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0)
        ):
            words = tuple(
                one.value
                for one in (call.args if isinstance(call, ast.Call) else call.elts)
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )
            path = next((path for path in self._paths if words[: len(path)] == path), None)
            if path is not None:
                self.steps.append(" ".join(path))
            if isinstance(call, ast.Call):
                target = call.func
                called = target.attr if isinstance(target, ast.Attribute) else ""
                called = target.id if isinstance(target, ast.Name) else called
                if called in self._functions and called not in (*above, name, "json", "run"):
                    self.follow(called, (*above, name))


def _paths(command: click.Command, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _paths(inner, (*above, name))
    else:
        yield above


def test_the_quick_start_is_the_walk_of_the_demo() -> None:
    text = README.read_text("utf-8")
    start = text.index(QUICK_START)
    shown = steps(list(fenced(text[start : text.index("\n## ", start + 1)])))
    assert shown[:2] == ["init", "run"]
    assert shown[-1] == "ticket show"
    walk = Walk()
    walk.follow("walk")
    driven = iter(walk.steps)
    missed = [step for step in shown if step not in driven]
    assert not missed, f"the demo does not drive, in this order: {missed}; it drives {walk.steps}"
