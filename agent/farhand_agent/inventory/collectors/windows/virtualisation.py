"""Section `virtualisation`: what this system runs in, and whether systems can run in it."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.clouds import cloud_of
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import truth

__all__ = ["guest_of", "parse"]

# By what the firmware's maker and model hold.
_GUESTS: Final = (
    ("vmware", "vmware"), ("virtualbox", "virtualbox"), ("qemu", "qemu"), ("kvm", "kvm"),
    ("microsoft corporation virtual machine", "hyper-v"), ("xen", "xen"),
    ("parallels", "parallels"), ("amazon ec2", "amazon"), ("google compute engine", "google"),
    ("openstack", "qemu"), ("bochs", "qemu"),
)  # fmt: skip


def guest_of(computer: dict[str, Any]) -> str | None:
    """Return the hypervisor that the firmware names.

    HypervisorPresent does not tell: it is true on bare metal as soon as Windows runs its own
    security on top of Hyper-V.
    """
    words = f"{said(computer.get('Manufacturer'))} {said(computer.get('Model'))}".lower()
    return next((name for part, name in _GUESTS if part in words), None)


@windows_section("virtualisation", parts=("computer", "processors", "bios", "hypervisors"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item."""
    computer = told.row("computer")
    processor, bios = told.also_row("processors"), told.also_row("bios")
    maker = (said(processor.get("Manufacturer")) or "").lower()
    # Below a running hypervisor Windows hides what the processor can do.
    able = truth(processor.get("VMMonitorModeExtensions")) or truth(
        computer.get("HypervisorPresent")
    )
    words = [computer.get("Manufacturer"), computer.get("Model"), bios.get("SMBIOSBIOSVersion")]
    return [
        {
            "guest_of": guest_of(computer),
            "container": None,
            "cloud": cloud_of(" ".join(one for one in map(said, words) if one)),
            "cpu_support": ("svm" if "amd" in maker else "vmx") if able else None,
            "kvm": any(said(one.get("State")) == "Running" for one in told.also("hypervisors")),
            "iommu": None,
        }
    ]
