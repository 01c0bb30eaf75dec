"""`make demo`: the main job, for real, on one machine, told as it happens.

A relay, three device agents, an admin and a technician run as separate processes; every step below
is one of their own commands.  Without a terminal it ends after the walk; on a terminal everything
stays up until Ctrl-C.  It needs the runtime packages only.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import time
from pathlib import Path

from farhand_console.home import Home
from farhand_console.relay import connect_signed_in, segments
from tests.support.stage import AgentHome, CommandFailed, ConsoleHome, Stage

DEVICES = ("reception", "workshop", "accounts")
_STARTED = time.monotonic()


def tell(words: str) -> None:
    """Say what happens next, with the time since the start."""
    print(f"\n[{time.monotonic() - _STARTED:5.1f} s] {words}", flush=True)


def show(words: str) -> None:
    """Show one line of what came back."""
    print(f"          {words}", flush=True)


def check(holds: bool, words: str) -> None:
    """Stop the demo when something is not as it was told."""
    if not holds:
        raise AssertionError(words)
    show(f"ok: {words}")


def start_house(stage: Stage) -> tuple[ConsoleHome, ConsoleHome]:
    """Start the relay; an admin makes the trust root, a technician joins."""
    tell("A relay for the organisation 'Example Support' (SQLite, one process)")
    stage.init_relay()
    stage.start_relay()
    show(f"listening on {stage.url}")
    tell("The first admin signs in and makes the trust root on their own machine")
    admin = stage.first_admin()
    status = admin.json("trust", "status")
    show(f"root version {status['root_version']}, {status['scripts']} shipped scripts approved")
    show("the relay holds no key that could sign a script, an order or a session")
    tell("A technician joins: account, sign-in, key handed to the admin, roster")
    technician = stage.technician(admin, "tess")
    show(f"tess has the key {technician.json('key', 'show')['fingerprint']}")
    return admin, technician


def enrol_fleet(stage: Stage, admin: ConsoleHome) -> list[AgentHome]:
    """Enrol and start three agents."""
    tell("Three devices enrol with one token each and connect")
    agents = []
    for name in DEVICES:
        token = admin.json("token", "create", "--group", "office")["token"]
        agent = stage.agent(name)
        agent.enrol(token)
        agent.start()
        agents.append(agent)
        show(f"{name}: {agent.device}")
    listed = admin.json("device", "list")["items"]
    check(all(one["online"] for one in listed) and len(listed) == 3, "all three are online")
    check(all(one["confirmed"] for one in listed), "their keys are vouched for by the admin")
    return agents


def show_inventory(technician: ConsoleHome) -> None:
    """Wait for the first inventory and show a little of it."""
    tell("What is 'reception'? Its inventory, as the device reported it")
    deadline = time.monotonic() + 60
    sections: dict[str, dict[str, object]] = {}
    while time.monotonic() < deadline and "software" not in sections:
        sections = technician.json("device", "inventory", "reception")["sections"]
        time.sleep(0.5)
    for name in ("os", "cpu", "memory"):
        items = sections.get(name, {}).get("items") or [{}]
        assert isinstance(items, list)
        words = ", ".join(f"{k} {v}" for k, v in list(items[0].items())[:4])
        show(f"{name}: {words}")
    states = {name: section["status"] for name, section in sections.items()}
    show(", ".join(f"{name} {state}" for name, state in sorted(states.items())))
    check("software" in sections, f"{len(sections)} sections, each with an honest state")


def run_script(technician: ConsoleHome, ticket: str) -> None:
    """Run one approved script and show the device's signed answer."""
    tell("An approved script on 'reception', ordered and signed by tess")
    result = technician.json(
        "run", "check.disk.space", "--device", "reception", "--ticket", ticket, "--wait"
    )
    finding = json.loads(result["stdout"])
    show(f"{result['state']}, exit {result['exit_code']}: {finding['summary']}")
    check(result["signed"], "the result carries the device's signature")


