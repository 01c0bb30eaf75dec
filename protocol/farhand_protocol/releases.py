"""Releases of the agent: what they are called, how versions compare, who has approved one.

A release is one file for one platform.  It is a TUF target of the role `releases`, which the
targets delegate to the keys of everybody who may approve a destructive change, with as many
signatures as the policy asks for R3.  A key is not a person, so whoever reads the role also counts
people: the roster's, with that permission, the author of the release not among them.  Since the
author does not count, nobody may name somebody else as one: each release carries its author's own
signature, which stands in every later list as well.

    target    releases/PLATFORM/VERSION     platform linux-x86_64-py3.11, version 0.2.0
    custom    {"author": NAME, "signature": HEX}   who added it, by the roster's name, and that
                                            person's signature over tenant, path, hash and length
    floor     floors.json, "agent.release"  the lowest version as a number; it only rises

The file is what `make packages` builds as a single file: a zip with one tree in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import Signer, verify
from farhand_protocol.trust import DEFAULT_APPROVALS, Approval, Policy, Roster

__all__ = [
    "AGENT_FLOOR",
    "MAX_RELEASES",
    "MAX_RELEASE_BYTES",
    "RELEASES_PATTERN",
    "RELEASES_ROLE",
    "authored",
    "is_by_its_author",
    "is_platform",
    "is_signed_by",
    "is_version",
    "release_approvers",
    "release_author",
    "release_name",
    "release_path",
    "release_rule",
    "signing_keys",
    "split_release_path",
    "version_number",
    "version_text",
]

RELEASES_ROLE: Final = "releases"
RELEASES_PATTERN: Final = "releases/*/*"
AGENT_FLOOR: Final = "agent.release"
# The single file is about 15 MB.
MAX_RELEASE_BYTES: Final = 64 * 1024 * 1024
MAX_RELEASES: Final = 200
_PLATFORM = re.compile(r"(?:linux|macos|windows)-[a-z0-9_]{1,20}-py3\.[0-9]{1,2}\Z")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\Z")


def is_platform(text: str) -> bool:
    """Tell whether `text` names a platform, such as `linux-x86_64-py3.11`."""
    return _PLATFORM.match(text) is not None


def is_version(text: str) -> bool:
    """Tell whether `text` is a version: three numbers below 1000."""
    return _VERSION.match(text) is not None


def version_number(text: str) -> int:
    """Return a version as one number that compares as versions do: 1.2.3 is 1002003.

    Raises:
        FarhandError: `release-malformed` for a text that is no version.
    """
    match = _VERSION.match(text)
    if match is None:
        raise FarhandError("release-malformed", f"{text[:40]!r} is not a version such as 0.2.0")
    major, minor, patch = (int(part) for part in match.groups())
    return (major * 1000 + minor) * 1000 + patch


def version_text(number: int) -> str:
    """Return the version of a number."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def release_path(platform: str, version: str) -> str:
    """Return the TUF target path of a release.

    Raises:
        FarhandError: `release-malformed`.
    """
    if not is_platform(platform):
        raise FarhandError(
            "release-malformed",
            f"{platform[:40]!r} is not a platform",
            hint="such as linux-x86_64-py3.11",
        )
    version_number(version)
    return f"releases/{platform}/{version}"


def split_release_path(path: str) -> tuple[str, str] | None:
    """Return platform and version of a release's path; None where it is none."""
    folder, _, rest = path.partition("/")
    platform, _, version = rest.partition("/")
    if folder != "releases" or not is_platform(platform) or not is_version(version):
        return None
    return platform, version


def release_name(path: str, sha256: str) -> str:
    """Return the name under which a relay serves a release (TUF spec s6.2)."""
    folder, _, version = path.rpartition("/")
    return f"{folder}/{sha256}.{version}"


def release_rule(policy: Policy) -> Approval:
    """Return how many people with which permission must sign: the policy's rule for R3."""
    return policy.approvals.get("R3", DEFAULT_APPROVALS["R3"])


def signing_keys(roster: Roster, rule: Approval) -> list[bytes]:
    """Return the keys of everybody who may sign releases, in the roster's order."""
    return [
        key for one in roster.operators if rule.permission in one.permissions for key in one.keys
    ]


def release_approvers(
    roster: Roster, rule: Approval, *, author: str, keys: Collection[bytes]
) -> list[str]:
    """Return the people who approved a release, each once, without its author.

    Args:
        roster: of now; whoever has left it does not count.
        rule: from `release_rule`.
        author: the name in the release's `custom`.
        keys: raw public keys whose signatures over the role were verified.
    """
    return [
        one.name
        for one in roster.operators
        if one.name != author
        and rule.permission in one.permissions
        and any(key in keys for key in one.keys)
    ]


def authored(
    author: str, signer: Signer, *, tenant: str, path: str, sha256: str, size_bytes: int
) -> dict[str, str]:
    """Return the `custom` by which its author hands in a release.

    Args:
        author: the name in the roster.
        signer: with a key that the roster gives that name.
        tenant, path, sha256, size_bytes: of the release.
    """
    signature = signer.sign(_statement(tenant, path, sha256, size_bytes))
    return {"author": author, "signature": signature.hex()}


def is_by_its_author(
    roster: Roster, custom: object, *, path: str, sha256: str, size_bytes: int
) -> bool:
    """Tell whether a release is of whom it names: somebody in the roster, who signed it.

    Args:
        roster: of now.
        custom: of the target.
        path, sha256, size_bytes: of the release.
    """
    person = roster.find(release_author(custom))
    signature = custom.get("signature") if isinstance(custom, Mapping) else None
    statement = _statement(roster.tenant, path, sha256, size_bytes)
    return person is not None and any(
        is_signed_by(key, signature, statement) for key in person.keys
    )


def _statement(tenant: str, path: str, sha256: str, size_bytes: int) -> bytes:
    return f"farhand-release-author\n{tenant}\n{path}\n{sha256}\n{size_bytes}\n".encode()


def is_signed_by(key: bytes, signature: object, message: bytes) -> bool:
    """Tell whether a signature in hexadecimal is good; one that cannot be read is not."""
    try:
        raw = bytes.fromhex(signature) if isinstance(signature, str) else b""
    except ValueError:
        return False
    return verify(key, raw, message)


def release_author(custom: object) -> str:
    """Return the author of a release from its `custom`; empty where it names none."""
    if isinstance(custom, Mapping):
        author = custom.get("author")
        if isinstance(author, str) and 1 <= len(author) <= 64:
            return author
    return ""
