"""The pure parts: causes, the order table, since when. No database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import FINAL_STATES, ORDER_STATES, OrderState
from farhand_server.fleet.causes import MAX_CAUSE_CHARS, normalise, normalise_code
from farhand_server.fleet.order_states import OUTCOMES, may_follow
from farhand_server.fleet.since import parse_since


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("No space left on /var/lib/a", "No space left on /home/b"),
        ("host 10.1.2.3:8080 refused", "host 192.168.0.7:22 refused"),
        ("cannot resolve mail.example.com", "cannot resolve ntp.pool.example.org"),
        ("job 17 took 3.5 s", "job 2 took 12.25 s"),
        ("hash 9f86d081884c7d65 is wrong", "hash 60303ae22b998861 is wrong"),
        (
            "id 3fa85f64-5717-4562-b3fc-2c963f66afa6 gone",
            "id 11111111-2222-3333-4444-555555555555 gone",
        ),
        ("at 2026-11-22T10:00:00Z: late", "at 2025-01-02T03:04:05Z: late"),
        ("see https://a.example/x?y=1 for help", "see http://b.example for help"),
        ("address 0x7ffee3 faulted", "address 0x1 faulted"),
        ("peer fe80::1 is away", "peer 2001:db8::8a2e:370:7334 is away"),
        ("C:\\Windows\\a.dll is locked", "D:\\x\\b.dll is locked"),
    ],
)
def test_what_differs_between_machines_is_put_aside(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_different_troubles_stay_apart() -> None:
    lines = ["no space left", "permission denied", "unit sshd.service failed", "exit status 3"]
    assert len({normalise(line) for line in lines}) == len(lines)


@given(st.text(max_size=3_000))
def test_a_cause_is_bounded_printable_and_stable(text: str) -> None:
    once = normalise(text)
    assert len(once) <= MAX_CAUSE_CHARS
    assert once.isprintable()
    assert normalise_code(text).isprintable()


@pytest.mark.parametrize(
    "text", ["1" * 9_000, "a." * 5_000, "/" * 9_000, ":" * 9_000, "0x" * 5_000]
)
def test_hostile_text_is_cut_before_it_is_matched(text: str) -> None:
    assert len(normalise(text)) <= MAX_CAUSE_CHARS


def test_nothing_follows_a_signed_outcome() -> None:
    for before in ORDER_STATES:
        for after in ORDER_STATES:
            for by_device in (True, False):
                assert not may_follow(before, after, by_device=by_device, has_result=True)


def test_the_order_table() -> None:
    states: tuple[OrderState, ...] = get_args(OrderState)
    for before in states:
        relay = {s for s in states if may_follow(before, s, by_device=False, has_result=False)}
        device = {s for s in states if may_follow(before, s, by_device=True, has_result=False)}
        spoken = relay & {"accepted", "running", "succeeded", "failed", "refused", "timeout"}
        # What no order was signed for, the console refuses; else nobody speaks for a device.
        assert spoken == ({"refused"} if before == "planned" else set())
        if before in FINAL_STATES:
            assert not relay
        if before in OUTCOMES - {"cancelled", "expired"}:
            assert not device
        if before == "planned":
            assert not device, "nobody can answer what was never signed"
        assert "gone" not in device
        assert "planned" not in relay | device


def test_since() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert parse_since("7d", now) == now - timedelta(days=7)
    assert parse_since("90m", now) == now - timedelta(minutes=90)
    assert parse_since("yesterday", now) == datetime(2026, 11, 21, tzinfo=UTC)
    assert parse_since("2026-11-01", now) == datetime(2026, 11, 1, tzinfo=UTC)
    assert parse_since("2026-11-01T08:00:00+02:00", now) == datetime(2026, 11, 1, 6, tzinfo=UTC)
    for wrong in (
        "",
        "7",
        "d7",
        "-7d",
        "tomorrow",
        "2026-13-01",
        "99999d",
        "0001-01-01T00:00:00+14:00",
    ):
        with pytest.raises(FarhandError, match="since-invalid"):
            parse_since(wrong, now)