def tamper(stage: Stage, admin: ConsoleHome, technician: ConsoleHome, workshop: AgentHome) -> None:
    """Play the relay's owner: change an approved script in the database."""
    tell("tess writes a script of her own; the admin reads and approves it")
    assert workshop.process is not None
    workshop.process.end()
    show("(workshop is switched off meanwhile)")
    folder = stage.folder / "hello"
    technician.json("script", "new", str(folder), "--id", "demo.hello")
    submitted = technician.json("script", "submit", str(folder))
    code = technician.refused("script", "approve", "demo.hello", "--yes", expect=3)
    show(f"tess approving it herself: refused ({code})")
    approved = admin.json("script", "approve", "demo.hello", "--yes")
    check(approved["published"], f"published, digest {submitted['digest'][:16]}")
    tell("Now the relay's owner turns hostile and edits that script in the database")
    marker = stage.folder / "owned"
    body = (folder / "script.sh").read_bytes()
    evil = f"#!/bin/sh\nid > {marker}\n".encode()
    edit_script(stage, body, evil)
    digest = hashlib.sha256(body).hexdigest()
    _, relay = connect_signed_in(Home(technician.home))
    served = relay.get_bytes(segments("trust", "targets", "scripts", f"{digest}.{digest}"))
    relay.close()
    check(served == evil, "the relay now serves the edited script under the signed name")
    workshop.start()
    done = technician.run("--json", "run", "demo.hello", "--device", "workshop", "--wait", expect=3)
    refusal = json.loads(done.stdout)["refusal"]
    kinds = [one["detail"].get("code") for one in workshop.json("log")["items"]]
    check("trust-mismatch" in kinds, "workshop: 'the relay sent a file that is not the signed one'")
    check(not marker.exists(), f"it ran nothing and refused the order ({refusal}), signed")
    edit_script(stage, evil, body)


def edit_script(stage: Stage, old: bytes, new: bytes) -> None:
    """Change a stored script as the relay's owner would: the relay is down meanwhile.

    A running relay keeps what it served in memory, and the other devices may have asked already.
    """
    assert stage.relay is not None
    stage.relay.end()
    database = sqlite3.connect(stage.relay_home / "farhand.db")
    with database:
        changed = database.execute(
            "update trust_targets set body = ? where body = ?", (new, old)
        ).rowcount
    database.close()
    assert changed == 1, "the script to edit is not in the database"
    stage.start_relay()


def forge(stage: Stage, workshop: AgentHome) -> None:
    """Play the relay's owner again: hand one device's order to another."""
    tell("It also hands the order that tess signed for 'reception' to 'workshop'")
    assert workshop.process is not None
    workshop.process.end()
    database = sqlite3.connect(stage.relay_home / "farhand.db")
    with database:
        database.execute(
            "update orders set device = ?, state = 'eligible', result = null"
            " where script = 'check.disk.space'",
            (workshop.device,),
        )
    database.close()
    workshop.start()
    deadline = time.monotonic() + 60
    refused: list[str] = []
    while time.monotonic() < deadline and not refused:
        log = workshop.json("log")["items"]
        refused = [
            one["detail"]["code"]
            for one in log
            if one["kind"] == "order-refused" and one["detail"]["code"].startswith("order-")
        ]
        time.sleep(0.2)
    check(refused == ["order-wrong-device"], f"workshop refused it ({refused}), and logged it")


def patch_check(technician: ConsoleHome) -> None:
    """Check patches over the whole fleet as a campaign."""
    tell("Which updates do all three devices lack? A campaign over the fleet")
    report = technician.json("patch", "check", "--query", "*")
    for row in report["devices"]:
        show(f"{row['name']}: {row['state']}, {row['updates']} updates, {row['security']} security")
    check(report["counts"] == {"succeeded": 3}, f"counts {report['counts']}, {report['state']}")


