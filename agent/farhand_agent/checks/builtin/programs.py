"""Checks of programs: versions that are asked for, mail servers, and containers."""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from typing import Any, Final

from farhand_agent.checks.builtin.reach import connect
from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Word,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.context import Malformed

__all__ = ["compare_versions", "containers", "mail_servers", "versions"]

_REQUIRED: Final = "^[A-Za-z0-9][A-Za-z0-9.+:~_>= ,-]{0,1000}$"
_SERVERS: Final = "^[A-Za-z0-9][A-Za-z0-9.:_,-]{0,500}$"
_DOCKER_DOWN: Final = re.compile(
    r"cannot connect|failed to connect to the docker api|daemon is running|docker daemon running",
    re.I,
)
_ONE: Final = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9.+_-]{0,199})\s*>=\s*([0-9][A-Za-z0-9.+:~-]{0,99})\s*"
)
_PARTS: Final = re.compile(r"[0-9]{1,18}|[A-Za-z]{1,64}|~")


def compare_versions(left: str, right: str) -> int:
    """Return -1, 0 or 1: numbers by their value, letters before numbers, `~` before everything.

    An epoch (`1:`) counts first, what follows the last hyphen (a distribution's revision) not.
    """
    pairs = zip_longest(_version_parts(left), _version_parts(right), fillvalue=(1, 0, ""))
    for one, other in pairs:
        if one != other:
            return -1 if one < other else 1
    return 0


def _version_parts(text: str) -> list[tuple[int, int, str]]:
    epoch, colon, rest = text.partition(":")
    rest = rest if colon and epoch.isdigit() else text
    upstream = rest.rpartition("-")[0] or rest
    number = int(epoch[:9]) if colon and epoch.isdigit() else 0
    parts = [(2, number, "")]
    for part in _PARTS.findall(upstream):
        if part == "~":
            parts.append((-1, 0, ""))
        elif part.isdigit():
            # A zero at the end means nothing: 1.0 is 1.
            parts.append((2 if int(part) else 1, int(part), ""))
        else:
            parts.append((0, 0, part.lower()))
    return parts


# By the source that the section `software` names.
_REMEDIES: Final = {
    "dpkg": "patch.apt.apply", "rpm": "patch.dnf.apply", "pacman": "patch.pacman.apply",
    "apk": "patch.apk.apply", "flatpak": "patch.flatpak.apply", "snap": "patch.snap.apply",
    "brew": "patch.brew.apply",
}  # fmt: skip


@check(
    "app.version",
    "Versions of programs",
    unit="count",
    platforms=EVERYWHERE,
    words={
        "required": Word("", _REQUIRED, "Such as `firefox>=140, openssl>=3.0.17`."),
    },
    advice="update the program",
    risk="R2",
    timeout_s=40,
    remedies=tuple(_REMEDIES.values()),
    plain={
        "ok": "The programs that matter are new enough.",
        "warning": (
            "{n} program on this device is older than it should be.",
            "{n} programs on this device are older than they should be.",
        ),
        "unsupported": "Nobody named programs whose version matters here.",
    },
)
def versions(context: CheckContext) -> Finding:
    """Installed programs that are older than a parameter asks for."""
    text = context.word("required")
    if not text:
        return unsupported("no programs are named")
    wanted = {
        found[1].lower(): found[2] for part in text.split(",") if (found := _ONE.fullmatch(part))
    }
    if len(wanted) != len(text.split(",")):
        return unknown("the parameter is not a list such as `firefox>=140`")
    old, seen, remedy = [], 0, None
    for one in context.section("software"):
        name, version = str(one.get("name")), str(one.get("version"))
        least = wanted.get(name.lower())
        if least is None:
            continue
        seen += 1
        if compare_versions(version, least) < 0:
            old.append(f"{name} {version} < {least}")
            remedy = remedy or _REMEDIES.get(str(one.get("source")))
    words = "; ".join(old[:5]) or f"{seen} of {len(wanted)} installed, all new enough"
    return Finding(state="warning" if old else "ok", summary=words, value=len(old), remedy=remedy)


@check(
    "mail.client",
    "Mail servers answer",
    unit="count",
    platforms=EVERYWHERE,
    words={"servers": Word("", _SERVERS, "Such as `imap.example.org:993`, with commas between.")},
    advice="look at dns.resolve, net.internet and the firewall; then at the mail server",
    risk="R0",
    timeout_s=25,
    plain={
        "ok": "The mail server answers, so mail can be fetched and sent.",
        "warning": "One of the mail servers does not answer, so mail may not work fully.",
        "critical": "The mail servers do not answer, so no mail can be fetched or sent.",
        "unsupported": "Nobody named the mail servers that this device uses.",
    },
)
def mail_servers(context: CheckContext) -> Finding:
    """Mail servers named by a parameter that take no connection."""
    servers = context.words("servers")[:4]
    if not servers:
        return unsupported("no mail servers are named")
    dead = []
    for server in servers:
        host, _, port = server.rpartition(":")
        if not (host and port.isdigit() and 0 < int(port[:6]) < 65536):
            return unknown(f"{server} is not of the form HOST:PORT")
        if why := connect(host, int(port))[1]:
            dead.append(f"{server}: {why}")
    state = "ok" if not dead else "critical" if len(dead) == len(servers) else "warning"
    return Finding(
        state=state,  # type: ignore[arg-type]
        summary="; ".join(dead) or f"all {len(servers)} answer",
        value=len(dead),
    )


@check(
    "virt.docker",
    "Containers",
    unit="count",
    platforms=("linux", "macos"),
    advice="read the container's log; start the service; remove images that nobody uses",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "The programs in containers run.",
        "warning": "A program in a container keeps ending and starting again ({name}).",
        "critical": "The service that runs programs in containers is down.",
        "unsupported": "This device runs no programs in containers.",
    },
)
def containers(context: CheckContext) -> Finding:
    """Docker's service, and containers that start again and again or are unhealthy."""
    outcome = context.run(["docker", "ps", "-a", "--format", "{{json .}}"], timeout_s=20.0, ok=None)
    if outcome.exit_code != 0:
        line = outcome.error_text.strip().split("\n")[0]
        words = line[:150]
        if "permission denied" in line.lower() or not _DOCKER_DOWN.search(line):
            return unknown(words or f"docker ended with {outcome.exit_code}")
        return Finding(state="critical", summary=words)
    rows = _json_lines(outcome.text)
    looping = [
        str(row.get("Names"))
        for row in rows
        if row.get("State") == "restarting" or "(unhealthy)" in str(row.get("Status"))
    ]
    if looping:
        return Finding(
            state="warning",
            summary=f"restarting or unhealthy: {', '.join(looping[:5])}",
            value=len(looping),
            fill={"name": looping[0]},
        )
    return Finding(state="ok", summary=f"{len(rows)} containers, none in a loop", value=0)


def _json_lines(text: str) -> list[dict[str, Any]]:
    rows = []
    for line in text.split("\n"):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            if line.startswith("{"):
                raise Malformed("docker") from error
            continue  # warnings of docker's own stand between the lines
        if isinstance(row, dict):
            rows.append(row)
    return rows
