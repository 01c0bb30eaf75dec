"""What browsers and editors write about their extensions, the same files on every platform."""

from __future__ import annotations

import json
from typing import Any, Final

from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.json_values import rows, text

__all__ = ["parse_chromium_manifest", "parse_editor_extensions", "parse_firefox_extensions"]

_LOCALISED: Final = "__MSG_"


def parse_chromium_manifest(data: str) -> tuple[str | None, str | None]:
    """Return name and version in a manifest.json; a name that is only a key reads None.

    Raises:
        Malformed: it is no manifest.
    """
    document = _object(data, "manifest.json")
    name = text(document.get("name"))
    return (None if name and name.startswith(_LOCALISED) else name), text(document.get("version"))


def parse_firefox_extensions(data: str) -> list[dict[str, Any]]:
    """Return id, name, version and enabled of each add-on in Firefox's extensions.json.

    What comes with Firefox itself is left out.

    Raises:
        Malformed: it is no such file.
    """
    items = []
    for one in rows(_object(data, "extensions.json").get("addons")):
        # Locations of a person's own: app-profile; app-builtin and the like come with Firefox.
        if one.get("type") != "extension" or "builtin" in str(one.get("location")):
            continue
        locale = one.get("defaultLocale")
        items.append(
            {
                "id": text(one.get("id")),
                "name": text(locale.get("name")) if isinstance(locale, dict) else None,
                "version": text(one.get("version")),
                "enabled": one.get("active") is True,
            }
        )
    return items


def parse_editor_extensions(data: str) -> list[dict[str, Any]]:
    """Return id, version and publisher of each extension in VS Code's extensions.json.

    Raises:
        Malformed: it is no such file.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("extensions.json") from error
    if not isinstance(document, list):
        raise Malformed("extensions.json")
    items = []
    for one in rows(document):
        identifier = one.get("identifier")
        identity = text(identifier.get("id")) if isinstance(identifier, dict) else None
        if identity:
            items.append(
                {
                    "id": identity,
                    "version": text(one.get("version")),
                    "publisher": identity.partition(".")[0],
                }
            )
    return items


def _object(data: str, source: str) -> dict[str, Any]:
    try:
        # Some manifests begin with a byte order mark.
        document = json.loads(data.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise Malformed(source) from error
    if not isinstance(document, dict):
        raise Malformed(source)
    return document
