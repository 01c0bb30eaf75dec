"""Section `os`: which macOS this is."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, parse_sysctl
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.moments import instant

__all__ = ["collect", "parse_sw_vers"]


def parse_sw_vers(output: str) -> dict[str, str]:
    """Return the lines of sw_vers by their names; tabs and blanks stand before the values.

    Raises:
        Malformed: it names no version.
    """
    pairs = (line.partition(":") for line in output.split("\n"))
    found = {name.strip(): value.strip() for name, colon, value in pairs if colon}
    if "ProductVersion" not in found:
        raise Malformed("sw_vers")
    return found


@macos_section("os")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    told = parse_sw_vers(context.run(["sw_vers"]).text)
    kernel = parse_sysctl(
        context.run(["sysctl", "kern.osrelease", "kern.version", "hw.machine"]).text
    )
    name = told.get("ProductName", "macOS")
    # A rapid security response adds its letter: 26.1 (a).
    extra = told.get("ProductVersionExtra")
    version = told["ProductVersion"]
    return [
        {
            "name": name,
            "id": "macos",
            "id_like": [],
            "version": version,
            "version_name": f"{version} {extra}" if extra else version,
            "pretty_name": f"{name} {version}",
            "build": told.get("BuildVersion"),
            "kernel": kernel.get("kern.osrelease"),
            "kernel_version": kernel.get("kern.version"),
            "arch": kernel.get("hw.machine"),
            # Written when the first account was made.
            "installed_at": instant(context.files.modified_at("/var/db/.AppleSetupDone")),
        }
    ]
