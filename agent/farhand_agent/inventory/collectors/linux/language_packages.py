"""Section `language_packages` (opt-in): libraries beside the system's package manager.

Opt-in, because environments in homes say what somebody works on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.homes import homes
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_crates", "parse_dist_info", "parse_package_json"]

_DIST: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]*)-([^-]+)\.(?:dist|egg)-info")
_GEM: Final = re.compile(r"(.+)-([0-9][A-Za-z0-9.]*)\.gemspec")
_CRATE: Final = re.compile(r"([A-Za-z0-9_-]+) ([0-9][^ ]*) \(")
_PYTHON: Final = re.compile(r"python3(?:\.[0-9]+)?")
_MAX_ITEMS: Final = 15_000


def parse_dist_info(name: str) -> tuple[str, str] | None:
    """Return name and version by the folder that pip leaves.  Source: PEP 376, PEP 427."""
    found = _DIST.fullmatch(name)
    return (found[1].replace("_", "-"), found[2]) if found else None


def parse_package_json(text: str) -> tuple[str, str] | None:
    """Return name and version of a package.json; None for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    name, version = document.get("name"), document.get("version")
    return (name, version) if isinstance(name, str) and isinstance(version, str) else None


def parse_crates(text: str) -> list[tuple[str, str]]:
    """Return names and versions in cargo's `.crates2.json`.

    Raises:
        Malformed: it is none.
    """
    try:
        installs = json.loads(text)["installs"]
        keys = [str(key) for key in installs]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed(".crates2.json") from error
    return [(found[1], found[2]) for key in keys if (found := _CRATE.match(key))]


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
