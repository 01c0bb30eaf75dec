"""Section `containers`: of Docker Desktop."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.container_lists import parse_docker
from farhand_agent.inventory.context import Context, Unsupported

__all__ = ["collect"]

_DOCKER = "/usr/local/bin/docker"


@macos_section("containers")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per container.

    Raises:
        Unsupported: Docker does not run.
    """
    outcome = context.run([_DOCKER, "ps", "-a", "--no-trunc", "--format", "{{json .}}"], ok=None)
    if outcome.exit_code != 0:
        raise Unsupported("docker does not run here")
    return parse_docker(outcome.text)
