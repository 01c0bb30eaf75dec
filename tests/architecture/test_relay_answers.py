"""Whoever reaches into an answer of the relay has named its shape: nothing else is a KeyError."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import package_modules

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _is_shapeless(node: ast.AST) -> bool:
    """Tell whether this is `relay.get(path, dict)` or a call like it."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    of = node.func.value
    name = of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")
    if name.lstrip("_") != "relay" or node.func.attr not in ("get", "post", "pages"):
        return False
    return len(node.args) > 1 and ast.unparse(node.args[1]).split("[")[0] == "dict"


def _is_read(node: ast.AST) -> bool:
    """Tell whether this is `of[...]`, `of.get` or the like."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.ctx, ast.Load)
    return isinstance(node, ast.Attribute) and node.attr in ("get", "items", "values")


def reaches(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that read a field of an answer whose shape nobody named."""
    for function in ast.walk(tree):
        if not isinstance(function, _FUNCTIONS):
            continue
        nodes = list(ast.walk(function))
        names = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and _is_shapeless(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            if not (_is_read(node) and isinstance(node, ast.Subscript | ast.Attribute)):
                continue
            read = node.value
            if _is_shapeless(read) or (isinstance(read, ast.Name) and read.id in names):
                yield node.lineno


def test_no_field_is_read_of_an_answer_without_a_shape() -> None:
    found = [
        f"{module.name}:{line}: name its shape, or `read_as` what is read of it"
        for module in package_modules("console")
        for line in sorted(set(reaches(module.tree)))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("body", "is_fault"),
    [
        ("return context.relay.get(p, dict[str, Any])['account']", True),
        ("told = relay.get(p, dict)\n return told['name']", True),
        ("told = self._relay.post(p, dict[str, Any], b)\n return lambda: told.get('name')", True),
        ("told = relay.get(p, Me)\n return told['name']", False),
        ("told = relay.get(p, dict)\n return read_as(told, Me).account", False),
        ("told = relay.get(p, dict)\n told['name'] = 1", False),
    ],
)
def test_the_check_itself(body: str, is_fault: bool) -> None:
    assert bool(list(reaches(ast.parse(f"def f():\n {body}\n")))) == is_fault
