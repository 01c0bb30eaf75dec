"""Network sections: names, routes, doors, tunnels, air."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.platforms.commands import Outcome
from tests.agent.inventory.machines import FOLDER, Link, Machine


def test_names_behind_a_local_stub(tmp_path: Path) -> None:
    status = [
        {"ifindex": 2, "ifname": "enp0s31f6", "servers": [{"addressString": "192.0.2.53"}],
         "searchDomains": [{"name": "example.org"}]},
        {"ifindex": 3, "ifname": "wlan0"},
    ]  # fmt: skip
    machine = Machine(
        tmp_path,
        {"/etc/resolv.conf": "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n"},
        {"resolvectl": json.dumps(status)},
    )
    stub, link = machine.items("dns")
    assert (stub["servers"], stub["options"]) == (["127.0.0.53"], ["edns0", "trust-ad"])
    assert (link["interface"], link["servers"]) == ("enp0s31f6", ["192.0.2.53"])
    assert link["search"] == ["example.org"]


def test_names_where_the_stub_cannot_be_asked(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"/etc/resolv.conf": "nameserver 127.0.0.53\n"})
    assert "resolvectl is not installed" in machine.collect("dns").reason
    assert Machine(tmp_path / "none").collect("dns").status == "unsupported"


def test_routes_and_neighbours(tmp_path: Path) -> None:
    four = [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "protocol": "dhcp",
         "metric": 100, "flags": []},
        {"dst": "192.0.2.7", "dev": "eth0", "table": "local", "type": "local"},
        {"type": "unreachable", "dst": "10.0.0.0/8", "protocol": "static"},
    ]  # fmt: skip
    neighbours = [
        {"dst": "192.0.2.1", "dev": "eth0", "lladdr": "52:54:00:aa:bb:cc", "state": ["REACHABLE"]},
        {"dst": "192.0.2.9", "dev": "eth0", "state": ["FAILED"]},
    ]
    machine = Machine(
        tmp_path,
        {},
        {
            "ip -j -4 route": json.dumps(four),
            "ip -j -6 route": "",
            "ip -j neigh": json.dumps(neighbours),
        },
    )
    first, second = machine.items("routes")
    assert (first["gateway"], first["metric"], first["origin"]) == ("192.0.2.1", 100, "dhcp")
    assert (second["destination"], second["interface"]) == ("10.0.0.0/8", None)
    assert machine.item("neighbours")["state"] == "reachable"
    assert machine.collect("neighbours", personal=False).items[0]["mac"] == "(withheld)"


SS = """udp   UNCONN 0      0            127.0.0.53%lo:53        0.0.0.0:*    users:(("systemd-resolve",pid=612,fd=13))
tcp   LISTEN 0      244              127.0.0.1:5432      0.0.0.0:*    users:(("postgres",pid=900,fd=5),("postgres",pid=901,fd=5))
tcp   LISTEN 0      128                [::]:22              [::]:*    users:(("sshd",pid=700,fd=4))
tcp   LISTEN 0      128                   *:9090               *:*
nonsense
"""  # noqa: E501


def test_listening_ports_with_programs_and_users(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/passwd": "root:x:0:0::/root:/bin/sh\npostgres:x:104:109::/var:/bin/sh\n",
            "/proc/900/status": "Name:\tpostgres\nUid:\t104\t104\t104\t104\n",
            "/proc/700/status": "Name:\tsshd\nUid:\t0\t0\t0\t0\n",
        },
        {"ss": SS},
        privileged=False,
    )
    report = machine.collect("listening_ports")
    found = {one["port"]: one for one in report.items}
    assert (found[5432]["program"], found[5432]["user"]) == ("postgres", "postgres")
    assert (found[22]["address"], found[22]["user"]) == ("::", "root")
    assert (found[9090]["address"], found[9090]["program"]) == ("*", None)
    assert (found[53]["protocol"], found[53]["address"]) == ("udp", "127.0.0.53%lo")
    assert "pid" not in found[22]
    assert report.reason == "programs of other users need root"


def test_hosts_file(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"/etc/hosts": "127.0.0.1 localhost\n# x\n192.0.2.5 nas nas.lan\n"})
    assert [one["names"] for one in machine.items("hosts_file")] == [
        ["localhost"],
        ["nas", "nas.lan"],
    ]
    assert Machine(tmp_path / "none").collect("hosts_file").status == "unsupported"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://ann:secret@proxy:3128/", "http://proxy:3128/"),
        ("http://a:b@c@proxy:3128", "http://proxy:3128"),
        ("ann:secret@proxy:3128", "proxy:3128"),
        ("https://x/y?token=secret#secret", "https://x/y"),
        ("smb://dom;ann:pw@printer/queue", "smb://printer/queue"),
    ],
)
def test_addresses_lose_their_secrets(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_proxies_of_files_without_passwords(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/environment": 'http_proxy="http://ann:secret@proxy:3128/"\nNO_PROXY=.lan,::1\n'
            "API_KEY=secret\n",
            "/etc/apt/apt.conf.d/01proxy": '// Acquire::http::Proxy "http://old:1";\n'
            'Acquire::http::Proxy "http://cache:3142";\nAcquire::https::Proxy "DIRECT";\n',
            "/etc/dnf/dnf.conf": "[main]\nproxy=http://cache:3128\nproxy_password=secret\n",
        },
    )
    items = machine.items("proxy")
    assert [(one["source"], one["address"]) for one in items] == [
        ("/etc/environment", "http://proxy:3128/"),
        ("/etc/apt/apt.conf.d/01proxy", "http://cache:3142"),
        ("/etc/dnf/dnf.conf", "http://cache:3128"),
    ]
    assert items[0]["exceptions"] == [".lan", "::1"]
    assert "secret" not in json.dumps(items)


def test_tunnels(tmp_path: Path) -> None:
    links = [
        {"ifname": "lo", "flags": ["UP"], "link_type": "loopback"},
        {"ifname": "wg0", "flags": ["POINTOPOINT", "UP"], "linkinfo": {"info_kind": "wireguard"}},
        {"ifname": "tun0", "flags": [], "linkinfo": {"info_kind": "tun",
                                                     "info_data": {"type": "tun"}}},
        {"ifname": "tap0", "flags": [], "linkinfo": {"info_kind": "tun",
                                                     "info_data": {"type": "tap"}}},
        {"ifname": "sit0", "flags": [], "linkinfo": {"info_kind": "sit"}},
    ]  # fmt: skip
    machine = Machine(
        tmp_path,
        {
            "/etc/wireguard/wg0.conf": "PrivateKey = secret\n",
            "/etc/wireguard/home.conf": "PrivateKey = secret\n",
            "/etc/openvpn/client/office.conf": "remote vpn\n",
        },
        {
            "ip -j -d link": json.dumps(links),
            "nmcli": "Office\\: north:vpn::\nwired:802-3-ethernet:eth0:activated\n",
            "tailscale": '{"BackendState":"Running"}',
        },
    )
    found = {one["name"]: (one["kind"], one["state"]) for one in machine.items("vpn")}
    assert found == {
        "wg0": ("wireguard", "up"), "tun0": ("tun", "down"), "Office: north": ("vpn", "down"),
        "tailscale": ("tailscale", "up"), "home": ("wireguard", "down"),
        "office": ("openvpn", "unknown"),
    }  # fmt: skip
    assert "secret" not in json.dumps(machine.items("vpn"))


IW = """Connected to aa:bb:cc:dd:ee:ff (on wlan0)
\tSSID: Caf\\xc3\\xa9 Central
\tfreq: 5180.0
\tRX: 1000 bytes (10 packets)
\tsignal: -52 dBm
\ttx bitrate: 866.7 MBit/s VHT-MCS 9
"""


def test_wifi(tmp_path: Path) -> None:
    files: dict[str, str | Link] = {
        "/sys/class/net/wlan0/wireless": FOLDER,
        "/sys/class/net/lo/mtu": "65536\n",
    }
    machine = Machine(tmp_path, files, {"iw": IW, "nmcli": " :WPA1\n*:WPA2 WPA3\n"})
    assert machine.item("wifi") == {
        "interface": "wlan0", "ssid": "Café Central", "bssid": "aa:bb:cc:dd:ee:ff",
        "frequency_mhz": 5180, "signal_dbm": -52, "rate_mbit_s": 866.7, "security": "wpa2+wpa3",
    }  # fmt: skip
    away = Machine(tmp_path, {}, {"iw": "Not connected.\n"})
    assert (away.item("wifi")["ssid"], away.item("wifi")["security"]) == (None, None)
    assert Machine(tmp_path).collect("wifi").reason == "there is Wi-Fi, and iw is not installed"


def test_no_wifi_is_none_and_no_kernel_is_unsupported(tmp_path: Path) -> None:
    assert Machine(tmp_path, {"/sys/class/net/lo/mtu": "65536\n"}).items("wifi") == []
    assert Machine(tmp_path / "none").collect("wifi").status == "unsupported"


NFT = {
    "nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter",
                   "hook": "input", "policy": "drop"}},
        {"chain": {"family": "inet", "table": "filter", "name": "output", "type": "filter",
                   "hook": "output", "policy": "accept"}},
        {"rule": {"family": "inet", "chain": "input"}},
    ]
}  # fmt: skip
IPTABLES = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
COMMIT
"""
UFW = """Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
"""


def test_firewalls(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {},
        {"nft": json.dumps(NFT), "iptables-save": IPTABLES, "ufw": UFW, "firewall-cmd": "running"},
    )
    found = {one["name"]: one for one in machine.items("firewall")}
    for name, rules in (("nftables", 1), ("iptables", 1), ("ufw", 1)):
        assert found[name]["enabled"] is True
        assert (found[name]["default_inbound"], found[name]["default_outbound"]) == (
            "drop", "accept",
        )  # fmt: skip
        assert found[name]["rules"] == rules
    assert found["firewalld"]["enabled"] is True


def test_firewalls_that_are_off_denied_or_missing(tmp_path: Path) -> None:
    empty = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    off = Machine(tmp_path, {}, {"nft": "", "iptables-save": empty, "ufw": "Status: inactive\n"})
    assert [one["enabled"] for one in off.items("firewall")] == [False, False, False]
    refused = Outcome(1, b"", b"Operation not permitted (you must be root)\n")
    assert Machine(tmp_path, {}, {"nft": refused}).collect("firewall").status == "denied"
    assert Machine(tmp_path).collect("firewall").status == "unsupported"
