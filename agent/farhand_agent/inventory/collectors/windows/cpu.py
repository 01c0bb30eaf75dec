"""Section `cpu`: processors by socket."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["microcode", "parse"]

# "Intel64 Family 6 Model 140 Stepping 1", the same words in every language.
_NAMED: Final = re.compile(r"(\S+) Family ([0-9]+) Model ([0-9]+) Stepping ([0-9]+)")


def microcode(value: object) -> str | None:
    """Return the microcode's revision: eight bytes, the upper four (Intel) or lower four count."""
    data = binary(value)
    if len(data) != 8:
        return None
    number = int.from_bytes(data[4:], "little") or int.from_bytes(data[:4], "little")
    return f"{number:#x}" if number else None


@windows_section("cpu", parts=("processors", "processor_registry"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per socket.

    Raises:
        Malformed: Windows lists no processor.
    """
    processors = told.rows("processors")
    if not processors:
        raise Malformed("Win32_Processor")
    revision = microcode(told.also_row("processor_registry").get("Update Revision"))
    items: list[dict[str, Any]] = []
    for number, one in enumerate(processors):
        named = _NAMED.match(said(one.get("Description")) or "")
        vendor = said(one.get("Manufacturer"))
        flag = "svm" if vendor == "AuthenticAMD" else "vmx"
        items.append(
            {
                "socket": number,
                "model": said(one.get("Name")),
                "vendor": vendor,
                "family": named[2] if named else None,
                "model_number": named[3] if named else None,
                "stepping": named[4] if named else said(one.get("Stepping")),
                "microcode": revision,
                "cores": whole(one.get("NumberOfCores")),
                "threads": whole(one.get("NumberOfLogicalProcessors")),
                "flags": [flag] if truth(one.get("VMMonitorModeExtensions")) else [],
                "max_mhz": whole(one.get("MaxClockSpeed")),
                # Windows has no such list.
                "vulnerabilities": {},
            }
        )
    return items