def session(technician: ConsoleHome, agent: AgentHome, ticket: str, folder: Path) -> Path:
    """One session by code, from the code to the receipt."""
    tell("The person at 'reception' presses Get help; a one-time code appears there")
    helper = agent.code("--yes")
    code = helper.next_json()["code"]
    show(f"code {code} (10 minutes, one guess; the relay knows only the first part)")
    opened = technician.json("session", "open", "--code", code, "--ticket", ticket)
    request = helper.next_json()
    show(f"the device asks: {request['operator']} of {request['organisation']}, {ticket}, ")
    show(f"  {', '.join(request['scopes'])}, {request['minutes']} minutes -> allowed (--yes)")
    check(request["words"] == opened["words"], f"both ends see: {' '.join(opened['words'])}")
    name = opened["session"]
    done = technician.run("exec", name, "--", "cat", "/etc/hostname")
    show(f"cat /etc/hostname -> {done.stdout.decode().strip()}")
    status = technician.run("exec", name, "--", "echo oops >&2; exit 3", expect=3)
    show(f"a failing command: exit 3, stderr {status.stderr.decode().strip()!r}")
    upload = folder / "fix.txt"
    upload.write_text("set paper tray to A4\n")
    landed = folder / "landed.txt"
    technician.run("cp", str(upload), f"{name}:{landed}")
    check(landed.read_text() == upload.read_text(), f"uploaded {upload.name}")
    back = folder / "hostname"
    technician.run("cp", f"{name}:/etc/hostname", str(back))
    check(back.read_bytes() == Path("/etc/hostname").read_bytes(), "read a file back")
    note = "Paper tray was set to Letter."
    ended = technician.json("session", "end", name, "--note", note)
    event = helper.next_json()
    while event["event"] != "end":
        event = helper.next_json()
    helper.end()
    check(ended["receipt"] is not None, f"ended after {ended['active_s']} s, receipt signed")
    return Path(event["receipt"])


def receipt(technician: ConsoleHome, path: Path, folder: Path) -> None:
    """Verify the end user's receipt, and show that a changed one fails."""
    tell("What the end user keeps: a receipt that anybody can check offline")
    told = technician.json("receipt", "verify", str(path))
    show(f"{told['operator']} of {told['organisation']} for {told['ticket']}: {told['note']}")
    check(not told["one_sided"], "signed by device and console")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    changed = folder / "changed.json"
    changed.write_bytes(bytes(data))
    code = technician.refused("receipt", "verify", str(changed))
    check(bool(code), f"with one bit changed it is refused ({code})")


def close_ticket(technician: ConsoleHome, ticket: str) -> None:
    """Resolve the ticket and show its time entry."""
    tell("The ticket is resolved; the session's time is on it")
    technician.json("ticket", "resolve", ticket, "--note", "Paper tray set to A4")
    shown = technician.json("ticket", "show", ticket)
    entries = shown["time_entries"]
    check(len(entries) == 1, f"{ticket} is {shown['state']}, {entries[0]['active_s']} s booked")
    verified = technician.stage.console("admin").json("audit", "verify")
    check(verified["valid"], f"the relay's audit chain holds, {verified['records']} records")


def walk(stage: Stage) -> None:
    """The whole walk."""
    admin, technician = start_house(stage)
    agents = enrol_fleet(stage, admin)
    tell("A ticket: the printer at reception does not print")
    made = technician.json(
        "ticket", "new", "--title", "Printer does not print", "--device", agents[0].device
    )
    ticket = made["number"]
    show(ticket)
    show_inventory(technician)
    run_script(technician, ticket)
    patch_check(technician)
    path = session(technician, agents[0], ticket, stage.folder)
    receipt(technician, path, stage.folder)
    close_ticket(technician, ticket)
    tamper(stage, admin, technician, agents[1])
    forge(stage, agents[1])
    tell("Done. Nothing above was faked; it all went through the relay as ciphertext or signed.")


def stay(stage: Stage) -> None:
    """Keep everything up on a terminal until Ctrl-C."""
    home = stage.folder / "console-tess"
    programs = Path(sys.executable).parent
    print(f"\nEverything stays up. Try, in another terminal:\n  export FARHAND_HOME={home}")
    for words in (
        "device list",
        "run check.memory.pressure --device accounts --wait",
        "ticket list",
    ):
        print(f"  {programs}/farhand {words}")
    print(f"  {programs}/farhand-agent code --home {stage.folder}/agent-reception")
    print(f"  {programs}/farhand shell reception     (after: session open --code CODE)")
    print("Ctrl-C ends it all.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("\nstopping")


def main() -> int:
    """Run the demo; 0 when every step was as told."""
    try:
        with Stage(whole_inventory=True) as stage:
            walk(stage)
            if sys.stdin.isatty() and sys.stdout.isatty():
                stay(stage)
    except (AssertionError, CommandFailed, OSError) as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
