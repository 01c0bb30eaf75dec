"""What asks through the door waits for longer than the agent works, and says what is so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click.testing
import pytest

from farhand_agent import help_request
from farhand_agent.cli import cli
from farhand_agent.config import Home
from farhand_agent.desktop.sources import DoorSources
from farhand_agent.door import Door
from farhand_agent.help_request import ask_at_door, door_requests
from farhand_agent.journal import Journal
from farhand_agent.people import desk
from farhand_agent.wording import wording_in
from farhand_protocol.errors import FarhandError, RefusedError


class _Told(Door):
    """A door that answers at once, and keeps how long it would have been waited for."""

    def __init__(self, home: Home, who: dict[str, Any] | FarhandError) -> None:
        super().__init__(home)
        self.who = who
        self.waits: dict[str, float] = {}

    def ask(
        self,
        request: dict[str, Any],
        *,
        more: Iterable[dict[str, Any]] = (),
        timeout_s: float = 0.0,
    ) -> dict[str, Any]:
        do = str(request["do"])
        if do == "who":
            if isinstance(self.who, FarhandError):
                raise self.who
            return self.who
        self.waits[do] = timeout_s
        return {
            "request": "h-1",
            "facts": {"name": "alpha", "requests": []},
            "items": [],
            "stopped": ["s-theirs"],
        }

    async def call(self, request: dict[str, Any], *, timeout_s: float = 0.0) -> dict[str, Any]:
        return self.ask(request, timeout_s=timeout_s)


def test_nobody_gives_up_while_the_agent_still_works(tmp_path: Path) -> None:
    door = _Told(Home.at(tmp_path), {})

    async def look() -> None:
        sources = DoorSources(door)
        await sources.facts()
        await sources.receipts()
        await sources.receipt("s-1", wording_in("en"))

    ask_at_door(door, "no sound")
    asyncio.run(look())
    works_s = desk._PICTURE_S + desk._ERRAND_S
    assert set(door.waits) == {"help", "facts", "receipts", "receipt"}
    assert min(door.waits.values()) > works_s
    door.waits.clear()
    door_requests(door)
    assert door.waits["facts"] > works_s


def test_stop_ends_a_guests_session_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent is the system's; what she began with --url is in a home of her own."""
    own = Home.at(tmp_path / "own")
    own.make()
    journal = Journal(own.journal, create=True)
    journal.grant_session(
        "s-hers", grant=b"g", operator="bo", operator_key=b"k" * 32, organisation="Org",
        ticket="FH-1", scopes=["view"], expires="2030-01-01T00:00:00Z",
        pid=2**22 + 1, pid_started=1.0,
    )  # fmt: skip
    door = _Told(Home.at(tmp_path / "system"), {})
    monkeypatch.setattr("farhand_agent.cli.door_of", lambda _: door)
    monkeypatch.setattr("farhand_agent.cli.default_home", lambda: own.path)
    arguments = ["stop", "--home", str(tmp_path / "system"), "--json"]
    result = click.testing.CliRunner().invoke(cli, arguments)
    assert json.loads(result.output) == {"stopped": ["s-hers", "s-theirs"]}
    assert [row.state for row in journal.live_sessions()] == ["stopping"]
    journal.close()


@pytest.mark.parametrize(
    ("who", "is_told"),
    [
        ({"person": True}, True),
        ({"person": False}, False),
        (RefusedError("agent-silent", "the door is full"), False),
    ],
)
def test_only_who_may_list_is_told_to(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    who: dict[str, Any] | FarhandError,
    is_told: bool,
) -> None:
    door = _Told(Home.at(tmp_path), who)
    monkeypatch.setattr(help_request, "door_of", lambda _: door)
    arguments = ["help", "no sound", "--home", str(tmp_path)]
    result = click.testing.CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, "it is noted, whatever else there is to say"
    assert "Your request is noted" in result.output
    assert ("help --list" in result.output) is is_told
