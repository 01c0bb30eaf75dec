"""What an operator asked of a campaign: kept in the console's home, and the relay held to it.

    HOME/campaigns/ID.json    script, version, digest, parameters, lifetime, plan, frozen set

`create` writes it.  Whatever the relay says later about these is compared with it before anything
is signed (`campaign-changed`, `campaign-set-changed`).  A console that has no such file, because
the campaign was made on another one, shows what the relay says and asks; what somebody agreed to
there is kept in the same way.  Who reads it elsewhere than on this terminal gets it from
`campaign request` with its hash, and says `--agreed HASH`: the relay is asked again for what is
signed, and anything else than what was read is refused.

The file is not signed: it is as safe as the home it lies in, beside the operator's key.  Whoever
can write there can as well change the pinned root and the relay that each signature is compared
with, so a signature here would keep out nobody, and ask for the passphrase once more.  Which
devices a query or a tag picks is the relay's word when the campaign is made; whom a count or a
percentage takes of them is checked here, and afterwards the set stays as it was.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

import click
import msgspec

from farhand_console.cli.base import Context
from farhand_console.home import Home, write_private
from farhand_console.output import say
from farhand_console.relay import segments
from farhand_console.relay.campaign_answers import Campaign, Target
from farhand_protocol.campaigns import (
    CampaignPlan,
    check_plan,
    ring_count,
    stable_rank,
    target_set,
)
from farhand_protocol.envelopes import open_payload
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.terms import Terms

__all__ = [
    "AHEAD",
    "Request",
    "asked_for",
    "check_gates",
    "frozen_rings",
    "is_kept",
    "keep_request",
    "order_id",
    "show_request",
    "to_sign",
]

# What only reads is signed for all rings at the start.
AHEAD: Final = ("R0", "R1")
_ID = re.compile(r"c-[a-z2-7]{16,26}\Z")
_PAGE = 500


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a campaign that is signed into its orders or decides whether there are any."""

    campaign: str
    script: str
    version: int
    digest: str
    parameters: dict[str, Any]
    ttl_s: int
    plan: CampaignPlan
    target_set: str | None

    @classmethod
    def told(cls, campaign: Campaign) -> Request:
        """Return what the relay says of a campaign in these words."""
        return cls(**{name: getattr(campaign, name) for name in cls.__struct_fields__})

    @property
    def sha256(self) -> str:
        """Return the hash that `--agreed` names: of every word that is signed or decides."""
        return sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def keep_request(home: Home, request: Request) -> None:
    """Remember what was asked for.

    Raises:
        FarhandError: `relay-answer` for an id that is none, or a relay that knows no rings where
            the plan has some; `home-unwritable`.
    """
    if _ID.match(request.campaign) is None:
        raise FarhandError("relay-answer", "the relay's campaign has an id that is none")
    plan = request.plan
    if request.target_set is None and (len(plan.rings) > 1 or plan.terms != Terms()):
        raise FarhandError("relay-answer", "this relay knows neither rings nor terms of a campaign")
    file = home.folder / "campaigns" / f"{request.campaign}.json"
    write_private(file, msgspec.json.format(msgspec.json.encode(request), indent=2) + b"\n")


def is_kept(home: Home, campaign: str) -> bool:
    """Tell whether somebody here asked for this campaign, or agreed to it."""
    return _kept(home, campaign) is not None


def _kept(home: Home, campaign: str) -> Request | None:
    file = home.folder / "campaigns" / f"{campaign}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Request)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise FarhandError("home-unreadable", f"{file} is damaged", detail=str(error)) from error


