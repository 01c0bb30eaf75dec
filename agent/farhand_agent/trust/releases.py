"""Reads the delegated role `releases` in a trust update: which releases of the agent are approved.

python-tuf checks the role as the targets delegate it (keys, threshold, version, expiry).  Keys are
not people and delegations may be older than the roster, so people are counted here as well, by the
roster and the policy of the same targets, and a release that its author has not signed is none.  A
role that does not verify, cannot be read, has expired or is not there means that no release is
approved; everything else of the update stands.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import Updater

from farhand_agent.trust.verified import ReleaseEntry
from farhand_protocol.releases import (
    MAX_RELEASE_BYTES,
    MAX_RELEASES,
    RELEASES_ROLE,
    is_by_its_author,
    is_signed_by,
    release_approvers,
    release_author,
    release_rule,
    split_release_path,
)
from farhand_protocol.trust import Policy, Roster

__all__ = ["approved_releases"]

# Of no release; asking for it makes the client fetch and check the role.
_PROBE: Final = "releases/none/0"


def approved_releases(
    updater: Updater, folder: Path, targets: Targets, roster: Roster, policy: Policy, now: datetime
) -> dict[str, ReleaseEntry]:
    """Return the approved releases by target path.

    Args:
        updater: after its refresh.
        folder: where it keeps verified metadata.
        targets: the targets just verified.
        roster, policy: of these targets.
        now: the later of the clock and the highest time seen.

    Raises:
        OSError: verified metadata cannot be stored.
    """
    try:
        return _approved(updater, folder, targets, roster, policy, now)
    except OSError:
        raise
    except Exception:
        # A relay hands this role out, and libraries read it before anything of ours does.  Whatever
        # they make of it, revocations and the roster must not wait for it: no release is approved.
        return {}


def _approved(
    updater: Updater, folder: Path, targets: Targets, roster: Roster, policy: Policy, now: datetime
) -> dict[str, ReleaseEntry]:
    delegations = targets.delegations
    if delegations is None or RELEASES_ROLE not in (delegations.roles or {}):
        return {}
    updater.get_targetinfo(_PROBE)
    metadata = Metadata[Targets].from_file(str(folder / f"{RELEASES_ROLE}.json"))
    role = metadata.signed
    if not isinstance(role, Targets) or now >= role.expires or len(role.targets) > MAX_RELEASES:
        return {}
    keys = _signing_keys(metadata, targets)
    rule = release_rule(policy)
    approved: dict[str, ReleaseEntry] = {}
    for path, info in role.targets.items():
        digest = info.hashes.get("sha256")
        if split_release_path(path) is None or digest is None or info.length > MAX_RELEASE_BYTES:
            continue
        if not is_by_its_author(
            roster, info.custom, path=path, sha256=digest, size_bytes=info.length
        ):
            continue
        author = release_author(info.custom)
        people = release_approvers(roster, rule, author=author, keys=keys)
        if len(people) >= rule.count:
            approved[path] = ReleaseEntry(
                sha256=digest, size_bytes=info.length, author=author, approvers=people
            )
    return approved


def _signing_keys(metadata: Metadata[Targets], targets: Targets) -> set[bytes]:
    """Return the raw keys of the delegation whose signatures over the role are good."""
    delegations = targets.delegations
    assert delegations is not None
    assert delegations.roles is not None
    named = delegations.roles[RELEASES_ROLE].keyids
    good = set()
    for keyid, key in delegations.keys.items():
        if keyid not in named or keyid not in metadata.signatures or key.keytype != "ed25519":
            continue
        raw = bytes.fromhex(key.keyval["public"])
        if is_signed_by(raw, metadata.signatures[keyid].signature, metadata.signed_bytes):
            good.add(raw)
    return good
