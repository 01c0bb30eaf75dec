"""Section `hardening`: settings that make a break-in harder, as the running system has them."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["apparmor_modes", "collect"]

_SYSCTLS: Final = (
    "fs.protected_fifos", "fs.protected_hardlinks", "fs.protected_regular",
    "fs.protected_symlinks", "fs.suid_dumpable", "kernel.core_pattern", "kernel.dmesg_restrict",
    "kernel.kptr_restrict", "kernel.modules_disabled", "kernel.perf_event_paranoid",
    "kernel.randomize_va_space", "kernel.sysrq", "kernel.unprivileged_bpf_disabled",
    "kernel.unprivileged_userns_clone", "kernel.yama.ptrace_scope",
    "net.ipv4.conf.all.accept_redirects", "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.send_redirects", "net.ipv4.ip_forward", "net.ipv4.tcp_syncookies",
    "net.ipv6.conf.all.accept_redirects", "net.ipv6.conf.all.forwarding",
)  # fmt: skip
_LOGIN_DEFS: Final = ("PASS_MAX_DAYS", "PASS_MIN_DAYS", "UMASK", "ENCRYPT_METHOD")
_SETTING: Final = re.compile(r"\s*([A-Z_]+)\s+(\S+)")
_PROFILE: Final = re.compile(r".+ \((enforce|complain|kill|unconfined)\)")


def apparmor_modes(text: str) -> dict[str, int]:
    """Return how many profiles are in each mode, from /sys/kernel/security/apparmor/profiles."""
    counts: dict[str, int] = {}
    for line in text.split("\n"):
        if found := _PROFILE.fullmatch(line):
            counts[found[1]] = counts.get(found[1], 0) + 1
    return counts


@section("hardening", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per setting; a setting that this kernel does not have reads null."""
    context.need("/proc/sys")
    items = [_item(name, _sysctl(context, name)) for name in _SYSCTLS]
    files = context.files
    enforcing = files.number("/sys/fs/selinux/enforce")
    words = {0: "permissive", 1: "enforcing"}
    items.append(_item("selinux", words.get(enforcing) if enforcing is not None else "off"))
    on = files.line("/sys/module/apparmor/parameters/enabled") == "Y"
    items.append(_item("apparmor", "on" if on else "off"))
    try:
        profiles = files.text("/sys/kernel/security/apparmor/profiles")
        modes = apparmor_modes(profiles or "") if profiles is not None else {}
        items += [_item(f"apparmor.{mode}", str(modes[mode])) for mode in sorted(modes)]
    except PermissionError:
        context.note("AppArmor's profiles need root")
    settings = {
        found[1]: found[2]
        for line in (files.text("/etc/login.defs") or "").split("\n")
        if (found := _SETTING.match(line))
    }
    items += [_item(f"login.{name}", settings.get(name)) for name in _LOGIN_DEFS]
    return items


def _item(name: str, value: str | None) -> dict[str, Any]:
    return {"name": name, "value": value}


def _sysctl(context: Context, name: str) -> str | None:
    try:
        return context.files.line(f"/proc/sys/{name.replace('.', '/')}")
    except PermissionError:
        return None
