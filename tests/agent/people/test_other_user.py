"""The agent as root, and people with user ids of their own at its door: for real, end to end."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from farhand_agent.config import Home
from farhand_agent.door import Door
from farhand_agent.journal import Journal
from tests.agent.people.other_user import browser, command, run, surroundings, why_not
from tests.support.stage import Stage

NOBODY, STRANGER = 65534, 65533

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "never"),
    pytest.mark.timeout(400),
]


def logged(home: Path, kind: str) -> list[dict[str, object]]:
    journal = Journal(Home.at(home).journal, read_only=True)
    try:
        records = journal.latest_log_records(200)
    finally:
        journal.close()
    return [json.loads(record.detail) for record in records if record.kind == kind]


def test_another_users_page_asks_her_and_says_that_it_was_she() -> None:
    """Her page, her yes and her Stop; a third user asks for help, and sees and does nothing."""
    with Stage() as stage, surroundings(NOBODY) as hers, surroundings(STRANGER) as theirs:
        admin, technician = stage.settle(library=False)
        stage.start_relay()
        agent = stage.agent("alpha")
        agent.enrol(str(admin.json("token", "create")["token"]))
        (agent.home / "policy.toml").write_text(f'people = ["{NOBODY}"]\n')
        agent.start()
        home = ("--home", str(agent.home))
        assert Door(Home.at(agent.home)).path.exists()

        done = run(STRANGER, "stop", *home, env=theirs)
        assert (done.returncode, "people-stranger" in done.stderr) == (3, True), done
        done = run(STRANGER, "help", "no", "light", *home, "--json", env=theirs)
        assert json.loads(done.stdout)["state"] == "waiting", done
        run(NOBODY, "help", "no sound", *home, env=hers)
        assert [one["uid"] for one in logged(agent.home, "help-asked")] == [STRANGER, NOBODY]

        words = command(NOBODY, "desktop", "--no-browser", "--no-bar", *home)
        page = stage.start(words, env=hers)
        url = page.wait_line("http://127.0.0.1:", stream="stdout")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url, timeout=60)  # root is not she either
        with subprocess.Popen(
            browser(NOBODY, url), env=hers, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as her:
            assert her.stdin is not None
            assert her.stdout is not None
            assert her.stdout.readline() == "home True\n"
            code = her.stdout.readline().removeprefix("code ").strip()
            opened = technician.json("session", "open", "--code", code)
            assert her.stdout.readline() == "open\n"
            session = str(opened["session"])
            assert technician.run("exec", session, "--", "id -u").stdout == b"0\n"
            her.stdin.write("stop\n")
            her.stdin.flush()
            assert her.stdout.readline() == "receipt nobody\n"
        assert her.returncode == 0
        assert page.end() == 0

        (answer,) = logged(agent.home, "consent-answered")
        assert (answer["user"], answer["answer"], answer["session"]) == ("nobody", "allow", session)
        assert "stop" in [one["what"] for one in logged(agent.home, "person-said")]
        listed = json.loads(run(NOBODY, "receipts", "--json", *home, env=hers).stdout)["items"]
        assert [one["session"] for one in listed] == [session]
