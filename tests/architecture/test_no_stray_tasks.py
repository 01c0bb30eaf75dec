"""Every task belongs to a TaskGroup: a task that nobody waits for loses its errors.

`group.create_task(...)` is fine where `group` is known in that module to be a TaskGroup: bound by
`async with asyncio.TaskGroup() as group`, or annotated so as a parameter or an attribute. Anything
else needs a row in ALLOWED with its reason, and a row that is no longer needed fails too.
"""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import ROOT, Module, package_modules

SPAWNING = ("create_task", "ensure_future")

# "path::function": why this place may start a task outside a TaskGroup, and who waits for it.
ALLOWED = {
    "server/farhand_server/tasks.py::spawn": "the relay's one owner of background work: it keeps"
    " each task, logs its failure, and cancels and awaits what is left when the relay stops",
}


def _mentions_group(node: ast.expr | None) -> bool:
    return node is not None and "TaskGroup" in ast.unparse(node)


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _group_names(tree: ast.Module) -> set[str | None]:
    names: set[str | None] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                if _mentions_group(item.context_expr) and item.optional_vars is not None:
                    names.add(_name(item.optional_vars))
        elif isinstance(node, ast.arg) and _mentions_group(node.annotation):
            names.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and _mentions_group(node.annotation):
            names.add(_name(node.target))
    for node in ast.walk(tree):  # self._group = group
        if isinstance(node, ast.Assign) and _name(node.value) in names:
            names.update(_name(target) for target in node.targets)
    return names - {None}


def strays(module: Module) -> dict[str, int]:
    """Map "path::function" to the line of a task that is started outside a TaskGroup."""
    groups, found = _group_names(module.tree), {}

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Call) and _name(node.func) in SPAWNING:
            receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
            if receiver is None or _name(receiver) not in groups:
                found[f"{module.name}::{function}"] = node.lineno
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(module.tree, "<module>")
    return found


def test_no_task_outside_a_group() -> None:
    found = {where: line for module in package_modules() for where, line in strays(module).items()}
    stray = [f"{where} (line {line})" for where, line in found.items() if where not in ALLOWED]
    assert not stray, "tasks outside a TaskGroup: " + ", ".join(stray)
    needless = sorted(set(ALLOWED) - set(found))
    assert not needless, "no longer needed in ALLOWED: " + ", ".join(needless)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("async with asyncio.TaskGroup() as group: group.create_task(work())", 0),
        ("async def run(self, tasks: asyncio.TaskGroup): tasks.create_task(work())", 0),
        ("async def run(g: TaskGroup): self._g = g\ndef go(self): self._g.create_task(w())", 0),
        ("asyncio.create_task(work())", 1),
        ("def go(): asyncio.get_running_loop().create_task(work())", 1),
        ("from asyncio import ensure_future\nensure_future(work())", 1),
    ],
)
def test_the_search_itself(body: str, count: int) -> None:
    if body.startswith("async with"):
        body = f"async def run(): \n    {body}"
    assert len(strays(Module(ROOT / "sample.py", body, ast.parse(body)))) == count
