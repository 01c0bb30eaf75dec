"""Section `os`: which Windows this is."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, when
from farhand_agent.inventory.json_values import whole
from farhand_agent.inventory.moments import instant

__all__ = ["parse", "product_name"]

# The first build of Windows 11; its registry still says "Windows 10".
_ELEVEN: Final = 22_000


def product_name(name: str | None, build: int | None, kind: str | None) -> str | None:
    """Return the product's real name: Windows 11 calls itself Windows 10 in the registry."""
    if name and build is not None and build >= _ELEVEN and kind != "Server":
        return name.replace("Windows 10", "Windows 11")
    return name


@windows_section("os", parts=("windows", "os", "processor_registry"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item."""
    registry, system = told.row("windows"), told.also_row("os")
    build = whole(registry.get("CurrentBuild"))
    kind = said(registry.get("InstallationType"))
    name = product_name(said(registry.get("ProductName")), build, kind)
    release = said(registry.get("DisplayVersion")) or said(registry.get("ReleaseId"))
    revision = whole(registry.get("UBR"))
    full = f"{build}.{revision}" if build is not None and revision is not None else None
    version = said(system.get("Version"))
    identifier = said(told.also_row("processor_registry").get("Identifier")) or ""
    # OSArchitecture is translated ("64 bits"); the processor's own name is not.
    arch = identifier.split(" ")[0] or None
    return [
        {
            "name": "Windows Server" if kind in ("Server", "Server Core") else "Windows",
            "id": "windows",
            "id_like": [],
            "version": version or (f"10.0.{build}" if build is not None else None),
            "version_name": release,
            "pretty_name": " ".join(one for one in (name, release) if one) or None,
            "build": full or (str(build) if build is not None else None),
            "kernel": version,
            "kernel_version": said(registry.get("BuildLabEx")),
            "arch": {"Intel64": "x86_64", "AMD64": "x86_64", "ARMv8": "aarch64"}.get(
                arch or "", arch
            ),
            "installed_at": instant(unsigned(registry.get("InstallDate")))
            or when(system.get("InstallDate")),
        }
    ]
