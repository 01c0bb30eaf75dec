"""Section `system`: which Mac this is, and what it is called."""

from __future__ import annotations

import hashlib
from typing import Any

from farhand_agent.inventory.collectors.macos.locale import timezone_name
from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.collectors.macos.virtualisation import guest_of
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import text
from farhand_protocol.errors import FarhandError

__all__ = ["chassis", "collect"]


def chassis(name: str | None) -> str | None:
    """Return the form of a Mac by its family's name."""
    words = (name or "").lower()
    for part, form in (
        ("macbook", "notebook"), ("imac", "all in one"), ("mini", "mini PC"),
        ("studio", "desktop"), ("pro", "tower"),
    ):  # fmt: skip
        if part in words:
            return form
    return None


@macos_section(
    "system",
    types=("SPHardwareDataType",),
    personal=(
        "hostname", "domain", "serial", "uuid", "board_serial", "asset_tag", "chassis_serial",
        "machine_id_sha256",
    ),
)  # fmt: skip
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item.

    Raises:
        Malformed: system_profiler knows no hardware.
    """
    found = profile(context, "SPHardwareDataType")
    if not found:
        raise Malformed("system_profiler")
    one = found[0]
    uuid = text(one.get("platform_UUID"))
    name = text(one.get("machine_name"))
    empty = dict.fromkeys(
        ("domain", "model_version", "board_manufacturer", "board_model", "board_version",
         "board_serial", "asset_tag", "chassis_serial", "bios_date")
    )  # fmt: skip
    return [
        empty
        | {
            "hostname": _name(context),
            "manufacturer": "Apple Inc.",
            "model": text(one.get("machine_model")),
            "sku": text(one.get("model_number")),
            "family": name,
            "serial": real_value(text(one.get("serial_number"))),
            "uuid": uuid.lower() if uuid else None,
            "bios_vendor": "Apple Inc.",
            "bios_version": text(one.get("boot_rom_version")),
            "chassis": chassis(name),
            "firmware": "uefi",
            "virtualisation": guest_of(context) or "none",
            "machine_id_sha256": hashlib.sha256(f"farhand:{uuid}".encode()).hexdigest()
            if uuid
            else None,
            "timezone": timezone_name(context),
        }
    ]


def _name(context: Context) -> str | None:
    for kind in ("HostName", "LocalHostName", "ComputerName"):
        try:
            outcome = context.run(["scutil", "--get", kind], ok=None)
        except FarhandError as error:
            context.note(error.message)
            return None
        if outcome.exit_code == 0 and outcome.text.strip():
            return outcome.text.strip()
    return None
