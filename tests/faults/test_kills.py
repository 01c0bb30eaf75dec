"""kill -9 at every named journal write point; at random moments: test_random_kills.py.

An accepted order ends once in a final state, no body starts twice, nothing that was accepted is
lost, and the device's log stays one chain.  The points are those of `farhand_agent.journal`; a
process ends itself there by SIGKILL (tests/support/faults), so nothing of it runs after the point.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.hostname import host_name
from farhand_agent.write_points import (
    CLOCK_RAISED,
    LOG_WRITTEN,
    META_SET,
    OFFER_REFUSED,
    ORDER_ACCEPTED,
    ORDER_FINAL,
    ORDER_RUNNING,
    OUTBOX_ACKED,
    SECTION_ACKED,
    SESSION_ENDED,
    SESSION_GRANTED,
    SESSION_RESUMED,
    SESSION_STOPPING,
    WRITE_POINTS,
)
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.grants import Grant
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import (
    EndSession,
    OfferGrant,
    OfferOrder,
    Redirect,
    Resend,
    SessionReport,
)
from tests.support.bodies import Orders, tracing_script
from tests.support.faults.environment import MOMENTS, Moment, arm, fault_environment
from tests.support.hostile_devices import COMMAND, Device, Program, running_program
from tests.support.hostile_organisation import HostileOrganisation, now, signer
from tests.support.hostile_relay import DeviceLink, HostileRelay

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

RUNNER = "farhand_agent.scripts.runner"
SESSION = "farhand_agent.session"
DAEMON = "farhand_agent.resident"
WAIT_S = 60.0


@asynccontextmanager
async def started(device: Device) -> AsyncIterator[Program]:
    """Start the agent without waiting for anything."""
    words = (*COMMAND, "run", "--home", str(device.home.path))
    async with running_program(*words, **device.env) as program:
        yield program


async def gone(path: Path) -> None:
    """Wait until the fault was struck (its file is removed by who dies of it)."""
    async with asyncio.timeout(WAIT_S):
        while path.exists():
            await asyncio.sleep(0.01)  # another process removes it; there is nothing to wait on


async def settle(device: Device, orders: Orders) -> None:
    """Run a fresh agent, offer again what the relay has no word about, until all have ended."""
    async with started(device) as program:
        link = await fresh_link(device, program)
        for order in orders.unfinished():
            await link.send(OfferOrder(order=order, envelope=orders.sealed[order]))
        await device.relay.until(lambda: not orders.unfinished())
        # What was reported must also be acknowledged before the journal is looked at.
        await empty_outbox(device)
        await program.end()


async def fresh_link(device: Device, program: Program) -> DeviceLink:
    await program.line("ready ")
    return await device.relay.link(device=device.id)


async def empty_outbox(device: Device) -> None:
    journal = device.journal()
    try:
        async with asyncio.timeout(WAIT_S):
            while journal.outbox():
                await asyncio.sleep(0.05)
    finally:
        journal.close()


@pytest.fixture(scope="module")
def orders(device: Device, organisation: HostileOrganisation, place: Path) -> Orders:
    """Orders for a body that leaves one line."""
    script = tracing_script(organisation, place)
    return Orders(device, script, place)


@pytest.fixture
def kill(tmp_path: Path, device: Device) -> Path:
    """The file that names where to die."""
    path = tmp_path / "kill"
    device.env = fault_environment(kill=path)
    return path


ORDER_POINTS = [
    (ORDER_ACCEPTED, RUNNER),
    (ORDER_RUNNING, RUNNER),
    (ORDER_FINAL, RUNNER),
    (OUTBOX_ACKED, DAEMON),
]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("point", "module"), ORDER_POINTS)
async def test_an_order_outlives_a_kill_at(
    point: str, module: str, moment: Moment, device: Device, orders: Orders, kill: Path
) -> None:
    order, data = orders.make()
    async with started(device) as program:
        link = await fresh_link(device, program)
        arm(kill, point, moment, module)
        await link.send(OfferOrder(order=order, envelope=data))
        await gone(kill)
        if module == DAEMON:
            assert await program.wait() == -signal.SIGKILL
        else:
            # The agent is restarted, or it would wait half a minute before it tries again.
            await program.end(signal.SIGKILL)
    await settle(device, orders)
    state = orders.check()[order]
    uncertain = (point, moment) in {
        (ORDER_RUNNING, "after"), (ORDER_FINAL, "before"), (ORDER_FINAL, "inside"),
    }  # fmt: skip
    assert state == ("interrupted" if uncertain else "succeeded")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_refusal_outlives_a_kill_at_offer_refused(
    moment: Moment, device: Device, orders: Orders, organisation: HostileOrganisation, kill: Path
) -> None:
    order, data = organisation.order(orders.script, device.id, "elsewhere")
    async with started(device) as program:
        link = await fresh_link(device, program)
        arm(kill, OFFER_REFUSED, moment, RUNNER)
        await link.send(OfferOrder(order=order, envelope=data))
        await gone(kill)
        result = await device.outcome(order, data)
        assert (result.state, result.refusal) == ("refused", "order-wrong-host")
        await program.end()
    refusals = [one for one in device.logged("order-refused") if one["order"] == order]
    assert len(refusals) == 1
    orders.check()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", [CLOCK_RAISED, META_SET, LOG_WRITTEN, SECTION_ACKED])
async def test_the_agent_outlives_a_kill_at(
    point: str, moment: Moment, device: Device, organisation: HostileOrganisation, kill: Path
) -> None:
    """What the resident agent writes by itself: it starts again and does it then."""
    if point == META_SET:
        # Something new to announce.
        organisation.unattended(minutes_max=random.Random(moment).randint(1, 400))
        organisation.publish()
    if point == CLOCK_RAISED:
        arm(kill, point, moment, DAEMON)
    async with started(device) as program:
        if point != CLOCK_RAISED:
            link = await fresh_link(device, program)
            arm(kill, point, moment, DAEMON)
            if point == META_SET:
                await device.relay.notice(device.id)
            elif point == LOG_WRITTEN:
                await link.send(Redirect(url="https://elsewhere.example"))
            else:
                await link.send(Resend(sections=["system"]))
        await gone(kill)
        assert await program.wait() == -signal.SIGKILL
    async with started(device) as program:
        await fresh_link(device, program)
        assert await program.end() == 0
    assert "policy-changed" in device.log_kinds()


def make_grant(device: Device) -> tuple[str, bytes]:
    """Return a session id and a grant that the device accepts without asking."""
    organisation = device.relay.organisation
    grant = Grant(
        tenant=organisation.tenant,
        id=make_id("s", os.urandom(16)),
        device=device.id,
        host_name=host_name(),
        group="default",
        operator="bo",
        operator_key=organisation.boss.public_key,
        organisation="Example Support",
        ticket="FH-1",
        reason="",
        scopes=["terminal"],
        forward=[],
        minutes=30,
        console_key=signer().public_key,
        transcript=None,
        targets_version=1,
        issued_at=format_instant(now()),
        not_before=format_instant(now() - timedelta(minutes=5)),
        expires=format_instant(now() + timedelta(hours=1)),
    )
    return grant.id, encode_envelope(seal(grant, organisation.boss))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", [SESSION_GRANTED, SESSION_STOPPING, SESSION_ENDED])
async def test_a_session_ends_once_whatever_is_killed_at(
    point: str, moment: Moment, device: Device, relay: HostileRelay, kill: Path
) -> None:
    """A session goes on until it is stopped, then never again, and is reported as ended once."""
    session, grant = make_grant(device)

    def reports(state: str) -> list[SessionReport]:
        return [
            one for one in relay.of(SessionReport) if one.session == session and one.state == state
        ]

    async with started(device) as program:
        link = await fresh_link(device, program)
        arm(kill, point, moment, SESSION)
        await link.send(OfferGrant(session=session, envelope=grant))
        if point != SESSION_GRANTED:
            await relay.until(lambda: bool(reports("active")))
            own = await relay.link("session", session=session)
            await own.send(EndSession(session=session, reason="over"))
        await gone(kill)
        await program.end(signal.SIGKILL)
    opened = (point, moment) != (SESSION_GRANTED, "before")
    goes_on = is_active(device, session)
    async with started(device) as program:
        link = await fresh_link(device, program)
        if goes_on:
            own = await relay.link("session", session=session)
            await own.send(EndSession(session=session, reason="over"))
        if opened:
            await relay.until(lambda: bool(reports("ended")))
            # An ended grant never reopens.
            await link.send(OfferGrant(session=session, envelope=grant))
            await empty_outbox(device)
        await program.end()
    journal = device.journal()
    try:
        row = journal.session(session)
        live = journal.live_sessions()
    finally:
        journal.close()
    assert live == []
    assert (row is not None) == opened
    granted = [one for one in device.logged("session-granted") if one["session"] == session]
    ended = [one for one in device.logged("session-ended") if one["session"] == session]
    assert len(granted) == len(ended) == int(opened)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_session_is_taken_up_though_its_next_process_is_killed(
    moment: Moment, device: Device, relay: HostileRelay, kill: Path
) -> None:
    session, grant = make_grant(device)
    times = 1 if moment == "before" else 2
    async with started(device) as program:
        link = await fresh_link(device, program)
        arm(kill, SESSION_GRANTED, "after", SESSION)
        await link.send(OfferGrant(session=session, envelope=grant))
        await gone(kill)
        arm(kill, SESSION_RESUMED, moment, SESSION)
        await gone(kill)
        async with asyncio.timeout(WAIT_S):
            while len(resumed(device, session)) < times:
                await asyncio.sleep(0.05)  # written by another process
        own = await relay.link("session", session=session)
        await own.send(EndSession(session=session, reason="over"))
        await relay.first(SessionReport, lambda one: (one.session, one.state) == (session, "ended"))
        await empty_outbox(device)
        await program.end()
    assert not is_active(device, session)
    assert len(resumed(device, session)) == times


def resumed(device: Device, session: str) -> list[dict[str, Any]]:
    return [one for one in device.logged("session-resumed") if one["session"] == session]


def is_active(device: Device, session: str) -> bool:
    journal = device.journal()
    try:
        row = journal.session(session)
    finally:
        journal.close()
    return row is not None and row.state == "active"


async def test_every_write_point_is_struck() -> None:
    """A new write point needs a place here."""
    struck = {point for point, _ in ORDER_POINTS} | {
        OFFER_REFUSED, CLOCK_RAISED, META_SET, LOG_WRITTEN, SECTION_ACKED,
        SESSION_GRANTED, SESSION_RESUMED, SESSION_STOPPING, SESSION_ENDED,
    }  # fmt: skip
    assert struck == set(WRITE_POINTS)
