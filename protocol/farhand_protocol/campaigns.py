"""How a campaign goes through a fleet: rings, gates, failure limits.  Arithmetic both ends share.

The relay judges by its counts when it tells devices; the console judges by results that the devices
signed before it signs the next ring of R2 and R3.  Both ask the same functions.  Nothing here reads
a clock or a table.

    ring      the devices by tag, query, count or percent; the last takes the rest
    gate      between a ring and the next: enough have finished, enough of them well, soaked
    limits    how much may go wrong before the campaign stands still: failed, refused and
              unreachable are counted apart, in numbers and in percent of what has finished

Which devices a count or a percent takes is decided by a hash of the device id alone: the same
devices every time.  Percentages are asked once `min_finished` have finished, or all have: then also
about the last device.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.terms import Terms, check_terms

__all__ = [
    "MAX_RINGS",
    "CampaignPlan",
    "Limits",
    "RingPlan",
    "Tally",
    "Verdict",
    "check_plan",
    "judge_gate",
    "ring_count",
    "splay_of",
    "stable_rank",
    "tally",
    "target_set",
    "tripped",
]

MAX_RINGS = 10
MAX_GATES = 20
_MAX_SOAK_S = 7 * 86_400
_MAX_SPLAY_S = 86_400
_MAX_NUMBER = 50_000
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_CHECK = re.compile(r"[a-z][a-z0-9_.-]{0,79}\Z")
_DOMAIN = re.compile(r"(?:group|tag:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?\Z")

_WELL = ("succeeded", "no_change")
_FAILED = ("failed", "timeout", "interrupted")
_UNREACHABLE = ("expired", "gone")


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may go wrong: one more than a number, or more than a percentage, trips the breaker.

    None is no limit.  Percentages are of what has finished, asked once `min_finished` have.
    """

    failed: int | None = None
    refused: int | None = None
    unreachable: int | None = None
    failed_percent: float | None = None
    refused_percent: float | None = None
    unreachable_percent: float | None = None
    min_finished: int = 5


class RingPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ring: who is in it, and what must be true before the next one begins.

    One of `percent`, `count`, `tag` and `query` selects; none of them takes the rest.  The gate:
    `finished_percent` of the ring have finished, `success_percent` of those well, `soak_s` have
    passed since, and no device of the ring reports a check of `gates` as warning or critical.
    With `approval` manual the ring itself begins only once somebody said so; never the first one,
    which begins when somebody starts the campaign.
    """

    name: str
    percent: float | None = None
    count: int | None = None
    tag: str | None = None
    query: str | None = None
    soak_s: int = 0
    success_percent: float = 95.0
    finished_percent: float = 100.0
    gates: list[str] = msgspec.field(default_factory=list)
    approval: Literal["auto", "manual"] = "auto"
    limits: Limits = msgspec.field(default_factory=Limits)


def _everybody() -> list[RingPlan]:
    return [RingPlan(name="all")]


class CampaignPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a campaign beside its script and its devices.

    `exclude` is a query of devices that stay out.  At most `max_in_flight` devices work at once,
    and `per_domain` of one `domain`: `group`, or `tag:PREFIX` for tags that begin so; a device
    that was told and says nothing for `lease_s` gives its place free.  Each device begins up to
    `splay_s` after its ring, always the same one at the same time.
    """

    rings: list[RingPlan] = msgspec.field(default_factory=_everybody)
    limits: Limits = msgspec.field(default_factory=Limits)
    exclude: str = ""
    max_in_flight: int | None = None
    domain: str = ""
    per_domain: int | None = None
    lease_s: int = 3600
    splay_s: int = 0
    terms: Terms = msgspec.field(default_factory=Terms)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of some targets; `finished` leaves out what was cancelled."""

    targets: int
    well: int
    failed: int
    refused: int
    unreachable: int
    cancelled: int

    @property
    def finished(self) -> int:
        """Return how many have ended by themselves."""
        return self.well + self.failed + self.refused + self.unreachable


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate says: `open`, `unfinished`, `soaking` (with `until`) or `success-too-low`."""

    code: Literal["open", "unfinished", "soaking", "success-too-low"]
    until: datetime | None = None


def tally(counts: Mapping[str, int]) -> Tally:
    """Count states into what limits and gates ask about."""
    return Tally(
        targets=sum(counts.values()),
        well=sum(counts.get(state, 0) for state in _WELL),
        failed=sum(counts.get(state, 0) for state in _FAILED),
        refused=counts.get("refused", 0),
        unreachable=sum(counts.get(state, 0) for state in _UNREACHABLE),
        cancelled=counts.get("cancelled", 0),
    )


def tripped(limits: Limits, now: Tally, before: Tally | None = None) -> str | None:
    """Return the first limit that is passed, as a stable code; None where all hold.

    Args:
        limits: of a ring, or of the whole campaign.
        now: how it stands.
        before: how it stood when somebody last said that it may go on; only what came since counts.
    """
    past = before or tally({})
    finished = now.finished - past.finished
    all_ended = now.finished + now.cancelled == now.targets
    for name in ("failed", "refused", "unreachable"):
        number = getattr(now, name) - getattr(past, name)
        most, percent = getattr(limits, name), getattr(limits, f"{name}_percent")
        if most is not None and number > most:
            return f"too-many-{name}"
        is_asked = finished >= limits.min_finished or all_ended
        if percent is not None and is_asked and number * 100 > percent * finished:
            return f"too-many-{name}"
    return None


