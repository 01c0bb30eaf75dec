"""Give one local account a drawn password that has to be changed at the first login."""

import json
import pwd
import secrets
import subprocess
import sys
from pathlib import Path

from farhand_agent.checks.command import script_parameters
from farhand_agent.people.logins import logind_users
from farhand_agent.platforms.commands import FIXED_PATH, installed, run
from farhand_agent.platforms.screens import show_on_screens
from farhand_protocol.errors import FarhandError

LOCAL = "/etc/passwd"
SESSIONS = "/run/systemd/sessions"
FIRST_PERSON, LAST_PERSON = 1000, 60000  # as login.defs has them
# Without what is mistaken for one another when it is read out.
KINDS = ("abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789")
LENGTH, GROUP = 15, 5
given = script_parameters()
account, on_screen = given["account"], given.get("show") == "screen"


def end(words, *, changed=False):
    """End with words and without a password."""
    sys.stderr.write(f"{words}\n")
    sys.stdout.write(json.dumps({"changed": changed, "account": account}) + "\n")
    raise SystemExit(1)


def show(line):
    """Show a line to those who sit at the device; nobody who is logged in from elsewhere."""
    return show_on_screens(line, seated=logind_users(Path(SESSIONS)))


def draw():
    """Return a password in which every kind of symbol is."""
    while True:
        symbols = [secrets.choice("".join(KINDS)) for _ in range(LENGTH)]
        if all(any(one in kind for one in symbols) for kind in KINDS):
            parts = (symbols[at : at + GROUP] for at in range(0, LENGTH, GROUP))
            return "-".join(map("".join, parts))


if missing := [one for one in ("passwd", "chpasswd", "chage") if not installed(one)]:
    end(f"{', '.join(missing)} is not installed")
lines = [one.split(":") for one in Path(LOCAL).read_text("utf-8", "replace").splitlines()]
found = next((one for one in lines if one[0] == account and len(one) == 7), None)
if found is None:
    try:
        pwd.getpwnam(account)
    except KeyError:
        end("there is no such account")
    end("the account is a directory's; its password is set there")
if not (found[2].isdigit() and FIRST_PERSON <= int(found[2]) <= LAST_PERSON):
    end("the account is the system's, not a person's")
if found[6].rsplit("/", 1)[-1] in ("nologin", "false"):
    end("nobody may log in with this account")
was_set = False
try:
    state = run(["passwd", "-S", "--", account]).text.split()
    if len(state) < 2 or state[0] != account:
        end("what state the account is in cannot be read")
    if state[1] in ("L", "LK"):
        end("the account is locked: whoever locked it has to open it")
    if on_screen and show(f"The password of {account} is about to be set anew.") == 0:
        end("no screen of the device was reached: nobody sits there who would read the password")
    password = draw()
    was_set = True  # from here on, unless it is refused: what does not end in time may have set it
    # On its standard input, where no other process reads it.
    done = subprocess.run(
        ["chpasswd"],
        input=f"{account}:{password}\n".encode(),
        env={"PATH": FIXED_PATH, "LC_ALL": "C"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        end("the password was refused; the old one is still good")
    if run(["chage", "-d", "0", "--", account]).exit_code != 0:
        # One that never ends is not given away: nobody knows it, and the next try sets another.
        end("the password is another one that nobody knows: try again", changed=True)
except (FarhandError, subprocess.TimeoutExpired, OSError) as error:
    end(str(getattr(error, "message", "") or type(error).__name__), changed=was_set)
answer = {"changed": True, "account": account, "must_change": True}
if on_screen:
    if show(f"{account}: {password}") == 0:
        end("the password is another one that nobody saw: try again", changed=True)
else:
    answer["password"] = password
sys.stdout.write(json.dumps(answer) + "\n")
