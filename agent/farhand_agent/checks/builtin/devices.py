"""Checks of what is built in or plugged in: battery, drivers, graphics, printers, sound, camera."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    State,
    Thresholds,
    check,
    unknown,
    unsupported,
    worst,
)
from farhand_agent.inventory.context import CommandFailed, Malformed, Unsupported
from farhand_agent.platforms.commands import CommandMissing

__all__ = [
    "battery_health",
    "driver_errors",
    "graphics",
    "parse_jobs",
    "parse_nvidia",
    "printing",
    "sound_and_camera",
]

# nvidia-smi(1), "Return value": a wrong argument, an operation that is not known, no permission.
_NVIDIA_NOT_ASKED: Final = (2, 3, 4)
_USUAL_CYCLES: Final = 1000
# Windows: 22 is switched off on purpose, 45 is not plugged in at the moment.
_HARMLESS_CODES: Final = (22, 45)
_VITAL: Final = (
    "storage",
    "sata",
    "nvme",
    "raid",
    "network",
    "ethernet",
    "wireless",
    "wi-fi",
    "scsi",
)
_FATAL_XIDS: Final = (48, 79)
_STUCK_S: Final = 1800.0
_JOB: Final = re.compile(r"(\S+)-([0-9]{1,9})\s+(\S+)\s+([0-9]{1,15})\s+(\S.*\S)\s*")
_PORTABLE: Final = ("laptop", "notebook", "portable", "sub notebook", "tablet", "convertible",
                    "all in one", "detachable")  # fmt: skip


@check(
    "battery.health",
    "Health of the battery",
    unit="percent",
    platforms=EVERYWHERE,
    limits={"percent": Thresholds(80, 50, rising=False)},
    advice="order a battery of this model",
    risk="R0",
    plain={
        "ok": "The battery of this device is in good health.",
        "warning": "The battery of this device has aged: it holds {percent} % of what it held when "
        "new.",
        "critical": "The battery of this device is worn out: it holds {percent} % of what it held "
        "when new. It should be replaced.",
        "unsupported": "This device has no battery.",
    },
)
def battery_health(context: CheckContext) -> Finding:
    """What the battery holds against what it held when new; many charging cycles are a warning."""
    batteries = context.section("batteries")
    if not batteries:
        return unsupported("no battery")
    telling = [one for one in batteries if one.get("health_percent") is not None]
    if not telling:
        return unknown("no battery tells its health")
    worst_one = min(telling, key=lambda one: float(one["health_percent"]))
    health, cycles = float(worst_one["health_percent"]), worst_one.get("cycles")
    state = context.limit("percent").state(health)
    if state == "ok" and isinstance(cycles, int) and cycles > 0.8 * _USUAL_CYCLES:
        state = "warning"
    words = f", {cycles} cycles" if cycles is not None else ""
    return Finding(
        state=state,
        summary=f"{worst_one.get('name')}: {health:.0f} % of its design{words}",
        value=round(health, 1),
        fill={"percent": round(health)},
    )


@check(
    "dev.driver-errors",
    "Devices that do not work",
    unit="count",
    platforms=("linux", "windows"),
    advice="install or renew the driver and its firmware",
    risk="R2",
    plain={
        "ok": "All parts of this device work with their drivers.",
        "warning": (
            "{n} part of this device does not work, because its driver is missing or broken.",
            "{n} parts of this device do not work, because their drivers are missing or broken.",
        ),
        "critical": "An important part of this device does not work: its driver is missing or "
        "broken.",
    },
)
def driver_errors(context: CheckContext) -> Finding:
    """Devices without a driver or with a broken one; of storage and network they are critical."""
    broken = [
        one
        for one in context.section("drivers")
        # A module that taints the kernel works; that is for whoever reads a crash.
        if one.get("bus") != "module" and one.get("problem_code") not in _HARMLESS_CODES
    ]
    names = [str(one.get("name") or one.get("id") or one.get("address")) for one in broken]
    vital = [name for name in names if any(word in name.lower() for word in _VITAL)]
    words = "; ".join(
        f"{name[:50]}: {one.get('problem')}" for name, one in zip(names, broken, strict=True)
    )
    return Finding(
        state="critical" if vital else "warning" if broken else "ok",
        summary=words or "every device has its driver",
        value=len(broken),
    )


def parse_nvidia(text: str) -> list[tuple[str, float | None]]:
    """Return (name, degrees or None) per line of `nvidia-smi --query-gpu=name,temperature.gpu`."""
    found = []
    for line in text.split("\n"):
        name, comma, heat = line.rpartition(",")
        if comma and name.strip():
            heat = heat.strip()
            degrees = float(heat) if heat.isdigit() and len(heat) < 4 else None
            found.append((name.strip(), degrees))
    return found


@check(
    "gpu.health",
    "Graphics",
    unit="degrees Celsius",
    limits={"celsius": Thresholds(85, 95)},
    advice="clean the fans; renew the driver; errors 48 and 79 ask for another card",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "The graphics card is well.",
        "warning": "The graphics card is getting hot or reports errors.",
        "critical": "The graphics card is far too hot or failing.",
        "unsupported": "This device has no graphics card that tells how it is.",
    },
)
def graphics(context: CheckContext) -> Finding:
    """Temperature of graphics cards, and what the kernel's log says of NVIDIA's (Xid)."""
    heats: list[tuple[str, float]] = []
    seen = False
    try:
        argv = ["nvidia-smi", "--query-gpu=name,temperature.gpu", "--format=csv,noheader,nounits"]
        outcome = context.run(argv, timeout_s=20.0, ok=None)
        seen = True
        if outcome.exit_code < 0 or outcome.exit_code in _NVIDIA_NOT_ASKED:
            return unknown(f"nvidia-smi ended with {outcome.exit_code}")
        if outcome.exit_code != 0:
            words = (outcome.text or outcome.error_text).strip().split("\n")[0][:120]
            return Finding(state="critical", summary=f"nvidia-smi: {words}")
        heats += [(name, heat) for name, heat in parse_nvidia(outcome.text) if heat is not None]
    except CommandMissing:
        seen = False
    for chip in context.files.names("/sys/class/hwmon"):
        folder = f"/sys/class/hwmon/{chip}"
        if context.files.line(f"{folder}/name") in ("amdgpu", "nouveau", "radeon"):
            milli = context.files.number(f"{folder}/temp1_input")
            if milli is not None and 0 < milli < 150_000:
                heats.append((context.files.line(f"{folder}/name") or chip, milli / 1000))
    if not heats and not seen:
        return unsupported("no graphics card tells how it is")
    xids, blind = _xids(context) if seen else ([], "")
    name, heat = max(heats, key=lambda one: one[1], default=("", 0.0))
    state = context.limit("celsius").state(heat)
    if xids:
        state = worst(state, "critical" if set(xids) & set(_FATAL_XIDS) else "warning")
    told = [f"{name} {heat:.0f} °C"] if heats else []
    told += [f"Xid {', '.join(map(str, sorted(set(xids))[:5]))}"] if xids else []
    if blind and state == "ok":
        return unknown("; ".join([*told, blind]))
    return Finding(
        state=state, summary="; ".join(told) or "the driver answers", value=heat if heats else None
    )


def _xids(context: CheckContext) -> tuple[list[int], str]:
    """Return the errors in the kernel's log, and why it could not be read."""
    argv = ["journalctl", "-k", "-b", "-o", "cat", "-n", "5000", "--no-pager"]
    try:
        text = context.run(argv).text
    except CommandMissing:
        return [], ""
    except CommandFailed as error:
        return [], error.message
    found = re.findall(r"NVRM: Xid \([^)]{1,60}\): ([0-9]{1,4})", text)
    return [int(number) for number in found], ""