def asked_for(
    context: Context,
    campaign: str,
    *,
    yes: bool = False,
    agreed: str | None = None,
    unread: bool = False,
) -> Campaign:
    """Return a campaign as the relay tells of it, once that is what was asked for.

    Its state, counts and open ring are the relay's word all the same.

    Args:
        context: of the command.
        campaign: its id, as somebody typed it.
        yes: agree to a campaign of another console without being asked.
        agreed: the hash of what was read; nobody is asked, and nothing else is agreed to.
        unread: nobody agrees to a campaign of another console; nothing may be signed for it.

    Raises:
        RefusedError: `campaign-changed`, `campaign-set-changed`.
        UsageError: `usage` for what is no id, or where there is nobody to ask.
    """
    told = _told(context, campaign)
    said = Request.told(told)
    kept = _kept(context.home, campaign)
    if agreed is not None:
        _check_agreed(said, agreed)
    if kept is None and unread:
        return told
    if kept is None:
        if agreed is None:
            _agree(context, told, yes=yes)
        keep_request(context.home, said)
        return told
    changed = [
        name for name in Request.__struct_fields__ if getattr(said, name) != getattr(kept, name)
    ]
    if changed == ["target_set"]:
        raise _set_changed()
    if changed:
        raise RefusedError(
            "campaign-changed",
            f"the relay's campaign is not what was asked for: {', '.join(changed)}",
            hint="make the campaign again",
        )
    return told


def _told(context: Context, campaign: str) -> Campaign:
    """Return what the relay says of a campaign, which is at least of that one."""
    if _ID.match(campaign) is None:
        raise UsageError("usage", f"{campaign[:60]!r} is not a campaign's id")
    told = context.relay.get(segments("campaigns", campaign), Campaign)
    if told.campaign != campaign:
        raise RefusedError("campaign-changed", "the relay answered with another campaign")
    return told


def _check_agreed(said: Request, agreed: str) -> None:
    if said.target_set is None:  # nothing then says which devices these are
        raise _set_changed()
    if said.sha256 != agreed:
        raise RefusedError(
            "campaign-changed",
            "the relay's campaign is not what was read and agreed to",
            hint=f"farhand campaign request {said.campaign}",
        )


def show_request(context: Context, campaign: str) -> dict[str, Any]:
    """Return all that would be signed for in a campaign, and the hash by which it is agreed to.

    The script and its risk are those of the verified manifest, the devices are read and compared
    with the frozen set.

    Raises:
        RefusedError: `campaign-changed`, `campaign-set-changed`.
        FarhandError: `script-changed`, `plan-malformed`, `script-unknown`.
    """
    told = _told(context, campaign)
    said = Request.told(told)
    check_plan(told.plan)
    risk = _manifest(context, told).risk
    rings = frozen_rings(context, told)
    return {
        "campaign": campaign,
        "script": said.script,
        "version": said.version,
        "risk": risk,
        "rings": [ring.name for ring in said.plan.rings],
        "made_here": _kept(context.home, campaign) == said,
        "sha256": said.sha256,
        "shown": [*_words(told, risk, len(rings)), ("agreed", said.sha256)],
    }


def _words(told: Campaign, risk: str, devices: int) -> list[tuple[str, str]]:
    """Return all of a request as people read it: each line with a name of its own."""
    plan = told.plan
    rest = {
        name: getattr(plan, name)
        for name in CampaignPlan.__struct_fields__
        if name not in ("rings", "terms")
    }
    rings = plan.rings
    return [
        ("script", f"{told.script} version {told.version}, {risk}"),
        ("digest", told.digest),
        ("parameters", _json(told.parameters)),
        ("lifetime", f"{told.ttl_s} s"),
        *(
            (f"ring {number}", _stated(msgspec.structs.asdict(ring)))
            for number, ring in enumerate(rings)
        ),
        ("plan", _stated(rest)),
        ("terms", _stated(msgspec.structs.asdict(plan.terms))),
        ("devices", f"{devices:,}, set {told.target_set}"),
    ]


