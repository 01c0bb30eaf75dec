"""Every parser of foreign output holds to its documented error, whatever it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_agent.inventory import (
    addresses,
    certificate_items,
    clouds,
    container_lists,
    cups_queues,
    defender_health,
    extension_files,
    hosts_lines,
    package_databases,
    power_supply_items,
    programs,
    smbios,
    sshd_settings,
    wtmp,
)
from farhand_agent.inventory import language_packages as language_names
from farhand_agent.inventory.collectors.linux import (
    antivirus,
    certificates,
    crashes,
    disk_encryption,
    disk_health,
    dns,
    firewall,
    firmware_security,
    gpus,
    groups,
    hardening,
    inputs,
    licences,
    listening_ports,
    log_summary,
    logical_volumes,
    management,
    memory_modules,
    modems,
    neighbours,
    partitions,
    ports,
    processes,
    proxy,
    raid,
    reboot,
    repositories,
    routes,
    scheduled_tasks,
    sessions,
    slots,
    sound,
    startup,
    time,
    update_settings,
    virtual_machines,
    vpn,
    wifi,
)
from farhand_agent.inventory.context import Malformed
from farhand_agent.platforms.edid import parse_edid

KEYS = [
    "blockdevices", "name", "path", "type", "size", "pkname", "partn", "children", "mountpoints",
    "fstype", "report", "vg", "pv", "lv", "vg_name", "vg_attr", "Controllers", "Response Data",
    "Virtual Drives", "State", "devices", "smart_status", "passed", "temperature", "current",
    "nvme_smart_health_information_log", "data_units_written", "ata_smart_attributes", "table",
    "id", "raw", "value", "when_failed", "logical_block_size", "servers", "addressString",
    "searchDomains", "ifname", "dst", "dev", "gateway", "metric", "table", "lladdr", "state",
    "linkinfo", "info_kind", "info_data", "flags", "modem-list", "modem", "generic", "3gpp",
    "drivers", "imei", "nftables", "chain", "rule", "hook", "policy", "healthy",
    "definitionsStatus", "Names", "Id", "ID", "CreatedAt", "Created", "config", "created_at",
    "image.os", "time", "exe", "sig", "attached", "expires", "services", "status", "session",
    "BackendState", "installs", "addons", "location", "defaultLocale", "identifier", "version",
    "result", "publisher", "install-date", "installed-size", "hold",
]  # fmt: skip
NUMBERS = st.integers() | st.integers(-(10**400), 10**400) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.sampled_from(["1", "yes", "-9"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
TEXT = st.text(
    alphabet="abcP:V=[]{}()\"'|,;.-/\t\n *#@%0123456789 root users: kB", max_size=300
) | st.text(max_size=200)

OF_JSON: list[Callable[[Any], object]] = [
    partitions.parse_lsblk, disk_encryption.parse_layers, raid.parse_storcli,
    lambda v: logical_volumes.parse_lvm(v, "vg", "group"),
    lambda v: logical_volumes.parse_lvm(v, "lv", "logical"),
    disk_health.parse_scan, lambda v: disk_health.parse_smart(v, "/dev/x"), dns.parse_resolvectl,
    lambda v: routes.parse_routes(v, "inet"), neighbours.parse_neighbours, vpn.parse_links,
    vpn.parse_tailscale, modems.parse_modem_list, modems.parse_modem, firewall.parse_nft,
    defender_health.parse_mdatp, container_lists.parse_podman, container_lists.parse_lxc,
    lambda v: container_lists.parse_docker(json.dumps(v)), crashes.parse_coredumpctl,
    licences.parse_pro, sessions.parse_sessions,
    lambda v: language_names.parse_crates(json.dumps(v)),
    lambda v: language_names.parse_package_json(json.dumps(v)),
    lambda v: extension_files.parse_chromium_manifest(json.dumps(v)),
    lambda v: extension_files.parse_firefox_extensions(json.dumps(v)),
    lambda v: extension_files.parse_editor_extensions(json.dumps(v)),
    lambda v: package_databases.parse_snaps(json.dumps(v).encode()),
    lambda v: log_summary.parse_journal(json.dumps(v)),
]  # fmt: skip
OF_TEXT: list[Callable[[str], object]] = [
    logical_volumes.parse_zpool, logical_volumes.parse_btrfs, raid.parse_mdstat,
    disk_encryption.parse_ciphers, dns.parse_options, listening_ports.parse_ss,
    hosts_lines.parse_hosts, lambda t: proxy.parse_assignments(t, "x"),
    lambda t: proxy.parse_apt(t, "x"), lambda t: proxy.parse_ini(t, "x"), vpn.parse_nmcli,
    lambda t: wifi.parse_iw(t, "wlan0"), wifi.parse_nmcli_security, gpus.parse_nvidia_smi,
    inputs.parse_devices, sound.parse_cards, groups.parse_groups, sessions.parse_show,
    lambda t: processes.parse_stat(t, 100, 4096, 1), lambda t: startup.parse_desktop(t),
    lambda t: scheduled_tasks.parse_crontab(t, "x", None), scheduled_tasks.parse_anacrontab,
    scheduled_tasks.parse_timers, time.parse_properties, time.parse_tracking, time.parse_ntpq,
    time.parse_timesync, firewall.parse_iptables, firewall.parse_ufw,
    firmware_security.lockdown_mode, hardening.apparmor_modes, reboot.replaced_libraries,
    sshd_settings.parse_sshd, lambda t: repositories.parse_one_line(t, "x"),
    lambda t: repositories.parse_deb822(t, "x"), lambda t: repositories.parse_apk(t, "x"),
    lambda t: repositories.parse_ini(t, "x", "dnf"),
    lambda t: repositories.parse_ini(t, "x", "pacman"), repositories.parse_flatpak,
    update_settings.parse_apt_conf, virtual_machines.parse_dominfo, virtual_machines.parse_qm,
    lambda t: virtual_machines.parse_vboxmanage(t, t), clouds.cloud_of,
    certificates.configured_paths, lambda t: management.server_in(t, "server"),
    cups_queues.parse_lpstat, crashes.parse_core_name, language_names.parse_dist_info,
    antivirus.parse_clamav_header, programs.program_of, addresses.without_credentials,
    package_databases.parse_pacman_desc, package_databases.parse_apk_installed,
    package_databases.parse_flatpak, package_databases.parse_extended_states,
    extension_files.parse_editor_extensions, container_lists.parse_docker,
    log_summary.parse_journal,
]  # fmt: skip


def structures(data: bytes) -> list[object]:
    """Read every kind of structure as if it were each of ours."""
    return [
        read(one)
        for one in smbios.parse_structures(data)
        for read in (
            memory_modules.array_item, memory_modules.module_item, slots.slot_item,
            ports.port_item, power_supply_items.supply_item,
        )
    ]  # fmt: skip


OF_BYTES: list[Callable[[bytes], object]] = [
    structures, parse_edid, wtmp.parse_utmp, firmware_security.efi_flag,
    certificate_items.certificates_in, package_databases.parse_snaps,
]  # fmt: skip


def holds(parse: Callable[[Any], object], value: Any) -> None:
    """Call a parser; `Malformed` is the only error that it may raise, and JSON what it returns."""
    try:
        parse(value)
    except Malformed:
        return


@pytest.mark.parametrize("parse", OF_JSON)
@given(value=JSON)
@settings(deadline=None, max_examples=25)
def test_json(parse: Callable[[Any], object], value: Any) -> None:
    holds(parse, value)


@pytest.mark.parametrize("parse", OF_TEXT)
@given(text=TEXT)
@settings(deadline=None, max_examples=25)
def test_text(parse: Callable[[str], object], text: str) -> None:
    holds(parse, text)


@pytest.mark.parametrize("parse", OF_BYTES)
@given(data=st.binary(max_size=600))
@settings(deadline=None, max_examples=25)
def test_bytes(parse: Callable[[bytes], object], data: bytes) -> None:
    holds(parse, data)
    # A utmp record has 384 bytes; anything shorter never reaches what reads it.
    holds(parse, (data * 400)[:768] if data else b"")


LONG = ["a", " ", "[", "a=", "a:", "1 ", "\n", "/", "{", '("']


@pytest.mark.parametrize("parse", OF_TEXT)
def test_long_lines_take_no_time_worth_mentioning(parse: Callable[[str], object]) -> None:
    """A pattern that looks at such a line from each of its letters would stand here for minutes."""
    for piece in LONG:
        holds(parse, piece * (60_000 // len(piece)))
