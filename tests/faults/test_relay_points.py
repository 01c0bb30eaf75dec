"""kill -9 of the relay at each of its own write points; nothing it accepted is lost or doubled.

The points are those of tests/support/faults/site/relay_points.py: the statement that makes a
transaction matter.  The relay ends itself there by SIGKILL, either just before COMMIT (nothing of
it may be there afterwards) or just after it (all of it must be there, though nobody was answered).
Then it is started on what is on its disk; devices send again by themselves, and a console does what
a person does: it sends again under the same Idempotency-Key, and asks where the answer is unknown.

Each point is struck on SQLite and on PostgreSQL, before COMMIT on one and after it on the other.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import FINAL_STATES
from farhand_server.store.schema import (
    accounts,
    audit,
    devices,
    enrolment_tokens,
    sections,
    sessions,
    ticket_messages,
    tickets,
    time_entries,
)
from tests.support.faults.environment import Moment, arm, fault_environment
from tests.support.faults.house import FaultHouse, fault_house
from tests.support.faults.site.relay_points import RELAY_POINTS
from tests.support.stage import CommandFailed

pytestmark = pytest.mark.slow

STORES = ("sqlite", "postgresql")
WAIT_S = 60.0
# When each point strikes, on one store and on the other.
TURNS: tuple[tuple[Moment, Moment], ...] = (("inside", "after"), ("after", "inside"))


@dataclass
class Strike:
    """A house whose relay dies once, at one point."""

    house: FaultHouse
    kill: Path
    point: str
    moment: Moment

    @property
    def is_stored(self) -> bool:
        """Tell whether what the point writes was committed."""
        return self.moment == "after"

    def arm(self) -> None:
        """Let the relay die at the point the next time it gets there."""
        arm(self.kill, self.point, self.moment, "farhand_server")

    def fell(self) -> None:
        """Wait for the relay's death, and start it again."""
        relay = self.house.stage.relay
        assert relay is not None
        assert relay.popen.wait(WAIT_S) == -signal.SIGKILL
        relay.end()
        assert not self.kill.exists()
        assert not any("Traceback" in line for line in relay.stderr_lines)
        self.house.stage.start_relay()

    def during(self, act: Callable[[], Any]) -> Any:
        """Die while `act` is done."""
        self.arm()
        outcome = act()
        self.fell()
        return outcome

    def again(self, send: Callable[[str], httpx.Response | None]) -> httpx.Response | None:
        """Send under a key, die, send again under it; returns the second answer.

        The relay may say that it cannot know what became of the first; nothing else is allowed
        besides the answer itself.
        """
        key = secrets.token_hex(16)
        self.during(lambda: send(key))
        answer = send(key)
        assert answer is not None
        if answer.status_code != 201:
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-lost")
            return None
        return answer


def until(true: Callable[[], bool]) -> None:
    """Wait for something that the relay or a device does by itself."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)  # other processes do it; there is nothing to wait on


def online(house: FaultHouse) -> None:
    """Wait until the device's link is back."""
    until(lambda: bool(house.http.get(f"/devices/{house.agent.device}").json()["online"]))


def an_order(strike: Strike) -> None:
    """An order runs once and ends once, whoever of relay and console did not hear the other."""
    house = strike.house
    online(house)
    order, sealed = house.sign()
    strike.again(lambda key: house.order(sealed, key=key))
    if house.http.get(f"/orders/{order}").status_code == 404:
        # Nothing of it was stored, so it is given again, as something new.
        assert not (strike.is_stored and strike.point.startswith("order"))
        answer = house.order(sealed)
        assert answer is not None
        assert answer.status_code == 201
    house.accepted.add(order)
    assert final(house, order) == "succeeded"


def final(house: FaultHouse, order: str) -> str:
    """Wait for an order's end."""
    state = ""
    deadline = time.monotonic() + WAIT_S
    while state not in FINAL_STATES:
        assert time.monotonic() < deadline, state
        state = house.http.get(f"/orders/{order}", params={"wait": 20}).json()["state"]
    return state


def a_ticket(strike: Strike) -> None:
    """A ticket with its first words is there once or not at all."""
    house = strike.house
    title = f"Printer {strike.moment}"
    strike.again(lambda key: house.post("/tickets", {"title": title, "body": "Jam"}, key=key))
    made = house.look(select(tickets).where(tickets.c.title == title))
    assert len(made) == int(strike.is_stored)
    for row in made:
        said = house.look(select(ticket_messages).where(ticket_messages.c.ticket == row["number"]))
        assert [one["body"] for one in said] == ["Jam"]
    recorded = house.look(select(audit.c.seq).where(audit.c.action == "ticket.create"))
    assert len(recorded) in (0, len(house.look(select(tickets))))


