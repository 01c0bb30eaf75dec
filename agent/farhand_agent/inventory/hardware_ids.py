"""Names of hardware by number, from the lists that distributions install (pci.ids, usb.ids).

Nothing is fetched.  Where no list is installed, only numbers are known.
"""

from __future__ import annotations

from typing import Final

from farhand_agent.platforms.files import SystemFiles

__all__ = ["HardwareIds"]

_FOLDERS: Final = ("/usr/share/hwdata", "/usr/share/misc")


class HardwareIds:
    """One such list.

    Args:
        files: where the list is looked for.
        name: "pci.ids" or "usb.ids".

    Source: the head of pci.ids: "vendor  vendor_name", a tab before "device  device_name", and
    lines of classes that begin with "C ".
    """

    def __init__(self, files: SystemFiles, name: str) -> None:
        found = (files.text(f"{folder}/{name}") for folder in _FOLDERS)
        self._text = "\n" + next((text for text in found if text), "")
        self._parts: dict[str, dict[str, str]] = {}

    def vendor(self, vendor_id: str) -> str | None:
        """Return a maker's name by its four hex digits."""
        return self._part(vendor_id).get("")

    def device(self, vendor_id: str, device_id: str) -> str | None:
        """Return a device's name."""
        return self._part(vendor_id).get(device_id)

    def class_name(self, class_id: str) -> str | None:
        """Return a class's name by two or more hex digits: the subclass's, else the class's."""
        part = self._part(f"C {class_id[:2]}")
        return part.get(class_id[2:4]) or part.get("")

    def _part(self, head: str) -> dict[str, str]:
        """Return the names below one heading by number; "" is the heading's own."""
        if head in self._parts:
            return self._parts[head]
        names: dict[str, str] = {}
        start = self._text.find(f"\n{head}  ") if head else -1
        if start >= 0:
            line, _, rest = self._text[start + 1 :].partition("\n")
            names[""] = line[len(head) :].strip()
            for line in rest.split("\n"):
                if line and not line.startswith(("\t", "#")):
                    break
                if line.startswith("\t") and not line.startswith("\t\t"):
                    number, _, name = line.strip().partition("  ")
                    names[number] = name.strip()
        self._parts[head] = names
        return names