def _stated(values: dict[str, Any]) -> str:
    """Return what is set to anything, each value in JSON, so that none can look like two."""
    set_to = {name: value for name, value in values.items() if value not in (None, "", [], {})}
    return ", ".join(f"{name} {_json(value)}" for name, value in set_to.items()) or "-"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _agree(context: Context, told: Campaign, *, yes: bool) -> None:
    """Show a campaign that was made elsewhere, and ask."""
    check_plan(told.plan)
    risk: str
    try:
        risk = _manifest(context, told).risk
    except FarhandError as error:
        risk = f"unknown ({error.code})"
    say(f"{told.campaign} was not made on this console; the relay says of it:")
    for label, words in _words(told, risk, told.targets):
        say(f"{label:<11} {words}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("usage", "there is no terminal to ask on", hint="read it, then add --yes")
    if not click.confirm("Is this what is to be done?", err=True):
        raise RefusedError("campaign-changed", "nothing was signed")


def _manifest(context: Context, plan: Campaign) -> Manifest:
    envelope = context.trust().manifest(plan.script, plan.version)
    if manifest_digest(envelope) != plan.digest:
        raise FarhandError("script-changed", "the campaign names another text of the script")
    return open_payload(envelope, Manifest)


def to_sign(
    context: Context, campaign: str, *, yes: bool = False, agreed: str | None = None
) -> Campaign:
    """Return a campaign that may be signed for, with the risk that its manifest has.

    Raises:
        RefusedError: as `asked_for`; `campaign-changed` when the relay names another risk.
        FarhandError: `script-changed`, `plan-malformed`.
    """
    plan = asked_for(context, campaign, yes=yes, agreed=agreed)
    risk = _manifest(context, plan).risk
    if plan.risk not in ("", risk):
        raise RefusedError(
            "campaign-changed", f"the relay calls {plan.risk[:10]!r} what its manifest calls {risk}"
        )
    check_gates(plan.plan, risk)
    return msgspec.structs.replace(plan, risk=risk)


def check_gates(plan: CampaignPlan, risk: str) -> None:
    """Refuse gates that nothing can keep shut, for scripts that change something.

    Raises:
        FarhandError: `plan-malformed`.
    """
    for ring in plan.rings[:-1] if risk not in AHEAD else ():
        if not ring.finished_percent or not ring.success_percent:
            raise FarhandError(
                "plan-malformed",
                f"ring {ring.name} holds up nothing: of {risk}, some must finish, and go well",
            )


def frozen_rings(context: Context, plan: Campaign) -> dict[str, int]:
    """Read the whole list of targets and return the ring of each device.

    Raises:
        RefusedError: `campaign-set-changed` when it is not the frozen set, or a count or a
            percentage of it has taken other devices than it takes everywhere.
    """
    path = segments("campaigns", plan.campaign, "targets")
    seen = [
        (target.device, target.ring) for target in context.relay.pages(path, Target, limit=_PAGE)
    ]
    rings = dict(seen)
    if plan.target_set is not None and target_set(seen) != plan.target_set:
        raise _set_changed()
    if len(rings) != len(seen) or not _taken_by_rank(plan.plan, seen):
        raise _set_changed()
    return rings


def _taken_by_rank(plan: CampaignPlan, seen: Iterable[tuple[str, int]]) -> bool:
    left = sorted(seen, key=lambda one: stable_rank(one[0]))
    total = len(left)
    for number, ring in enumerate(plan.rings):
        count = ring_count(ring, total)
        if count is not None and any(of != number for _, of in left[:count]):
            return False
        before = len(left)
        left = [one for one in left if one[1] != number]
        if count is not None and before - len(left) > count:
            return False
    return not left


def _set_changed() -> RefusedError:
    return RefusedError(
        "campaign-set-changed",
        "the relay's list of targets is not the set that was frozen",
        hint="make the campaign again",
    )


def order_id(campaign: str, device: str) -> str:
    """Return the id of a device's order in a campaign.

    There is one for each, however often somebody signs: the device takes an id once, and its result
    can be of nothing else.
    """
    digest = sha256(b"farhand campaign order\0" + f"{campaign}\0{device}".encode()).digest()
    return make_id("o", digest[:16])
