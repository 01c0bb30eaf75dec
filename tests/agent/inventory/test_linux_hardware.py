"""Hardware sections on machines as the kernel shows them: /sys, /proc, the firmware's tables."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from farhand_agent.inventory.smbios import Structure, parse_structures
from farhand_agent.platforms.edid import parse_edid
from tests.agent.inventory.machines import FOLDER, Link, Machine

PCI_IDS = """# a comment
10de  NVIDIA Corporation
\t2684  AD102 [GeForce RTX 4090]
\t\t1043 889a  a subsystem
8086  Intel Corporation
\t9a49  TigerLake-LP GT2 [Iris Xe Graphics]
\ta0a3  Tiger Lake-LP SMBus Controller
C 03  Display controller
\t00  VGA compatible controller
\t\t00  VGA controller
C 0c  Serial bus controller
\t05  SMBus
"""


def structure(kind: int, fields: bytes, *strings: str, handle: int = 0) -> bytes:
    """Return the bytes of an SMBIOS structure with its strings."""
    head = struct.pack("<BBH", kind, 4 + len(fields), handle)
    return head + fields + b"".join(s.encode() + b"\0" for s in strings or ("",)) + b"\0"


def module(size: int, *, extended: int = 0, speed: int = 4800, empty: bool = False) -> bytes:
    """Return a memory device (type 17) as SMBIOS 3.3 has it."""
    fields = struct.pack(
        "<HHHHHBBBBBHHBBBBBIHHHH",
        0x1000, 0xFFFE, 64, 64, 0 if empty else size, 0x0D, 0, 1, 2, 0x22, 0x80, speed,
        3, 4, 5, 6, 1, extended, 4400, 1100, 1100, 1100,
    )  # fmt: skip
    return structure(
        17, fields, "DIMM A", "BANK 0", "Samsung", "12345678", "Not Specified", "M425R2GA3BB0"
    )


TABLES = (
    structure(16, struct.pack("<BBBIHH", 3, 3, 5, 0x4000000, 0xFFFE, 2))
    + module(16 * 1024)
    + module(0, empty=True)
    + structure(
        9,
        struct.pack("<BBBBBHBBHBB", 1, 0xB6 - 1, 13, 4, 4, 1, 4, 1, 0, 1, 0x08),
        "PCIEX16",
    )
    + structure(8, struct.pack("<BBBBB", 1, 0, 2, 0x0C, 0x1F), "J1", "LAN")
    + structure(
        39,
        struct.pack("<BBBBBBBBHHHHH", 1, 1, 2, 3, 4, 0, 5, 0, 750, 0b0001_0010_0000_0011, 0, 0, 0),
        "Bay 1", "PSU 1", "DELTA", "SN-PSU", "DPS-750",
    )
    + structure(127, b"")
)  # fmt: skip


def test_firmware_as_it_is(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/sys/class/dmi/id/bios_vendor": "LENOVO\n",
            "/sys/class/dmi/id/bios_version": "N32ET86W (1.62 )\n",
            "/sys/class/dmi/id/bios_date": "04/11/2026\n",
            "/sys/class/dmi/id/bios_release": "1.62\n",
            "/sys/firmware/efi": FOLDER,
        },
    )
    assert machine.item("bios") == {
        "vendor": "LENOVO", "version": "N32ET86W (1.62 )", "released_on": "2026-04-11",
        "revision": "1.62", "ec_revision": None, "kind": "uefi",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["bios", "memory_modules", "slots", "power_supplies"])
def test_a_machine_without_smbios_says_so(tmp_path: Path, name: str) -> None:
    report = Machine(tmp_path, {"/sys/class": FOLDER}).collect(name)
    assert (report.status, report.reason) == (
        "unsupported",
        "the firmware publishes no SMBIOS",
    )


def test_memory_modules_of_the_tables(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/sys/firmware/dmi/tables/DMI": TABLES,
            "/sys/devices/system/edac/mc/mc0/ce_count": "3\n",
            "/sys/devices/system/edac/mc/mc0/ue_count": "0\n",
        },
    )
    array, filled, empty = machine.items("memory_modules")
    assert (array["slots"], array["max_bytes"]) == (2, 64 * 1024**3)
    assert (array["error_correction"], array["corrected_errors"]) == ("single-bit ECC", 3)
    assert filled["size_bytes"] == 16 * 1024**3
    assert (filled["kind"], filled["form"]) == ("DDR5", "SODIMM")
    assert (filled["speed_mhz"], filled["configured_mhz"], filled["voltage_mv"]) == (
        4800, 4400, 1100,
    )  # fmt: skip
    assert (filled["serial"], filled["asset_tag"]) == ("12345678", None)
    assert (empty["slot"], empty["size_bytes"]) == ("DIMM A", None)


def test_sizes_that_need_the_longer_field() -> None:
    from farhand_agent.inventory.collectors.linux.memory_modules import module_item

    (large,) = parse_structures(module(0x7FFF, extended=64 * 1024))
    assert module_item(large)["size_bytes"] == 64 * 1024**3
    (small,) = parse_structures(module(0x8000 | 512))
    assert module_item(small)["size_bytes"] == 512 * 1024


def test_tables_that_lie_about_their_length_end_the_reading() -> None:
    assert list(parse_structures(b"\x11\xff\x00\x00short")) == []
    assert list(parse_structures(b"\x11\x02\x00\x00\0\0")) == []
    assert Structure(17, 0, b"\x11\x04\0\0", ()).number(0x20, 2) is None


def test_slots_ports_and_supplies_of_the_tables(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/sys/firmware/dmi/tables/DMI": TABLES,
            "/sys/class/tty/ttyS0/type": "4\n",
            "/sys/class/tty/ttyS1/type": "0\n",
            "/sys/class/power_supply/AC/type": "Mains\n",
            "/sys/class/power_supply/BAT0/type": "Battery\n",
        },
    )
    assert machine.item("slots") == {
        "name": "PCIEX16", "kind": "PCI Express 3 x8", "in_use": True, "address": "0000:01:01.0",
    }  # fmt: skip
    lan, serial = machine.items("ports")
    assert (lan["name"], lan["kind"], lan["connector"]) == ("LAN", "network", "RJ-45")
    assert (serial["name"], serial["kind"]) == ("/dev/ttyS0", "serial")
    supply, mains = machine.items("power_supplies")
    assert (supply["manufacturer"], supply["model"], supply["serial"]) == (
        "DELTA", "DPS-750", "SN-PSU",
    )  # fmt: skip
    assert (supply["max_power_w"], supply["kind"], supply["hot_swap"]) == (750, "switching", True)
    assert (mains["name"], mains["kind"]) == ("AC", "mains")


def test_ports_without_the_tables_are_the_kernels(tmp_path: Path) -> None:
    report = Machine(tmp_path, {"/sys/class/parport/parport0": FOLDER}).collect("ports")
    assert [one["kind"] for one in report.items] == ["parallel"]
    assert "no connectors of the case" in report.reason


def test_batteries_by_energy_and_by_charge(tmp_path: Path) -> None:
    power = "/sys/class/power_supply"
    machine = Machine(
        tmp_path,
        {
            f"{power}/BAT0/type": "Battery\n",
            f"{power}/BAT0/present": "1\n",
            f"{power}/BAT0/manufacturer": "SMP\n",
            f"{power}/BAT0/model_name": "5B10W51867\n",
            f"{power}/BAT0/serial_number": " 1234\n",
            f"{power}/BAT0/technology": "Li-poly\n",
            f"{power}/BAT0/energy_full_design": "57000000\n",
            f"{power}/BAT0/energy_full": "45600000\n",
            f"{power}/BAT0/energy_now": "20000000\n",
            f"{power}/BAT0/voltage_min_design": "15440000\n",
            f"{power}/BAT0/cycle_count": "312\n",
            f"{power}/BAT0/capacity": "44\n",
            f"{power}/BAT0/status": "Discharging\n",
            f"{power}/BAT1/type": "Battery\n",
            f"{power}/BAT1/charge_full_design": "3000000\n",
            f"{power}/BAT1/charge_full": "3000000\n",
            f"{power}/BAT1/voltage_min_design": "11400000\n",
            f"{power}/BAT1/cycle_count": "0\n",
            f"{power}/hidpp_battery_0/type": "Battery\n",
            f"{power}/hidpp_battery_0/scope": "Device\n",
            f"{power}/AC/type": "Mains\n",
            f"{power}/AC/online": "0\n",
        },
    )
    first, second = machine.items("batteries")
    assert (first["design_capacity_mwh"], first["full_capacity_mwh"]) == (57000, 45600)
    assert (first["health_percent"], first["cycles"], first["serial"]) == (80.0, 312, "1234")
    assert (second["design_capacity_mwh"], second["cycles"]) == (34200, None)
    sensors = {one["name"] or one["device"]: one for one in machine.items("sensors")}
    assert sensors["5B10W51867"]["charge_percent"] == 44
    assert sensors["5B10W51867"]["state"] == "discharging"
    assert sensors["AC"]["state"] == "offline"


def test_a_kernel_without_the_power_class_is_not_one_without_batteries(tmp_path: Path) -> None:
    assert Machine(tmp_path).collect("batteries").status == "unsupported"
    assert Machine(tmp_path / "b", {"/sys/class/power_supply": FOLDER}).items("batteries") == []


def pci(address: str, **values: str) -> dict[str, str | bytes | Link]:
    folder = f"/sys/bus/pci/devices/{address}"
    driver = values.pop("driver", None)
    files: dict[str, str | bytes | Link] = {
        f"{folder}/{name}": f"{value}\n" for name, value in values.items()
    }
    if driver:
        files[f"/sys/bus/pci/drivers/{driver}"] = FOLDER
        files[f"{folder}/driver"] = Link(f"../../drivers/{driver}")
    return files


def test_pci_devices_their_drivers_and_those_without(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/usr/share/misc/pci.ids": PCI_IDS,
            **pci("0000:00:02.0", vendor="0x8086", device="0x9a49", **{"class": "0x030000"},
                  driver="i915", revision="0x01"),
            **pci("0000:00:1f.4", vendor="0x8086", device="0xa0a3", **{"class": "0x0c0500"}),
            **pci("0000:01:00.0", vendor="0x10de", device="0x2684", **{"class": "0x030000"},
                  driver="nvidia"),
            **pci("0000:00:00.0", vendor="0x8086", device="0x9a14", **{"class": "0x060000"}),
            "/sys/module/nvidia/version": "550.90.07\n",
            "/sys/module/nvidia/taint": "PO\n",
            "/sys/module/i915/parameters": FOLDER,
        },
        {
            "nvidia-smi": "00000000:01:00.0, NVIDIA GeForce RTX 4090, GPU-1234, 550.90.07, "
            "95.02.3c.00.01, 24564\n",
        },
    )  # fmt: skip
    by_address = {one["address"]: one for one in machine.items("devices_pci")}
    intel = by_address["0000:00:02.0"]
    assert (intel["vendor"], intel["class"]) == ("Intel Corporation", "VGA compatible controller")
    assert intel["device"] == "TigerLake-LP GT2 [Iris Xe Graphics]"
    assert (intel["driver"], intel["revision"]) == ("i915", "01")
    drivers = {one["bus"]: one for one in machine.items("drivers")}
    assert (drivers["pci"]["id"], drivers["pci"]["problem"]) == ("8086:a0a3", "no driver")
    assert drivers["module"]["problem"] == "proprietary, built outside the kernel"
    assert len(machine.items("drivers")) == 2  # a bridge needs no driver
    first, second = machine.items("gpus")
    assert (first["name"], first["memory_bytes"]) == ("TigerLake-LP GT2 [Iris Xe Graphics]", None)
    assert (second["memory_bytes"], second["vbios"]) == (24564 * 1024**2, "95.02.3c.00.01")
    assert (second["uuid"], second["driver_version"]) == ("GPU-1234", "550.90.07")


def test_usb_devices_modems_and_those_without_driver(tmp_path: Path) -> None:
    usb = "/sys/bus/usb/devices"
    machine = Machine(
        tmp_path,
        {
            "/usr/share/hwdata/usb.ids": "046d  Logitech, Inc.\n\tc52b  Unifying Receiver\n",
            f"{usb}/usb1/idVendor": "1d6b\n",
            f"{usb}/1-2/idVendor": "046d\n",
            f"{usb}/1-2/idProduct": "c52b\n",
            f"{usb}/1-2/bDeviceClass": "00\n",
            f"{usb}/1-2/speed": "12\n",
            f"{usb}/1-2:1.0/bInterfaceClass": "03\n",
            "/sys/bus/usb/drivers/usbhid": FOLDER,
            f"{usb}/1-2:1.0/driver": Link("../../drivers/usbhid"),
            f"{usb}/1-4.1/idVendor": "1199\n",
            f"{usb}/1-4.1/idProduct": "9091\n",
            f"{usb}/1-4.1/manufacturer": "Sierra Wireless\n",
            f"{usb}/1-4.1/product": "EM7565\n",
            f"{usb}/1-4.1/serial": "0123456789\n",
            f"{usb}/1-4.1/bDeviceClass": "ef\n",
            f"{usb}/1-4.1/speed": "5000\n",
            "/sys/bus/usb/drivers/qmi_wwan": FOLDER,
            f"{usb}/1-4.1:1.8/driver": Link("../../drivers/qmi_wwan"),
            f"{usb}/1-5/idVendor": "dead\n",
            f"{usb}/1-5/idProduct": "beef\n",
            f"{usb}/1-5/bDeviceClass": "ff\n",
        },
    )
    mouse, modem, dead = machine.items("devices_usb")
    assert (mouse["vendor"], mouse["product"]) == ("Logitech, Inc.", "Unifying Receiver")
    assert (mouse["class_id"], mouse["drivers"], mouse["speed_mbit_s"]) == ("03", ["usbhid"], 12)
    assert (modem["serial"], modem["product"]) == (None, "EM7565")  # a filler, no serial number
    assert dead["vendor"] is None
    assert [one["id"] for one in machine.items("drivers")] == ["dead:beef"]
    report = machine.collect("modems")
    assert [(one["model"], one["driver"]) for one in report.items] == [("EM7565", "qmi_wwan")]
    assert "ModemManager" in report.reason


def test_modems_of_modemmanager(tmp_path: Path) -> None:
    path = "/org/freedesktop/ModemManager1/Modem/0"
    machine = Machine(
        tmp_path,
        {},
        {
            "mmcli -L -J": f'{{"modem-list":["{path}","/etc/passwd"]}}',
            f"mmcli -m {path} -J": '{"modem":{"3gpp":{"imei":"356938035643809"},"generic":'
            '{"manufacturer":"Sierra","model":"EM7565","primary-port":"cdc-wdm0","drivers":'
            '["qmi_wwan"],"revision":"--","state":"connected"}}}',
        },
    )
    item = machine.item("modems")
    assert (item["imei"], item["firmware"], item["state"]) == ("356938035643809", None, "connected")
    assert machine.collect("modems", personal=False).items[0]["imei"] == "(withheld)"


DEVICES = """I: Bus=0011 Vendor=0001 Product=0001 Version=ab41
N: Name="AT Translated Set 2 keyboard"
P: Phys=isa0060/serio0/input0
H: Handlers=sysrq kbd event3 leds
B: EV=120013

