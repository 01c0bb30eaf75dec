"""Section `software`: what stands under "Apps" in the settings, and packages of the store.

Uninstall keys lie in both views of the registry and in every hive that is loaded.  Left out, as
Windows leaves them out: parts of others (ParentKeyName), updates (ReleaseType) and what hides
itself (SystemComponent).  Win32_Product is never asked: it repairs what it lists.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.json_values import truth, whole
from farhand_agent.inventory.moments import day

__all__ = ["installed", "parse"]

_KIB: Final = 1024
_UPDATES: Final = ("security update", "update rollup", "hotfix", "update", "servicepack")
_ARCHITECTURES: Final = {
    "x64": "x86_64", "x86": "x86", "arm64": "aarch64", "arm": "arm", "neutral": "",
}  # fmt: skip


def installed(one: dict[str, Any]) -> bool:
    """Return whether an uninstall key is of a program in its own right."""
    return (
        said(one.get("DisplayName")) is not None
        and not truth(one.get("SystemComponent"))
        and said(one.get("ParentKeyName")) is None
        and (said(one.get("ReleaseType")) or "").lower() not in _UPDATES
    )


@windows_section("software", parts=("uninstall", "appx"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per program and per package of the store."""
    found: dict[tuple[str | None, ...], dict[str, Any]] = {}
    for one in told.rows("uninstall"):
        if not installed(one):
            continue
        date = day(said(one.get("InstallDate")), "%Y%m%d")
        size = unsigned(one.get("EstimatedSize"))
        bits = whole(one.get("bits"))
        item = _item("msi", one.get("DisplayName"), one.get("DisplayVersion")) | {
            "arch": {64: "x86_64", 32: "x86"}.get(bits or 0, ""),
            "size_bytes": size * _KIB if size else None,
            "vendor": said(one.get("Publisher")),
            "installed_at": f"{date}T00:00:00Z" if date else None,
        }
        found.setdefault((item["name"], item["version"], item["arch"]), item)
    for one in told.also("appx"):
        if truth(one.get("IsFramework")) or said(one.get("Name")) is None:
            continue
        item = _item("appx", one.get("Name"), one.get("Version")) | {
            "arch": _ARCHITECTURES.get((said(one.get("Architecture")) or "").lower(), ""),
            "vendor": _publisher(said(one.get("Publisher"))),
        }
        found.setdefault((item["name"], item["version"], item["arch"]), item)
    return list(found.values())


def _item(source: str, name: object, version: object) -> dict[str, Any]:
    return {
        "source": source, "name": said(name), "version": said(version) or "", "arch": "",
        "size_bytes": None, "source_name": None, "source_version": None, "vendor": None,
        "held": False, "automatic": None, "installed_at": None,
    }  # fmt: skip


def _publisher(name: str | None) -> str | None:
    """Return the name in a certificate's subject: CN=Contoso Ltd, O=Contoso, C=US."""
    parts = [part.strip() for part in (name or "").split(",")]
    return next((one[3:].strip('"') for one in parts if one.startswith("CN=")), name)
