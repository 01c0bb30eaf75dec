"""Checks of background services and timers: failed ones, and some that start again and again."""

from __future__ import annotations

from typing import Final

from farhand_agent.checks.registry import (
    CheckContext,
    Finding,
    Thresholds,
    Word,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.collectors.linux.services import parse_units
from farhand_agent.inventory.collectors.linux.usage import boot_time

__all__ = ["parse_show", "services_failed", "services_flapping", "tasks_failed"]

_NO_SYSTEMD: Final = "systemd does not run here"
_NAMES: Final = "^[A-Za-z0-9][A-Za-z0-9@:._,-]{0,500}$"


def parse_show(text: str) -> list[dict[str, str]]:
    """Return one object per block of `systemctl show -p A -p B`; blank lines part the blocks."""
    blocks: list[dict[str, str]] = []
    for block in text.split("\n\n"):
        pairs = [line.partition("=") for line in block.split("\n")]
        fields = {name: value for name, equals, value in pairs if equals}
        if fields:
            blocks.append(fields)
    return blocks


@check(
    "services.failed",
    "Background services that failed",
    unit="count",
    words={
        "important": Word("", _NAMES, "Services, with commas between, whose failure is critical."),
    },
    remedies=("remedy.service.restart",),
    advice="read the service's log, mend the cause, start it again",
    risk="R1",
    plain={
        "ok": "All background services are doing their work.",
        "warning": (
            "{n} background service stopped with an error. "
            "Something that this device should do may not be happening.",
            "{n} background services stopped with an error. "
            "Something that this device should do may not be happening.",
        ),
        "critical": "An important background service stopped with an error. "
        "Something that this device should do is not happening.",
        "unsupported": "This device does not keep a record of services that failed.",
    },
)
def services_failed(context: CheckContext) -> Finding:
    """Services that systemd lists as failed; other init systems do not remember failures."""
    if not context.files.path("/run/systemd/system").is_dir():
        return unsupported(_NO_SYSTEMD)
    important = {name.removesuffix(".service") for name in context.words("important")}
    argv = ["systemctl", "list-units", "--type=service", "--state=failed"]
    units = parse_units(context.run_json([*argv, "--no-pager", "--output=json"]))
    names = [str(unit["name"]) for unit in units if unit["state"] == "failed"]
    if not names:
        return Finding(state="ok", summary="no failed services", value=0)
    return Finding(
        state="critical" if important & set(names) else "warning",
        summary=f"{len(names)} failed: {', '.join(names[:8])}",
        value=len(names),
    )


@check(
    "svc.flapping",
    "Background services that start again and again",
    unit="restarts per hour",
    limits={"per_hour": Thresholds(3, 10)},
    advice="read the service's log around its ends; mend or switch it off",
    risk="R1",
    plain={
        "ok": "Background services run steadily.",
        "warning": "A background service keeps ending and starting again ({name}).",
        "critical": "A background service ends again and again ({name}), so it does not work.",
    },
)
def services_flapping(context: CheckContext) -> Finding:
    """Restarts an hour of the service that systemd restarted most."""
    if not context.files.path("/run/systemd/system").is_dir():
        return unsupported(_NO_SYSTEMD)
    answer = context.run(["systemctl", "show", "*.service", "-p", "Id", "-p", "NRestarts"])
    started = boot_time(context.files.text("/proc/stat") or "")
    blocks = parse_show(answer.text)
    if not blocks:
        return unknown("systemd lists no services")
    most, name, total = 0.0, "", 0
    for block in blocks:
        count = block.get("NRestarts", "")
        if not (count.isdigit() and len(count) < 10 and int(count)):
            continue
        unit = block.get("Id", "").removesuffix(".service")[:100]
        rate = (context.daily_rate(f"svc.flapping {unit}", int(count), started) or 0.0) / 24
        total += int(count)
        if rate > most:
            most, name = rate, unit
    words = f"{name} {most:.2f} an hour" if name else "none"
    return Finding(
        state=context.limit("per_hour").state(most),
        summary=f"{total} automatic restarts since the start, most often {words}",
        value=round(most, 2),
        fill={"name": name},
    )


@check(
    "task.failed",
    "Timed tasks that failed",
    unit="count",
    words={
        "important": Word("", _NAMES, "Tasks, with commas between, whose failure is critical."),
    },
    advice="read the task's log, mend the cause, start it by hand",
    risk="R1",
    plain={
        "ok": "The tasks that this device does by the clock worked the last time.",
        "warning": (
            "{n} task that this device does by the clock failed the last time.",
            "{n} tasks that this device does by the clock failed the last time.",
        ),
        "critical": "An important task that this device does by the clock failed the last time.",
    },
)
def tasks_failed(context: CheckContext) -> Finding:
    """Units of systemd timers whose last run failed; cron does not remember how jobs ended."""
    if not context.files.path("/run/systemd/system").is_dir():
        return unsupported(_NO_SYSTEMD)
    rows = context.run_json(["systemctl", "list-timers", "--all", "--no-pager", "--output=json"])
    if not isinstance(rows, list):
        return unknown("systemctl list-timers prints something else than a list")
    activated = [row.get("activates") for row in rows if isinstance(row, dict)]
    units = sorted({one for one in activated if isinstance(one, str) and one[:1].isalnum()})[:500]
    if not units:
        return Finding(state="ok", summary="no timers", value=0)
    shown = parse_show(context.run(["systemctl", "show", "-p", "Id", "-p", "Result", *units]).text)
    failed = [
        one["Id"].removesuffix(".service")
        for one in shown
        if "Id" in one and one.get("Result", "success") != "success"
    ]
    if not failed:
        return Finding(state="ok", summary=f"{len(units)} timers, none failed", value=0)
    important = {name.removesuffix(".service") for name in context.words("important")}
    return Finding(
        state="critical" if important & set(failed) else "warning",
        summary=f"{len(failed)} of {len(units)} failed: {', '.join(failed[:8])}",
        value=len(failed),
    )
