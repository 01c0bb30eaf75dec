"""Finding every error code that the packages can raise, from their syntax alone.

What it is: a small search for string literals that end up as the code of a FarhandError. What it
is not: data flow analysis; a code that is computed, or read from a peer, is not found, and need
not be, because it was a literal somewhere first.

How it works, to a fixed point:
1. An *error class* is FarhandError or a class whose bases name one.
2. A *carrier* is a callable with a place for a code: an error class (first argument or `code=`),
   and any function that hands one of its own parameters on to a carrier's place.
3. A code is a literal in a carrier's place, in a `code = "..."` attribute of an error class, or in
   the first argument of `super().__init__` within one. Names of string constants are followed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.architecture.source import Module

ROOT_ERROR = "FarhandError"
KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Place:
    """Where a carrier takes its code: a position among the call's arguments, and a keyword."""

    position: int | None
    keyword: str


@dataclass(frozen=True)
class Caller:
    """A function: its parameters, where a call writes each, and whom it calls, by last name."""

    name: str
    positions: dict[str, int]
    named: frozenset[str]
    calls: dict[str, list[ast.Call]]


def codes_raised(modules: Iterable[Module]) -> dict[str, str]:
    """Map each code to one place, `path:line`, that raises it."""
    modules = tuple(modules)
    constants = _string_constants(modules)
    errors = _error_classes(modules)
    carriers = {name: {Place(0, "code")} for name in errors}
    carriers |= _own_constructors(modules, errors, carriers)
    functions = [one for module in modules for one in _functions(module)]
    while _add_carrying_functions(functions, carriers):
        pass  # each round may make the callers of what was found carriers too
    found: dict[str, str] = {}
    for module in modules:
        for node, value in _code_expressions(module, errors, carriers):
            for code in _literals(value, constants):
                found.setdefault(code, f"{module.name}:{node.lineno}")
    return found


def _error_classes(modules: tuple[Module, ...]) -> set[str]:
    bases = {
        node.name: {_last_name(base) for base in node.bases}
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
    }
    errors = {ROOT_ERROR}
    while grown := {name for name, above in bases.items() if above & errors} - errors:
        errors |= grown
    return errors


def _own_constructors(
    modules: tuple[Module, ...], errors: set[str], carriers: dict[str, set[Place]]
) -> dict[str, set[Place]]:
    """Error classes with an `__init__` of their own take a code only where that has one."""
    found: dict[str, set[Place]] = {}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef) and node.name in errors:
                for inner in node.body:
                    if isinstance(inner, Function) and inner.name == "__init__":
                        names = [arg.arg for arg in inner.args.args][1:]
                        code = {Place(names.index("code"), "code")} if "code" in names else set()
                        found[node.name] = code
    return found


def _add_carrying_functions(functions: Iterable[Caller], carriers: dict[str, set[Place]]) -> bool:
    grown = False
    for function in functions:
        for called in function.calls.keys() & carriers.keys():
            for value in [
                value
                for call in function.calls[called]
                for value in _values_at(call, carriers[called])
            ]:
                if not isinstance(value, ast.Name) or value.id not in function.named:
                    continue
                place = Place(function.positions.get(value.id), value.id)
                if function.name != "__init__" and place not in carriers.setdefault(
                    function.name, set()
                ):
                    carriers[function.name].add(place)
                    grown = True
    return grown


def _functions(module: Module) -> Iterator[Caller]:
    methods = {
        inner
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, Function)
        and not any(_last_name(mark) == "staticmethod" for mark in inner.decorator_list)
    }
    for node in module.nodes:
        if isinstance(node, Function):
            yield _caller(node, is_method=node in methods)


def _caller(function: Function, *, is_method: bool) -> Caller:
    positional = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    calls: dict[str, list[ast.Call]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            calls.setdefault(_last_name(node.func), []).append(node)
    return Caller(
        function.name,
        # A call of a method does not write its first parameter.
        {name: at - is_method for at, name in enumerate(positional)},
        frozenset((*positional, *(arg.arg for arg in function.args.kwonlyargs))),
        calls,
    )


def _code_expressions(
    module: Module, errors: set[str], carriers: dict[str, set[Place]]
) -> Iterator[tuple[ast.expr | ast.stmt, ast.expr]]:
    for node in module.nodes:
        if isinstance(node, ast.Call):
            for value in _values_at(node, carriers.get(_last_name(node.func), set())):
                yield node, value
        elif isinstance(node, ast.ClassDef) and node.name in errors:
            yield from _class_codes(node)


def _class_codes(node: ast.ClassDef) -> Iterator[tuple[ast.expr | ast.stmt, ast.expr]]:
    for inner in node.body:
        targets: list[ast.expr] = []
        if isinstance(inner, ast.Assign):
            targets = inner.targets
        elif isinstance(inner, ast.AnnAssign):
            targets = [inner.target]
        if (
            isinstance(inner, ast.Assign | ast.AnnAssign)
            and inner.value is not None
            and any(isinstance(one, ast.Name) and one.id == "code" for one in targets)
        ):
            yield inner, inner.value
    for call in ast.walk(node):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "__init__"
            and isinstance(call.func.value, ast.Call)
            and _last_name(call.func.value.func) == "super"
        ):
            for value in _values_at(call, {Place(0, "code")}):
                yield call, value


def _values_at(call: ast.Call, places: set[Place]) -> Iterator[ast.expr]:
    for place in sorted(places, key=repr):
        if place.position is not None and place.position < len(call.args):
            yield call.args[place.position]
        for keyword in call.keywords:
            if keyword.arg == place.keyword:
                yield keyword.value


def _literals(value: ast.expr, constants: dict[str, set[str]]) -> set[str]:
    """The codes that an expression may be: literals, either side of a condition, constants."""
    if isinstance(value, ast.Constant):
        text = value.value
        return {text} if isinstance(text, str) and KEBAB.fullmatch(text) else set()
    if isinstance(value, ast.IfExp):
        return _literals(value.body, constants) | _literals(value.orelse, constants)
    if isinstance(value, ast.BoolOp):
        return set().union(*(_literals(one, constants) for one in value.values))
    if isinstance(value, ast.Name | ast.Attribute):
        return constants.get(_last_name(value), set())
    return set()


def _string_constants(modules: tuple[Module, ...]) -> dict[str, set[str]]:
    """Upper-case names and enum members that are bound to a kebab-case string."""
    found: dict[str, set[str]] = {}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.Assign):
                names, value = node.targets, node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                names, value = [node.target], node.value
            else:
                continue
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                for name in names:
                    is_constant = isinstance(name, ast.Name) and name.id.isupper()
                    if is_constant and KEBAB.fullmatch(value.value):
                        found.setdefault(_last_name(name), set()).add(value.value)
    return found


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return ""
