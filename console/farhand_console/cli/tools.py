"""tool S NAME: small jobs on a device over its session; wake: a device through its neighbour."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from ipaddress import IPv4Address
from typing import Any

import asyncssh
import click

from farhand_console.cli.base import Context, command, shared
from farhand_console.cli.joining import joined, run_session
from farhand_console.output import line, printable, say, show_fields, show_json, show_table, warn
from farhand_console.relay import segments
from farhand_console.relay.answers import Device, Section
from farhand_console.session.record import SessionRecord
from farhand_console.session.ssh import connect_ssh
from farhand_console.session.tools import ask_tool, macs_to_wake, tool_lines
from farhand_protocol.errors import UsageError

__all__ = ["register"]

# As the device takes it.
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


def register(root: click.Group) -> None:
    """Add the commands of this file."""

    @root.group("tool", help="Small jobs on a device: farhand tool S NAME.")
    @click.argument("session")
    @shared
    def tools(session: str, home: str | None, as_json: bool) -> None:
        """Nothing: what stands here is read by the commands (`_session`, `_outer`)."""

    _register_looking(tools)
    _register_logs(tools)
    _register_changing(tools)
    _register_power(tools)
    _register_wake(root, tools)


def _session() -> str:
    parent = click.get_current_context().parent
    assert parent is not None
    return str(parent.params["session"])


def _ask(context: Context, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    return _ask_on(context, joined(context, _session()), *requests)


def _ask_on(
    context: Context, record: SessionRecord, *requests: dict[str, Any]
) -> list[dict[str, Any]]:
    async def work() -> list[dict[str, Any]]:
        async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
            return await ask_tool(connection, list(requests))

    return run_session(work())


def _show_items(
    context: Context, answer: dict[str, Any], columns: Sequence[str], names: Sequence[str]
) -> None:
    items = [one for one in answer.get("items", []) if isinstance(one, dict)]
    rest = {name: value for name, value in answer.items() if name not in ("tool", "items")}

    def readable() -> None:
        show_table(columns, [[one.get(name) for name in names] for one in items])
        if answer.get("omitted"):
            say(f"{answer['omitted']} more are left out")

    context.show({"items": items, "next": None, **rest}, readable)


def _show_answer(context: Context, answer: dict[str, Any]) -> None:
    fields = {name: value for name, value in answer.items() if name != "tool"}
    context.show(fields, lambda: show_fields(fields))


def _register_looking(tools: click.Group) -> None:
    @command(tools)
    @click.option("--match", default="", help="Part of a name, command line or user.")
    @click.option(
        "--sort", type=click.Choice(["memory", "cpu"]), default="memory", show_default=True
    )
    def processes(context: Context, match: str, sort: str) -> None:
        """Show what runs on the device (scope view)."""
        answer = _ask(context, {"tool": "processes", "match": match, "sort": sort})[0]
        names = ("pid", "user", "memory_bytes", "cpu_s", "started_at", "name", "command")
        _show_items(
            context, answer, ("pid", "user", "memory", "cpu s", "started", "name", "command"), names
        )

    @command(tools)
    @click.option("--match", default="", help="Part of a name.")
    def services(context: Context, match: str) -> None:
        """Show the device's services (scope view)."""
        answer = _ask(context, {"tool": "services", "match": match})[0]
        names = ("name", "state", "start", "detail", "display")
        _show_items(context, answer, names, names)

    @command(tools, "disk-usage")
    @click.argument("path", default="")
    def disk_usage(context: Context, path: str) -> None:
        """Show what in a folder takes the room (scope files, within its roots)."""
        answer = _ask(context, {"tool": "disk-usage", "path": path})[0]
        names = ("bytes", "files", "kind", "name")
        _show_items(context, answer, names, names)
        if answer.get("complete") is False:
            warn("the folder is too large to be measured whole")


def _register_logs(tools: click.Group) -> None:
    @command(tools)
    @click.option("--file", "file", default="", help="A file instead of the system's log.")
    @click.option("--unit", default="", help="Of this service only.")
    @click.option("--match", default="", help="Part of the text.")
    @click.option("--since", help="Like 30m, 2h or 1d.")
    @click.option("--priority", type=click.Choice(_PRIORITIES), help="As grave as this, or graver.")
    @click.option("--lines", type=click.IntRange(0, 2000), default=100, show_default=True)
    @click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
    def logs(
        context: Context,
        file: str,
        unit: str,
        match: str,
        since: str | None,
        priority: str | None,
        lines: int,
        follow: bool,
    ) -> None:
        """Show the end of the system's log (scope terminal) or of a file (scope files)."""
        request: dict[str, Any] = {"tool": "logs", "lines": lines, "follow": follow}
        request |= {"file": file, "unit": unit, "match": match}
        if since is not None:
            request["since_s"] = _seconds(since)
        if priority is not None:
            request["priority"] = _PRIORITIES.index(priority)
        record = joined(context, _session())
        items: list[dict[str, Any]] = []

        def take(entry: dict[str, Any]) -> None:
            if not context.as_json:
                _show_entry(entry)
            elif follow:
                show_json(entry)
            else:
                items.append(entry)
            sys.stdout.flush()

        async def work() -> None:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                await _each_line(connection, request, take)

        run_session(work())
        if context.as_json and not follow:
            show_json({"items": items, "next": None})


