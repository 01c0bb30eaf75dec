"""Section `firmware_security`: secure boot and the TPM."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.context import Unsupported
from farhand_agent.inventory.json_values import truth
from farhand_protocol.errors import FarhandError

__all__ = ["parse"]


@windows_section("firmware_security", parts=("secure_boot", "setup_mode", "tpm"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item."""
    # Without UEFI the registry has no such key.
    secure = truth(told.row("secure_boot").get("UEFISecureBootEnabled"))
    setup = told.also_row("setup_mode").get("SetupMode") if secure is not None else None
    tpm, there = _tpm(told)
    # "2.0, 0, 1.38": version, revision and errata.
    version = (said(tpm.get("SpecVersion")) or "").split(",")[0].strip()
    words = [said(tpm.get("ManufacturerIdTxt")), said(tpm.get("ManufacturerVersion"))]
    return [
        {
            "secure_boot": secure,
            "setup_mode": truth(setup),
            "tpm": there,
            "tpm_version": version or None,
            "tpm_description": " ".join(one for one in words if one) or None,
            "lockdown": None,
        }
    ]


def _tpm(told: Told) -> tuple[dict[str, Any], bool | None]:
    try:
        found = told.rows("tpm")
    except Unsupported:
        return {}, False  # Windows has the class only where it found a TPM
    except FarhandError as error:
        told.note(f"the TPM is not told: {error.message}")
        return {}, None
    return (found[0], True) if found else ({}, False)
