"""The console against the real relay: accounts, trust, operators, scripts, tickets, the audit."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farhand_protocol.identity import public_key_line
from farhand_protocol.keys import SeedSigner
from tests.support.stage import CommandFailed, ConsoleHome, Stage


class Desk:
    """A relay, its first admin, and two technicians on the roster."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.admin, self.tess = stage.settle()
        stage.start_relay()
        self.rob = stage.technician(self.admin, "rob")


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """One desk for this module's tests."""
    with Stage() as stage:
        yield Desk(stage)


@pytest.fixture
def fresh() -> Iterator[Stage]:
    """A relay of the test's own, for what breaks it; it does not run yet."""
    with Stage() as stage:
        yield stage


def new_script(desk: Desk, folder: Path, name: str, *, version: int = 1, risk: str = "R0") -> Path:
    """Write a script folder."""
    if not folder.exists():
        desk.tess.json("script", "new", str(folder), "--id", name)
    manifest = folder / "manifest.toml"
    text = manifest.read_text()
    text = text.replace("version = 1", f"version = {version}").replace('"R0"', f'"{risk}"')
    manifest.write_text(text)
    return folder


def states(console: ConsoleHome) -> dict[tuple[str, int], str]:
    return {(s["id"], s["version"]): s["state"] for s in console.json("script", "list")["items"]}


def test_login_makes_a_key_and_whoami_knows_it(desk: Desk) -> None:
    me = desk.tess.json("whoami")
    assert (me["account"], me["role"]) == ("tess", "technician")
    assert me["key"] == desk.tess.json("key", "show")["key"]
    assert (desk.tess.home / "operator.key").stat().st_mode & 0o777 == 0o600
    checks = {c["id"]: c["state"] for c in desk.tess.json("doctor")["items"]}
    assert checks == dict.fromkeys(("disk", "key", "relay", "clock", "trust"), "ok")


def test_a_signin_token_works_once(desk: Desk) -> None:
    added = desk.admin.json("account", "add", "once", "--role", "auditor")
    console = desk.stage.console("once")
    console.login(added["signin_token"])
    again = desk.stage.console("again")
    with pytest.raises(CommandFailed) as caught:
        again.login(added["signin_token"])
    assert caught.value.code == "sign-in-failed"
    assert not (again.home / "config.toml").exists()


def test_a_disabled_account_is_out_at_once(desk: Desk) -> None:
    added = desk.admin.json("account", "add", "eve", "--role", "technician")
    eve = desk.stage.console("eve")
    eve.login(added["signin_token"])
    eve.json("whoami")
    desk.admin.json("account", "disable", "eve")
    assert eve.refused("whoami") == "not-signed-in"
    listed = {a["name"]: a for a in desk.admin.json("account", "list")["items"]}
    assert listed["eve"]["disabled_at"]
    assert listed["tess"]["disabled_at"] is None


def test_a_password_signs_in_on_the_same_home(desk: Desk) -> None:
    desk.rob.run("account", "password", stdin=b"\nquite a long passphrase\n")
    before = (desk.rob.home / "operator.key").read_bytes()
    desk.rob.run("login", desk.stage.url, "--name", "rob", stdin=b"quite a long passphrase\n")
    assert desk.rob.json("whoami")["account"] == "rob"
    assert (desk.rob.home / "operator.key").read_bytes() == before


def test_only_admins_add_accounts_and_change_trust(desk: Desk) -> None:
    assert desk.tess.refused("account", "add", "x", "--role", "admin", expect=3) == "not-permitted"
    for words in (["trust", "refresh"], ["operator", "remove", "rob"], ["token", "create"]):
        assert desk.tess.refused(*words, expect=3) == "not-trust-admin"


def test_lists_go_on_where_a_page_ended(desk: Desk) -> None:
    names: list[str] = []
    cursor: list[str] = []
    while True:
        page = desk.admin.json("account", "list", "--limit", "1", *cursor)
        names += [a["name"] for a in page["items"]]
        if not page["next"]:
            break
        cursor = ["--cursor", page["next"]]
    assert {"admin", "tess", "rob"} <= set(names)
    assert len(names) == len(set(names))


