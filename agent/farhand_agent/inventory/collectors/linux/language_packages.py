"""Section `language_packages` (opt-in): libraries beside the system's package manager.

Opt-in, because environments in homes say what somebody works on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.homes import homes
from farhand_agent.inventory.language_packages import (
    parse_crates,
    parse_dist_info,
    parse_package_json,
)
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_GEM: Final = re.compile(r"(.+)-([0-9][A-Za-z0-9.]*)\.gemspec")
_PYTHON: Final = re.compile(r"python3(?:\.[0-9]+)?")
_MAX_ITEMS: Final = 15_000


@section(
    "language_packages", platform="linux", personal=("environment",), opt_in=True, timeout_s=40.0
)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per package and environment."""
    context.need("/usr")
    items = [
        {"manager": manager, "name": name, "version": version, "environment": folder}
        for manager, name, version, folder in _all(context)
    ]
    if len(items) > _MAX_ITEMS:
        context.note(f"the first {_MAX_ITEMS} of {len(items)}")
    return items[:_MAX_ITEMS]


def _all(context: Context) -> Iterator[tuple[str, str, str, str]]:
    people = homes(context)
    roots = ["/usr", "/usr/local", *(f"{home.path}/.local" for home in people)]
    for root in roots:
        for name in _names(context, f"{root}/lib"):
            if _PYTHON.fullmatch(name):
                for kind in ("site-packages", "dist-packages"):
                    yield from _python(context, f"{root}/lib/{name}/{kind}")
        yield from _node(context, f"{root}/lib/node_modules")
        for folder in (f"{root}/share/gems", f"{root}/lib/ruby/gems", f"{root}/share/rubygems"):
            yield from _gems(context, folder)
    for home in people:
        folder = f"{home.path}/.cargo"
        text = _text(context, f"{folder}/.crates2.json")
        if text:
            try:
                for name, version in parse_crates(text):
                    yield "cargo", name, version, folder
            except Malformed as error:
                context.note(error.message)


def _python(context: Context, folder: str) -> Iterator[tuple[str, str, str, str]]:
    for name in _names(context, folder):
        if found := parse_dist_info(name):
            yield "pip", found[0], found[1], folder


def _node(context: Context, folder: str) -> Iterator[tuple[str, str, str, str]]:
    for name in _names(context, folder):
        scoped = _names(context, f"{folder}/{name}") if name.startswith("@") else []
        for package in [f"{name}/{one}" for one in scoped] or [name]:
            if found := parse_package_json(_text(context, f"{folder}/{package}/package.json")):
                yield "npm", found[0], found[1], folder


def _gems(context: Context, folder: str) -> Iterator[tuple[str, str, str, str]]:
    for version in _names(context, folder):
        where = f"{folder}/{version}/specifications"
        for name in _names(context, where):
            if found := _GEM.fullmatch(name):
                yield "gem", found[1], found[2], where


def _names(context: Context, folder: str) -> list[str]:
    try:
        return context.files.names(folder)
    except PermissionError:
        context.note("some homes need root")
        return []


def _text(context: Context, name: str) -> str:
    try:
        return context.files.text(name) or ""
    except PermissionError:
        context.note("some homes need root")
        return ""
