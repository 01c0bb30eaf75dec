"""Whether a session is recorded, to whose keys, and on which terms: policy decides.

    recording off                        not recorded
    recording on, no audit keys          not recorded; the consent question says so
    recording on or required, with keys  recorded
    recording required, no keys          refused: recording-impossible
    a key that cannot be read            refused: recording-impossible

On a guest device the operator's key of the grant is one of the keys.  Only the session process
loads this module: age comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import pyrage

from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import Grant
from farhand_protocol.identity import public_key_line
from farhand_protocol.trust import GroupPolicy

__all__ = ["MAX_AUDIT_KEYS", "RecordingPlan", "parse_recipient", "plan_recording"]

# Each adds some hundred bytes to every chunk.
MAX_AUDIT_KEYS: Final = 16


@dataclass(frozen=True, kw_only=True)
class RecordingPlan:
    """How a session is recorded; `recipients` are age's."""

    recipients: tuple[Any, ...]
    keep_days: int
    with_input: bool
    stall: Literal["stop", "flag"]

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt one chunk to every audit key."""
        return bytes(pyrage.encrypt(plaintext, list(self.recipients)))


def parse_recipient(text: str) -> Any:
    """Read an audit key: `age1...` or an `ssh-ed25519` line.

    Raises:
        FarhandError: `audit-key-malformed`.
    """
    words = text.split()
    try:
        if text.startswith("age1") and len(words) == 1:
            return pyrage.x25519.Recipient.from_str(text)
        if len(words) >= 2 and words[0] == "ssh-ed25519":
            return pyrage.ssh.Recipient.from_str(" ".join(words[:2]))
    except pyrage.RecipientError as error:
        raise FarhandError(
            "audit-key-malformed", "an audit key cannot be read", detail=str(error)
        ) from error
    raise FarhandError("audit-key-malformed", "an audit key is age1... or an ssh-ed25519 line")


def plan_recording(policy: GroupPolicy, grant: Grant, *, guest: bool) -> RecordingPlan | None:
    """Return how this session is recorded; None when it is not.

    Args:
        policy: the device's, as it counts now.
        grant: what was checked and is about to be asked for.
        guest: whether the device belongs to no organisation.

    Raises:
        RefusedError: `recording-impossible`.
    """
    if policy.recording == "off":
        return None
    keys = list(dict.fromkeys(policy.audit_keys))
    if guest:
        keys.append(public_key_line(grant.operator_key))
    if not keys and policy.recording == "on":
        return None
    if not keys or len(keys) > MAX_AUDIT_KEYS:
        raise RefusedError(
            "recording-impossible",
            "sessions here must be recorded, and policy names no audit keys to seal it to"
            if not keys
            else "policy names more audit keys than a recording can be sealed to",
        )
    try:
        recipients = tuple(parse_recipient(key) for key in keys)
    except FarhandError as error:
        raise RefusedError("recording-impossible", error.message, detail=error.detail) from error
    return RecordingPlan(
        recipients=recipients,
        keep_days=policy.recording_days,
        with_input=policy.recording_input,
        stall=policy.recording_stall,
    )
