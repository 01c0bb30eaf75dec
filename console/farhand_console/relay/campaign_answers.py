"""The shapes of what the relay answers about campaigns, as far as the console looks at them.

As in `answers`: they say what a field is, not that it is true.
"""

from __future__ import annotations

from typing import Any

import msgspec

from farhand_console.relay.answers import Answer
from farhand_console.relay.bounds import Count
from farhand_protocol.campaigns import CampaignPlan

__all__ = [
    "Campaign",
    "CampaignEvents",
    "CampaignReport",
    "CampaignStep",
    "Cause",
    "Ring",
    "Target",
]


class Campaign(Answer, frozen=True, kw_only=True):
    """A campaign."""

    campaign: str
    name: str
    state: str
    script: str
    version: Count
    digest: str
    query: str
    parameters: dict[str, Any]
    ttl_s: Count
    targets: Count
    plan: CampaignPlan = CampaignPlan()
    target_set: str | None = None
    source: str | None = None
    reason: str | None = None
    open_ring: Count = 0
    risk: str = ""
    counts: dict[str, Count] = msgspec.field(default_factory=dict)
    created_by: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


class Target(Answer, frozen=True, kw_only=True):
    """A frozen device of a campaign, with what proves its key."""

    order: str
    state: str
    device: str
    name: str
    host_name: str
    group: str
    key: bytes
    enrolment: bytes
    ring: Count = 0
    token_envelope: bytes | None = None
    confirmation: bytes | None = None


class Ring(Answer, frozen=True, kw_only=True):
    """One ring's counts, and what holds up the one after it."""

    ring: Count
    counts: dict[str, Count]
    name: str = ""
    targets: Count = 0
    opened_at: str | None = None
    settled_at: str | None = None
    held: str | None = None
    approved_by: str | None = None
    approved_at: str | None = None


class Cause(Answer, frozen=True, kw_only=True):
    """Failures that look alike."""

    signature: str
    count: Count
    example: str | None


class CampaignReport(Answer, frozen=True, kw_only=True):
    """A campaign's states, counted."""

    campaign: str
    state: str
    counts: dict[str, Count]
    rings: list[Ring]
    causes: list[Cause]
    reason: str | None = None


class CampaignStep(Answer, frozen=True, kw_only=True):
    """A step of an order, or of the campaign itself."""

    seq: Count
    at: str
    state: str
    order: str | None = None
    device: str | None = None
    ring: Count | None = None
    detail: dict[str, Any] = msgspec.field(default_factory=dict)


class CampaignEvents(Answer, frozen=True, kw_only=True):
    """What happened after a cursor, and the cursor to go on from."""

    items: list[CampaignStep]
    next: str
    state: str
