"""Section `software`: applications, and what Homebrew keeps in its folders."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.moments import iso_instant

__all__ = ["application_items", "collect"]

_PREFIXES: Final = ("/opt/homebrew", "/usr/local")
_VENDORS: Final = {"apple": "Apple", "mac_app_store": "App Store"}
_ARCHITECTURES: Final = {"arch_arm": "aarch64", "arch_i64": "x86_64", "arch_arm_i64": "universal"}
_OWN: Final = "/System/"
_MAX_ITEMS: Final = 15_000


def application_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per application in SPApplicationsDataType, without macOS' own."""
    items = []
    for one in entries:
        name, path = text(one.get("_name")), text(one.get("path")) or ""
        if name is None or path.startswith(_OWN):
            continue
        source = text(one.get("obtained_from")) or ""
        items.append(
            _item("app", name, text(one.get("version")))
            | {
                "arch": _ARCHITECTURES.get(text(one.get("arch_kind")) or "", ""),
                "vendor": _signer(one.get("signed_by")) or _VENDORS.get(source),
                "installed_at": iso_instant(text(one.get("lastModified"))),
            }
        )
    return items


def _signer(value: object) -> str | None:
    """Return the developer in the first signature: "Developer ID Application: Contoso (AB12)"."""
    first = text(value[0]) if isinstance(value, list) and value else None
    if first is None or ": " not in first:
        return None
    return first.partition(": ")[2].rpartition(" (")[0] or None


def _item(source: str, name: str, version: str | None) -> dict[str, Any]:
    return {
        "source": source, "name": name, "version": version or "", "arch": "", "size_bytes": None,
        "source_name": None, "source_version": None, "vendor": None, "held": False,
        "automatic": None, "installed_at": None,
    }  # fmt: skip


@macos_section("software", types=("SPApplicationsDataType",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per application and per package of Homebrew."""
    items = application_items(profile(context, "SPApplicationsDataType"))
    for prefix in _PREFIXES:
        for kind in ("Cellar", "Caskroom"):
            folder = f"{prefix}/{kind}"
            for name in context.files.names(folder):
                for version in context.files.names(f"{folder}/{name}"):
                    if not version.startswith("."):
                        items.append(_item("brew", name, version))
    return items[:_MAX_ITEMS]
