"""Releases of the agent: the next version of their role, drafted, checked, signed and published.

Nothing here is believed of the relay: the draft that it hands out must be what is published plus
exactly one release, and who signs it sees that one.  The role's keys and threshold are taken from
roster and policy whenever it is published, and devices count people by themselves.

    draft    the published role plus one release, both signed by its author
    signed   by people with the permission that the policy names for R3, the author not counted
    put in   an admin's targets delegate to exactly these people, and the relay takes the role over
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from securesystemslib.signer import Key, Signature
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, TargetFile, Targets
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from farhand_console.trust.signing import Change, tuf_key
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.keys import Signer
from farhand_protocol.releases import (
    RELEASES_PATTERN,
    RELEASES_ROLE,
    authored,
    is_by_its_author,
    is_signed_by,
    release_approvers,
    release_author,
    release_rule,
    signing_keys,
    split_release_path,
)

__all__ = [
    "Draft",
    "approvers_of",
    "check_approved",
    "counted_by_devices",
    "delegated",
    "draft_with",
    "read_draft",
    "signed_draft",
]

RELEASES_DAYS: Final = 365


class Draft(NamedTuple):
    """The next role, and the one release that it adds."""

    metadata: Metadata[Targets]
    path: str
    info: TargetFile

    @property
    def author(self) -> str:
        """Return the name that it gives as its author."""
        return release_author(self.info.custom)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        return str(self.info.hashes.get("sha256", ""))

    def to_bytes(self) -> bytes:
        """Return the metadata as they are kept."""
        return self.metadata.to_bytes(JSONSerializer(compact=True))


def draft_with(
    trust: VerifiedTrust, path: str, *, sha256: str, size: int, author: str, signer: Signer
) -> Draft:
    """Return the published role plus one release; that is signed by its author, the role is not.

    Raises:
        RefusedError: `release-exists` when another file is published under that version.
    """
    before = trust.releases()
    if before is None:
        role = Targets(version=1)
    else:
        role = copy.deepcopy(before.signed)
        role.version += 1
    role.expires = (datetime.now(UTC) + timedelta(days=RELEASES_DAYS)).replace(microsecond=0)
    if path in role.targets:
        raise RefusedError(
            "release-exists", f"{path} is published already", hint="give it another version"
        )
    tenant = trust.roster.tenant
    custom = authored(author, signer, tenant=tenant, path=path, sha256=sha256, size_bytes=size)
    info = TargetFile(size, {"sha256": sha256}, path, {"custom": custom})
    role.targets[path] = info
    return Draft(Metadata(role), path, info)


def read_draft(trust: VerifiedTrust, body: bytes) -> Draft:
    """Read the draft that a relay hands out, and hold it to what is published.

    Raises:
        FarhandError: `release-draft` when it is not the published role plus one release.
    """
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(body)
    except (DeserializationError, RecursionError) as error:
        raise _wrong("it cannot be read", str(error)) from error
    role, before = metadata.signed, trust.releases()
    if not isinstance(role, Targets) or role.delegations is not None or role.unrecognized_fields:
        raise _wrong("it is no list of releases")
    known = before.signed.targets if before is not None else {}
    if role.version != (before.signed.version if before is not None else 0) + 1:
        raise _wrong("it does not follow what is published")
    if any(role.targets.get(path) != info for path, info in known.items()):
        raise _wrong("it changes what is published")
    added = [path for path in role.targets if path not in known]
    if len(added) != 1 or split_release_path(added[0]) is None:
        raise _wrong("it does not add exactly one release")
    if role.expires > datetime.now(UTC) + timedelta(days=RELEASES_DAYS + 1):
        raise _wrong("it would count for more than a year")
    draft = Draft(metadata, added[0], role.targets[added[0]])
    if not _is_by_its_author(trust, draft):
        raise _wrong("whom it names as its author is not in the roster, or has not signed it")
    return draft


def _wrong(words: str, detail: str | None = None) -> FarhandError:
    return FarhandError(
        "release-draft", f"the draft that the relay hands out is refused: {words}", detail=detail
    )


def signed_draft(draft: Draft, signer: Signer) -> bytes:
    """Sign a draft and return it with the signatures that it has."""
    keyid = tuf_key(signer.public_key).keyid
    signature = signer.sign(draft.metadata.signed_bytes).hex()
    draft.metadata.signatures[keyid] = Signature(keyid, signature)
    return draft.to_bytes()


def _is_by_its_author(trust: VerifiedTrust, draft: Draft) -> bool:
    info = draft.info
    return is_by_its_author(
        trust.roster, info.custom, path=draft.path, sha256=draft.sha256, size_bytes=info.length
    )


def approvers_of(trust: VerifiedTrust, draft: Draft) -> list[str]:
    """Return the people whose signatures over the role count for one of its releases.

    Nobody's do for a release that is not signed by the author whom it names.
    """
    if not _is_by_its_author(trust, draft):
        return []
    rule = release_rule(trust.policy)
    return release_approvers(trust.roster, rule, author=draft.author, keys=_good_keys(trust, draft))


def counted_by_devices(trust: VerifiedTrust, published: Draft) -> list[str]:
    """Return the people whom devices count for a published release: of now, and delegated to."""
    delegations = trust.targets.signed.delegations
    roles = (delegations.roles or {}) if delegations is not None else {}
    named = roles[RELEASES_ROLE].keyids if RELEASES_ROLE in roles else []
    given = published.metadata.signatures
    kept = {keyid: one for keyid, one in given.items() if keyid in named}
    return approvers_of(
        trust, published._replace(metadata=Metadata(published.metadata.signed, kept))
    )


def _good_keys(trust: VerifiedTrust, draft: Draft) -> set[bytes]:
    given = draft.metadata.signatures
    return {
        key
        for key in trust.roster.all_keys()
        if (one := given.get(tuf_key(key).keyid)) is not None
        and is_signed_by(key, one.signature, draft.metadata.signed_bytes)
    }


def check_approved(trust: VerifiedTrust, draft: Draft) -> None:
    """See that enough people have signed.

    Raises:
        RefusedError: `release-not-approved`.
    """
    count, people = release_rule(trust.policy).count, approvers_of(trust, draft)
    if len(people) < count:
        raise RefusedError(
            "release-not-approved",
            f"{len(people)} of {count} people have approved {draft.path}",
            hint="somebody else with that permission: farhand release approve",
        )


def delegated(trust: VerifiedTrust) -> Change | None:
    """Return the change by which the targets delegate to the people of now; None if they do."""
    rule = release_rule(trust.policy)
    keys: dict[str, Key] = {}
    for raw in signing_keys(trust.roster, rule):
        keys[tuf_key(raw).keyid] = tuf_key(raw)
    role = DelegatedRole(
        RELEASES_ROLE, sorted(keys), rule.count, terminating=True, paths=[RELEASES_PATTERN]
    )
    delegations = Delegations(keys, {RELEASES_ROLE: role})
    if trust.targets.signed.delegations == delegations:
        return None
    return Change({}, delegations=delegations)
