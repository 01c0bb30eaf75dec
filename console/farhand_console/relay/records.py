"""What the relay answers about what people keep of devices: their products, proofs and merges."""

from __future__ import annotations

from farhand_console.relay.answers import Answer
from farhand_console.relay.bounds import Count

__all__ = ["Dismissal", "Duplicate", "Merge", "Product", "Proof", "SharedHint", "Twin"]


class Product(Answer, frozen=True, kw_only=True):
    """What people know of a device; of the fields named in `reported`, only it says so."""

    device: str
    make: str | None
    model: str | None
    serial: str | None
    purchased_on: str | None
    warranty_ends_on: str | None
    vendor_contract: str | None
    asset_number: str | None
    notes: str | None
    warranty: str
    reported: list[str]
    revision: Count
    updated_by: str | None
    updated_at: str | None


class Proof(Answer, frozen=True, kw_only=True):
    """A file that proves when a device was bought."""

    place: Count
    name: str
    size: Count
    sha256: str
    added_by: str
    added_at: str


class Twin(Answer, frozen=True, kw_only=True):
    """One of two devices that may be one machine."""

    id: str
    name: str
    last_seen: str | None


class SharedHint(Answer, frozen=True, kw_only=True):
    """What both say of themselves."""

    kind: str
    value: str


class Dismissal(Answer, frozen=True, kw_only=True):
    """Two devices that a person called two."""

    one: str
    other: str
    dismissed_by: str
    dismissed_at: str


class Duplicate(Answer, frozen=True, kw_only=True):
    """Two devices that may be one machine."""

    keep: Twin
    other: Twin
    score: Count
    strength: str
    shared: list[SharedHint]
    dismissed: Dismissal | None = None


class Merge(Answer, frozen=True, kw_only=True):
    """The record of a merge."""

    id: str
    kept: str
    other: str
    merged_by: str
    merged_at: str
    undone_by: str | None = None
    undone_at: str | None = None
