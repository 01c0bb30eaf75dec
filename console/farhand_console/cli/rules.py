"""trust policy, trust rules: what groups and the organisation allow, shown and signed.

Every field of `GroupPolicy` is an option of `trust policy`, made from its type: a field that comes
new has its option already.  `_ROWS` gives a field its own flag, words and check where its name and
type do not say enough.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.library.known_names import SECTIONS, check_names, unknown_names
from farhand_console.library.thresholds import contradictions
from farhand_console.output import show_fields, warn
from farhand_console.session.recording_keys import is_recipient
from farhand_console.trust.signing import Change, publish
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.inventory import SECTION_NAME
from farhand_protocol.placements import is_group
from farhand_protocol.schedules import parse_schedules
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    POLICY_PATH,
    RISKS,
    SCOPES,
    Approval,
    GroupPolicy,
    Policy,
    Risk,
    decode_document,
    encode_document,
)

__all__ = ["parse_approvals", "register"]


class _Row(NamedTuple):
    """How one field is written on the command line.

    `flag` is the option's name without dashes; `commas`: several values may stand in one; `check`
    gets each value of a list and returns what is wrong with it, or nothing; `bounds` hold for a
    number where `check_rules` does not know its own.
    """

    flag: str = ""
    words: str = ""
    commas: bool = False
    check: Callable[[str], str] = lambda _: ""
    bounds: tuple[int, int] = (0, 2**53 - 1)


def _scope(text: str) -> str:
    return "" if text in SCOPES else f"{text[:40]!r} is not a scope: {', '.join(SCOPES)}"


def _root(text: str) -> str:
    sound = text.startswith("/") and ".." not in text.split("/")
    return "" if sound else f"{text[:80]!r} is not an absolute path"


def _destination(text: str) -> str:
    host, _, port = text.rpartition(":")
    sound = host and port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535
    return "" if sound else f"{text[:80]!r} is not like HOST:PORT"


def _recipient(text: str) -> str:
    sound = is_recipient(text)
    return "" if sound else f"{text[:80]!r} is neither age1... nor an ssh-ed25519 line"


def _section(text: str) -> str:
    sound = SECTION_NAME.fullmatch(text)
    return "" if sound else f"{text[:40]!r} is no name of a section"


_ROWS: dict[str, _Row] = {
    "attended": _Row(words="By code, asked on the device."),
    "unattended": _Row(words="By a signed grant alone."),
    "consent": _Row(words="notify: do not ask."),
    "scopes": _Row("scope", "Scopes that may be granted.", commas=True, check=_scope),
    "minutes_max": _Row("minutes", "Longest session.", bounds=(1, 480)),
    "files_roots": _Row("files-root", "Folder that `files` stays within.", check=_root),
    "files_read_only": _Row(words="No writing through `files`."),
    "forward_to": _Row("forward-to", "HOST:PORT that may be forwarded to.", check=_destination),
    "risks": _Row("risk", "Risk classes of scripts that may run.", commas=True),
    "recording": _Row(words="Whether sessions are recorded, and refused where they cannot be."),
    "audit_keys": _Row(
        "audit-key", "Age recipient that recordings are sealed to.", check=_recipient
    ),
    "consent_s": _Row(words="Seconds until silence means no."),
    "cool_down_s": _Row(words="Seconds between a yes and scopes that reach far."),
    "file_bytes_max": _Row(words="Largest file a session reads or writes; none for no bound."),
    "hours": _Row(words="When unattended sessions may begin, such as 'mon-fri 08:00-18:00'."),
    "tier_min": _Row(words="Least tier of an operator in unattended sessions."),
    "approvals": _Row(words="Operators besides the opening one who sign unattended sessions."),
    "second_operator": _Row(words="Nothing is open while fewer than two operators are there."),
    "recording_input": _Row(words="Record what is typed as well."),
    "recording_stall": _Row(words="What becomes of a session that can no longer be recorded."),
    "recording_days": _Row(words="Days that recordings are kept."),
    "inventory_sections": _Row(
        "inventory-section",
        "Opt-in section of inventory that is collected.",
        commas=True,
        check=_section,
    ),
    "inventory_personal": _Row(words="Inventory tells serial numbers, names, addresses."),
    "schedules": _Row(
        "schedule", "What devices do by themselves: 'NAME: every 15m; checks disk.space'."
    ),
    "probe_to": _Row("probe-to", "Host that checks may be pointed at."),
    "lab": _Row(words="Authors may try scripts here that nobody approved."),
    "break_glass": _Row(words="Emergency orders of two people may run here."),
    "relay_origins": _Row("relay-origin", "Address a device may be told to dial."),
}


def register(trust: click.Group) -> None:
    """Add the commands of this file to `farhand trust`."""

    @command(trust)
    @click.argument("device_group", metavar="GROUP")
    @_options_of(GroupPolicy)
    def policy(context: Context, /, device_group: str, **options: Any) -> None:
        """Show or sign the rules of a device group; * is every group without its own.

        An option that may be given several times replaces the whole list; an empty word empties it.
        """
        if device_group != "*" and not is_group(device_group):
            raise UsageError("usage", f"{device_group[:80]!r} is not a group's name")
        changes = _changes(GroupPolicy, options)

        def change(verified: VerifiedTrust) -> Change:
            before = verified.policy
            rules = msgspec.structs.replace(before.for_group(device_group), **changes)
            _check_recording(rules)
            groups = before.groups | {device_group: rules}
            return _signed(msgspec.structs.replace(before, groups=groups))

        if changes:
            # Once before anything is asked of the relay, on rules that hold by themselves.
            rules = msgspec.structs.replace(GroupPolicy(), **changes)
            _signed(Policy(tenant="", approvals={}, groups={device_group: rules}))
            _check_thresholds(rules)
            _warn_of_unknown(rules)
            publish(context.relay, context.fresh_trust, context.signer(), change)
        rules = context.fresh_trust().policy.for_group(device_group)
        answer = {"group": device_group} | msgspec.to_builtins(rules)
        context.show(answer, lambda: show_fields(answer))
        if rules.recording == "on" and not rules.audit_keys:
            warn("nothing is recorded: policy names no audit key (--audit-key RECIPIENT)")

    @command(trust)
    @click.option("--approvals", default="", help="Approvals per risk class, such as R2=1,R3=2.")
    @_options_of(Policy, leave_out=("tenant", "approvals", "groups"))
    def rules(context: Context, /, approvals: str, **options: Any) -> None:
        """Show or sign what holds for the whole organisation."""
        changes = _changes(Policy, options)
        counts = parse_approvals(approvals)
        if changes:
            _signed(Policy(tenant="", approvals={}, groups={}, **changes))

        def change(verified: VerifiedTrust) -> Change:
            before = verified.policy
            return _signed(
                msgspec.structs.replace(before, approvals=before.approvals | counts, **changes)
            )

        if changes or counts:
            publish(context.relay, context.fresh_trust, context.signer(), change)
        answer = msgspec.to_builtins(context.fresh_trust().policy)
        del answer["tenant"], answer["groups"]
        context.show(answer, lambda: show_fields(answer))


def _check_recording(rules: GroupPolicy) -> None:
    """Refuse rules under which every session would be refused."""
    if rules.recording == "required" and not rules.audit_keys:
        raise UsageError(
            "recording-impossible",
            "sessions that must be recorded need an audit key, and every one would be refused",
            hint="--audit-key RECIPIENT; farhand recording key new makes one",
        )


def _check_thresholds(rules: GroupPolicy) -> None:
    """Refuse thresholds that contradict each other: devices would answer `unknown` for ever."""
    for schedule in parse_schedules(rules.schedules):
        for check in schedule.checks:
            for sentence in contradictions(check.id, dict(check.parameters)):
                raise UsageError(
                    "check-parameters",
                    f"schedule {schedule.name}: {sentence}",
                    hint="give both: what is critical lies at the warning or beyond it",
                )


def _warn_of_unknown(rules: GroupPolicy) -> None:
    """Say which checks and sections nobody here knows; a newer agent may, so they are signed."""
    schedules = parse_schedules(rules.schedules)
    asked = [check.id for one in schedules for check in one.checks]
    sections = [name for one in schedules for name in one.sections]
    sentences = unknown_names("check", asked, check_names() if asked else frozenset())
    sentences += unknown_names("section", [*sections, *rules.inventory_sections], SECTIONS)
    for sentence in sentences:
        warn(f"{sentence}: a device that does not know it either cannot do it")


def _signed(policy: Policy) -> Change:
    """Return the policy as a change, after reading it as devices will."""
    body = encode_document(policy)
    try:
        decode_document(body, Policy)  # a policy that devices refuse would stop everything
    except FarhandError as error:
        raise UsageError("usage", error.message) from error
    return Change({POLICY_PATH: body})


def _options_of(
    struct: type[msgspec.Struct], *, leave_out: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds one option for each field."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(msgspec.structs.fields(struct)):
            if field.name not in leave_out:
                function = _option(field.name, field.type)(function)
        return function

    return decorate


def _option(name: str, kind: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    row = _ROWS.get(name, _Row())
    flag = row.flag or name.replace("_", "-")
    shared: dict[str, Any] = {"default": None, "help": row.words or None}
    if kind is bool:
        return click.option(f"--{flag}/--no-{flag}", name, **shared)
    if get_origin(kind) is Literal:
        return click.option(f"--{flag}", name, type=click.Choice(get_args(kind)), **shared)
    if get_origin(kind) is list:
        return click.option(f"--{flag}", name, multiple=True, **shared)
    return click.option(
        f"--{flag}", name, type=_Number(row.bounds, is_optional=_may_be_none(kind)), **shared
    )


def _may_be_none(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)


class _None:
    """What `none` reads as: click takes None itself for an option that was not given."""


class _Number(click.ParamType[Any]):
    """A whole number, or `none` where a field may have no value."""

    name = "number"

    def __init__(self, bounds: tuple[int, int], *, is_optional: bool) -> None:
        self._bounds = bounds
        self._is_optional = is_optional

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | _None:
        if self._is_optional and value == "none":
            return _None()
        try:
            number = int(str(value)[:20])
        except ValueError:
            self.fail(f"{str(value)[:40]!r} is not a whole number", param, ctx)
        lowest, highest = self._bounds
        if not lowest <= number <= highest:
            self.fail(f"{number} lies not within {lowest} and {highest}", param, ctx)
        return number


def _changes(struct: type[msgspec.Struct], options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that were given, with lists read and checked."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(struct)}
    changes: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, _None):
            changes[name] = None
        elif isinstance(value, tuple):
            if value:
                changes[name] = _list(name, value, get_args(kinds[name]))
        elif value is not None:
            changes[name] = value
    return changes


def _list(name: str, given: tuple[str, ...], kind: tuple[Any, ...]) -> list[str]:
    row = _ROWS.get(name, _Row())
    allowed = get_args(kind[0]) if kind else ()
    pieces = [piece for one in given for piece in (one.split(",") if row.commas else (one,))]
    values = list(dict.fromkeys(filter(None, (piece.strip() for piece in pieces))))
    for value in values:
        wrong = row.check(value)
        if allowed and value not in allowed:
            wrong = f"{value[:40]!r} is not one of {', '.join(allowed)}"
        if wrong:
            raise UsageError("scope-unknown" if name == "scopes" else "usage", wrong)
    return values


def parse_approvals(text: str) -> dict[Risk, Approval]:
    """Read `R2=1,R3=2`: the rules of the risk classes that are named.

    Raises:
        UsageError: `usage`.
    """
    rules: dict[Risk, Approval] = {}
    for part in filter(None, text.split(",")):
        risk, _, count = part.strip().partition("=")
        if risk not in RISKS or count not in "123456789" or len(count) != 1:
            raise UsageError(
                "usage",
                f"{part[:40]!r} is not like R2=1",
                hint=f"one of {', '.join(RISKS)}, 1 to 9",
            )
        known: Risk = msgspec.convert(risk, Risk)
        rules[known] = msgspec.structs.replace(DEFAULT_APPROVALS[known], count=int(count))
    return rules
