"""Section `disk_health`: what disks say about themselves (SMART, NVMe's health log).

smartctl's exit code is a mask in which bits 0 to 2 say that asking failed; bits 3 to 7 speak about
the disk, so an answer with them set is an answer (smartctl(8), "EXIT STATUS").
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Denied, Malformed, Unsupported
from farhand_agent.inventory.json_values import rows, text, truth, whole
from farhand_agent.inventory.registry import section
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_scan", "parse_smart"]

_ASKING_FAILED: Final = 0b111
_MAX_DISKS: Final = 64
# Source: NVM Express base specification, SMART log: a data unit is 1000 blocks of 512 bytes.
_DATA_UNIT_BYTES: Final = 512_000
_ATTRIBUTES: Final = {
    5: "reallocated_sectors", 197: "pending_sectors", 198: "uncorrectable_sectors",
    199: "crc_errors",
}  # fmt: skip
# How much of its life an SSD has left, as different makers count it down from 100.
_LIFE_LEFT: Final = (231, 177, 202, 233, 173)
_LBAS_WRITTEN: Final = 241


def parse_scan(document: Any) -> list[tuple[str, str]]:
    """Return device and kind of each disk in what `smartctl --scan -j` printed.

    Raises:
        Malformed: it is not what smartctl prints.
    """
    if not isinstance(document, dict):
        raise Malformed("smartctl")
    found = []
    for device in rows(document.get("devices"))[:_MAX_DISKS]:
        name, kind = text(device.get("name")), text(device.get("type"))
        if name and name.startswith("/dev/"):
            found.append((name, kind or "auto"))
    return found


def parse_smart(document: Any, name: str) -> dict[str, Any]:
    """Return the item of a disk from what `smartctl -a -j` printed.

    Raises:
        Malformed: it is not what smartctl prints.
    """
    if not isinstance(document, dict):
        raise Malformed("smartctl")

    def part(*keys: str) -> Any:
        value: Any = document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    nvme = part("nvme_smart_health_information_log")
    nvme = nvme if isinstance(nvme, dict) else {}
    units = whole(nvme.get("data_units_written"))
    item: dict[str, Any] = {
        "name": name,
        "model": text(part("model_name")) or text(part("scsi_model_name")),
        "serial": text(part("serial_number")),
        "passed": truth(part("smart_status", "passed")),
        "temperature_celsius": whole(part("temperature", "current")),
        "power_on_h": whole(part("power_on_time", "hours")),
        "power_cycles": whole(part("power_cycle_count")),
        "unsafe_shutdowns": whole(nvme.get("unsafe_shutdowns")),
        "wear_percent": whole(nvme.get("percentage_used")),
        "spare_percent": whole(nvme.get("available_spare")),
        "media_errors": whole(nvme.get("media_errors")),
        "reallocated_sectors": None,
        "pending_sectors": None,
        "uncorrectable_sectors": None,
        "crc_errors": None,
        "written_bytes": units * _DATA_UNIT_BYTES if units is not None else None,
        "failing": [],
    }
    table = rows(part("ata_smart_attributes", "table"))
    by_number = {whole(one.get("id")): one for one in table}
    for number, field in _ATTRIBUTES.items():
        item[field] = _raw(by_number.get(number))
    for number in _LIFE_LEFT:
        left = whole(by_number.get(number, {}).get("value"))
        if left is not None and item["wear_percent"] is None and 0 <= left <= 100:
            item["wear_percent"] = 100 - left
    sector = whole(part("logical_block_size")) or 512
    lbas = _raw(by_number.get(_LBAS_WRITTEN))
    if lbas and lbas * sector < 2**63:
        item["written_bytes"] = lbas * sector
    for one in table:
        # when_failed is "", "past" or "now".
        if one.get("when_failed") and (label := text(one.get("name"))):
            item["failing"].append(label)
    if whole(nvme.get("critical_warning")):
        item["failing"].append(f"critical_warning {whole(nvme.get('critical_warning'))}")
    return item


def _raw(attribute: dict[str, Any] | None) -> int | None:
    raw = attribute.get("raw") if attribute else None
    return whole(raw.get("value")) if isinstance(raw, dict) else None


@section("disk_health", platform="linux", personal=("serial",), volatile=True, timeout_s=60.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per disk that answers.

    Raises:
        Unsupported: smartctl is not installed, or no disk here is one that can be asked.
        Denied: disks answer root only.
    """
    disks = parse_scan(context.run_json(["smartctl", "--scan", "-j"]))
    if not disks:
        raise Unsupported("no disk here can be asked for its health")
    if not context.privileged:
        raise Denied("disks tell their health to root only")
    items = []
    for name, kind in disks:
        # -n standby: a disk that sleeps is not woken for this.
        argv = ["smartctl", "-a", "-j", "-n", "standby", "-d", kind, name]
        try:
            outcome = context.run(argv, timeout_s=15.0, ok=None)
            document = context.parse_json(outcome.stdout, "smartctl")
        except FarhandError as error:
            context.note(f"{name}: {error.message}")
            continue
        if outcome.exit_code & _ASKING_FAILED:
            context.note(f"{name}: does not answer now")
            continue
        items.append(parse_smart(document, name))
    return items
