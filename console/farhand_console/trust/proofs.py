"""Which device proofs this console has verified already, so that nobody verifies them twice.

Whether the statements about a device hold follows from nothing but their bytes, the organisation's
tenant and the keys of its admins.  So the outcome is kept under digests of all that: a proof with
one byte changed, or under another set of admins, is not found here and is verified again.  What may
change from day to day (revocations, retirement, the pinned key) is never kept and always looked at.

    proofs.json   {"trust": digest of tenant and admin keys, "groups": {digest of the proof: group}}

It only saves time: whoever could write this file could write the pins and the keys beside it, and
without it, or where it cannot be read, everything is verified again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from farhand_console.home import Home, write_private

__all__ = ["MAX_PROOFS", "Proofs"]

MAX_PROOFS = 100_000


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    trust: str
    groups: dict[str, str]


class Proofs:
    """The proofs that were verified under one set of admins.

    Args:
        home: where they are kept.
        tenant: the organisation.
        admin_keys: public keys of the roster's admins.
    """

    def __init__(self, home: Home, *, tenant: str, admin_keys: Iterable[bytes]) -> None:
        self._file = home.folder / "proofs.json"
        self._trust = _digest(tenant.encode(), *sorted(admin_keys))
        self._groups = self._load()
        self._is_changed = False

    def _load(self) -> dict[str, str]:
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError, ValueError):
            return {}  # none yet, or damaged: it is made again
        return kept.groups if kept.trust == self._trust else {}

    def group_of(self, proof: str) -> str | None:
        """Return the group that a verified proof gives; None for one that was not verified."""
        return self._groups.get(proof)

    def add(self, proof: str, group: str) -> None:
        """Note that a proof was verified and what group it gives."""
        if len(self._groups) < MAX_PROOFS:
            self._groups[proof] = group
            self._is_changed = True

    def save(self) -> None:
        """Keep what was noted, for the next command.

        Of two consoles that save at once one wins; the other's proofs are verified once more.

        Raises:
            FarhandError: `home-unwritable`.
        """
        if self._is_changed:
            kept = _Kept(trust=self._trust, groups=self._groups)
            write_private(self._file, msgspec.json.encode(kept))
            self._is_changed = False

    @staticmethod
    def digest(*parts: bytes | None) -> str:
        """Return the digest of a proof: of all its parts in their order, None for a missing one."""
        return _digest(*(b"-" if part is None else b"+" + part for part in parts))


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # The length goes first, so that no byte can move from one part into the next.
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
