"""A session without a person that somebody else must approve: two consoles, one real device."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.stage import ConsoleHome, Stage


class Vault:
    """A device that lets a technician in only with another's approval."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.admin, self.tess = stage.settle(library=False)
        stage.start_relay()
        self.otto = stage.technician(self.admin, "otto", "--can", "approve:session")
        rules = ("--unattended", "--consent", "notify", "--approvals", "1")
        self.admin.json("trust", "policy", "vault", *rules)
        self.device = stage.agent("safe")
        self.device.enrol(self.admin.json("token", "create", "--group", "vault")["token"])
        self.device.start()

    def waiting(self, who: ConsoleHome) -> list[str]:
        """Return the sessions that wait, as one console sees them."""
        return [one["session"] for one in who.json("session", "waiting")["items"]]


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    with Stage() as stage:
        yield Vault(stage)


def test_it_opens_once_another_operator_has_approved(vault: Vault) -> None:
    opening = vault.tess.start("session", "open", "--device", "safe", "--json")
    line = opening.wait_line("waiting for 1 to approve")
    session = line.split()[-1]
    assert vault.waiting(vault.otto) == [session]
    assert vault.tess.refused("session", "approve", session, "--yes", expect=3) == "not-permitted"
    assert vault.admin.refused("session", "approve", session, expect=2) == "usage"
    read = vault.otto.json("session", "approve", session, "--show")
    said = dict(read["shown"])
    assert "terminal (type commands there), files" in said["scopes"]
    assert (said["minutes"], said["joins"], said["digest"]) == ("30", "-", read["digest"])
    assert said["who"].startswith("tess of ")
    assert said["device"].startswith("safe (")
    approve = ("session", "approve", session, "--yes", "--digest")
    assert vault.otto.refused(*approve, "0" * 64, expect=3) == "grant-mismatch"
    assert vault.waiting(vault.otto) == [session], "looking at it and refusing it signs nothing"
    shown = vault.otto.run(*approve, read["digest"], "--json").stderr.decode()
    assert "tess of " in shown
    assert "safe (" in shown
    opened = opening.next_json()
    assert opened["session"] == session
    assert vault.tess.run("exec", session, "--", "echo in").stdout == b"in\n"
    vault.tess.run("session", "end", session, "--note", "done")
    receipt = vault.tess.home / "receipts" / f"{session}.json"
    verified = vault.tess.json("receipt", "verify", str(receipt))
    assert verified["session"] == session
    assert vault.waiting(vault.otto) == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_opener_who_goes_withdraws(vault: Vault, number: signal.Signals, status: int) -> None:
    opening = vault.tess.start("session", "open", "--device", "safe", "--json")
    session = opening.wait_line("waiting for 1 to approve").split()[-1]
    assert opening.end(number) == status
    assert vault.waiting(vault.otto) == []
    assert vault.otto.refused("session", "approve", session, "--yes") == "session-state"


def test_outside_its_hours_a_device_opens_nothing(vault: Vault) -> None:
    other_day = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    hours = ("--approvals", "0", "--hours", f"{other_day} 10:00-11:00")
    vault.admin.json("trust", "policy", "vault", *hours)
    refused = vault.tess.refused("session", "open", "--device", "safe", expect=3)
    assert refused == "session-hours"
    vault.admin.json("trust", "policy", "vault", "--hours", "", "--tier-min", "2")
    assert vault.tess.refused("session", "open", "--device", "safe", expect=3) == "session-tier"
