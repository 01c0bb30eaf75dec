"""The organisation's trust metadata, fetched through the relay and verified by TUF.

The console starts from a root it pinned at login (or made itself) and lets python-tuf check
signatures, versions and expiry; the relay can withhold, never alter.  Unlike a device, a console
refuses to sign anything on expired metadata, but for the ceremonies that renew them (`--expired`).
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tuf.api.exceptions import DownloadError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets

from farhand_console.home import Home, write_private
from farhand_console.output import warn
from farhand_console.relay import Relay
from farhand_console.relay.answers import TrustState
from farhand_protocol.deprecations import (
    DEPRECATIONS_PATH,
    Deprecations,
    check_deprecations,
)
from farhand_protocol.envelopes import Envelope, decode_envelope
from farhand_protocol.errors import FarhandError
from farhand_protocol.placements import PLACEMENTS_PATH, Placements, check_placements
from farhand_protocol.releases import RELEASES_ROLE
from farhand_protocol.trust import (
    FLOORS_PATH,
    POLICY_PATH,
    REVOCATIONS_PATH,
    ROSTER_PATH,
    Document,
    Floors,
    Policy,
    Revocations,
    Roster,
    decode_document,
    manifest_path,
)

if TYPE_CHECKING:
    from tuf.ngclient import Updater

__all__ = ["VerifiedTrust", "load_trust"]

# Then nothing was said that could be false.
_RELAY_FAILED = frozenset(
    {"relay-unreachable", "relay-timeout", "relay-lost", "not-signed-in", "rate-limited"}
)
_MAX_TARGET_BYTES = 8 * 1024 * 1024
_MANIFEST = re.compile(r"manifests/([^/]+)/([0-9]{1,9})\.json\Z")
D = TypeVar("D", bound=Document)


class VerifiedTrust:
    """Verified metadata and the documents in it, as of one refresh."""

    def __init__(self, home: Home, updater: Updater, root: bytes) -> None:
        self._updater = updater
        self._folder = home.folder / "trust"
        self.root = Metadata[Root].from_bytes(root)
        self.root_bytes = root
        self.targets = Metadata[Targets].from_bytes(
            (self._folder / "metadata" / "targets.json").read_bytes()
        )
        self.roster = self._document(ROSTER_PATH, Roster)
        self.policy = self._document(POLICY_PATH, Policy)
        self.revocations = self._document(REVOCATIONS_PATH, Revocations)
        self.floors = self._document(FLOORS_PATH, Floors)
        self.placements = self._placements()
        self.deprecations = self._deprecations()

    @property
    def proposals(self) -> Path:
        """Return the folder for changes that others must sign as well (proposals.py)."""
        return self._folder / "proposals"

    def expiries(self) -> dict[str, datetime]:
        """Return when each of the four metadata files ends, as this console has verified them."""
        folder = self._folder / "metadata"
        return {
            "root": self.root.signed.expires,
            "targets": self.targets.signed.expires,
            **{
                role: Metadata.from_bytes((folder / f"{role}.json").read_bytes()).signed.expires
                for role in ("snapshot", "timestamp")
            },
        }

    @property
    def targets_version(self) -> int:
        """Return the version of the targets metadata."""
        return self.targets.signed.version

    def paths(self) -> list[str]:
        """Return all target paths."""
        return sorted(self.targets.signed.targets)

    def published(self) -> list[tuple[str, int]]:
        """Return (script id, version) of every manifest among the targets, sorted."""
        found = [_MANIFEST.match(path) for path in self.targets.signed.targets]
        return sorted((one[1], int(one[2])) for one in found if one)

    def read(self, path: str) -> bytes:
        """Return a target's verified bytes.

        Raises:
            FarhandError: `target-missing`, `trust-invalid`.
        """
        try:
            info = self._updater.get_targetinfo(path)
            if info is None:
                raise FarhandError(
                    "target-missing", f"{path[:100]} is not among the signed targets"
                )
            if info.length > _MAX_TARGET_BYTES:
                raise FarhandError("trust-invalid", f"{path[:100]} is too large")
            cached = self._updater.find_cached_target(info)
            data = Path(cached or self._updater.download_target(info)).read_bytes()
            # Another console may have replaced the cached file between check and reading.
            info.verify_length_and_hashes(data)
            return data
        except (RepositoryError, DownloadError, ValueError) as error:
            raise _not_verified(error, f"{path} cannot be verified") from error

    def manifest(self, script: str, version: int | None = None) -> Envelope:
        """Return the sealed manifest of a published script, the newest version by default.

        Raises:
            FarhandError: `script-unknown`.
        """
        versions = sorted(number for name, number in self.published() if name == script)
        if not versions or (version is not None and version not in versions):
            raise FarhandError(
                "script-unknown",
                f"{script[:100]} is not a published script",
                hint="farhand script list",
            )
        return decode_envelope(self.read(manifest_path(script, version or versions[-1])))

    def releases(self) -> Metadata[Targets] | None:
        """Return the verified role of the agent's releases, None before the first.

        It may have expired; then devices take none of it, until somebody adds the next.

        Raises:
            FarhandError: `trust-invalid`.
        """
        # Late, as it says itself.
        from farhand_console.trust.fetching import fetch_role

        delegations = self.targets.signed.delegations
        if delegations is None or RELEASES_ROLE not in (delegations.roles or {}):
            return None
        folder = self._folder / "metadata"
        snapshot = Metadata[Snapshot].from_bytes((folder / "snapshot.json").read_bytes())
        if f"{RELEASES_ROLE}.json" not in snapshot.signed.meta:
            return None  # delegated, and nothing was put in yet
        try:
            fetch_role(self._updater, "releases/none/0")  # of no release
        except (RepositoryError, DownloadError) as error:
            raise _not_verified(error, "the releases cannot be verified") from error
        return Metadata[Targets].from_bytes((folder / f"{RELEASES_ROLE}.json").read_bytes())

    def _placements(self) -> Placements:
        if PLACEMENTS_PATH not in self.targets.signed.targets:
            return Placements(tenant=self.roster.tenant, groups={})  # nobody was moved yet
        return check_placements(self._document(PLACEMENTS_PATH, Placements))

    def _deprecations(self) -> Deprecations:
        if DEPRECATIONS_PATH not in self.targets.signed.targets:
            return Deprecations(tenant=self.roster.tenant, deprecated=[])
        return check_deprecations(self._document(DEPRECATIONS_PATH, Deprecations))

    def _document(self, path: str, kind: type[D]) -> D:
        return decode_document(self.read(path), kind)


def load_trust(home: Home, relay: Relay, *, expired_too: bool = False) -> VerifiedTrust:
    """Fetch the newest metadata, verify it, and return what it says.

    Args:
        home: where verified metadata and the pinned root are kept.
        relay: the signed-in connection.
        expired_too: as `open_updater`; a relay could then show a state that was replaced since.

    Raises:
        FarhandError: `no-trust-root` when the organisation has none yet; `trust-root-mismatch`
            when the relay serves another root than the pinned one; `trust-expired`;
            `trust-invalid` for anything else that does not verify.
    """
    folder = home.folder / "trust"
    metadata_folder, targets_folder = folder / "metadata", folder / "targets"
    for one in (metadata_folder, targets_folder):
        one.mkdir(parents=True, exist_ok=True, mode=0o700)
    bootstrap = _pinned_root(home, relay)
    with home.locked("trust"):
        updater = _refreshed(
            metadata_folder, targets_folder, relay, bootstrap, expired_too=expired_too
        )
        return VerifiedTrust(home, updater, (metadata_folder / "root.json").read_bytes())


def _refreshed(
    metadata: Path, targets: Path, relay: Relay, bootstrap: bytes, *, expired_too: bool
) -> Updater:
    # Late, as it says itself.
    from farhand_console.trust.fetching import open_updater

    try:
        updater = open_updater(
            relay,
            metadata=metadata,
            targets=targets,
            bootstrap=bootstrap,
            expired_too=expired_too,
        )
        updater.refresh()
    except ExpiredMetadataError as error:
        raise FarhandError(
            "trust-expired",
            "the organisation's trust metadata has expired",
            hint="an admin runs `farhand trust refresh --expired`",
            detail=str(error),
        ) from error
    except (RepositoryError, DownloadError) as error:
        raise _not_verified(error, "the relay's trust metadata does not verify") from error
    return updater


def _not_verified(error: BaseException, words: str) -> FarhandError:
    """Return the relay's own failure where that was the cause, else `trust-invalid`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FarhandError) and cause.code in _RELAY_FAILED:
            return cause
        cause = cause.__cause__
    return FarhandError("trust-invalid", words, detail=str(error))


def _pinned_root(home: Home, relay: Relay) -> bytes:
    """Return the root this console starts from, fetching and pinning it the first time."""
    settings = home.settings()
    file = home.folder / "trust" / "pinned-root.json"
    if file.exists():
        return file.read_bytes()
    if not (state := relay.get("/trust", TrustState)).root_version:
        raise FarhandError(
            "no-trust-root",
            "the organisation has no trust root yet",
            hint="an admin runs `farhand trust init`",
        )
    version = settings.root_version or state.root_version
    root = relay.get_bytes(f"/trust/metadata/{version}.root.json")
    digest = hashlib.sha256(root).hexdigest()
    if settings.root_sha256 and digest != settings.root_sha256:
        raise FarhandError(
            "trust-root-mismatch",
            "the relay serves another trust root than the one your sign-in token names",
            hint="do not go on; ask your admin",
        )
    if not settings.root_sha256:
        warn(f"pinning the trust root on first use: {digest[:16]} (compare it with your admin)")
    write_private(file, root)
    home.update(root_version=version, root_sha256=digest)
    return root
