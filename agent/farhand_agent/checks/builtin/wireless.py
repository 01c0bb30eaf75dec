"""Checks of Wi-Fi and of private tunnels."""

from __future__ import annotations

import re
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    Word,
    check,
    unsupported,
)
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["parse_handshakes", "tunnels", "wifi_signal"]

_NAMES: Final = "^[A-Za-z0-9][A-Za-z0-9 ._,-]{0,500}$"


@check(
    "net.wifi",
    "Strength of the Wi-Fi signal",
    unit="dBm",
    platforms=EVERYWHERE,
    limits={"dbm": Thresholds(-70, -80, rising=False)},
    advice="move nearer to the access point, change the band, or use a cable",
    risk="R0",
    plain={
        "ok": "The Wi-Fi signal is good.",
        "warning": "The Wi-Fi signal is weak. It helps to move nearer to the router.",
        "critical": "The Wi-Fi signal is so weak that the connection keeps breaking. "
        "Please move nearer to the router or use a cable.",
        "open": "This Wi-Fi network is open: others nearby can see what is not encrypted.",
        "unsupported": "This device is not connected by Wi-Fi.",
    },
)
def wifi_signal(context: CheckContext) -> Finding:
    """Signal of the Wi-Fi connection in use; an open network is a warning."""
    used = [one for one in context.section("wifi") if one.get("signal_dbm") is not None]
    if not used:
        return unsupported("not connected by Wi-Fi")
    best = max(used, key=lambda one: float(one["signal_dbm"]))
    signal = float(best["signal_dbm"])
    state = context.limit("dbm").state(signal)
    is_open = state == "ok" and best.get("security") == "open"
    details = [f"{best.get('interface')} {signal:g} dBm"]
    if best.get("frequency_mhz"):
        details.append(f"{best['frequency_mhz']} MHz")
    if best.get("rate_mbit_s"):
        details.append(f"{best['rate_mbit_s']:g} Mbit/s")
    if best.get("security"):
        details.append(str(best["security"]))
    return Finding(
        state="warning" if is_open else state,
        summary=", ".join(details),
        value=signal,
        sentence="open" if is_open else None,
    )


def parse_handshakes(text: str) -> dict[str, float]:
    """Return the newest handshake (Unix seconds, 0 for none) by interface.

    Args:
        text: what `wg show all latest-handshakes` prints: interface, peer, time, parted by tabs.
    """
    newest: dict[str, float] = {}
    for line in text.split("\n"):
        fields = line.split("\t")
        if len(fields) == 3 and re.fullmatch(r"[0-9]{1,12}", fields[2]):
            newest[fields[0]] = max(newest.get(fields[0], 0.0), float(fields[2]))
    return newest


@check(
    "net.vpn",
    "Private tunnels are alive",
    unit="count",
    platforms=EVERYWHERE,
    limits={"quiet_s": Thresholds(180, 86400)},
    words={"wanted": Word("", _NAMES, "Tunnels, with commas between, that have to be up.")},
    advice="connect again; see that the other end answers and that keys are valid",
    risk="R1",
    plain={
        "ok": "The private connection to the company network is working.",
        "warning": "The private connection to the company network seems to be interrupted. "
        "Please connect again.",
        "critical": "The private connection to the company network is down. Please connect again.",
        "unsupported": "This device has no private connection to a company network.",
    },
)
def tunnels(context: CheckContext) -> Finding:
    """Tunnels that have to be up and are not; WireGuard tunnels whose peers fell silent."""
    wanted = set(context.words("wanted"))
    known = context.section("vpn")
    if not known and not wanted:
        return unsupported("no tunnels")
    up = {str(one.get("name")) for one in known if one.get("state") == "up"}
    missing = sorted(wanted - up)
    if missing:
        return Finding(
            state="critical", summary=f"down: {', '.join(missing[:5])}", value=len(missing)
        )
    quiet = _quiet(context)
    if quiet:
        return Finding(state="warning", summary="; ".join(quiet[:5]), value=len(quiet))
    if not up:
        return unsupported("no tunnel is up, and none has to be")
    return Finding(state="ok", summary=f"up: {', '.join(sorted(up)[:5])}", value=0)


def _quiet(context: CheckContext) -> list[str]:
    if context.platform != "linux":
        return []
    try:
        answer = context.run(["wg", "show", "all", "latest-handshakes"])
    except CommandMissing:
        return []
    quiet = []
    for name, at in parse_handshakes(answer.text).items():
        age = context.now() - at
        if at == 0 or context.limit("quiet_s").state(age) != "ok":
            words = "never a handshake" if at == 0 else f"no handshake for {age:.0f} s"
            quiet.append(f"{name}: {words}")
    return quiet