# What only the relay can tell, and what its words must never speak of.
UNREADABLE: list[tuple[list[str], str]] = [
    (["account", "list", "--cursor", "nonsense"], "cursor-malformed"),
    (["account", "add", "two\nlines", "--role", "admin"], "account-name"),
    (["device", "list", "colour:blue"], "query-invalid"),
    (["device", "list", '"open'], "query-invalid"),
    (["ticket", "new", "--title", ""], "invalid"),
    (["ticket", "new", "--title", "x" * 5000], "invalid"),
    (["ticket", "list", "--state", "asleep"], "invalid"),
    (["session", "list", "--state", "asleep"], "invalid"),
    (["token", "create", "--uses", "99999"], "token-invalid"),
    (["token", "create", "--ttl", "31536000"], "token-invalid"),
    (["campaign", "create", "--script", "check.uptime", "--query", "colour:blue"], "query-invalid"),
]
LIBRARY_WORDS = re.compile(
    r"msgspec|Expected `|Object (?:missing|contains)|\$\.|pydantic|sqlalchemy|litestar|Traceback"
    r"|sqlite|asyncpg|validation error|Invalid (?:value|enum)|decode|<class",
    re.IGNORECASE,
)


def test_what_the_relay_cannot_read_is_a_usage_error_in_plain_words(desk: Desk) -> None:
    wrong = []
    for words, code in UNREADABLE:
        done = subprocess.run(
            desk.admin.words("--json", *words), env=desk.stage.env, capture_output=True, timeout=60
        )
        told = CommandFailed(words, done.returncode, "", done.stderr.decode())
        right = (told.status, told.code) == (2, code)
        if not right or LIBRARY_WORDS.search(told.stderr):
            wrong.append(told)
    assert not wrong


def test_trust_status_and_refresh(desk: Desk) -> None:
    before = desk.admin.json("trust", "status")
    assert before["approvals"]["R2"] == {"permission": "approve:change", "count": 2}
    assert before["scripts"] >= 10
    version = desk.admin.json("trust", "refresh")["targets_version"]
    assert version == before["targets_version"] + 1
    assert desk.tess.json("trust", "status")["targets_version"] >= version
    assert desk.admin.refused("trust", "init") == "trust-exists"


def test_the_rules_of_a_group(desk: Desk) -> None:
    words = ["trust", "policy", "servers", "--unattended", "--consent", "notify"]
    set_rules = desk.admin.json(*words, "--scope", "view,terminal")
    assert set_rules["unattended"] is True
    assert set_rules["scopes"] == ["view", "terminal"]
    assert desk.tess.json("trust", "policy", "servers") == set_rules
    assert desk.tess.json("trust", "policy", "office")["unattended"] is False


def test_a_ticket_from_new_to_reopened(desk: Desk) -> None:
    number = desk.tess.json("ticket", "new", "--title", "Käthe's printer", "--body", "a\nb")[
        "number"
    ]
    desk.tess.json("ticket", "reply", number, "hello")
    desk.tess.json("ticket", "note", number.removeprefix("FH-"), "only for us")
    desk.tess.json("ticket", "assign", number, "--owner", "rob")
    shown = desk.tess.json("ticket", "show", number)
    assert shown["owner"] == "rob"
    assert [m["kind"] for m in shown["messages"]][-2:] == ["reply", "note"]
    assert desk.tess.json("ticket", "resolve", number)["state"] == "resolved"
    assert desk.tess.json("ticket", "reopen", number)["state"] == "open"
    assert desk.tess.refused("ticket", "show", "FH-9999") == "not-found"
    assert desk.tess.refused("ticket", "show", "../accounts") == "not-found"


def test_a_requester_sees_the_own_ticket_without_notes_and_times(desk: Desk) -> None:
    added = desk.admin.json("account", "add", "ursula", "--role", "requester")
    ursula = desk.stage.console("ursula")
    ursula.login(added["signin_token"])
    number = ursula.json("ticket", "new", "--title", "My screen is dark")["number"]
    desk.tess.json("ticket", "note", number, "probably the cable")
    shown = ursula.json("ticket", "show", number)
    assert "cable" not in json.dumps(shown)
    other = desk.tess.json("ticket", "new", "--title", "Somebody else's")["number"]
    assert ursula.refused("ticket", "show", other) == "not-found"