async def _each_line(
    connection: asyncssh.SSHClientConnection,
    request: dict[str, Any],
    take: Callable[[dict[str, Any]], None],
) -> None:
    async with aclosing(tool_lines(connection, request)) as entries:
        async for entry in entries:
            take(entry)


def _show_entry(entry: dict[str, Any]) -> None:
    head = [str(entry[name]) for name in ("at", "source") if entry.get(name)]
    line("  ".join([*head, str(entry.get("text", ""))]), 8000)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,7})([smhd])", text.strip())
    if found is None or not 1 <= (seconds := int(found[1]) * _UNITS[found[2]]) <= 90 * 86_400:
        raise UsageError("since-invalid", "--since is like 30m, 2h or 1d, and 90 days at most")
    return seconds


def _register_changing(tools: click.Group) -> None:
    @command(tools)
    @click.argument("pid", type=click.IntRange(2))
    @click.option("--name", default="", help="Only if it is still called so.")
    @click.option("--force", is_flag=True, help="Do not ask the process first.")
    def kill(context: Context, pid: int, name: str, force: bool) -> None:
        """End a process on the device (scope terminal)."""
        sign = "kill" if force else "term"
        request = {"tool": "process-kill", "pid": pid, "signal": sign, "name": name}
        answer = _ask(context, request)[0]
        _show_answer(context, answer)
        if not answer.get("ended"):
            warn("it still runs; --force ends it at once")

    @command(tools)
    @click.argument("verb", type=click.Choice(["start", "stop", "restart"]))
    @click.argument("name")
    def service(context: Context, verb: str, name: str) -> None:
        """Start, stop or restart a service of the device (scope terminal)."""
        _show_answer(context, _ask(context, {"tool": f"service-{verb}", "name": name})[0])


def _register_power(tools: click.Group) -> None:
    minutes = click.IntRange(0, 24 * 60)

    @command(tools)
    def lock(context: Context) -> None:
        """Lock the device's screens (scope terminal)."""
        _show_answer(context, _ask(context, {"tool": "lock"})[0])

    @command(tools)
    @click.argument("user")
    def logout(context: Context, user: str) -> None:
        """Sign a user out of the device; what she runs ends (scope terminal)."""
        _show_answer(context, _ask(context, {"tool": "logout", "user": user})[0])

    @command(tools)
    @click.option("--in", "delay_min", type=minutes, default=0, show_default=True, help="Minutes.")
    def restart(context: Context, delay_min: int) -> None:
        """Restart the device; the session goes on afterwards (scope terminal)."""
        _show_answer(context, _ask(context, {"tool": "restart", "delay_min": delay_min})[0])

    @command(tools)
    @click.option("--in", "delay_min", type=minutes, default=1, show_default=True, help="Minutes.")
    def shutdown(context: Context, delay_min: int) -> None:
        """Switch the device off (scope terminal)."""
        _show_answer(context, _ask(context, {"tool": "shutdown", "delay_min": delay_min})[0])

    @command(tools, "power-cancel")
    def power_cancel(context: Context) -> None:
        """Take a restart or shutdown back that has not happened yet (scope terminal)."""
        _show_answer(context, _ask(context, {"tool": "power-cancel"})[0])


def _check_wake(macs: Sequence[str], broadcast: str) -> None:
    """Refuse what no device takes, before a session is opened for it.

    Raises:
        UsageError: `usage`.
    """
    for mac in macs:
        if not _MAC.match(mac):
            raise UsageError("usage", f"{printable(mac, 40)!r} is no hardware address")
    try:
        IPv4Address(broadcast or "255.255.255.255")
    except ValueError as error:
        said = printable(broadcast, 40)
        raise UsageError("usage", f"{said!r} is no IPv4 address") from error


def _register_wake(root: click.Group, tools: click.Group) -> None:
    @command(tools, "wake")
    @click.argument("mac")
    @click.option("--broadcast", default="", help="An IPv4 address; all networks without it.")
    def wake_mac(context: Context, mac: str, broadcast: str) -> None:
        """Wake a neighbour of the device by its hardware address (scope terminal)."""
        _check_wake((mac,), broadcast)
        request = {"tool": "wake", "mac": mac, "broadcast": broadcast}
        _show_answer(context, _ask(context, request)[0])

    @command(root, "wake")
    @click.argument("device")
    @click.option("--via", required=True, help="A neighbour that is awake: session or device.")
    @click.option("--mac", "macs", multiple=True, help="Instead of what the inventory says.")
    @click.option("--broadcast", default="", help="An IPv4 address; all networks without it.")
    def wake(
        context: Context, device: str, via: str, macs: tuple[str, ...], broadcast: str
    ) -> None:
        """Wake a sleeping device through a neighbour in its network.

        Nobody answers a magic packet: `device list` shows whether it came online.
        """
        _check_wake(macs, broadcast)
        relay = context.relay
        found = relay.get(segments("devices", device), Device).id
        wanted = list(macs)
        if not wanted:
            path = segments("devices", found, "sections", "network")
            wanted = macs_to_wake(relay.get(path, Section).items)
        record = joined(context, via)
        requests = [{"tool": "wake", "mac": mac, "broadcast": broadcast} for mac in wanted]
        answers = _ask_on(context, record, *requests)
        sent_to = sorted({str(one) for answer in answers for one in answer.get("sent_to", [])})
        answer = {"device": found, "via": record.device, "macs": wanted, "sent_to": sent_to}
        context.show(answer, lambda: show_fields(answer))