def a_message(strike: Strike) -> None:
    """A message stands on its ticket once or not at all."""
    house = strike.house
    made = house.post("/tickets", {"title": "Mouse"})
    assert made is not None
    path, words = f"/tickets/{made.json()['number']}/messages", f"squeaks {strike.moment}"
    strike.again(lambda key: house.post(path, {"kind": "reply", "body": words}, key=key))
    query = select(ticket_messages).where(ticket_messages.c.body == words)
    assert len(house.look(query)) == int(strike.is_stored)
    if not strike.is_stored:
        assert house.post(path, {"kind": "reply", "body": words}) is not None
        assert len(house.look(query)) == 1


def an_account(strike: Strike) -> None:
    """An act and its record are both there or neither."""
    house = strike.house
    name = f"ann-{strike.moment}"
    strike.during(lambda: house.post("/accounts", {"name": name, "role": "technician"}))
    count = int(strike.is_stored)
    assert len(house.look(select(accounts).where(accounts.c.name == name))) == count
    query = select(audit).where(audit.c.subject == name, audit.c.action == "account.add")
    assert len(house.look(query)) == count


def a_sign_in(strike: Strike) -> None:
    """A one-use token is spent or not; whoever lost the answer gets a new token."""
    house = strike.house
    name = f"bea-{strike.moment}"
    made = house.post("/accounts", {"name": name, "role": "technician"})
    assert made is not None
    words = {"token": made.json()["signin_token"]}
    assert strike.during(lambda: house.post("/sign-in", words)) is None
    again = house.post("/sign-in", words)
    assert again is not None
    assert again.status_code == (401 if strike.is_stored else 200)
    if strike.is_stored:
        new = house.post(f"/accounts/{name}/signin", {})
        assert new is not None
        answer = house.post("/sign-in", {"token": new.json()["signin_token"]})
        assert answer is not None
        assert answer.status_code == 200


def an_enrolment(strike: Strike) -> None:
    """A token of one use enrols one device, in one command, though the first answer was lost."""
    house = strike.house
    token = house.admin.json("token", "create")["token"]
    agent = house.stage.agent(f"new-{strike.point}-{strike.moment}")
    strike.arm()
    enrolling = house.stage.start(agent.words("enrol", token, "--name", agent.name, "--json"))
    strike.fell()
    agent.device = str(enrolling.next_json()["device"])
    assert enrolling.popen.wait(WAIT_S) == 0
    rows = house.look(select(devices).where(devices.c.name == agent.name))
    assert [one["id"] for one in rows] == [agent.device]
    uses = house.look(
        select(enrolment_tokens.c.uses_left).where(enrolment_tokens.c.id == rows[0]["token"])
    )
    assert [one["uses_left"] for one in uses] == [0]


def an_inventory(strike: Strike) -> None:
    """A device's sections arrive whole, though the relay took or lost them unheard."""
    house = strike.house
    agent = house.stage.agent(f"sections-{strike.moment}")
    agent.enrol(house.admin.json("token", "create")["token"])
    strike.arm()
    agent.process = house.stage.start(agent.words("run"))
    strike.fell()
    query = select(sections.c.name, sections.c.hash).where(sections.c.device == agent.device)

    def both_agree() -> bool:
        journal = house.journal(agent)
        try:
            told = dict(journal.section_hashes())
        finally:
            journal.close()
        return bool(told) and {one["name"]: one["hash"] for one in house.look(query)} == told

    until(both_agree)
    assert agent.process.end() == 0


def newest_session(house: FaultHouse) -> Any:
    """Return the row of the session that was opened last."""
    rows = house.look(select(sessions).order_by(sessions.c.created_at.desc(), sessions.c.id))
    return rows[0] if rows else None


def all_over(house: FaultHouse, session: str) -> None:
    """Wait until relay and device both call a session over, and nothing is left to be reported."""

    def over() -> bool:
        journal = house.journal()
        try:
            waiting = journal.live_sessions() or journal.outbox()
        finally:
            journal.close()
        row = next(iter(house.look(select(sessions).where(sessions.c.id == session))))
        return not waiting and row["state"] in ("ended", "refused")

    until(over)


