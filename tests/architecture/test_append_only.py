"""What is only ever added to: nothing changes or deletes it, but the module that erases words."""

from __future__ import annotations

import ast

from farhand_server.store.schema import metadata
from tests.architecture.source import Module, package_modules

ONLY_ADDED_TO = {
    "audit",
    "hour_ledger",
    "order_events",
    "session_events",
    "ticket_events",
    "ticket_messages",
}
# Erasing personal data: bodies, authors and the words in events, never a row.
ERASES_WORDS = "farhand_server/care/words.py"


def _changed(module: Module) -> set[tuple[str, str]]:
    """Return (verb, table) of what a module changes: `update(T)` or `T.update()`."""
    found = set()
    for node in module.nodes:
        if not isinstance(node, ast.Call):
            continue
        function, of = node.func, None
        if isinstance(function, ast.Name):
            verb, of = function.id, node.args[0] if node.args else None
        elif isinstance(function, ast.Attribute):
            verb, of = function.attr, function.value
        if isinstance(of, ast.Name) and verb in ("update", "delete"):
            found.add((verb, of.id))
    return found


def test_what_is_only_added_to_is_changed_by_one_module_only() -> None:
    assert set(metadata.tables) >= ONLY_ADDED_TO
    changers = {
        (module.name, verb, table)
        for module in package_modules()
        for verb, table in _changed(module)
        if table.removesuffix("_table") in ONLY_ADDED_TO
    }
    assert changers == {
        (f"server/{ERASES_WORDS}", "update", "ticket_messages"),
        (f"server/{ERASES_WORDS}", "update", "ticket_events"),
    }
