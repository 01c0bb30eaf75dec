"""Holidays out of .ics files, and whether a calendar is open now."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_server.desk.calendars import (
    ALWAYS,
    Calendar,
    SpecialDay,
    is_open,
    next_closing,
    next_opening,
)
from farhand_server.desk.holidays import MAX_ICS_BYTES, merge_holidays, read_holidays
from tests.server.relays import SignIn

OFFICE = Calendar(zone="UTC", week=(((540, 720), (720, 1020)),) * 5 + ((), ()))


def ics(*events: str) -> bytes:
    body = "\r\n".join(f"BEGIN:VEVENT\r\n{one}\r\nEND:VEVENT" for one in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{body}\r\nEND:VCALENDAR\r\n".encode()


FEED = ics(
    "SUMMARY:Christmas\r\nDTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227",
    "SUMMARY:New Year\r\nDTSTART;VALUE=DATE:20200101\r\nRRULE:FREQ=YEARLY",
    "SUMMARY:Old day\r\nDTSTART;VALUE=DATE:20240501",
    "SUMMARY:Meeting\r\nDTSTART:20261224T090000Z\r\nDTEND:20261224T100000Z",
    "SUMMARY:Every week\r\nDTSTART;VALUE=DATE:20261201\r\nRRULE:FREQ=WEEKLY",
    "SUMMARY:Fourth Thursday\r\nDTSTART;VALUE=DATE:20261126\r\n"
    "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
    "SUMMARY:Lent\r\nDTSTART;VALUE=DATE:20270210\r\nDTEND;VALUE=DATE:20270328",
    "SUMMARY:Gone\r\nDTSTART;VALUE=DATE:20261208\r\nSTATUS:CANCELLED",
    "SUMMARY:\x1b[2J\u202eevil\r\nDTSTART;VALUE=DATE:20261201",
)


def test_days_are_explicit_and_what_is_not_understood_is_listed() -> None:
    found = read_holidays(FEED, first_year=2026, years=2)
    assert [(one.day, one.name) for one in found.days] == [
        ("2026-01-01", "New Year"),
        ("2026-12-01", "[2J evil"),
        ("2026-12-25", "Christmas"),
        ("2026-12-26", "Christmas"),
        ("2027-01-01", "New Year"),
    ]
    assert all(not one.windows for one in found.days)
    named = [words.partition(":")[0] for words in found.left_out]
    assert named == ["Meeting", "Every week", "Fourth Thursday", "Lent", "Gone"]


def test_what_a_calendar_says_already_stays() -> None:
    short = SpecialDay(day="2026-12-25", name="Short day", windows=((540, 600),))
    calendar = Calendar(zone="UTC", week=OFFICE.week, days=(short,))
    merged = merge_holidays(calendar, read_holidays(FEED, first_year=2026, years=1))
    assert [one.name for one in merged.days] == ["New Year", "[2J evil", "Short day", "Christmas"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff\xfe\x00",
        b"x" * (MAX_ICS_BYTES + 1),
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\n",
        ics(*["SUMMARY:x\r\nDTSTART;VALUE=DATE:20261201"] * 5001),
    ],
)
def test_what_is_no_calendar_is_refused(data: bytes) -> None:
    with pytest.raises(FarhandError) as caught:
        read_holidays(data, first_year=2026)
    assert caught.value.code == "holidays-malformed"


_words = st.sampled_from(
    ["BEGIN:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "END:VCALENDAR", "SUMMARY:x",
     "DTSTART;VALUE=DATE:20261201", "DTSTART:20261201", "DTSTART;VALUE=DATE:99999999",
     "DTEND;VALUE=DATE:20261101", "RRULE:FREQ=YEARLY;INTERVAL=0", "RRULE:FREQ=YEARLY;COUNT=2",
     "RRULE:X", "DTSTART;VALUE=DATE:20240229", "DTSTART:", "STATUS:", "RDATE:20261201", ":", ";"],
)  # fmt: skip


@given(st.lists(st.one_of(_words, st.text(max_size=20)), max_size=30))
def test_no_file_does_worse_than_be_refused(lines: list[str]) -> None:
    data = "\r\n".join(["BEGIN:VCALENDAR", *lines, "END:VCALENDAR"]).encode("utf-8", "ignore")
    days = []
    # Any other error than this one fails the test.
    with contextlib.suppress(FarhandError):
        days = read_holidays(data, first_year=2026).days
    assert all(one.day[:4] in ("2026", "2027") for one in days)


def test_open_until_and_closed_until() -> None:
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    at_noon = monday + timedelta(hours=12)
    # Windows that meet are one.
    assert next_closing(OFFICE, at_noon) == monday + timedelta(hours=17)
    assert next_closing(OFFICE, monday) == monday
    assert next_opening(OFFICE, monday) == monday + timedelta(hours=9)
    assert next_closing(ALWAYS, monday) is None
    never = Calendar(zone="UTC", week=((),) * 7)
    assert next_closing(never, monday) == monday


@given(st.integers(0, 60 * 24 * 30))
def test_it_is_open_until_it_closes(minutes: int) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    closes = next_closing(OFFICE, at)
    assert closes is not None
    assert is_open(OFFICE, at) == (closes > at)
    assert not is_open(OFFICE, closes)


async def test_holidays_are_shown_before_they_are_taken(
    web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")
    week = [[[540, 1020]]] * 5 + [[], []]
    await web.post("/api/v1/calendars/office", json={"zone": "UTC", "week": week}, headers=admin)
    body = {"ics": FEED.decode(), "first_year": 2026}
    path = "/api/v1/calendars/office/holidays"
    assert (await web.post(path, json=body, headers=ann)).status_code == 403
    shown = (await web.post(path, json=body, headers=admin)).json()
    assert (len(shown["new"]), shown["version"]) == (5, None)
    kept = (await web.get("/api/v1/calendars/office", headers=ann)).json()
    assert (kept["version"], kept["calendar"]["days"]) == (1, [])
    taken = (await web.post(path, json=body | {"take": True}, headers=admin)).json()
    assert taken["version"] == 2
    again = (await web.post(path, json=body | {"take": True}, headers=admin)).json()
    assert (again["new"], again["version"]) == ([], 2)
    wrong = await web.post(path, json=body | {"ics": "x"}, headers=admin)
    assert wrong.json()["code"] == "holidays-malformed"
    # It is a Sunday.
    now = (await web.get("/api/v1/calendars/office/now", headers=ann)).json()
    assert (now["open"], now["changes_at"]) == (False, "2026-11-23T09:00:00.000000Z")
    always = (await web.get("/api/v1/calendars/always/now", headers=ann)).json()
    assert (always["open"], always["changes_at"]) == (True, None)
    await web.post(
        "/api/v1/service-policies/gold",
        json={"calendar": "office", "policy": {"targets": {}}},
        headers=admin,
    )
    await web.post("/api/v1/queues/shop", json={"policy": "gold"}, headers=admin)
    queues = (await web.get("/api/v1/queues", headers=ann)).json()["items"]
    assert [(one["name"], one["calendar"], one["open"]) for one in queues] == [
        ("desk", "always", True),
        ("shop", "office", False),
    ]
