"""The shipped scripts as data, read from this package.

Nothing here is trusted by a device: a shipped script needs an organisation's approvals like any
other; only its author needs no signature.  A script is added by adding its folder.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

from farhand_protocol.answers import AnswerKind
from farhand_protocol.errors import FarhandError

__all__ = ["BODIES", "ShippedScript", "read_script", "shipped"]

BODIES: Final = {"python": "script.py", "sh": "script.sh", "powershell": "script.ps1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedScript:
    """One shipped script: the fields of its manifest.toml, and its body.

    Attributes:
        id: as orders name it; also the name of its folder.
        version: raised with every edit of body or manifest.
        interpreter: "python" (the agent's own, isolated), "sh" or "powershell".
        risk: R0 read, R1 safe change, R2 change, R3 destructive.
        run_as: "agent" or "root".
        sensitive: whether its output is sealed to the ordering operator.
        parameters: JSON Schema of its parameters object.
        detect, verify: ids of the scripts that find the trouble and see it gone.
        answer, grace_s, network, limits: as in the manifest (`farhand_protocol.manifest`).
    """

    id: str
    version: int
    title: str
    description: str
    platforms: tuple[str, ...]
    interpreter: str
    risk: str
    timeout_s: int
    run_as: str
    sensitive: bool
    parameters: dict[str, Any] = field(hash=False)
    detect: str | None = None
    verify: str | None = None
    answer: AnswerKind = "text"
    grace_s: int = 5
    network: bool = True
    limits: dict[str, int] = field(default_factory=dict, hash=False)
    body: bytes


def shipped() -> list[ShippedScript]:
    """Return all shipped scripts, sorted by id.

    Raises:
        FarhandError: `library-broken` when a folder does not hold a whole script.
    """
    folders = [
        entry
        for entry in resources.files(__package__).iterdir()
        if entry.is_dir() and entry.joinpath("manifest.toml").is_file()
    ]
    return sorted(map(read_script, folders), key=lambda script: script.id)


def read_script(folder: Traversable) -> ShippedScript:
    """Return the script in one folder.

    Raises:
        FarhandError: `library-broken` when the manifest is no TOML, lacks a key or has one too
            many, or the body is missing.
    """
    try:
        manifest = tomllib.loads(folder.joinpath("manifest.toml").read_text("utf-8"))
        body = folder.joinpath(BODIES[manifest["interpreter"]]).read_bytes()
        manifest["platforms"] = tuple(manifest["platforms"])
        script = ShippedScript(**manifest, body=body)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FarhandError(
            "library-broken", f"shipped script {folder.name} is not whole", detail=str(error)
        ) from error
    if script.id != folder.name:
        raise FarhandError("library-broken", f"shipped script {folder.name} has another id")
    return script