def judge_gate(ring: RingPlan, now: Tally, *, settled_at: datetime | None, at: datetime) -> Verdict:
    """Tell whether the ring after this one may begin, as far as results say.

    Args:
        ring: the ring that went before.
        now: how it stands.
        settled_at: when enough of it had finished; None while that is not so.
        at: the time now, aware.
    """
    wanted = ring.finished_percent * (now.targets - now.cancelled)
    if now.finished * 100 < wanted:
        return Verdict(code="unfinished")
    if now.well * 100 < ring.success_percent * now.finished:
        return Verdict(code="success-too-low")
    if now.targets and ring.soak_s:
        if settled_at is None:
            return Verdict(code="unfinished")
        until = settled_at + timedelta(seconds=ring.soak_s)
        if at < until:
            return Verdict(code="soaking", until=until)
    return Verdict(code="open")


def stable_rank(device: str) -> bytes:
    """Return what devices are sorted by before a count or a percentage of them is taken."""
    return hashlib.sha256(b"farhand ring\0" + device.encode()).digest()


def ring_count(ring: RingPlan, total: int) -> int | None:
    """Return how many devices a ring by count or percent takes; None for the other kinds."""
    if ring.count is not None:
        return ring.count
    if ring.percent is not None:
        return math.ceil(ring.percent * total / 100)
    return None


def splay_of(device: str, splay_s: int) -> int:
    """Return how many seconds after its ring a device begins, 0 up to `splay_s` exclusive."""
    if splay_s <= 0:
        return 0
    digest = hashlib.sha256(b"farhand splay\0" + device.encode()).digest()
    return int.from_bytes(digest[:8]) % splay_s


def target_set(targets: Iterable[tuple[str, int]]) -> str:
    """Return the hash of a frozen set, from device and ring of each."""
    digest = hashlib.sha256()
    for device, ring in sorted(targets):
        digest.update(f"{device} {ring}\n".encode())
    return digest.hexdigest()


def check_plan(plan: CampaignPlan) -> None:
    """Check what the types do not say.

    Raises:
        FarhandError: `plan-malformed`, `terms-malformed`.
    """
    if not 1 <= len(plan.rings) <= MAX_RINGS:
        raise _malformed(f"a campaign has 1 to {MAX_RINGS} rings")
    names = [ring.name for ring in plan.rings]
    if len(set(names)) != len(names):
        raise _malformed("two rings have one name")
    for number, ring in enumerate(plan.rings, 1):
        _check_ring(ring, is_last=number == len(plan.rings))
    if plan.rings[0].approval == "manual":
        raise _malformed("the first ring begins with the campaign and waits for no other word")
    _check_limits(plan.limits)
    if plan.domain and plan.per_domain is None:
        raise _malformed("a domain needs how many of it may work at once")
    if plan.per_domain is not None and not plan.domain:
        raise _malformed("so many of which domain?")
    if not _DOMAIN.match(plan.domain):
        raise _malformed("a domain is `group` or `tag:PREFIX`")
    _check_numbers(
        ("max_in_flight", plan.max_in_flight, 1, _MAX_NUMBER),
        ("per_domain", plan.per_domain, 1, _MAX_NUMBER),
        ("lease_s", plan.lease_s, 60, 7 * 86_400),
        ("splay_s", plan.splay_s, 0, _MAX_SPLAY_S),
    )
    check_terms(plan.terms)


def _check_ring(ring: RingPlan, *, is_last: bool) -> None:
    if not _NAME.match(ring.name):
        raise _malformed("a ring's name is a short lower-case word")
    selectors: Sequence[object] = (ring.percent, ring.count, ring.tag, ring.query)
    chosen = sum(one is not None for one in selectors)
    if chosen != (0 if is_last else 1):
        raise _malformed("each ring selects by one thing, and the last takes the rest")
    if len(ring.gates) > MAX_GATES or not all(map(_CHECK.match, ring.gates)):
        raise _malformed("a gate is the id of a check")
    _check_numbers(
        ("percent", ring.percent, 0, 100),
        ("count", ring.count, 1, _MAX_NUMBER),
        ("soak_s", ring.soak_s, 0, _MAX_SOAK_S),
        ("success_percent", ring.success_percent, 0, 100),
        ("finished_percent", ring.finished_percent, 0, 100),
    )
    _check_limits(ring.limits)


def _check_limits(limits: Limits) -> None:
    for name in ("failed", "refused", "unreachable"):
        percent = f"{name}_percent"
        _check_numbers(
            (name, getattr(limits, name), 0, _MAX_NUMBER),
            (percent, getattr(limits, percent), 0, 100),
        )
    _check_numbers(("min_finished", limits.min_finished, 1, _MAX_NUMBER))


def _check_numbers(*bounds: tuple[str, float | None, int, int]) -> None:
    for name, value, lowest, highest in bounds:
        if value is not None and not lowest <= value <= highest:
            raise _malformed(f"{name} lies within {lowest} and {highest}")


def _malformed(words: str) -> FarhandError:
    return FarhandError("plan-malformed", words)
