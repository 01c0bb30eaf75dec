"""Section `listening_ports`: who waits for connections, and for whom it runs.

Without process ids: they change at every start and would make the section look new each time.
"""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_ss"]

_PROGRAM: Final = re.compile(r'\("((?:[^"\\]|\\.){1,64})",pid=([0-9]{1,10}),')
_UID: Final = re.compile(r"Uid:\s+([0-9]{1,10})\b")


def parse_ss(output: str) -> list[dict[str, Any]]:
    """Return one item per socket of `ss -H -lntup`, with `pid` for the caller to look up.

    Lines of another shape are skipped.

    Raises:
        Malformed: there are lines and none is a socket.
    """
    items = []
    for line in output.split("\n"):
        fields = line.split(None, 6)
        if len(fields) < 6 or fields[0] not in ("tcp", "udp"):
            continue
        address, _, port = fields[4].rpartition(":")
        found = _PROGRAM.search(fields[6]) if len(fields) > 6 else None
        if not (port.isascii() and port.isdigit() and len(port) < 6):
            continue
        items.append(
            {
                "protocol": fields[0],
                # [::]:22, 127.0.0.53%lo:53 and fe80::1%eth0 lose brackets and keep their scope.
                "address": address.strip("[]"),
                "port": int(port),
                "program": found[1] if found else None,
                "pid": int(found[2]) if found else None,
            }
        )
    if output.strip() and not items:
        raise Malformed("ss")
    return items


@section("listening_ports", platform="linux", personal=("user",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per socket and program, sorted."""
    sockets = parse_ss(context.run(["ss", "-H", "-lntup"]).text)
    names = _names(context)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for item in sockets:
        item["user"] = _user(context, item.pop("pid"), names)
        # Several workers of one server share a socket, and reuse of ports gives several sockets.
        found[tuple(str(value) for value in item.values())] = item
    if not context.privileged:
        context.note("programs of other users need root")
    return [found[key] for key in sorted(found)]


def _user(context: Context, pid: int | None, names: dict[str, str]) -> str | None:
    status = context.files.text(f"/proc/{pid}/status") if pid else None
    uid = _UID.search(status or "")
    return names.get(uid[1], uid[1]) if uid else None


def _names(context: Context) -> dict[str, str]:
    fields = (line.split(":") for line in (context.files.text("/etc/passwd") or "").split("\n"))
    return {one[2]: one[0] for one in fields if len(one) == 7}
