"""Section `disk_encryption`: BitLocker by volume.  Never a key, never a protector.

Source: Win32_EncryptableVolume.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, word
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_CIPHERS: Final = {
    1: "aes128-diffuser", 2: "aes256-diffuser", 3: "aes128-cbc", 4: "aes256-cbc", 5: "hardware",
    6: "xts-aes128", 7: "xts-aes256",
}  # fmt: skip
_CONVERSION: Final = {
    0: None, 1: "open", 2: "encrypting", 3: "decrypting", 4: "encryption paused",
    5: "decryption paused",
}  # fmt: skip
_DECRYPTED: Final = 0
_OFF, _ON, _LOCKED = 0, 1, 2


@windows_section("disk_encryption", parts=("encryption",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per volume that could be encrypted."""
    items = []
    for one in told.rows("encryption"):
        protection = whole(one.get("ProtectionStatus"))
        conversion = whole(one.get("ConversionStatus"))
        # A locked volume does not say how far it is: it is encrypted.
        encrypted = (
            True if protection == _LOCKED else None if conversion is None else conversion == 1
        )
        state = word(one.get("ConversionStatus"), {k: v for k, v in _CONVERSION.items() if v})
        if protection == _LOCKED:
            state = "locked"
        elif state == "open" and protection == _OFF:
            state = "suspended"  # encrypted, and the key lies beside the data
        method = None if conversion == _DECRYPTED and protection != _LOCKED else "bitlocker"
        items.append(
            {
                "mount": said(one.get("DriveLetter")),
                "device": said(one.get("DeviceID")),
                "encrypted": encrypted,
                "method": method,
                "cipher": word(one.get("EncryptionMethod"), _CIPHERS),
                "state": state,
            }
        )
    return items
