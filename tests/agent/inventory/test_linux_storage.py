"""Storage sections: partitions, volumes in groups, arrays, health, encryption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.inventory.collectors.linux.logical_volumes import parse_btrfs
from farhand_agent.inventory.collectors.linux.raid import parse_mdstat
from farhand_agent.platforms.commands import Outcome
from tests.agent.inventory.machines import FOLDER, Machine

LSBLK = json.dumps(
    {
        "blockdevices": [
            {"name": "nvme0n1", "path": "/dev/nvme0n1", "type": "disk", "size": 512110190592},
            {
                "name": "nvme0n1p2", "path": "/dev/nvme0n1p2", "type": "part", "pkname": "nvme0n1",
                "size": 511000000000, "parttype": "0fc63daf-8483-4772-8e79-3d69d8477de4",
                "parttypename": "Linux filesystem", "fstype": "crypto_LUKS", "label": None,
                "uuid": "11111111-2222-3333-4444-555555555555", "partn": 2,
            },
            {"name": "sda1", "type": "part", "pkname": "sda", "size": "1048576",
             "parttype": "0x83"},
        ]
    }
)  # fmt: skip


def test_partitions_old_and_new(tmp_path: Path) -> None:
    old = Outcome(1, b"", b"lsblk: unknown column: PARTTYPENAME,FSTYPE\n")
    machine = Machine(
        tmp_path,
        {},
        {"lsblk": LSBLK, "lsblk -J -l -b -o NAME,TYPE,PKNAME,SIZE,PARTTYPE,PARTTYPENAME": old},
    )
    second, first = machine.items("partitions")
    assert (second["number"], second["kind"], second["disk"]) == (2, "Linux filesystem", "nvme0n1")
    assert (first["number"], first["kind"], first["size_bytes"]) == (1, "0x83", 1048576)


def report(kind: str, *rows: dict[str, str]) -> str:
    return json.dumps({"report": [{kind: list(rows)}]})


LVM = {
    "vgs": report(
        "vg",
        {"vg_name": "vg0", "vg_size": "500000000000", "vg_free": "1000", "vg_uuid": "u-1",
         "vg_attr": "wz-pn-"},
    ),
    "pvs": report(
        "pv",
        {"pv_name": "/dev/sda2", "vg_name": "vg0", "pv_size": "500000000000", "pv_free": "1000",
         "pv_uuid": "u-2", "pv_attr": "a--"},
    ),
    "lvs": report(
        "lv",
        {"lv_name": "root", "vg_name": "vg0", "lv_size": "50000000000", "lv_uuid": "u-3",
         "lv_attr": "-wi-ao----", "lv_health_status": ""},
    ),
}  # fmt: skip


def test_lvm_and_zfs(tmp_path: Path) -> None:
    zpool = "tank\t1000204886016\t400000000000\t1234567890\tDEGRADED\n"
    machine = Machine(tmp_path, {}, LVM | {"zpool": zpool})
    found = {one["record"]: one for one in machine.items("logical_volumes")}
    assert (found["group"]["health"], found["group"]["free_bytes"]) == ("missing", 1000)
    assert found["physical"]["health"] == "ok"
    assert (found["logical"]["group"], found["logical"]["size_bytes"]) == ("vg0", 50_000_000_000)
    assert (found["pool"]["name"], found["pool"]["health"]) == ("tank", "degraded")


def test_lvm_for_root_alone_is_denied_and_never_empty(tmp_path: Path) -> None:
    refused = Outcome(5, b"", b"  WARNING: Running as a non-root user.\n")
    machine = Machine(tmp_path, {}, dict.fromkeys(LVM, refused), privileged=False)
    assert machine.collect("logical_volumes").status == "denied"
    assert Machine(tmp_path / "none").collect("logical_volumes").status == "unsupported"


def test_btrfs() -> None:
    (item,) = parse_btrfs(
        "Label: 'data'  uuid: 4d7c3e51-0000-0000-0000-000000000001\n"
        "\tTotal devices 2 FS bytes used 1000\n"
        "\tdevid    1 size 2000 used 1500 path /dev/sda\n"
        "\tdevid    2 size 2000 used 1500 path /dev/sdb\n"
        "\t*** Some devices missing\n"
    )
    assert (item["name"], item["size_bytes"], item["free_bytes"]) == ("data", 4000, 1000)
    assert item["health"] == "missing"


MDSTAT = """Personalities : [raid1] [raid6] [raid5] [raid4]
md0 : active raid1 sdb1[1] sda1[0](F)
      976630464 blocks super 1.2 [2/1] [_U]
      [=>...................]  recovery =  5.9% (57624448/976630464) finish=80.0min speed=190M/sec
      bitmap: 4/8 pages [16KB], 65536KB chunk

