"""Section `containers`: what container engines keep here, running or not."""

from __future__ import annotations

import json
from typing import Any, Final

from farhand_agent.inventory.context import Context, Denied, Malformed, Unsupported
from farhand_agent.inventory.json_values import number, rows, text
from farhand_agent.inventory.moments import instant, iso_instant
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_docker", "parse_lxc", "parse_podman"]

_ID_CHARS: Final = 12
_MAX_ITEMS: Final = 5_000


def parse_docker(output: str) -> list[dict[str, Any]]:
    """Return one item per line of JSON of `docker ps -a --no-trunc --format '{{json .}}'`.

    Raises:
        Malformed: a line is none.
    """
    items = []
    for line in output.split("\n"):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Malformed("docker ps") from error
        if not isinstance(one, dict):
            raise Malformed("docker ps")
        # "2026-11-20 10:11:12 +0000 UTC": the name of the zone is one word too many.
        made = " ".join((text(one.get("CreatedAt")) or "").split()[:3])
        parts = made.rsplit(" ", 1)
        stamp = f"{parts[0]}{parts[-1][:3]}:{parts[-1][3:]}" if len(parts) == 2 else None
        items.append(
            _item("docker", one.get("ID"), one.get("Names"), one.get("Image"), one.get("State"))
            | {"created_at": iso_instant(stamp)}
        )
    return items


def parse_podman(document: Any) -> list[dict[str, Any]]:
    """Return one item per container of `podman ps -a --format json`.

    Raises:
        Malformed: it is not what podman prints.
    """
    if document is None:
        return []
    if not isinstance(document, list):
        raise Malformed("podman ps")
    items = []
    for one in rows(document):
        names = one.get("Names")
        name = names[0] if isinstance(names, list) and names else names
        created = one.get("Created")
        at = instant(number(created)) if not isinstance(created, str) else iso_instant(created)
        items.append(
            _item("podman", one.get("Id"), name, one.get("Image"), one.get("State"))
            | {"created_at": at}
        )
    return items


def parse_lxc(document: Any) -> list[dict[str, Any]]:
    """Return one item per container of `lxc list --format json` (LXD, Incus).

    Raises:
        Malformed: it is not what lxc prints.
    """
    if not isinstance(document, list):
        raise Malformed("lxc list")
    items = []
    for one in rows(document):
        config = one.get("config")
        config = config if isinstance(config, dict) else {}
        image = config.get("image.description") or config.get("image.os")
        state = (text(one.get("status")) or "").lower()
        items.append(
            _item("lxc", one.get("name"), one.get("name"), image, state)
            | {"created_at": iso_instant(text(one.get("created_at")))}
        )
    return items


def _item(engine: str, identity: Any, name: Any, image: Any, state: Any) -> dict[str, Any]:
    return {
        "engine": engine,
        "id": (text(identity) or "")[:_ID_CHARS] if engine != "lxc" else text(identity),
        "name": text(name),
        "image": text(image),
        "state": text(state),
        "created_at": None,
    }


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
