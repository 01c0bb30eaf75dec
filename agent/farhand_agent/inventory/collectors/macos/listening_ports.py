"""Section `listening_ports`: by lsof's output for programs; without root only one's own."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_mark
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_lsof"]

_ADDRESS: Final = re.compile(r"(.*):([0-9]{1,5})")


def parse_lsof(output: str) -> list[dict[str, Any]]:
    """Return one item per socket in `lsof -F cLPn`: c command, L user, P protocol, n name."""
    found: dict[tuple[str, str, int, str], dict[str, Any]] = {}
    program = user = protocol = ""
    for line in output.split("\n"):
        kind, value = line[:1], line[1:]
        if kind == "p":
            program = user = ""
        elif kind == "c":
            program = value
        elif kind == "L":
            user = value
        elif kind == "P":
            protocol = value.lower()
        elif kind == "n" and "->" not in value and (parts := _ADDRESS.fullmatch(value)):
            address = parts[1].strip("[]").partition("%")[0]
            key = protocol, address, int(parts[2]), program
            found[key] = {
                "protocol": protocol, "address": address, "port": int(parts[2]),
                "program": program or None, "user": user or None,
            }  # fmt: skip
    return [found[key] for key in sorted(found)]


@macos_section("listening_ports", personal=("user",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per socket."""
    if not context.privileged:
        context.note("without root only this user's own")
    argv = ["lsof", "-nP", "-iTCP", "-sTCP:LISTEN", "-FcLPn"]
    # lsof ends with 1 where it found nothing, or not everything.
    items = _sockets(context, argv)
    argv = ["lsof", "-nP", "-iUDP", "-FcLPn"]
    return items + _sockets(context, argv)


def _sockets(context: Context, argv: list[str]) -> list[dict[str, Any]]:
    told = context.run(argv, timeout_s=30.0, ok=(0, 1)).text
    if told.strip():
        require_mark("lsof", told, "^p[0-9]+$")
    return parse_lsof(told)
