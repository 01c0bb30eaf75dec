"""Section `containers`: of Docker, and distributions of the Windows Subsystem for Linux.

Which distributions there are stands in each person's hive; which of them run `wsl --list` says, in
UTF-16 and, where none does, with words in the language of Windows: only known names count.
"""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.container_lists import parse_docker
from farhand_agent.inventory.context import Unsupported
from farhand_agent.inventory.json_values import whole
from farhand_protocol.errors import FarhandError

__all__ = ["parse", "parse_wsl"]


def parse_wsl(data: bytes) -> set[str]:
    """Return the lines that wsl.exe printed, whether in UTF-16 (as always) or UTF-8 (WSL_UTF8)."""
    if data[:2] == b"\xff\xfe" or b"\0" in data[:64]:
        text = data.decode("utf-16-le", "replace").removeprefix("\ufeff")
    else:
        text = data.decode("utf-8-sig", "replace")
    return {line.strip().removeprefix("*").strip() for line in text.split("\n") if line.strip()}


@windows_section("containers", parts=("docker", "wsl", "wsl_running"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per container and per distribution.

    Raises:
        Unsupported: neither Docker nor WSL is installed.
    """
    docker, listed = told.also_row("docker"), told.also_row("wsl_running")
    distributions = told.also("wsl")
    if not docker and not listed and not distributions:
        raise Unsupported("neither Docker nor WSL is installed")
    items: list[dict[str, Any]] = []
    if docker:
        try:
            items += parse_docker(binary(docker.get("printed")).decode("utf-8", "replace"))
        except FarhandError as error:
            told.note(f"docker: {error.message}")
    running = parse_wsl(binary(listed.get("printed")))
    for one in distributions:
        name = said(one.get("DistributionName"))
        if name is None:
            continue
        version = whole(one.get("Version"))
        items.append(
            {
                "engine": "wsl",
                "id": (said(one.get("key")) or "").strip("{}") or None,
                "name": name,
                "image": said(one.get("Flavor")) or (f"WSL {version}" if version else None),
                "state": "running" if name in running else "stopped",
                "created_at": None,
            }
        )
    return items