def a_session_begun(strike: Strike) -> None:
    """A session whose beginning was cut off is opened anew, and the first one is over."""
    house = strike.house
    online(house)
    before = {one["id"] for one in house.look(select(sessions.c.id))}

    def open_one() -> None:
        with pytest.raises(FarhandError) as caught:
            house.open_session()
        assert caught.value.code in ("relay-lost", "relay-unreachable")

    strike.during(open_one)
    online(house)
    left = [one["id"] for one in house.look(select(sessions.c.id)) if one["id"] not in before]
    # The device keeps a session that it granted; what it never heard of is only a row.
    is_granted = strike.point == "session-active"
    assert len(left) == int(is_granted or strike.is_stored)
    if is_granted:
        until(lambda: newest_session(house)["state"] == "active")
    record = house.open_session()
    for session in (*left, record.session):
        ended = house.post(f"/sessions/{session}/end", {"note": "over"})
        assert ended is not None
        assert ended.status_code == 200
    for session in (*left, record.session):
        all_over(house, session)


def a_session_ended_there(strike: Strike) -> None:
    """The device's word about the end counts once, however often it had to say it."""
    house = strike.house
    online(house)
    record = house.open_session()
    strike.during(lambda: house.agent.run("stop"))
    all_over(house, record.session)
    row = newest_session(house)
    assert (row["id"], row["state"]) == (record.session, "ended")
    charged = house.look(select(time_entries).where(time_entries.c.session == record.session))
    assert len(charged) == 1


def a_session_ended_here(strike: Strike) -> None:
    """The closing note, the receipt and the time are stored once, by a command given twice."""
    house = strike.house
    online(house)
    record = house.open_session()
    words = ("session", "end", record.session, "--note", "cleared the queue")
    strike.arm()
    ending = house.admin.start(*words)
    strike.fell()
    ending.popen.wait(WAIT_S)
    # The command may have lost its answer; then it is given again.
    shown = house.admin.json(*words) if ending.popen.poll() else ending.next_json()
    assert shown["session"] == record.session
    all_over(house, record.session)
    row = newest_session(house)
    assert (row["id"], row["note"]) == (record.session, "cleared the queue")
    assert row["receipt_sha256"] == shown["receipt"] is not None
    charged = house.look(select(time_entries).where(time_entries.c.session == record.session))
    assert [one["note"] for one in charged] == ["cleared the queue"]


DEEDS: dict[str, Callable[[Strike], None]] = {
    "answer-claimed": an_order,
    "answer-kept": an_order,
    "audit-appended": an_account,
    "device-enrolled": an_enrolment,
    "message-appended": a_message,
    "order-accepted": an_order,
    "order-advanced": an_order,
    "receipt-stored": a_session_ended_here,
    "result-stored": an_order,
    "section-stored": an_inventory,
    "session-active": a_session_begun,
    "session-ended": a_session_ended_there,
    "session-opened": a_session_begun,
    "signin-used": a_sign_in,
    "ticket-made": a_ticket,
    "time-recorded": a_session_ended_here,
    "token-used": an_enrolment,
}


def moment_of(point: str, store: str) -> Moment:
    """Return when a point strikes on a store: before COMMIT on one and after it on the other."""
    return TURNS[list(DEEDS).index(point) % 2][STORES.index(store)]


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that names where to die."""
    return tmp_path_factory.mktemp("armed") / "kill"


@pytest.fixture(scope="module", params=STORES)
def house(
    request: pytest.FixtureRequest, armed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultHouse]:
    """One house on each store."""
    database = None
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres_server").create_database()
    place = tmp_path_factory.mktemp(request.param)
    env = fault_environment(kill=armed)
    with fault_house(place, database=database, env=env) as house:
        yield house


@pytest.mark.parametrize("point", DEEDS)
def test_nothing_is_lost_or_doubled_where_the_relay_is_killed_at(
    house: FaultHouse, armed: Path, point: str
) -> None:
    strike = Strike(house, armed, point, moment_of(point, house.store))
    try:
        DEEDS[point](strike)
    except CommandFailed as error:
        pytest.fail(str(error))
    finally:
        armed.unlink(missing_ok=True)
    house.check()


def test_every_point_of_the_relay_is_struck() -> None:
    """A new point needs its deed, and each is struck before COMMIT and after it."""
    assert DEEDS.keys() == RELAY_POINTS.keys()
    for point in RELAY_POINTS:
        assert {moment_of(point, store) for store in STORES} == {"inside", "after"}