def test_a_script_needs_somebody_elses_approval(desk: Desk, tmp_path: Path) -> None:
    folder = new_script(desk, tmp_path / "s", "check.lab.one")
    assert desk.tess.json("script", "lint", str(folder))["problems"] == []
    submitted = desk.tess.json("script", "submit", str(folder))
    assert desk.tess.refused("script", "approve", "check.lab.one", expect=3) == "own-script"
    assert desk.admin.refused("script", "publish", "check.lab.one", expect=3) == (
        "script-not-approved"
    )
    run = ["run", "check.lab.one", "--device", "nobody"]
    assert desk.tess.refused(*run, expect=3) == "script-not-approved"
    done = desk.rob.run("--json", "script", "approve", "check.lab.one")
    approved = json.loads(done.stdout)
    told = done.stderr.decode()
    body = (folder / "script.sh").read_text()
    assert submitted["digest"] in told, "there is no terminal: it says what it signs"
    assert body.strip() in told
    assert (approved["approvals"], approved["published"]) == (1, False)
    assert approved["digest"] == submitted["digest"]
    assert desk.rob.refused("script", "publish", "check.lab.one", expect=3) == "not-trust-admin"
    desk.admin.json("script", "publish", "check.lab.one")
    shown = desk.rob.json("script", "show", "check.lab.one")
    assert (shown["state"], shown["approvals"], shown["author"]) == ("published", ["rob"], "tess")
    assert states(desk.tess)["check.lab.one", 1] == "published"


def test_the_last_approver_who_may_publish_does(desk: Desk, tmp_path: Path) -> None:
    folder = new_script(desk, tmp_path / "s", "remedy.lab.two", risk="R2")
    desk.tess.json("script", "submit", str(folder))
    first = desk.rob.json("script", "approve", "remedy.lab.two")
    again = desk.rob.json("script", "approve", "remedy.lab.two")
    assert first["approvals"] == again["approvals"] == 1
    last = desk.admin.json("script", "approve", "remedy.lab.two")
    assert (last["approvals"], last["needed"], last["published"]) == (2, 2, True)
    assert desk.tess.json("script", "show", "remedy.lab.two")["approvals"] == ["admin", "rob"]


def test_an_edit_is_a_new_version_without_approvals(desk: Desk, tmp_path: Path) -> None:
    folder = new_script(desk, tmp_path / "s", "check.lab.three")
    desk.tess.json("script", "submit", str(folder))
    desk.admin.json("script", "approve", "check.lab.three")
    (folder / "script.sh").write_text("#!/bin/sh\nexit 1\n")
    assert desk.tess.refused("script", "submit", str(folder)) == "script-exists"
    new_script(desk, folder, "check.lab.three", version=2)
    desk.tess.json("script", "submit", str(folder))
    shown = desk.tess.json("script", "show", "check.lab.three")
    assert (shown["version"], shown["state"], shown["approvals"]) == (2, "submitted", [])
    assert states(desk.tess)["check.lab.three", 1] == "published"


def test_a_revoked_version_and_a_revoked_script_stay_out(desk: Desk, tmp_path: Path) -> None:
    folder = new_script(desk, tmp_path / "s", "check.lab.four")
    desk.tess.json("script", "submit", str(folder))
    desk.admin.json("script", "approve", "check.lab.four")
    desk.admin.json("script", "revoke", "check.lab.four", "--version", "1", "--reason", "bad")
    assert desk.tess.json("script", "show", "check.lab.four")["state"] == "revoked"
    assert desk.admin.refused("script", "publish", "check.lab.four", expect=3) == "script-revoked"
    desk.admin.json("script", "revoke", "check.lab.four", "--reason", "worse")
    new_script(desk, folder, "check.lab.four", version=2)
    desk.tess.json("script", "submit", str(folder))
    desk.rob.json("script", "approve", "check.lab.four")
    assert desk.admin.refused("script", "publish", "check.lab.four", expect=3) == "script-revoked"


def test_a_script_changed_in_the_relays_database_is_noticed(desk: Desk, tmp_path: Path) -> None:
    folder = new_script(desk, tmp_path / "s", "check.lab.five")
    desk.tess.json("script", "submit", str(folder))
    with sqlite3.connect(desk.stage.relay_home / "farhand.db", timeout=30) as database:
        database.execute("UPDATE scripts SET body = ? WHERE id = 'check.lab.five'", (b"evil",))
    database.close()
    assert desk.rob.refused("script", "approve", "check.lab.five") == "script-changed"


def test_a_shipped_script_beyond_reading_is_handed_in_and_approved(desk: Desk) -> None:
    desk.admin.json("script", "submit", "remedy.dns.flush")
    assert desk.rob.json("script", "approve", "remedy.dns.flush")["published"] is False
    desk.admin.json("script", "publish", "remedy.dns.flush")
    assert states(desk.tess)["remedy.dns.flush", 1] == "published"


