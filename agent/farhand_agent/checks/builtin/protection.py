"""Checks of what guards a device: antivirus, firewall, encryption, secure start, access control."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    State,
    Thresholds,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.context import Unsupported

__all__ = ["access_control", "antivirus", "disk_encryption", "firewall", "secure_start"]

_SYSTEM_VOLUMES: Final = ("/", "C:", "C:\\", "/System/Volumes/Data")
_PORTABLE: Final = (
    "laptop", "notebook", "portable", "sub notebook", "tablet", "convertible", "detachable",
    "hand held",
)  # fmt: skip


@check(
    "sec.av",
    "Protection against malware",
    unit="days since the definitions were made",
    platforms=EVERYWHERE,
    limits={"days": Thresholds(3, 7)},
    advice="start the service; let it fetch its definitions",
    risk="R1",
    timeout_s=30,
    plain={
        "ok": "The protection against malware is on and up to date.",
        "warning": "The protection against malware is not quite up to date.",
        "critical": "The protection against malware is out of date, so new malware is not found.",
        "off": "The protection against malware is switched off.",
        "unsupported": "No program that protects against malware was found on this device.",
    },
)
def antivirus(context: CheckContext) -> Finding:
    """Whether a known product watches, and the age of its definitions."""
    products = context.section("antivirus")
    if not products:
        return unsupported("no known product")
    names = ", ".join(str(one.get("name")) for one in products[:4])
    watching = [one for one in products if one.get("enabled") is True]
    if not watching:
        if any(one.get("enabled") is None for one in products):
            return unknown(f"{names}: does not say whether it watches")
        return Finding(state="critical", summary=f"{names}: off", sentence="off")
    ages = [age for one in watching if (age := _age_days(context, one)) is not None]
    if ages:
        days = min(ages)
        return Finding(
            state=context.limit("days").state(days),
            summary=f"{names}: definitions are {days:.0f} days old",
            value=round(days, 1),
        )
    if any(one.get("up_to_date") is True for one in watching):
        return Finding(state="ok", summary=f"{names}: up to date by its own word")
    if any(one.get("up_to_date") is False for one in watching):
        return Finding(state="warning", summary=f"{names}: out of date by its own word")
    return unknown(f"{names}: does not tell the age of its definitions")


def _age_days(context: CheckContext, product: dict[str, Any]) -> float | None:
    try:
        made = date.fromisoformat(str(product.get("definitions_on")))
    except ValueError:
        return None
    today = date.fromordinal(date(1970, 1, 1).toordinal() + int(context.now() // 86400))
    return max(0.0, float((today - made).days))


@check(
    "sec.firewall",
    "The firewall",
    unit="count",
    platforms=EVERYWHERE,
    advice="switch the firewall on with rules that let the way of the agent through",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "The firewall of this device is on.",
        "warning": "The firewall of this device is off in part, or lets everything in.",
        "critical": "The firewall of this device is off.",
    },
)
def firewall(context: CheckContext) -> Finding:
    """Whether any firewall filters what comes in; on Windows every profile has to."""
    try:
        known = context.section("firewall")
    except Unsupported as error:
        # Every device could have one: that nobody here can tell is no excuse.
        return unknown(error.message)
    on = [one for one in known if one.get("enabled") is True]
    off = [str(one.get("name")) for one in known if one.get("enabled") is False]
    if not on:
        if known and not off:
            return unknown("none says whether it filters")
        return Finding(state="critical", summary=f"off: {', '.join(off) or 'none there'}", value=0)
    names = ", ".join(str(one.get("name")) for one in on[:4])
    public_off = [name for name in off if name.lower() == "public"]
    if context.platform == "windows" and off:
        state: State = "critical" if public_off else "warning"
        return Finding(state=state, summary=f"off: {', '.join(off)}", value=len(on))
    inbound = {one.get("default_inbound") for one in on}
    # One that lets everything in and has no rule guards nothing.
    if inbound == {"accept"} and not any(one.get("rules") for one in on):
        return Finding(state="warning", summary=f"{names}: accepts everything", value=len(on))
    return Finding(state="ok", summary=f"on: {names}", value=len(on))


@check(
    "sec.disk-encryption",
    "Encryption of the system's volume",
    platforms=EVERYWHERE,
    advice="back up, keep the recovery key in escrow, then encrypt",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "The disk of this device is encrypted: whoever steals it cannot read it.",
        "warning": "The disk of this device is not encrypted: whoever takes it can read it.",
        "critical": "The disk of this portable device is not encrypted: whoever finds or steals it "
        "can read everything.",
        "partly": "The encryption of the disk of this device is not finished or is suspended.",
    },
)
def disk_encryption(context: CheckContext) -> Finding:
    """Whether the volume that the system runs from is encrypted; for portables that is critical."""
    volumes = context.section("disk_encryption")
    system = next((one for one in volumes if one.get("mount") in _SYSTEM_VOLUMES), None)
    if system is None or system.get("encrypted") is None:
        return unknown("it is not known whether the system's volume is encrypted")
    words = f"{system.get('mount')}: {system.get('method') or 'not encrypted'}"
    stage = str(system.get("state") or "")
    if system["encrypted"]:
        if stage in ("suspended", "encrypting", "decrypting"):
            return Finding(state="warning", summary=f"{words}, {stage}", sentence="partly")
        return Finding(state="ok", summary=words)
    portable = _is_portable(context)
    return Finding(state="critical" if portable else "warning", summary=words)


def _is_portable(context: CheckContext) -> bool:
    cases = [str(one.get("chassis") or "").lower() for one in context.section("system")]
    return any(case in _PORTABLE for case in cases)


@check(
    "sec.secureboot-tpm",
    "Secure start and security chip",
    platforms=EVERYWHERE,
    advice="switch on secure boot and the TPM in the firmware's set-up",
    risk="R2",
    plain={
        "ok": "This device starts in a protected way.",
        "warning": "This device would also start a system that somebody tampered with.",
    },
)
def secure_start(context: CheckContext) -> Finding:
    """Secure boot on, and a TPM 2.0 there; nothing to judge on virtual machines without UEFI."""
    facts = context.section("firmware_security")
    one = facts[0] if facts else {}
    secure, chip, version = one.get("secure_boot"), one.get("tpm"), one.get("tpm_version")
    if secure is None and not chip:
        return unsupported("no UEFI and no TPM")
    words = f"secure boot {_said(secure)}, TPM {version or _said(chip)}"
    old = chip and version is not None and not str(version).startswith("2")
    if one.get("setup_mode"):
        return Finding(state="warning", summary=f"{words}, set-up mode: anybody may enrol keys")
    bad = secure is False or chip is False or old
    return Finding(state="warning" if bad else "ok", summary=words)


def _said(value: object) -> str:
    return (
        {True: "on", False: "off"}.get(value, "not known")
        if isinstance(value, bool)
        else "not known"
    )


@check(
    "sec.mac",
    "Access control by the system",
    platforms=EVERYWHERE,
    advice="set it to enforce again and mend the rule for which it was switched off",
    risk="R2",
    plain={
        "ok": "The system keeps programs from doing what they should not.",
        "warning": "The system only watches what programs do and does not stop them.",
        "critical": "A protection of the system against harmful programs is switched off.",
    },
)
def access_control(context: CheckContext) -> Finding:
    """SELinux or AppArmor on Linux, SIP and Gatekeeper on macOS, UAC on Windows."""
    if context.platform == "linux":
        return _linux_access(context)
    settings = {
        str(one.get("name")).lower(): one.get("value") for one in context.section("hardening")
    }
    guards = ("enablelua",) if context.platform == "windows" else ("sip", "gatekeeper")
    known = {
        name: str(value).lower()
        for name, value in settings.items()
        # Named after whose setting it is: uac.EnableLUA.
        if value is not None and name.rpartition(".")[2] in guards
    }
    if not known:
        return unknown("the system does not say")
    off = [name for name, value in known.items() if not _is_on(value)]
    words = ", ".join(f"{name} {value}" for name, value in list(known.items())[:4])
    return Finding(state="critical" if off else "ok", summary=words)


def _is_on(value: str) -> bool:
    return value in ("1", "on", "true", "yes", "enabled") or value.startswith(
        ("enabled", "assessments enabled")
    )


def _linux_access(context: CheckContext) -> Finding:
    enforcing = context.files.number("/sys/fs/selinux/enforce")
    if enforcing is not None:
        words = f"SELinux {'enforcing' if enforcing else 'permissive'}"
        return Finding(state="ok" if enforcing else "warning", summary=words)
    armour = context.files.line("/sys/module/apparmor/parameters/enabled")
    if armour == "Y":
        return Finding(state="ok", summary="AppArmor enabled")
    configured = context.files.text("/etc/selinux/config") or ""
    wanted = any(line.strip() == "SELINUX=enforcing" for line in configured.split("\n"))
    if wanted or armour == "N":
        return Finding(
            state="critical",
            summary="SELinux is configured and not there" if wanted else "AppArmor switched off",
        )
    return unsupported("this kernel has neither SELinux nor AppArmor")
