"""How the house is kept: names, sizes, docstrings, and what the repository must never hold."""

from __future__ import annotations

import ast
import re
import sys

import pytest

from tests.architecture.source import (
    MEMBERS,
    ROOT,
    Module,
    all_python,
    package_modules,
    repository_files,
    text_files,
)

SHAPELESS = frozenset(
    ("util", "utils", "helper", "helpers", "common", "misc", "core", "manager", "managers")
)
LONGEST_MODULE_LINES = 600
# Written in pieces, so that this file does not hold what it looks for.
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"))] + [
    ".".join(parts) for parts in (("npmjs", "org"), ("npmjs", "com"), ("debian", "org"))
]
REGISTRY = re.compile("|".join(rf"://[\w.-]*{re.escape(host)}" for host in REGISTRIES))
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def _tell(problems: list[str], rule: str) -> None:
    assert not problems, f"{rule}:\n  " + "\n  ".join(problems)


def test_no_module_is_named_for_nothing() -> None:
    named = [
        module.name
        for module in package_modules()
        if SHAPELESS & {module.path.stem, module.path.parent.name}
    ]
    _tell(named, "one noun per file")


def test_modules_can_be_read_in_one_sitting() -> None:
    long = [
        f"{module.name}: {len(module.lines)} lines"
        for module in package_modules()
        if len(module.lines) > LONGEST_MODULE_LINES
    ]
    _tell(long, f"at most {LONGEST_MODULE_LINES} lines; look for the seam")


def test_every_module_says_what_it_is() -> None:
    silent = [module.name for module in package_modules() if not ast.get_docstring(module.tree)]
    _tell(silent, "a module begins with its docstring")


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{module.name}:{number}"
        for module in package_modules()
        for number, line in enumerate(module.lines, 1)
        if UNFINISHED.search(line)
    ]
    _tell(found, "finish it or file it")


def test_package_init_holds_no_logic() -> None:
    def is_plain(node: ast.stmt) -> bool:
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            return bool(names) and all(name.startswith("__") for name in names)
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        return is_docstring or isinstance(node, ast.Import | ast.ImportFrom)

    busy = [
        f"{module.name}:{node.lineno}"
        for module in package_modules()
        if module.path.name == "__init__.py"
        for node in module.tree.body
        if not is_plain(node)
    ]
    _tell(busy, "__init__.py hands names on")


def test_folder_names_are_never_imported() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in all_python()
        for node in module.nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _imported(node)
        if name.split(".")[0] in MEMBERS
    ]
    _tell(found, "the import name is farhand_...")


def test_late_imports_say_why() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in package_modules()
        for node in _late_imports(module.tree)
        if not _explained(module, node)
    ]
    _tell(found, "an import inside a function needs a comment with its reason")


def test_nothing_is_swallowed_in_silence() -> None:
    found = [f"{module.name}:{line}" for module in all_python() for line in silent_handlers(module)]
    _tell(found, "`except ...: pass` needs a comment with its reason")


def test_no_registry_is_named() -> None:
    found = [
        f"{name}:{number}"
        for name, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if REGISTRY.search(line)
    ]
    _tell(found, "name packages, not the places they come from")


def test_no_path_of_this_machine() -> None:
    here = [path for path in (str(ROOT), sys.base_prefix) if path.count("/") >= 2]
    own = [path for path in here if not path.startswith(("/usr", "/opt", "/Library"))]
    found = [
        f"{name}: {path}"
        for name, text in text_files()
        for path in own
        if re.search(rf"(?<![\w.]){re.escape(path)}\b", text)
    ]
    _tell(found, "the checkout may be anywhere")


def test_locks_hold_no_addresses() -> None:
    stray = [path.name for path in repository_files() if re.match(r"(uv\.lock|pylock)", path.name)]
    _tell(stray, "locks are requirements/*.txt")
    option = re.compile(r"://|^\s*-{1,2}(i|f|index-url|extra-index-url|find-links|trusted-host)\b")
    for name in ("run", "dev"):
        lock = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        lines = [line for line in lock.splitlines() if option.search(line)]
        _tell(lines, f"requirements/{name}.txt")
        pins = re.findall(r"^[a-z0-9].*$", lock, re.MULTILINE)
        assert pins
        _tell([pin for pin in pins if "==" not in pin], "pinned")
        assert lock.count("--hash=sha256:") >= len(pins)
        _tell([pin for pin in pins if pin.startswith("farhand")], "our own names ask no index")


def test_the_lock_for_tests_holds_the_lock_for_use() -> None:
    def pins(name: str) -> set[str]:
        lock = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        return set(re.findall(r"^([a-z0-9][^ \\]+)", lock, re.MULTILINE))

    _tell(sorted(pins("run") - pins("dev")), "in run.txt and not, or otherwise, in dev.txt")


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if node.level == 0 else []


def _late_imports(tree: ast.Module) -> list[ast.stmt]:
    found = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    return sorted(found, key=lambda node: node.lineno)


def _explained(module: Module, node: ast.stmt) -> bool:
    """Whether a comment stands on the import, or above the block of imports it belongs to."""
    lines = module.lines
    if any("#" in line for line in lines[node.lineno - 1 : node.end_lineno]):
        return True
    above = node.lineno - 2
    late = {
        number
        for other in _late_imports(module.tree)
        for number in range(other.lineno, (other.end_lineno or other.lineno) + 1)
    }
    while above + 1 in late or not lines[above].strip():
        above -= 1
    return lines[above].lstrip().startswith("#")


def silent_handlers(module: Module) -> list[int]:
    """Lines of handlers that do nothing and give no reason."""
    found = []
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler):
            idle = all(
                isinstance(one, ast.Pass)
                or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
                for one in node.body
            )
            written = module.lines[node.lineno - 1 : node.body[-1].end_lineno]
            if idle and not any("#" in line for line in written):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    ("handler", "count"),
    [("pass", 1), ("...", 1), ("pass  # gone already", 0), ("# gone\n    pass", 0), ("raise", 0)],
)
def test_the_search_for_silent_handlers(handler: str, count: int) -> None:
    text = f"try:\n    work()\nexcept OSError:\n    {handler}\n"
    assert len(silent_handlers(Module(ROOT / "sample.py", text, ast.parse(text)))) == count
