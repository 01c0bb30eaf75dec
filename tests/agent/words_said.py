"""Which English texts the agent asks its catalogues for, read out of its sources.

The sentences of checks are data: they are asked of the registry.  Of the page's templates their own
parser tells what they ask for.
"""

from __future__ import annotations

import ast
from pathlib import Path

import jinja2
import jinja2.nodes

import farhand_agent
from farhand_agent.checks.registry import UNKNOWN, UNSUPPORTED, checks

_TABLES = {
    *("CALLER_WARNING", "ANSWER_WARNING", "_SCOPES", "_SCOPE_NAMES"),
    *("_ACTIONS", "_REASONS", "_SAID", "_LOOKS", "_LOGGED", "_TROUBLES"),
}


def texts_said() -> set[str]:
    """Return every text; plural forms are joined by a zero byte, as catalogues have them."""
    sentences = [UNKNOWN, UNSUPPORTED, *(t for c in checks().values() for t in c.plain.values())]
    found = {one if isinstance(one, str) else "\0".join(one) for one in sentences}
    folder = Path(farhand_agent.__file__).parent
    for path in folder.rglob("*.py"):
        source = path.read_text("utf-8")
        if "wording" in source and path.name != "wording.py":
            for node in ast.walk(ast.parse(source)):
                found |= _texts(node)
    for path in folder.rglob("templates/*.html"):
        found |= template_texts(path.read_text("utf-8"))
    return found


def template_texts(source: str) -> set[str]:
    """Return the texts that a template asks for, as `w(...)` and `w.count(...)`."""
    found = set()
    for call in jinja2.Environment(autoescape=True).parse(source).find_all(jinja2.nodes.Call):
        words = [one.value for one in call.args if isinstance(one, jinja2.nodes.Const)]
        match call.node:
            case jinja2.nodes.Name(name="w"):
                found.add(words[0])
            case jinja2.nodes.Getattr(attr="count"):
                found.add("\0".join(words[:2]))
    return found


def _texts(node: ast.AST) -> set[str]:
    if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) in _TABLES:
        value = ast.literal_eval(node.value)
        if isinstance(value, str):
            return {value}
        return set(value.values() if isinstance(value, dict) else value)
    if not isinstance(node, ast.Call):
        return set()
    words = [one.value for one in node.args if isinstance(one, ast.Constant)]
    name = ast.unparse(node.func)
    if name in ("w", "self._w") and words:
        return {str(words[0])}
    if name in ("w.count", "self._w.count"):
        return {"\0".join(map(str, words[:2]))}
    return set()
