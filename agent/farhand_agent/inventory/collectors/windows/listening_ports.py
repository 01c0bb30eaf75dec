"""Section `listening_ports`: who waits for connections."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import whole

__all__ = ["listening", "parse"]

_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, never bound


def listening(told: Told) -> list[dict[str, Any]]:
    """Return the items of this section.

    Raises:
        FarhandError: as `Told.rows`.
    """
    names = {
        whole(one.get("ProcessId")): _program(said(one.get("Name")))
        for one in told.also("processes")
    }
    found = {}
    for protocol in ("tcp", "udp"):
        for one in told.rows(protocol):
            port = whole(one.get("LocalPort"))
            address = said(one.get("LocalAddress"))
            if port is None or address is None:
                continue
            address = "*" if address in _ANY else address.partition("%")[0]
            program = names.get(whole(one.get("OwningProcess")))
            item = {
                "protocol": protocol, "address": address, "port": port, "program": program,
                "user": None,
            }  # fmt: skip
            found[protocol, address, port, program] = item
    return [found[key] for key in sorted(found, key=str)]


def _program(name: str | None) -> str | None:
    return name[:-4] if name and name.lower().endswith(".exe") else name


@windows_section("listening_ports", parts=("tcp", "udp", "processes"), personal=("user",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per socket."""
    return listening(told)