def parse_jobs(text: str) -> list[tuple[str, datetime]]:
    """Return (queue, when) of each job in `lpstat -o`: local times, in the C locale.

    Raises:
        Malformed: a line tells no job, or no time that can be read.
    """
    found = []
    for line in filter(str.strip, text.split("\n")):
        match = _JOB.fullmatch(line)
        try:
            at = datetime.strptime(match[5] if match else "", "%a %b %d %H:%M:%S %Y")
        except ValueError as error:
            raise Malformed("lpstat") from error
        found.append((match[1] if match else "", at))
    return found


@check(
    "print.queue",
    "Printing",
    unit="count",
    platforms=EVERYWHERE,
    remedies=("remedy.print.reset",),
    advice="cancel the jobs that hang, enable the queue, start the print service again",
    risk="R1",
    timeout_s=30,
    plain={
        "ok": "Printing works.",
        "warning": "A print job has been waiting for more than half an hour.",
        "critical": "A printer has stopped, so nothing is printed on it ({name}).",
        "unsupported": "No printer is set up on this device.",
    },
)
def printing(context: CheckContext) -> Finding:
    """Queues that stopped or take no jobs, and jobs that wait for half an hour."""
    queues = context.section("printers")
    if not queues:
        return unsupported("no printer is set up")
    stopped = [
        str(one.get("name"))
        for one in queues
        if one.get("state") == "stopped" or one.get("accepting") is False
    ]
    if stopped:
        return Finding(
            state="critical",
            summary=f"stopped: {', '.join(stopped[:5])}",
            value=len(stopped),
            fill={"name": stopped[0]},
        )
    waiting = [] if context.platform == "windows" else _old_jobs(context)
    offline = [str(one.get("name")) for one in queues if one.get("state") == "offline"]
    words = [f"{len(waiting)} jobs wait"] if waiting else []
    words += [f"offline: {', '.join(offline[:3])}"] if offline else []
    return Finding(
        state="warning" if waiting else "ok",
        summary="; ".join(words) or f"{len(queues)} queues ready",
        value=len(waiting),
    )