md127 : active (auto-read-only) raid5 sde[2] sdd[1] sdc[0]
      2929890816 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/3] [UUU]

md9 : inactive sdz[0](S)
      976631512 blocks super 1.2

unused devices: <none>
"""


def test_arrays_of_the_kernel(tmp_path: Path) -> None:
    broken, whole, idle = parse_mdstat(MDSTAT)
    assert (broken["level"], broken["state"]) == ("raid1", "recovering")
    assert (broken["devices"], broken["failed"]) == (2, 1)
    assert broken["members"] == ["sda1", "sdb1"]
    assert broken["size_bytes"] == 976630464 * 1024
    assert (whole["level"], whole["state"], whole["failed"]) == ("raid5", "clean", 0)
    assert (idle["state"], idle["level"], idle["members"]) == ("inactive", None, ["sdz"])
    machine = Machine(
        tmp_path,
        {"/proc/mdstat": MDSTAT},
        {
            "storcli64": '{"Controllers":[{"Response Data":{"Virtual Drives":[{"DG/VD":"0/239",'
            '"TYPE":"RAID1","State":"Dgrd","Name":""}]}}]}'
        },
    )
    drive = machine.items("raid")[-1]
    assert (drive["name"], drive["level"], drive["state"]) == ("0/239", "raid1", "degraded")


def test_no_array_is_none(tmp_path: Path) -> None:
    assert Machine(tmp_path, {"/proc": FOLDER}).items("raid") == []
    assert Machine(tmp_path / "none").collect("raid").status == "unsupported"


SCAN = json.dumps(
    {
        "devices": [
            {"name": "/dev/sda", "type": "scsi"},
            {"name": "/dev/nvme0", "type": "nvme"},
            {"name": "/dev/sdb", "type": "sat"},
        ]
    }
)
ATA = json.dumps(
    {
        "model_name": "WDC WD40EFRX-68N32N0",
        "serial_number": "WD-WCC7K0000000",
        "smart_status": {"passed": False},
        "temperature": {"current": 41},
        "power_on_time": {"hours": 41234},
        "power_cycle_count": 57,
        "logical_block_size": 512,
        "ata_smart_attributes": {
            "table": [
                {"id": 5, "name": "Reallocated_Sector_Ct", "value": 1, "when_failed": "now",
                 "raw": {"value": 1976}},
                {"id": 197, "name": "Current_Pending_Sector", "raw": {"value": 8}},
                {"id": 198, "name": "Offline_Uncorrectable", "raw": {"value": 2}},
                {"id": 199, "name": "UDMA_CRC_Error_Count", "raw": {"value": 0}},
                {"id": 231, "name": "SSD_Life_Left", "value": 83, "raw": {"value": 83}},
                {"id": 241, "name": "Total_LBAs_Written", "raw": {"value": 1000}},
            ]
        },
    }
)  # fmt: skip
NVME = json.dumps(
    {
        "model_name": "SAMSUNG MZVL2512HCJQ",
        "serial_number": "S675NX0R000000",
        "smart_status": {"passed": True},
        "temperature": {"current": 38},
        "nvme_smart_health_information_log": {
            "critical_warning": 4, "percentage_used": 103, "available_spare": 100,
            "media_errors": 1, "unsafe_shutdowns": 91, "data_units_written": 2000,
        },
        "power_on_time": {"hours": 812},
        "power_cycle_count": 1201,
    }
)  # fmt: skip


def test_the_exit_code_of_smartctl_is_a_mask(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {},
        {
            "smartctl --scan": SCAN,
            # Bits 3 and 4: the disk is failing, which is an answer and no failure.
            "smartctl -a -j -n standby -d scsi /dev/sda": Outcome(0b11000, ATA.encode(), b""),
            "smartctl -a -j -n standby -d nvme /dev/nvme0": NVME,
            # Bit 1: asleep or gone.
            "smartctl -a -j -n standby -d sat /dev/sdb": Outcome(0b10, b"{}", b""),
        },
    )
    found = machine.collect("disk_health")
    disk, nvme = found.items
    assert (disk["passed"], disk["failing"]) == (False, ["Reallocated_Sector_Ct"])
    assert (disk["reallocated_sectors"], disk["pending_sectors"]) == (1976, 8)
    assert (disk["wear_percent"], disk["written_bytes"]) == (17, 512_000)
    assert (nvme["passed"], nvme["wear_percent"], nvme["spare_percent"]) == (True, 103, 100)
    assert (nvme["written_bytes"], nvme["unsafe_shutdowns"]) == (1_024_000_000, 91)
    assert nvme["failing"] == ["critical_warning 4"]
    assert found.reason == "/dev/sdb: does not answer now"


@pytest.mark.parametrize(
    ("commands", "privileged", "status"),
    [
        ({}, True, "unsupported"),
        ({"smartctl --scan": '{"devices":[]}'}, True, "unsupported"),
        ({"smartctl --scan": SCAN}, False, "denied"),
        ({"smartctl --scan": "[]"}, True, "error"),
    ],
)
def test_health_that_cannot_be_had(
    tmp_path: Path, commands: dict[str, str | Outcome], privileged: bool, status: str
) -> None:
    machine = Machine(tmp_path, {}, commands, privileged=privileged)
    assert machine.collect("disk_health").status == status


def block(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": f"/dev/{name}", "type": kind, "fstype": None} | more


def test_what_lies_on_an_encrypted_device_is_encrypted(tmp_path: Path) -> None:
    tree = [
        block(
            "sda", "disk",
            children=[
                block("sda1", "part", fstype="ext4", mountpoint="/boot"),
                block(
                    "sda2", "part", fstype="crypto_LUKS",
                    children=[
                        block(
                            "mapper/crypt", "crypt", fstype="LVM2_member",
                            children=[
                                block("mapper/vg-root", "lvm", fstype="ext4", mountpoint="/"),
                                block("mapper/vg-swap", "lvm", fstype="swap", mountpoint="[SWAP]"),
                            ],
                        )
                    ],
                ),
            ],
        ),
        block("sdb", "disk", fstype="crypto_LUKS"),
    ]  # fmt: skip
    machine = Machine(
        tmp_path,
        {
            "/proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/mapper/vg-root rw\n"
            "2 1 0:40 / /tank rw - zfs tank/data rw\n"
        },
        {
            "lsblk": json.dumps({"blockdevices": tree}),
            "dmsetup": "crypt: 0 1000 crypt aes-xts-plain64 0000000000000000 0 8:2 32768\n",
            "zfs": "aes-256-gcm\n",
        },
    )
    found = {one["mount"]: one for one in machine.items("disk_encryption")}
    assert found["/boot"]["encrypted"] is False
    for mount in ("/", "[SWAP]"):
        assert found[mount]["encrypted"] is True
        assert found[mount]["device"] == "/dev/mapper/crypt"
        assert found[mount]["cipher"] == "aes-xts-plain64"
    assert (found[None]["state"], found[None]["device"]) == ("locked", "/dev/sdb")
    assert (found["/tank"]["method"], found["/tank"]["cipher"]) == ("zfs", "aes-256-gcm")


def test_ciphers_that_need_root_cost_a_word(tmp_path: Path) -> None:
    tree = [block("c", "crypt", fstype="ext4", mountpoint="/")]
    machine = Machine(
        tmp_path,
        {"/proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/c rw\n"},
        {"lsblk": json.dumps({"blockdevices": tree})},
    )
    found = machine.collect("disk_encryption")
    assert found.items[0]["encrypted"] is True
    assert found.reason == "no ciphers: dmsetup is not installed"
