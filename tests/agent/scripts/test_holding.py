"""When an accepted order begins: the table of end states, with the journal's own time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.journal import Journal, OrderRow
from farhand_agent.scripts import deferring
from farhand_agent.scripts.check import read_order
from farhand_agent.scripts.deferring import put_off
from farhand_agent.scripts.dispatch import _look
from farhand_agent.scripts.holding import (
    Hold,
    check_can_hold,
    hold_key,
    is_held,
    release,
    start_hold,
)
from farhand_agent.scripts.restarting import (
    RESTART_KEY,
    Machine,
    after_run,
    plan_restart,
    restart_when_due,
)
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.orders import Order
from farhand_protocol.terms import Terms

# A Sunday, noon.
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NIGHT = ["daily 22:00 for 6h; zone UTC"]


def make_order(terms: Terms | None = None, **changes: Any) -> Order:
    said: dict[str, Any] = {
        "tenant": "t",
        "id": make_id("o", os.urandom(10)),
        "device": "d",
        "host_name": "h",
        "group": "g",
        "script": "remedy.greet",
        "version": 1,
        "risk": "R1",
        "digest": "ab" * 32,
        "parameters": {},
        "operator": "ann",
        "ticket": None,
        "campaign": "c-aaaaaaaaaaaaaaaa",
        "ring": 0,
        "targets_version": 1,
        "issued_at": format_instant(NOW),
        "not_before": format_instant(NOW),
        "expires": format_instant(NOW + 3 * DAY),
        "terms": terms,
    }
    return Order(**said | changes)


def held(order: Order, at: datetime, put_off: datetime | None = None) -> Hold | None:
    return start_hold(order, first_seen=NOW, put_off=put_off, now=at, zones=lambda _: UTC)


def test_without_terms_nothing_holds() -> None:
    assert held(make_order(), NOW) is None
    assert held(make_order(Terms()), NOW) is None


def test_a_window_holds_until_it_opens_and_no_longer() -> None:
    order = make_order(Terms(windows=NIGHT))
    assert held(order, NOW) == Hold(NOW + 10 * HOUR, "window")
    assert held(order, NOW + 10 * HOUR) is None
    assert held(order, NOW + 16 * HOUR) == Hold(NOW + 34 * HOUR, "window"), "it has passed"


def test_a_window_that_opens_too_late_holds_until_the_order_expires() -> None:
    order = make_order(Terms(windows=NIGHT), expires=format_instant(NOW + 2 * HOUR))
    assert held(order, NOW) == Hold(NOW + 2 * HOUR, "window")
    yearly = make_order(Terms(windows=["yearly 06-01 02:00 for 1h; zone UTC"]))
    assert held(yearly, NOW) == Hold(NOW + 3 * DAY, "window")


def test_a_person_may_put_it_off_until_a_deadline_that_floats() -> None:
    order = make_order(Terms(defer_days=1, notice_s=600))
    assert held(order, NOW) == Hold(NOW + timedelta(seconds=600), "notice")
    assert held(order, NOW + timedelta(seconds=600)) is None
    assert held(order, NOW, NOW + 5 * HOUR) == Hold(NOW + 5 * HOUR, "user")
    assert held(order, NOW + 5 * HOUR, NOW + 5 * HOUR) is None
    assert held(order, NOW, NOW + 9 * DAY) == Hold(NOW + DAY, "user"), "no further than that"
    # First seen later, put off later: but never past what was signed.
    late = start_hold(
        make_order(Terms(defer_days=7)),
        first_seen=NOW + 2 * DAY,
        put_off=NOW + 9 * DAY,
        now=NOW + 2 * DAY,
    )
    assert late == Hold(NOW + 3 * DAY, "user")
    # Where nothing may be put off, what somebody wrote into the journal means nothing.
    assert held(make_order(Terms()), NOW, NOW + DAY) is None


def test_a_zone_of_the_device_counts_where_none_is_named() -> None:
    asked: list[str] = []

    def zones(name: str) -> tzinfo:
        asked.append(name)
        return UTC

    order = make_order(Terms(windows=["daily 22:00 for 6h"]))
    start_hold(order, first_seen=NOW, put_off=None, now=NOW, zones=zones)
    assert set(asked) == {""}


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (make_order(Terms(windows=["whenever"])), "terms-malformed"),
        (make_order(Terms(defer_days=30)), "terms-malformed"),
        (make_order(Terms(windows=["daily 22:00 for 1h; zone Moon/Base"])), "zone-unknown"),
        (make_order(ring=None), "order-malformed"),
        (make_order(ring=-1), "order-malformed"),
        (make_order(campaign=None), "order-malformed"),
    ],
)
def test_what_a_device_cannot_keep_it_does_not_accept(order: Order, code: str) -> None:
    with pytest.raises(FarhandError) as caught:
        check_can_hold(order)
    assert caught.value.code == code


class Device:
    """A journal with an order in it, at a time that the test sets."""

    def __init__(self, path: Path) -> None:
        self.at = NOW
        self.journal = Journal(path, create=True, clock=lambda: self.at.timestamp())

    def accept(self, order: Order) -> OrderRow:
        envelope = encode_envelope(seal(order, SeedSigner(bytes(32))))
        self.journal.accept_order(
            order.id,
            envelope=envelope,
            payload_sha256=os.urandom(16).hex(),
            operator=order.operator,
            script=order.script,
            version=order.version,
        )
        row = self.journal.order(order.id)
        assert row is not None
        return row

    def is_held(self, row: OrderRow) -> bool:
        return is_held(self.journal, row, read_order(row.envelope)[1])

    def succeed(self, row: OrderRow) -> None:
        self.journal.start_order(row.id, pid=1)
        self.journal.finish_order(row.id, state="succeeded", result=b"sealed")

    @property
    def kinds(self) -> list[str]:
        return [record.kind for record in self.journal.latest_log_records(50)]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "journal.db")
    yield device
    device.journal.close()


def test_what_holds_is_journalled_once_and_the_resident_waits_for_it(device: Device) -> None:
    row = device.accept(make_order(Terms(windows=NIGHT)))
    assert device.is_held(row)
    assert device.is_held(row)
    assert device.kinds.count("order-held") == 1
    assert _look(device.journal)[1] == {row.id: 36_000}
    device.at += 10 * HOUR
    assert _look(device.journal)[1] == {}
    assert not device.is_held(row)
    # A clock that is set back opens no window twice, and does not close one either.
    device.journal.raise_clock()
    device.at -= 5 * HOUR
    assert not device.is_held(row)
    release(device.journal, row.id)
    assert device.journal.meta(hold_key(row.id)) is None


def test_an_expired_order_is_held_no_more_so_that_its_check_ends_it(device: Device) -> None:
    row = device.accept(make_order(Terms(windows=NIGHT), expires=format_instant(NOW + 2 * HOUR)))
    assert device.is_held(row)
    device.at += 2 * HOUR
    assert _look(device.journal)[1] == {}
    assert not device.is_held(row)


def test_putting_off_is_bounded_noted_and_refused_where_it_may_not_be(device: Device) -> None:
    row = device.accept(make_order(Terms(defer_days=2, notice_s=60)))
    assert put_off(device.journal, row.id, 3600) == NOW + HOUR
    assert device.is_held(row)
    assert put_off(device.journal, row.id, 90 * 86_400) == NOW + 2 * DAY
    device.at += 2 * DAY
    with pytest.raises(FarhandError) as caught:
        put_off(device.journal, row.id, 60)
    assert caught.value.code == "order-not-deferrable"
    assert not device.is_held(row)
    for order, code in (
        (device.accept(make_order(Terms())).id, "order-not-deferrable"),
        (device.accept(make_order()).id, "order-not-deferrable"),
        ("o-aaaaaaaaaaaaaaaa", "order-unknown"),
    ):
        with pytest.raises(FarhandError) as caught:
            put_off(device.journal, order, 60)
        assert caught.value.code == code
    assert device.kinds.count("order-deferred") == 2


class FakeMachine(Machine):
    """A computer that is told, and does nothing."""

    def __init__(self, *, required: bool | None = True, used: bool = False) -> None:
        self.required, self.used = required, used
        self.started = NOW - DAY
        self.told: list[int] = []

    def is_required(self) -> bool | None:
        return self.required

    def is_used(self) -> bool:
        return self.used

    def started_at(self) -> datetime:
        return self.started

    def restart(self, delay_min: int) -> None:
        self.told.append(delay_min)


def ran(device: Device, machine: FakeMachine, terms: Terms) -> Order:
    row = device.accept(make_order(terms))
    device.succeed(row)
    after_run(device.journal, row.id, machine)
    return read_order(row.envelope)[1]


@pytest.mark.parametrize(
    ("terms", "machine"),
    [
        (Terms(reboot="never"), FakeMachine()),
        (Terms(reboot="idle"), FakeMachine(required=False)),
        (Terms(reboot="idle"), FakeMachine(required=None)),
    ],
)
def test_nothing_restarts_that_need_not_or_may_not(
    device: Device, terms: Terms, machine: FakeMachine
) -> None:
    order = ran(device, machine, terms)
    assert _look(device.journal)[2] == ""
    assert not restart_when_due(device.journal, order, machine)
    assert machine.told == []


def test_a_restart_waits_until_nobody_is_there(device: Device) -> None:
    machine = FakeMachine(used=True)
    order = ran(device, machine, Terms(reboot="idle"))
    assert _look(device.journal)[2] == order.id
    assert not restart_when_due(device.journal, order, machine)
    assert _look(device.journal)[2] == "", "looked at again after a while"
    device.at += timedelta(minutes=5)
    machine.used = False
    assert _look(device.journal)[2] == order.id
    assert restart_when_due(device.journal, order, machine)
    assert machine.told == [5]
    assert _look(device.journal)[2] == "", "it is not ordered twice"
    machine.started = device.at + HOUR
    device.at += 2 * HOUR
    assert not restart_when_due(device.journal, order, machine)
    assert device.journal.meta(RESTART_KEY) == ""
    assert device.kinds.count("restart-ordered") == device.kinds.count("restart-done") == 1


def test_a_restart_in_a_window_and_one_with_notice(device: Device) -> None:
    machine = FakeMachine(used=True)
    order = ran(device, machine, Terms(reboot="window", windows=NIGHT))
    assert not restart_when_due(device.journal, order, machine)
    device.at += 10 * HOUR
    assert restart_when_due(device.journal, order, machine), "a window counts, whoever is there"
    device.journal.set_meta(RESTART_KEY, "")
    order = ran(device, machine, Terms(reboot="prompt", notice_s=1800))
    assert restart_when_due(device.journal, order, machine)
    assert machine.told == [5, 30]


def test_a_restart_is_dropped_with_its_order_or_its_script(device: Device) -> None:
    machine = FakeMachine(used=True)
    order = ran(device, machine, Terms(reboot="idle"))
    assert not restart_when_due(device.journal, order, machine)
    machine.used = False
    assert not restart_when_due(device.journal, order, machine, is_revoked=True)
    assert device.journal.meta(RESTART_KEY) == ""
    order = ran(device, machine, Terms(reboot="idle"))
    device.at += 3 * DAY
    assert _look(device.journal)[2] == order.id
    assert not restart_when_due(device.journal, order, machine)
    assert (device.journal.meta(RESTART_KEY), machine.told) == ("", [])
    assert device.kinds.count("restart-dropped") == 2
    assert "restart-done" not in device.kinds


def test_where_nobody_can_tell_a_restart_is_looked_at_again(device: Device) -> None:
    machine = FakeMachine()
    order = ran(device, machine, Terms(reboot="prompt"))
    machine.required = None
    assert not restart_when_due(device.journal, order, machine)
    assert "restart-done" not in device.kinds
    assert _look(device.journal)[2] == ""
    device.at += timedelta(minutes=5)
    machine.required = True
    assert _look(device.journal)[2] == order.id
    assert restart_when_due(device.journal, order, machine)


def test_one_restart_serves_all_that_asked(device: Device) -> None:
    machine = FakeMachine()
    first = ran(device, machine, Terms(reboot="idle"))
    ran(device, machine, Terms(reboot="idle"))
    assert _look(device.journal)[2] == first.id
    assert not plan_restart(device.journal, first, machine)


def test_a_failed_order_restarts_nothing(device: Device) -> None:
    row = device.accept(make_order(Terms(reboot="idle")))
    device.journal.start_order(row.id, pid=1)
    device.journal.finish_order(row.id, state="failed", result=b"sealed")
    after_run(device.journal, row.id, FakeMachine())
    assert device.journal.meta(RESTART_KEY) is None


def test_what_waits_is_listed(device: Device) -> None:
    row = device.accept(make_order(Terms(defer_days=2)))
    shown = [deferring._row(device.journal, one) for one in deferring._waiting(device.journal)]
    assert shown[0]["order"] == row.id
    assert shown[0]["deferrable_until"] == format_instant(NOW + 2 * DAY)
