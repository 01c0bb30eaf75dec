"""Section `firmware_security`: secure boot, TPM and the kernel's lockdown."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["collect", "efi_flag", "lockdown_mode"]

# The GUID of the variables that the UEFI specification defines (section 3.3).
_GLOBAL: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_VARIABLES: Final = "/sys/firmware/efi/efivars"
_TPM: Final = "/sys/class/tpm/tpm0"


def efi_flag(data: bytes) -> bool | None:
    """Return a one-byte variable of efivarfs: four bytes of attributes stand before it."""
    return data[4] == 1 if len(data) == 5 else None


def lockdown_mode(text: str | None) -> str | None:
    """Return the word in brackets of `none [integrity] confidentiality`."""
    inside = (text or "").partition("[")[2].partition("]")[0]
    return inside or None


@section("firmware_security", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item; secure boot is null on machines that did not start by UEFI."""
    context.need("/sys/class")
    files = context.files
    uefi = files.path("/sys/firmware/efi").is_dir()
    if uefi and not files.names(_VARIABLES):
        context.note("the firmware's variables are not mounted")
    version = files.line(f"{_TPM}/tpm_version_major")
    return [
        {
            "secure_boot": _variable(context, "SecureBoot"),
            "setup_mode": _variable(context, "SetupMode"),
            "tpm": files.path(_TPM).exists(),
            "tpm_version": {"1": "1.2", "2": "2.0"}.get(version or "", version),
            "tpm_description": files.line(f"{_TPM}/device/description")
            or files.line(f"{_TPM}/device/firmware_node/hid"),
            "lockdown": lockdown_mode(files.line("/sys/kernel/security/lockdown")),
        }
    ]


def _variable(context: Context, name: str) -> bool | None:
    try:
        return efi_flag(context.files.path(f"{_VARIABLES}/{name}-{_GLOBAL}").read_bytes()[:64])
    except FileNotFoundError:
        return None
    except PermissionError:
        context.note(f"{name} needs root")
        return None
