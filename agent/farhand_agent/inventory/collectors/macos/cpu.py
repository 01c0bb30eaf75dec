"""Section `cpu`: a Mac has one socket."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, sysctl
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import whole

__all__ = ["collect"]

_TOLD = {"VMX": "vmx", "AES": "aes", "AVX2": "avx2", "AVX512F": "avx512f"}


@macos_section("cpu")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item; Apple's own processors tell neither family nor clock."""
    told = sysctl(context, "machdep.cpu", "hw.physicalcpu", "hw.logicalcpu", "hw.cpufrequency_max")
    flags = (told.get("machdep.cpu.features", "") + " " + told.get(
        "machdep.cpu.leaf7_features", "")).split()  # fmt: skip
    model = told.get("machdep.cpu.brand_string")
    hertz = whole(told.get("hw.cpufrequency_max"))
    return [
        {
            "socket": 0,
            "model": model,
            "vendor": told.get("machdep.cpu.vendor") or ("Apple" if model else None),
            "family": told.get("machdep.cpu.family"),
            "model_number": told.get("machdep.cpu.model"),
            "stepping": told.get("machdep.cpu.stepping"),
            "microcode": told.get("machdep.cpu.microcode_version"),
            "cores": whole(told.get("hw.physicalcpu")),
            "threads": whole(told.get("hw.logicalcpu")),
            "flags": [word for flag, word in _TOLD.items() if flag in flags],
            "max_mhz": hertz // 10**6 if hertz else None,
            "vulnerabilities": {},
        }
    ]