def _old_jobs(context: CheckContext) -> list[str]:
    now = datetime.fromtimestamp(context.now(), UTC).astimezone().replace(tzinfo=None)
    jobs = parse_jobs(context.run(["lpstat", "-o"]).text)
    return [queue for queue, at in jobs if (now - at).total_seconds() > _STUCK_S]


@check(
    "audio.video",
    "Sound and camera",
    unit="count",
    platforms=EVERYWHERE,
    advice="look for the driver; see that it is not switched off in the firmware or by a key",
    risk="R1",
    plain={
        "ok": "Sound and camera are there.",
        "no-sound": "This device has no working sound, so calls cannot be heard.",
        "no-camera": "This device has no working camera.",
        "no-sound-camera": "This device has neither working sound nor a working camera.",
        "unsupported": "This is not a device that people hold calls with.",
    },
)
def sound_and_camera(context: CheckContext) -> Finding:
    """Sound card and camera of devices that usually have both: laptops, tablets, all-in-ones."""
    cases = [str(one.get("chassis") or "").lower() for one in context.section("system")]
    sound, camera = _count(context, "sound"), _count(context, "cameras")
    if not any(case in _PORTABLE for case in cases):
        if not sound and not camera:
            return unsupported("no sound and no camera, and none is expected")
        return Finding(state="ok", summary=f"{sound} sound, {camera} cameras", value=sound + camera)
    missing = [word for word, count in (("sound", sound), ("camera", camera)) if not count]
    state: State = "warning" if missing else "ok"
    return Finding(
        state=state,
        summary=f"{sound} sound, {camera} cameras",
        value=sound + camera,
        sentence="-".join(["no", *missing]) if missing else None,
    )


def _count(context: CheckContext, name: str) -> int:
    try:
        return len(context.section(name))
    except Unsupported:
        return 0  # a kernel that knows no such devices has none
