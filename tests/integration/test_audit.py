"""Heads of the audit and of a device's log, through real processes: what was cut off shows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stage import Stage

pytestmark = pytest.mark.slow


def test_cut_tails_show_to_whoever_kept_a_head(tmp_path: Path) -> None:
    sent = tmp_path / "sent-heads"
    with Stage() as stage:
        stage.init_relay()
        relay = stage.start_relay("--audit-heads", f"file:{sent}")
        admin = stage.first_admin(library=False)
        technician = stage.technician(admin, "tess")
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create", "--group", "office")["token"])
        resident = agent.start()

        # A session leaves its receipt, with the mark of the log, on both sides.
        helper = agent.code("--yes")
        opened = technician.json("session", "open", "--code", helper.next_json()["code"])
        technician.json("session", "end", opened["session"])
        while helper.next_json()["event"] != "end":
            pass
        resident.end()
        resident = agent.start()
        log = tmp_path / "log"
        log.write_bytes(agent.run("log", "--export").stdout)
        words = ("audit", "verify", "--device", "alpha")
        checked = technician.json(*words, "--log", str(log))
        assert (checked["device"], checked["receipts"]) == (agent.device, 1)
        assert checked["heads"] >= 2
        assert checked["records"] == len(log.read_bytes().splitlines())

        # The device's owner cuts the end off his log.
        resident.end()
        with closing(sqlite3.connect(agent.home / "journal.db")) as journal, journal:
            journal.execute("DELETE FROM log WHERE seq > 2")
        assert agent.refused("log", "--verify") == "audit-cut"
        short = tmp_path / "short"
        short.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
        assert technician.refused(*words, "--log", str(short)) == "audit-cut"
        agent.start()
        assert technician.refused(*words) == "audit-cut"
        assert admin.json("audit", "verify")["valid"]

        # The relay's owner cuts the end off his audit; a new console has kept no head.
        relay.end()
        with closing(sqlite3.connect(stage.relay_home / "farhand.db")) as database, database:
            database.execute("DELETE FROM audit WHERE seq > (SELECT max(seq) - 4 FROM audit)")
        stage.start_relay()
        other = stage.console("other")
        other.login(stage.server("signin", "admin").stdout.decode().strip())
        assert other.json("audit", "verify")["valid"]
        kept = tmp_path / "kept-heads"
        kept.write_bytes(agent.run("log", "--heads").stdout)
        for heads in (sent, kept):
            refusal = other.refused("audit", "verify", "--heads", str(heads))
            assert refusal in ("audit-cut", "audit-rewritten", "audit-forked")
