"""The plan of a campaign as it is written on the command line.

    --ring "canary: 5; soak 1h"                      the same five devices every time
    --ring "early: 10%; soak 1d; success 90; failed 3"
    --ring "berlin: tag site-berlin; gate disk.space; manual"
    --ring "servers: query role:server"
    --limit failed=5 --limit unreachable=20%         of the whole campaign

A ring is `NAME: WHO` and conditions, parted by semicolons.  WHO is a count, a percentage,
`tag TAG`, `query QUERY` or `rest`; where the last ring takes something else, `rest` follows it.

    soak SPAN          so long after enough of it has finished (30m, 1h, 2d)
    success N          percent of what has finished that must have gone well; 95 unless told
    finished N         percent of the ring that must have finished; 100 unless told
    gate CHECK         no device of it reports this check as warning or critical; repeatable
    manual             begins only after `farhand campaign approve`
    failed N, refused N, unreachable N       limits; a number, or N% of what has finished
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import msgspec

from farhand_protocol.campaigns import CampaignPlan, Limits, RingPlan, check_plan
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.terms import Terms

__all__ = ["parse_limits", "parse_ring", "parse_span", "plan_of", "plan_options"]

F = TypeVar("F", bound=Callable[..., Any])
_SPAN = re.compile(r"([0-9]{1,6})([smhd])\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)%\Z")
_NUMBER = re.compile(r"[0-9]{1,6}\Z")
_LIMITS = ("failed", "refused", "unreachable")


def plan_options(function: F) -> F:
    """Add the options that `plan_of` reads; they arrive as `plan`."""

    @functools.wraps(function)
    def with_plan(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in _OPTION_NAMES}
        return function(*args, plan=plan_of(**given), **options)

    for option in reversed(_OPTIONS):
        with_plan = option(with_plan)
    return with_plan  # type: ignore[return-value]


_OPTIONS = (
    click.option("--ring", "rings", multiple=True, help='"NAME: WHO; soak 1h; ..."; repeatable.'),
    click.option("--exclude", default="", help="A query of devices that stay out."),
    click.option("--limit", "limits", multiple=True, help="failed=5, unreachable=20%; repeatable."),
    click.option("--max-in-flight", type=click.IntRange(1), help="So many devices at once."),
    click.option("--per-domain", type=click.IntRange(1), help="So many of one --domain at once."),
    click.option("--domain", default="", help="group, or tag:PREFIX."),
    click.option("--splay", default="0s", help="Devices begin up to so much later (10m)."),
    click.option("--window", "windows", multiple=True, help='"daily 22:00 for 6h"; repeatable.'),
    click.option(
        "--defer-days", type=click.IntRange(0, 7), default=0, help="People may put it off."
    ),
    click.option("--notice", default="0s", help="How long before it begins, where people may."),
    click.option(
        "--reboot",
        type=click.Choice(("never", "idle", "window", "prompt")),
        default="never",
        show_default=True,
        help="What follows where a restart is required.",
    ),
)
_OPTION_NAMES = (
    "rings", "exclude", "limits", "max_in_flight", "per_domain", "domain", "splay", "windows",
    "defer_days", "notice", "reboot",
)  # fmt: skip


def plan_of(
    *,
    rings: Iterable[str] = (),
    exclude: str = "",
    limits: Iterable[str] = (),
    max_in_flight: int | None = None,
    per_domain: int | None = None,
    domain: str = "",
    splay: str = "0s",
    windows: Iterable[str] = (),
    defer_days: int = 0,
    notice: str = "0s",
    reboot: Any = "never",
) -> CampaignPlan:
    """Return the plan that the options describe.

    Raises:
        FarhandError: `plan-malformed`, `terms-malformed`.
    """
    parsed = [parse_ring(line) for line in rings] or [RingPlan(name="all")]
    last = parsed[-1]
    if any(one is not None for one in (last.percent, last.count, last.tag, last.query)):
        parsed.append(RingPlan(name="rest"))
    plan = CampaignPlan(
        rings=parsed,
        limits=parse_limits(pair.partition("=")[::2] for pair in limits),
        exclude=exclude,
        max_in_flight=max_in_flight,
        domain=domain,
        per_domain=per_domain,
        splay_s=parse_span(splay),
        terms=Terms(
            windows=list(windows),
            defer_days=defer_days,
            notice_s=parse_span(notice),
            reboot=reboot,
        ),
    )
    check_plan(plan)
    return plan


def parse_ring(line: str) -> RingPlan:
    """Read one `--ring`.

    Raises:
        FarhandError: `plan-malformed`.
    """
    name, colon, rest = line.partition(":")
    who, *conditions = (part.strip() for part in rest.split(";"))
    if not colon or not who:
        raise _malformed(f"{line[:60]!r} is not like `canary: 5; soak 1h`")
    fields: dict[str, Any] = {"name": name.strip(), **_who(who)}
    limits: list[tuple[str, str]] = []
    gates: list[str] = []
    for condition in conditions:
        word, _, value = condition.partition(" ")
        value = value.strip()
        if word in _LIMITS:
            limits.append((word, value))
        elif word == "gate":
            gates.append(value)
        elif condition == "manual":
            fields["approval"] = "manual"
        elif word == "soak":
            fields["soak_s"] = parse_span(value)
        elif word in ("success", "finished"):
            fields[f"{word}_percent"] = float(_number(value.removesuffix("%"), condition))
        else:
            raise _malformed(f"{condition[:60]!r} is no condition of a ring")
    return RingPlan(**fields, gates=gates, limits=parse_limits(limits))


def _who(text: str) -> dict[str, Any]:
    word, _, value = text.partition(" ")
    if text == "rest":
        return {}
    if (found := _PERCENT.match(text)) is not None:
        return {"percent": float(found[1])}
    if _NUMBER.match(text):
        return {"count": int(text)}
    if word in ("tag", "query") and value.strip():
        return {word: value.strip()}
    raise _malformed(f"{text[:60]!r} is neither a count, a percentage, a tag, a query nor `rest`")


def parse_limits(pairs: Iterable[Iterable[str]]) -> Limits:
    """Read limits from names and values.

    Raises:
        FarhandError: `plan-malformed`.
    """
    limits = Limits()
    for name, value in pairs:
        if name not in _LIMITS:
            raise _malformed(f"a limit is of {', '.join(_LIMITS)}, not of {name[:20]!r}")
        if (found := _PERCENT.match(value)) is not None:
            limits = msgspec.structs.replace(limits, **{f"{name}_percent": float(found[1])})
        else:
            limits = msgspec.structs.replace(limits, **{name: _number(value, value)})
    return limits


def parse_span(text: str) -> int:
    """Return seconds of a span like 30m, 4h or 2d.

    Raises:
        UsageError: `usage`.
    """
    found = _SPAN.match(text)
    if found is None:
        raise UsageError("usage", f"{text[:20]!r} is not like 30m, 4h or 2d")
    return int(found[1]) * _UNITS[found[2]]


def _number(text: str, what: str) -> int:
    if not _NUMBER.match(text):
        raise _malformed(f"{what[:40]!r} has no number")
    return int(text)


def _malformed(words: str) -> FarhandError:
    return FarhandError("plan-malformed", words)