def test_an_enrolment_token_is_composed_here_and_only_registered_there(desk: Desk) -> None:
    made = desk.admin.json("token", "create", "--group", "lab", "--uses", "3", "--ttl", "60")
    assert made["token"].startswith("fh1:")
    assert (made["group"], made["uses"]) == ("lab", 3)
    listed = [t for t in desk.admin.json("token", "list")["items"] if t["group"] == "lab"]
    assert listed[-1]["uses_left"] == 3
    assert made["token"] not in json.dumps(listed)
    assert desk.admin.refused("token", "create", "--group", "No Way", expect=2) == "usage"


def test_admins_come_and_go_with_their_keys(fresh: Stage) -> None:
    admin, _ = fresh.settle()
    fresh.start_relay()
    added = admin.json("account", "add", "ada", "--role", "admin")
    ada = fresh.console("ada")
    ada.login(added["signin_token"])
    key = fresh.folder / "ada.pub"
    key.write_text(ada.json("key", "show")["key"] + "\n")
    assert ada.refused("trust", "refresh", expect=3) == "not-trust-admin"
    admin.json("operator", "add", "ada", "--key", str(key), "--can", "admin,approve:read")
    ada.json("trust", "refresh")  # her key signs targets now; the next is signed by the other
    assert ada.refused("operator", "remove", "ada") == "last-admin"
    removed = ada.json("operator", "remove", "admin")
    assert len(removed["unapproved"]) >= 10  # nobody left has approved the library
    assert admin.refused("trust", "refresh", expect=3) == "not-trust-admin"
    assert {o["name"] for o in ada.json("operator", "list")["items"]} == {"ada", "tess"}
    assert ada.json("script", "approve", "check.uptime")["published"] is True
    assert ada.refused("operator", "remove", "ada") == "last-admin"
    ada.json("trust", "refresh")


def test_a_roster_that_devices_would_refuse_is_never_signed(desk: Desk) -> None:
    key = desk.stage.folder / "tess.pub"
    before = desk.admin.json("trust", "status")["targets_version"]
    words = ["operator", "add", "mallory", "--key", str(key)]
    assert desk.admin.refused(*words) == "key-taken"
    fresh_key = desk.stage.folder / "once.pub"
    fresh_key.write_text(public_key_line(SeedSigner(bytes(range(32))).public_key) + "\n")
    for name in ("farhand", "x" * 65, "a\nb"):
        words = ["operator", "add", name, "--key", str(fresh_key)]
        assert desk.admin.refused(*words, expect=2) == "usage"
    words = ["operator", "add", "once", "--key", str(fresh_key), "--can", "everything"]
    assert desk.admin.refused(*words, expect=2) == "permission-unknown"
    assert desk.admin.json("trust", "status")["targets_version"] == before


def test_two_consoles_of_one_home_change_trust_at_once(desk: Desk) -> None:
    before = desk.admin.json("trust", "status")["targets_version"]
    both = [desk.admin.start("trust", "refresh") for _ in range(2)]
    versions = sorted(process.next_json()["targets_version"] for process in both)
    assert [process.popen.wait(60) for process in both] == [0, 0]
    assert versions == [before + 1, before + 2]


def test_the_audit_is_whole_and_its_export_too(desk: Desk, tmp_path: Path) -> None:
    verified = desk.admin.json("audit", "verify")
    assert verified["valid"]
    out = tmp_path / "audit.jsonl"
    told = desk.admin.json("audit", "export", "--out", str(out))
    lines = out.read_bytes().splitlines()
    assert told["records"] == len(lines) >= verified["records"]
    items = desk.admin.json("audit", "export")["items"]
    assert [one["seq"] for one in items] == list(range(1, len(items) + 1))
    assert items[: len(lines)] == [json.loads(line) for line in lines]
    assert desk.tess.refused("audit", "verify", expect=3) == "not-permitted"


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", "audit-broken"),
        ("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", "audit-cut"),
        ("DELETE FROM audit WHERE seq = 2", "audit-broken"),
    ],
)
def test_an_audit_that_was_tampered_with(fresh: Stage, lie: str, code: str, tmp_path: Path) -> None:
    admin, _ = fresh.settle(library=False)
    fresh.start_relay()
    admin.json("audit", "verify")
    assert fresh.relay is not None
    fresh.relay.end()
    with sqlite3.connect(fresh.relay_home / "farhand.db") as database:
        assert database.execute(lie).rowcount == 1
    database.close()
    fresh.start_relay()
    assert admin.refused("audit", "verify") == code
    out = tmp_path / "audit.jsonl"
    assert admin.refused("audit", "export", "--out", str(out)) == code
    assert not out.exists()
