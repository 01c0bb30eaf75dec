"""The house's own source, read once for the checks beside this file.

What it is: the paths, texts and syntax trees of the four packages and of the repository's text
files. What it is not: an importer; nothing read here is run.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = ("protocol", "agent", "server", "console")
# What a checkout may hold that is not the repository's: environments, caches, things built.
FOREIGN_FOLDERS = frozenset(
    (".git", ".venv", "node_modules", "dist", "build", "__pycache__", ".hypothesis")
)
FOREIGN_SUFFIXES = ("_cache", ".egg-info")
CODE_SUFFIXES = (".py", ".sh", ".html", ".css", ".js", ".ts", ".svelte", ".sql", ".mako", ".po")
DATA_SUFFIXES = (".md", ".toml", ".txt", ".in", ".cfg", ".ini", ".json", ".yml", ".yaml", ".cast")
TEXT_SUFFIXES = frozenset(("", *CODE_SUFFIXES, *DATA_SUFFIXES))
LARGEST_TEXT_BYTES = 4_000_000


@dataclass(frozen=True)
class Module:
    """One Python file: where it is, its text, its tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the repository's root, as messages show it."""
        return self.path.relative_to(ROOT).as_posix()

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All of the tree; walked once, for the checks ask for it again and again."""
        return tuple(ast.walk(self.tree))

    @property
    def lines(self) -> list[str]:
        """The text by lines; index 0 is line 1."""
        return self.text.splitlines()


def package_of(member: str) -> str:
    """The import name of a member folder."""
    return f"farhand_{member}"


@functools.cache
def package_modules(*members: str) -> tuple[Module, ...]:
    """Every module of the packages (all four if none is named)."""
    return tuple(
        _read(path)
        for member in members or MEMBERS
        for path in sorted((ROOT / member / package_of(member)).rglob("*.py"))
        if not _is_foreign(path) and _is_module(path)
    )


@functools.cache
def all_python() -> tuple[Module, ...]:
    """Every Python file of the repository, tests and benches included."""
    return tuple(_read(path) for path in sorted(repository_files()) if path.suffix == ".py")


@functools.cache
def repository_files() -> tuple[Path, ...]:
    """Every file of the checkout that is the repository's own."""
    return tuple(_walk(ROOT))


def text_files() -> Iterator[tuple[str, str]]:
    """Path from the root and text of each of the repository's text files."""
    for path in repository_files():
        if path.suffix in TEXT_SUFFIXES and path.stat().st_size <= LARGEST_TEXT_BYTES:
            try:
                text = path.read_text("utf-8")
            except UnicodeDecodeError:
                continue  # a binary without a suffix, such as a stored test vector
            yield path.relative_to(ROOT).as_posix(), text


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if _is_foreign(path) or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _is_foreign(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in FOREIGN_FOLDERS or part.endswith(FOREIGN_SUFFIXES) for part in parts)


def _is_module(path: Path) -> bool:
    """Whether Python could import it; shipped scripts (`check.disk.space/script.py`) are data."""
    return all(part.isidentifier() for part in path.relative_to(ROOT).with_suffix("").parts)


@functools.cache
def _read(path: Path) -> Module:
    text = path.read_text("utf-8")
    return Module(path, text, ast.parse(text, str(path)))
