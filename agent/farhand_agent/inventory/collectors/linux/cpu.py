"""Section `cpu`: processors by socket, what they can do and which flaws they are known for."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_cpuinfo"]

_TOLD_FLAGS: Final = ("vmx", "svm", "aes", "hypervisor", "avx2", "avx512f", "sha_ni", "lm")
_MAX_PROCESSORS: Final = 8192


def parse_cpuinfo(text: str) -> list[dict[str, Any]]:
    """Return one item per socket from the text of /proc/cpuinfo.

    Returns:
        Items with null where the architecture does not say; [] when there is no processor in it.
    """
    sockets: dict[str, dict[str, Any]] = {}
    cores: dict[str, set[str]] = {}
    shared: dict[str, str] = {}
    processors: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for line in text.split("\n"):
        key, separator, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not separator:
            continue
        if key == "processor" and value.isdigit():
            current = {}
            processors.append(current)
        elif not processors or key in ("Hardware", "Model", "Serial"):
            shared[key] = value
        else:
            current[key] = value
    for one in processors[:_MAX_PROCESSORS]:
        socket = one.get("physical id", "0")
        flags = one.get("flags", one.get("Features", "")).split()
        item = sockets.setdefault(
            socket,
            {
                "socket": int(socket) if socket.isdigit() and len(socket) < 9 else None,
                "model": one.get("model name") or shared.get("Hardware") or shared.get("Model"),
                "vendor": one.get("vendor_id") or one.get("CPU implementer"),
                "family": one.get("cpu family") or one.get("CPU architecture"),
                "model_number": one.get("model") or one.get("CPU part"),
                "stepping": one.get("stepping") or one.get("CPU revision"),
                "microcode": one.get("microcode"),
                "cores": None,
                "threads": 0,
                "flags": [flag for flag in _TOLD_FLAGS if flag in flags],
            },
        )
        item["threads"] += 1
        if "core id" in one:
            cores.setdefault(socket, set()).add(one["core id"])
    for socket, item in sockets.items():
        item["cores"] = len(cores[socket]) if socket in cores else None
    return list(sockets.values())


@section("cpu", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per socket.

    Raises:
        Malformed: the kernel lists no processor.
    """
    items = parse_cpuinfo(context.files.text("/proc/cpuinfo") or "")
    if not items:
        raise Malformed("/proc/cpuinfo")
    devices = "/sys/devices/system/cpu"
    khz = context.files.number(f"{devices}/cpu0/cpufreq/cpuinfo_max_freq")
    flaws = {
        name: context.files.line(f"{devices}/vulnerabilities/{name}")
        for name in context.files.names(f"{devices}/vulnerabilities")
    }
    for item in items:
        item["max_mhz"] = khz // 1000 if khz else None
        item["vulnerabilities"] = flaws
    return items
