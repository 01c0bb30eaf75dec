"""The disk of the relay's home runs full, and has room again.

A real relay on a small tmpfs with a real agent.  What it cannot store it does not accept, and says
so under one stable code; nothing is half written, what is there can be read, and as soon as there
is room everything that was tried again arrives once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from farhand_protocol.orders import FINAL_STATES
from farhand_server.store.schema import audit, ticket_messages, tickets
from tests.support.faults.disk import fill, small_disk
from tests.support.faults.house import FaultHouse, fault_house

pytestmark = pytest.mark.slow

WAIT_S = 60.0
WORDS = "x" * 20_000
TRIES = 500


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Twenty-four MiB, of which a new relay takes a few."""
    with small_disk(tmp_path / "disk", size="24m") as disk:
        yield disk


@pytest.fixture
def house(disk: Path, tmp_path: Path) -> Iterator[FaultHouse]:
    """A house whose relay lives there; its bodies wait for a gate."""
    gate = tmp_path / "gate"
    work = f'while [ ! -e "{gate}" ]; do sleep 0.1; done'
    with fault_house(tmp_path, disk=disk, work=work) as house:
        yield house


def test_a_relay_whose_disk_is_full_refuses_and_recovers(
    house: FaultHouse, disk: Path, tmp_path: Path
) -> None:
    assert house.http.get(f"{house.stage.url}/healthz").status_code == 200
    order, sealed = house.sign()
    assert house.order(sealed) is not None
    deadline = time.monotonic() + WAIT_S
    while house.http.get(f"/orders/{order}").json()["state"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)  # the device does it; there is nothing to wait on

    ballast = fill(disk)
    stored, refusal = 0, None
    for number in range(TRIES):
        # The log of SQLite has a little room left, so the first ones may still fit.
        answer = house.post("/tickets", {"title": f"T{number}", "body": WORDS}, key=f"key-{number}")
        assert answer is not None
        if answer.status_code != 201:
            refusal = answer
            break
        stored += 1
        fill(disk)
    assert refusal is not None
    problem = refusal.json()
    assert (refusal.status_code, problem["code"]) == (507, "store-full")
    assert "nothing was written" in problem["detail"]
    assert refusal.headers["content-type"] == "application/problem+json"

    # It says so to who watches it, and to the command line, in the same words.
    health = house.http.get(f"{house.stage.url}/healthz")
    assert (health.status_code, health.json()) == (
        503,
        {"status": "failing", "store": "store-full", "bus": "ok"},
    )
    assert house.admin.refused("ticket", "new", "--title", "Paper", "--body", WORDS) == "store-full"

    # What is there can be read, and none of what was refused is.
    assert house.http.get(f"/orders/{order}").json()["state"] == "running"
    assert len(house.look(select(tickets.c.number))) == stored
    assert len(house.look(select(ticket_messages.c.seq))) == stored
    assert house.look(select(func.count()).select_from(audit))[0]["count_1"] > 0
    house.check()

    # A result that comes now is kept by its device, which brings it again.
    (tmp_path / "gate").touch()
    deadline = time.monotonic() + WAIT_S
    while not has_ended(house, order):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # as above
    ballast.unlink()
    assert final(house, order) == "succeeded"
    again = house.post("/tickets", {"title": f"T{stored}", "body": WORDS}, key=f"key-{stored}")
    assert again is not None
    # The key of a request that was refused for want of room is free for the same request.
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (201, None)
    assert house.http.get(f"{house.stage.url}/healthz").status_code == 200
    second, sealed = house.sign()
    assert house.order(sealed) is not None
    assert final(house, second) == "succeeded"
    house.check()
    assert house.stage.relay is not None
    assert house.stage.relay.end() == 0
    assert not any("Traceback" in line for line in house.stage.relay.stderr_lines)


def has_ended(house: FaultHouse, order: str) -> bool:
    """Tell whether the device has a final state of an order."""
    journal = house.journal()
    try:
        row = journal.order(order)
    finally:
        journal.close()
    return row is not None and row.state in FINAL_STATES


def final(house: FaultHouse, order: str) -> str:
    """Wait for the relay's final state of an order."""
    state = ""
    deadline = time.monotonic() + 2 * WAIT_S
    while state not in FINAL_STATES:
        assert time.monotonic() < deadline, state
        state = house.http.get(f"/orders/{order}", params={"wait": 20}).json()["state"]
    return state
