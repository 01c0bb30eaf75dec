"""Section `os`: the operating system, its version, kernel and age of the installation."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.registry import section
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["collect", "parse_os_release"]

# The longest os-release known is some 400 bytes; shlex takes quadratic time for a long line.
_MAX_CHARS = 64 * 1024
_MAX_LINE_CHARS = 4 * 1024
_ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")


def parse_os_release(text: str) -> dict[str, str]:
    """Return the assignments of an os-release file; lines that are none are skipped.

    So are those of more than 4 KiB, and all that follows the first 64 KiB.

    Source: os-release(5): a list of shell-compatible assignments without expansion.
    """
    values = {}
    for line in text[:_MAX_CHARS].split("\n"):
        if len(line) > _MAX_LINE_CHARS:
            continue
        if found := _ASSIGNMENT.fullmatch(line.strip()):
            try:
                words = shlex.split(found[2])
            except ValueError:
                continue  # a quote that never closes
            values[found[1]] = " ".join(words)
    return values


@section("os", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item.

    Raises:
        Unsupported: there is no os-release file.
    """
    text = context.files.text("/etc/os-release") or context.files.text("/usr/lib/os-release")
    if text is None:
        raise Unsupported("there is no os-release file")
    release = parse_os_release(text)
    kernel = os.uname()
    return [
        {
            "name": release.get("NAME", "Linux"),
            "id": release.get("ID", "linux"),
            "id_like": release.get("ID_LIKE", "").split(),
            "version": release.get("VERSION_ID"),
            "version_name": release.get("VERSION"),
            "point_version": context.files.line("/etc/debian_version"),
            "pretty_name": release.get("PRETTY_NAME"),
            "build": release.get("BUILD_ID"),
            "kernel": kernel.release,
            "kernel_version": kernel.version,
            "arch": kernel.machine,
            "installed_at": _installed_at(context),
        }
    ]


def _installed_at(context: Context) -> str | None:
    # The birth of a file that the installer wrote; file systems without birth times answer 0.
    for name in ("/var/lib/dpkg/info/base-files.list", "/etc/machine-id", "/"):
        path = context.files.path(name)
        if not path.exists():
            continue
        try:
            born = context.run(["stat", "-c", "%W", "--", str(path)]).text.strip()
        except FarhandError:
            return None
        if born.isdigit() and int(born) > 0:
            return format_instant(from_unix(int(born)))
    return None