I: Bus=0018 Vendor=06cb Product=ce2d Version=0100
N: Name="SYNA8004:00 06CB:CE2D Touchpad"
H: Handlers=mouse1 event6
B: EV=1b

I: Bus=0003 Vendor=046d Product=c52b Version=0111
N: Name="Logitech USB Receiver Mouse"
H: Handlers=mouse0 event5
B: EV=17

I: Bus=0019 Vendor=0000 Product=0001 Version=0000
N: Name="Power Button"
H: Handlers=kbd event0
B: EV=3
"""


def test_inputs(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"/proc/bus/input/devices": DEVICES})
    found = [(one["kind"], one["bus"]) for one in machine.items("inputs")]
    assert found == [("keyboard", "ps2"), ("touchpad", "i2c"), ("mouse", "usb"), ("button", "host")]


def test_sound_and_cameras(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/proc/asound/cards": " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n"
            "                      HDA Intel PCH at 0x6001\n",
            "/sys/devices/usb/1-8:1.0": FOLDER,
            "/sys/bus/usb/drivers/uvcvideo": FOLDER,
            "/sys/devices/usb/1-8:1.0/driver": Link("../../../bus/usb/drivers/uvcvideo"),
            "/sys/class/video4linux/video0/name": "Integrated Camera: Integrated C\n",
            "/sys/class/video4linux/video0/device": Link("../../../devices/usb/1-8:1.0"),
            "/sys/class/video4linux/video1/name": "Integrated Camera: Integrated C\n",
            "/sys/class/video4linux/video1/device": Link("../../../devices/usb/1-8:1.0"),
        },
    )
    assert machine.item("sound") == {"name": "HDA Intel PCH", "id": "PCH", "driver": "HDA-Intel"}
    camera = machine.item("cameras")
    assert (camera["device"], camera["driver"]) == ("/dev/video0", "uvcvideo")
    assert Machine(tmp_path / "none").collect("sound").status == "unsupported"


def test_bluetooth(tmp_path: Path) -> None:
    blue = "/sys/class/bluetooth"
    machine = Machine(
        tmp_path,
        {
            f"{blue}/hci0/address": "aa:bb:cc:dd:ee:ff\n",
            f"{blue}/hci0/rfkill2/soft": "1\n",
            f"{blue}/hci0/rfkill2/hard": "0\n",
            f"{blue}/hci0:256": FOLDER,
            "/var/lib/bluetooth/AA:BB:CC:DD:EE:FF/11:22:33:44:55:66/info": "",
            "/var/lib/bluetooth/AA:BB:CC:DD:EE:FF/cache/x": "",
        },
    )
    item = machine.item("bluetooth")
    assert (item["blocked"], item["paired_devices"]) == (True, 1)
    assert Machine(tmp_path / "none").collect("bluetooth").status == "unsupported"


def edid(**changes: int) -> bytes:
    """Return the EDID of a made-up Dell monitor of 2024, week 12."""
    block = bytearray(128)
    block[0:8] = b"\x00\xff\xff\xff\xff\xff\xff\x00"
    block[8:10] = (0x10AC).to_bytes(2, "big")  # DEL
    block[10:12] = (0xA1B2).to_bytes(2, "little")
    block[12:16] = (0x4C463056).to_bytes(4, "little")
    block[16], block[17] = 12, 34
    block[21], block[22] = 60, 34
    timing = bytes([0x02, 0x3A, 0x80, 0x18, 0x71, 0x38, 0x2D, 0x40, 0x58, 0x2C, 0x45, 0x00])
    block[54:66] = timing
    block[66], block[67], block[68] = 0x55, 0x50, 0x21
    block[72:90] = b"\x00\x00\x00\xfc\x00DELL U2724D\n "
    block[90:108] = b"\x00\x00\x00\xff\x00ABC1234\n     "
    for at, value in changes.items():
        block[int(at[1:])] = value
    block[127] = -sum(block[:127]) % 256
    return bytes(block)


def test_monitors_by_their_edid(tmp_path: Path) -> None:
    drm = "/sys/class/drm"
    machine = Machine(
        tmp_path,
        {
            f"{drm}/card0-DP-1/edid": edid(),
            f"{drm}/card0-DP-1/status": "connected\n",
            f"{drm}/card0-HDMI-A-1/edid": b"",
            f"{drm}/card0-HDMI-A-1/status": "connected\n",
            f"{drm}/card0-DP-2/edid": b"",
            f"{drm}/card0-DP-2/status": "disconnected\n",
            f"{drm}/card0/dev": "226:0\n",
        },
    )
    report = machine.collect("monitors")
    (item,) = report.items
    assert (item["manufacturer"], item["model"], item["serial"]) == (
        "DEL",
        "DELL U2724D",
        "ABC1234",
    )
    assert (item["made_year"], item["made_week"], item["product_id"]) == (2024, 12, "a1b2")
    assert (item["width_px"], item["height_px"]) == (1920, 1080)
    assert (item["width_mm"], item["height_mm"]) == (597, 336)
    assert report.reason == "HDMI-A-1: connected, and no EDID can be read"


def test_an_edid_that_is_none() -> None:
    whole = edid()
    assert parse_edid(whole) is not None
    assert parse_edid(whole[:127]) is None
    assert parse_edid(whole[:-1] + bytes([whole[-1] ^ 1])) is None
    assert parse_edid(b"\x01" * 128) is None


def test_sensors_of_chips_and_zones(tmp_path: Path) -> None:
    chip = "/sys/class/hwmon/hwmon3"
    machine = Machine(
        tmp_path,
        {
            f"{chip}/name": "coretemp\n",
            f"{chip}/temp1_input": "54000\n",
            f"{chip}/temp1_crit": "100000\n",
            f"{chip}/temp1_label": "Package id 0\n",
            f"{chip}/temp2_input": "-128000\n",
            f"{chip}/fan1_input": "2310\n",
            f"{chip}/in0_input": "12096\n",
            f"{chip}/power1_average": "9500000\n",
            "/sys/class/thermal/thermal_zone0/type": "acpitz\n",
            "/sys/class/thermal/thermal_zone0/temp": "25000\n",
            "/sys/class/thermal/cooling_device0/type": "Fan\n",
        },
    )
    found = {(one["device"], one["name"]): one for one in machine.items("sensors")}
    package = found["coretemp", "Package id 0"]
    assert (package["temperature_celsius"], package["critical_celsius"]) == (54.0, 100.0)
    assert found["coretemp", "temp2"]["temperature_celsius"] is None  # nothing is connected
    assert found["coretemp", "fan1"]["fan_rpm"] == 2310
    assert found["coretemp", "in0"]["voltage_mv"] == 12096
    assert found["coretemp", "power1"]["power_mw"] == 9500
    assert found["thermal_zone0", "acpitz"]["temperature_celsius"] == 25.0
    assert len(found) == 6


def test_the_machine_by_its_firmware(tmp_path: Path) -> None:
    dmi = "/sys/class/dmi/id"
    machine = Machine(
        tmp_path,
        {
            "/proc/sys/kernel/hostname": "desk\n",
            "/etc/hosts": "127.0.1.1 desk.example.org desk\n",
            f"{dmi}/sys_vendor": "LENOVO\n",
            f"{dmi}/product_name": "21CB\n",
            f"{dmi}/product_serial": "To Be Filled By O.E.M.\n",
            f"{dmi}/product_uuid": "4C4C4544-0042-3510-8052-B4C04F4D3232\n",
            f"{dmi}/board_version": "SDK0T76530 WIN\n",
            f"{dmi}/chassis_type": "10\n",
            "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
            "/etc/timezone": "Europe/Lisbon\n",
        },
        {"systemd-detect-virt": "none\n"},
    )
    item = machine.item("system")
    assert (item["hostname"], item["domain"]) == ("desk", "example.org")
    assert (item["serial"], item["chassis"]) == (None, "notebook")
    assert item["board_version"] == "SDK0T76530 WIN"
    assert "0123456789abcdef" not in str(item["machine_id_sha256"])[:16]
    withheld = machine.collect("system", personal=False).items[0]
    assert (withheld["hostname"], withheld["uuid"], withheld["serial"]) == (
        "(withheld)", "(withheld)", None,
    )  # fmt: skip
    assert withheld["model"] == "21CB"


def test_disks_that_only_the_kernel_can_name(tmp_path: Path) -> None:
    lsblk = """{"blockdevices": [
        {"name": "vda", "type": "disk", "size": 1000, "vendor": "0x1af4", "serial": null},
        {"name": "sda", "type": "disk", "size": 2000, "vendor": "ATA     ", "model": "WDC"}
    ]}"""
    machine = Machine(
        tmp_path,
        {
            "/usr/share/misc/pci.ids": "1af4  Red Hat, Inc.\n",
            "/sys/block/vda/serial": "disk-0001\n",
            "/sys/block/sda/device/rev": "82.0\n",
        },
        {"lsblk": lsblk},
    )
    virtual, disk = machine.items("disks")
    assert (virtual["vendor"], virtual["serial"]) == ("Red Hat, Inc.", "disk-0001")
    assert (disk["vendor"], disk["model"], disk["firmware"]) == ("ATA", "WDC", "82.0")
