"""Following a campaign until it ends, and signing its next ring when its turn has come.

A watch may be ended and started again at any time, here or on another console of an operator, which
asks first whether the campaign is what was meant: all else that it goes by is in what devices
signed.  It waits for the relay's events and
never polls faster than they come; a relay that is away is asked again until it is back.
"""

from __future__ import annotations

import time
from typing import Any, Final

from farhand_console.cli.base import Context
from farhand_console.cli.campaign_request import AHEAD, asked_for, to_sign
from farhand_console.cli.campaign_signing import check_gate, sign_rings
from farhand_console.output import printable, say, warn
from farhand_console.relay import segments
from farhand_console.relay.campaign_answers import Campaign, CampaignEvents, CampaignReport
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import FINAL_STATES, ORDER_STATES

__all__ = ["follow"]

_ENDED: Final = ("finished", "aborted")
_WAIT_S: Final = 20
_AWAY_S: Final = 2.0
# A relay that is away comes back; whatever else it says is an answer.
_AWAY: Final = ("relay-unreachable", "relay-timeout", "relay-lost", "store-busy", "bus-unreachable")


def follow(
    context: Context,
    campaign: str,
    *,
    stay: bool = True,
    yes: bool = False,
    agreed: str | None = None,
) -> None:
    """Show progress on the terminal until the campaign ends, signing rings as they come due.

    Args:
        context: of the command.
        campaign: its id.
        stay: wait on while the campaign stands still, for somebody to let it go on.
        yes: agree to a campaign of another console without being asked.
        agreed: the hash of what was read; nothing else is signed for.

    Raises:
        FarhandError: what the relay or the trust metadata refuse; `campaign-paused` unless `stay`.
        RefusedError: `campaign-changed`, `campaign-set-changed`.
    """
    # Late: it takes as long to load as the rest of a short command.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.fields[words]}"), BarColumn())
    _agree(context, campaign, yes=yes, agreed=agreed)
    watch = _Watch(context, campaign)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("campaign", total=None, words="")
        while True:
            try:
                report = watch.look()
                total = sum(report.counts.values())
                done = sum(report.counts.get(state, 0) for state in FINAL_STATES)
                words = _words(report)
                progress.update(task, total=total or None, completed=done, words=words)
                if report.state in _ENDED:
                    return
                if report.state == "paused" and not stay:
                    raise FarhandError(
                        "campaign-paused",
                        f"the campaign stands still: {printable(report.reason, 80)}",
                        hint=f"farhand campaign report {campaign}; then resume and watch, or abort",
                    )
                watch.sign_due(report)
                watch.wait()
            except FarhandError as error:
                if error.code not in _AWAY:
                    raise
                time.sleep(_AWAY_S)


def _agree(context: Context, campaign: str, *, yes: bool, agreed: str | None) -> None:
    """Make sure that it is what was asked for, before anything is drawn on the terminal."""
    while True:
        try:
            asked_for(context, campaign, yes=yes, agreed=agreed)
            return
        except FarhandError as error:
            if error.code not in _AWAY:
                raise
            time.sleep(_AWAY_S)


def _words(report: CampaignReport) -> str:
    known = [state for state in ORDER_STATES if report.counts.get(state)]
    words = "  ".join(f"{state} {report.counts[state]}" for state in known)
    reason = f" ({report.reason})" if report.reason else ""
    return f"{report.state}{reason}  {words}"


class _Watch:
    """What a watch remembers between two looks: how far it has heard, and what it has told."""

    def __init__(self, context: Context, campaign: str) -> None:
        self._context = context
        self._campaign = campaign
        self._path = segments("campaigns", campaign)
        self._cursor: str | None = None
        self._told: set[Any] = set()

    def look(self) -> CampaignReport:
        report = self._context.relay.get(f"{self._path}/report", CampaignReport)
        if report.state == "paused":
            self._tell("paused", report.reason, f"paused: {report.reason}")
        return report

    def sign_due(self, report: CampaignReport) -> None:
        """Sign the ring that the relay has opened, if its gate is open by its devices' word."""
        plan = asked_for(self._context, self._campaign)
        ring = plan.open_ring
        if not 0 <= ring < len(plan.plan.rings):
            raise FarhandError("relay-answer", "the relay names a ring that is not in the plan")
        here = next((one for one in report.rings if one.ring == ring), None)
        if ring:
            self._tell("ring", ring, f"ring {plan.plan.rings[ring].name} is open")
        waits = next((one.held for one in report.rings if one.held), None)
        if waits is not None:
            self._tell("held", (ring, waits), f"the next ring waits: {waits}")
        if plan.state != "running" or ring == 0 or here is None or not here.counts.get("planned"):
            return
        plan = to_sign(self._context, self._campaign)
        if plan.plan.rings[ring].approval == "manual" and plan.risk not in AHEAD:
            name = plan.plan.rings[ring].name
            self._tell("manual", ring, f"ring {name} waits for `farhand campaign approve`")
            return
        verdict = check_gate(self._context, plan, ring)
        if verdict.code != "open":
            # The relay is ahead of what devices signed, or the clock here is behind.
            self._tell("gate", (ring, verdict.code), f"not signed yet: {verdict.code}")
            return
        done = sign_rings(self._context, plan, {ring}, opened=ring)
        if done.skipped:
            body = {"skipped": done.skipped}
            self._context.relay.post(f"{self._path}/skip", Campaign, body, wait_s=60)
        say(f"ring {plan.plan.rings[ring].name}: {done.taken} orders signed")

    def wait(self) -> None:
        """Wait for something to happen; a while at most, since soaks end by themselves."""
        asked = time.monotonic()
        events = self._context.relay.get(
            f"{self._path}/events",
            CampaignEvents,
            cursor=self._cursor,
            wait=_WAIT_S,
            wait_s=_WAIT_S + 20,
        )
        self._cursor = events.next
        # However fast they come, a terminal shows no more than this; a full page goes on at once.
        if len(events.items) < 500:
            time.sleep(max(0.0, 0.2 - (time.monotonic() - asked)))

    def _tell(self, kind: str, what: object, words: str) -> None:
        """Say something once; of paused and held only what is new."""
        if (kind, what) in self._told:
            return
        self._told.add((kind, what))
        (warn if kind in ("paused", "held", "gate") else say)(words)
