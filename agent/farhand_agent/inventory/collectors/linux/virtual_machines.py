"""Section `virtual_machines`: systems that this one runs, or could start."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Unsupported
from farhand_agent.inventory.json_values import whole
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_dominfo", "parse_qm", "parse_vboxmanage"]

_VBOX: Final = re.compile(r"\"(.*)\" \{([0-9a-f-]{36})\}")
_MAX_MACHINES: Final = 200
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_dominfo(output: str) -> dict[str, Any] | None:
    """Return the item of `virsh dominfo UUID`; None where it says nothing."""
    fields = {}
    for line in output.split("\n"):
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    if not fields.get("Name"):
        return None
    kib = whole(fields.get("Max memory", "").removesuffix(" KiB"))
    state = fields.get("State", "")
    return {
        "engine": "libvirt",
        "name": fields["Name"],
        "id": fields.get("UUID"),
        "state": "stopped" if state == "shut off" else state or None,
        "memory_bytes": kib * 1024 if kib else None,
        "processors": whole(fields.get("CPU(s)")),
    }


def parse_qm(output: str) -> list[dict[str, Any]]:
    """Return one item per line of `qm list` (Proxmox): VMID NAME STATUS MEM(MB) ..."""
    items = []
    for line in output.split("\n"):
        fields = line.split()
        if len(fields) >= 4 and fields[0].isdigit():
            mib = whole(fields[3])
            items.append(
                {
                    "engine": "proxmox", "name": fields[1], "id": fields[0], "state": fields[2],
                    "memory_bytes": mib * 1024 * 1024 if mib else None, "processors": None,
                }
            )  # fmt: skip
    return items


def parse_vboxmanage(output: str, running: str) -> list[dict[str, Any]]:
    """Return one item per line of `VBoxManage list vms`; `running` is that of `list runningvms`."""
    up = {found[2] for line in running.split("\n") if (found := _VBOX.fullmatch(line.strip()))}
    return [
        {
            "engine": "virtualbox", "name": found[1], "id": found[2],
            "state": "running" if found[2] in up else "stopped", "memory_bytes": None,
            "processors": None,
        }
        for line in output.split("\n")
        if (found := _VBOX.fullmatch(line.strip()))
    ]  # fmt: skip


@section("virtual_machines", platform="linux", personal=("name", "id"), timeout_s=60.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per machine.

    Raises:
        Unsupported: none of the tools that would know is installed.
    """
    items: list[dict[str, Any]] = []
    asked = 0
    try:
        connect = ["virsh", "-q", "-r", "-c", "qemu:///system"]
        listing = context.run([*connect, "list", "--all", "--uuid"], ok=None)
        # The client alone is on many a desktop.
        if listing.exit_code != 0 and "failed to connect" not in listing.error_text:
            raise CommandFailed("virsh", listing.exit_code)
        for uuid in listing.text.split()[:_MAX_MACHINES]:
            if _UUID.fullmatch(uuid):
                # It ends with 1 for a machine that is gone since.
                item = parse_dominfo(context.run([*connect, "dominfo", uuid], ok=(0, 1)).text)
                items += [item] if item else []
        asked += listing.exit_code == 0
    except CommandMissing:
        pass  # no libvirt: no machines of its
    try:
        items += parse_qm(context.run(["qm", "list"]).text)
        asked += 1
    except CommandMissing:
        pass  # not Proxmox
    try:
        # Machines of VirtualBox belong to an account; these are the machines of this one.
        listed = context.run(["VBoxManage", "list", "vms"]).text
        running = context.run(["VBoxManage", "list", "runningvms"]).text
        items += parse_vboxmanage(listed, running)
        asked += 1
    except CommandMissing:
        pass  # no VirtualBox
    if not asked:
        raise Unsupported("neither virsh nor qm nor VBoxManage answers here")
    return items
