"""What container engines list, as items of section `containers`; the same on every platform."""

from __future__ import annotations

import json
from typing import Any, Final

from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.json_values import number, rows, text
from farhand_agent.inventory.moments import instant, iso_instant

__all__ = ["parse_docker", "parse_lxc", "parse_podman"]

_ID_CHARS: Final = 12


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
