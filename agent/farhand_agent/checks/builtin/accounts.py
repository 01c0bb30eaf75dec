"""Checks of accounts and ways in: administrators, remote login, screen lock, home folders."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    Word,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.context import Unsupported

__all__ = ["administrators", "homes", "remote_login", "screen_lock"]

_NAMES: Final = "^[A-Za-z0-9_][A-Za-z0-9@._ ,-]{0,500}$"
# Accounts of people begin here (login.defs, UID_MIN).
_FIRST_PERSON: Final = 1000
_GDM: Final = ("/etc/gdm3/custom.conf", "/etc/gdm3/daemon.conf", "/etc/gdm/custom.conf")
_LOCK_KEYS: Final = ("/org/gnome/desktop/session", "/org/gnome/desktop/screensaver")


@check(
    "sec.admins",
    "Who may administer the device",
    unit="count",
    platforms=EVERYWHERE,
    words={"expected": Word("", _NAMES, "Accounts, with commas between, that may administer.")},
    advice="take the right from whom does not need it; set or lock passwords",
    risk="R2",
    plain={
        "ok": "Only those administer this device who should.",
        "warning": "Somebody may administer this device who is not on the agreed list, or it signs "
        "in by itself.",
        "critical": "An account of this device has no password: anybody can sign in.",
        "unknown": "It could not be found out who may administer this device.",
    },
)
def administrators(context: CheckContext) -> Finding:
    """Accounts without a password, automatic sign-in, and administrators beside an agreed list."""
    users = context.section("users")
    if not users:
        return unknown("no accounts are told")
    bare = [u for u in users if u.get("password") == "none" and u.get("interactive")]
    if bare:
        names = ", ".join(str(u.get("name")) for u in bare[:6])
        return Finding(state="critical", summary=f"no password: {names}", value=len(bare))
    admins = sorted(str(u.get("name")) for u in users if u.get("administrator"))
    expected = set(context.words("expected"))
    extra = [name for name in admins if expected and name not in expected]
    by_itself = _automatic(context)
    if extra or by_itself:
        words = [f"not agreed: {', '.join(extra[:6])}"] if extra else []
        words += [f"signs in by itself ({by_itself})"] if by_itself else []
        return Finding(state="warning", summary="; ".join(words), value=len(admins))
    blind = [u for u in users if u.get("password") == "unknown" and u.get("interactive")]
    if blind:
        return unknown(f"whether {len(blind)} accounts have a password needs more rights")
    return Finding(
        state="ok", summary=f"administrators: {', '.join(admins[:8])}", value=len(admins)
    )


def _automatic(context: CheckContext) -> str:
    if context.platform == "linux":
        for name in _GDM:
            text = context.files.text(name) or ""
            if re.search(r"^\s*AutomaticLoginEnable\s*=\s*(?i:true|1)\s*$", text, re.MULTILINE):
                return name
        for name in ("/etc/lightdm/lightdm.conf", "/etc/sddm.conf"):
            key = "autologin-user" if "lightdm" in name else "User"
            text = context.files.text(name) or ""
            if re.search(rf"^\s*{key}\s*=\s*\S", text, re.MULTILINE):
                return name
        return ""
    for one in context.section("hardening"):
        name = str(one.get("name")).lower()
        if (
            "auto" in name
            and "log" in name
            and str(one.get("value")).lower() in ("1", "on", "true")
        ):
            return str(one.get("name"))
    return ""


@check(
    "sec.sshd-rdp",
    "Remote login",
    unit="count",
    platforms=EVERYWHERE,
    advice="allow keys only, no root; demand network level authentication; close it where unused",
    risk="R2",
    plain={
        "ok": "Nobody can sign in to this device from afar by guessing a password.",
        "warning": "This device can be signed in to from afar with a password that somebody might "
        "guess.",
        "critical": "This device can be signed in to from afar as its administrator with just a "
        "password, or in the clear.",
    },
)
def remote_login(context: CheckContext) -> Finding:
    """SSH with passwords or for root, services in the clear, remote desktops."""
    bad: list[str] = []
    poor: list[str] = []
    used = [
        one
        for one in context.section("remote_access")
        if one.get("running") or (one.get("enabled") and one.get("running") is None)
    ]
    for one in used:
        name = str(one.get("name")).lower()
        if name in ("telnet", "rsh", "rlogin", "ftp"):
            bad.append(name)
        elif one.get("password_login") and one.get("root_login") == "yes":
            bad.append(f"{name}: root with a password")
        elif one.get("password_login") or name in ("vnc", "x11"):
            poor.append(f"{name}: password")
    words = "; ".join((bad + poor)[:5]) or f"{len(used)} ways in, none by password"
    return Finding(
        state="critical" if bad else "warning" if poor else "ok",
        summary=words,
        value=len(bad) + len(poor),
    )


@check(
    "sec.screenlock",
    "The screen locks by itself",
    unit="minutes",
    platforms=EVERYWHERE,
    limits={"minutes": Thresholds(16, 61)},
    advice="set the lock to at most 15 minutes",
    risk="R1",
    plain={
        "ok": "The screen of this device locks by itself soon after it is left.",
        "warning": "The screen of this device locks only after a long time.",
        "critical": "The screen of this device does not lock by itself, so anybody can use it when "
        "it is left.",
        "unsupported": "This device has no screen that somebody works at.",
    },
)
def screen_lock(context: CheckContext) -> Finding:
    """Minutes until the screen locks: KDE's and GNOME's settings, policies of Windows and macOS."""
    minutes = _linux_lock(context) if context.platform == "linux" else _policy_lock(context)
    if minutes is None:
        return unknown("the system does not say when the screen locks")
    if minutes <= 0:
        return Finding(state="critical", summary="never locks", value=0)
    return Finding(
        state=context.limit("minutes").state(minutes),
        summary=f"locks after {minutes:g} minutes",
        value=minutes,
        metrics=(context.metric("lock", minutes, "minutes", "minutes"),),
    )


def _linux_lock(context: CheckContext) -> float | None:
    """Return the longest time of any user, 0 for never, None where nothing is written down."""
    desktops = context.files.names("/usr/share/xsessions") + context.files.names(
        "/usr/share/wayland-sessions"
    )
    if not desktops:
        raise Unsupported("no desktop is installed")
    times: list[float] = []
    for user in context.section("users"):
        home = str(user.get("home") or "")
        if (user.get("uid") or 0) >= _FIRST_PERSON and user.get("interactive") and home[:1] == "/":
            text = _readable(context, f"{home}/.config/kscreenlockerrc")
            if text is not None:
                off = re.search(r"^Autolock=false$", text, re.MULTILINE)
                found = re.search(r"^Timeout=([0-9]{1,5})$", text, re.MULTILINE)
                times.append(0.0 if off else float(found[1]) if found else 5.0)
    keys = _dconf(context)
    if keys:
        locked = keys.get("lock-enabled", "true") == "true"
        seconds = keys.get("idle-delay", "300").removeprefix("uint32 ")
        if seconds.isdigit() and len(seconds) < 9:
            times.append(float(seconds) / 60 if locked else 0.0)
    if not times:
        return None
    return 0.0 if 0.0 in times else max(times)


def _dconf(context: CheckContext) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in ("/etc/dconf/db/local.d", "/etc/dconf/db/site.d"):
        for name in context.files.names(folder):
            section = ""
            for line in (_readable(context, f"{folder}/{name}") or "").split("\n"):
                if line.startswith("["):
                    section = "/" + line.strip("[] \t")
                elif section in _LOCK_KEYS and "=" in line:
                    key, _, value = line.partition("=")
                    found[key.strip()] = value.strip().strip("'\"")
    return found


def _readable(context: CheckContext, name: str) -> str | None:
    try:
        return context.files.text(name)
    except PermissionError:
        return None  # another person's: what may be read decides


def _policy_lock(context: CheckContext) -> float | None:
    for one in context.section("hardening"):
        name, value = str(one.get("name")).lower(), str(one.get("value") or "").lower()
        if "inactivitytimeout" in name or "screen_lock" in name or "screenlock" in name:
            if value in ("off", "false", "disabled", "never"):
                return 0.0
            if found := re.search(r"([0-9]{1,7})", value):
                return float(found[1]) / 60
    return None


@check(
    "user.profile",
    "Home folders",
    unit="count",
    advice="give the folder back to its owner, or make it from a backup",
    risk="R2",
    plain={
        "ok": "The personal folders of all users are in order.",
        "warning": "The personal folder of a user does not belong to them, so settings may get "
        "lost ({name}).",
        "critical": "The personal folder of a user is missing, so their files and settings are not "
        "there ({name}).",
    },
)
def homes(context: CheckContext) -> Finding:
    """Home folders of people that are missing or belong to somebody else."""
    people = [one for one in context.section("users") if _is_person(one)]
    if not people:
        return unsupported("no accounts of people")
    missing, foreign = [], []
    for one in people:
        try:
            owner = os.stat(context.files.path(str(one["home"]))).st_uid
        except (FileNotFoundError, NotADirectoryError):
            missing.append(str(one.get("name")))
        except OSError:
            continue  # a folder on a dead server, or one that may not be seen
        else:
            if owner != one["uid"]:
                foreign.append(str(one.get("name")))
    named = missing or foreign
    return Finding(
        state="critical" if missing else "warning" if foreign else "ok",
        summary="; ".join(
            [f"missing: {', '.join(missing[:5])}"] * bool(missing)
            + [f"of another owner: {', '.join(foreign[:5])}"] * bool(foreign)
        )
        or f"{len(people)} home folders in order",
        value=len(missing) + len(foreign),
        fill={"name": named[0] if named else ""},
    )


def _is_person(user: dict[str, Any]) -> bool:
    uid, home = user.get("uid"), str(user.get("home") or "")
    # 65534 is nobody.
    return (
        isinstance(uid, int)
        and _FIRST_PERSON <= uid < 65534
        and bool(user.get("interactive"))
        and home.startswith("/home/")
    )
