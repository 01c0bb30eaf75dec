"""Section `containers`: what container engines keep here, running or not."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.container_lists import parse_docker, parse_lxc, parse_podman
from farhand_agent.inventory.context import Context, Denied, Unsupported
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect"]

_MAX_ITEMS: Final = 5_000


@section("containers", platform="linux", timeout_s=40.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per container.

    Raises:
        Unsupported: no container engine is installed.
        Denied: the only one here does not talk to this user.
    """
    items: list[dict[str, Any]] = []
    asked, refused = 0, ""
    for argv in (
        ["docker", "ps", "-a", "--no-trunc", "--format", "{{json .}}"],
        ["podman", "ps", "-a", "--format", "json"],
        ["lxc", "list", "--format", "json"],
        ["incus", "list", "--format", "json"],
    ):
        try:
            outcome = context.run(argv, ok=None)
        except CommandMissing:
            continue
        if outcome.exit_code != 0:
            words = outcome.error_text.strip().split("\n")[0][:200]
            if "permission denied" in words.lower():
                refused = argv[0]
            context.note(f"{argv[0]}: {words}")
            continue
        asked += 1
        if argv[0] == "docker":
            items += parse_docker(outcome.text)
        elif argv[0] == "podman":
            items += parse_podman(context.parse_json(outcome.stdout or b"[]", "podman ps"))
        else:
            items += parse_lxc(context.parse_json(outcome.stdout or b"[]", "lxc list"))
    if not asked and refused:
        raise Denied(f"{refused} does not talk to this user")
    if not asked:
        raise Unsupported("no container engine answers: " + ("; ".join(context.notes) or "none is"))
    return items[:_MAX_ITEMS]
