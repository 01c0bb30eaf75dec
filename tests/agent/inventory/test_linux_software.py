"""Sections about what is installed: software, its sources, containers, products, extensions."""

from __future__ import annotations

import datetime
import json
import socket
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from farhand_agent.inventory.collectors.linux.antivirus import parse_clamav_header
from farhand_agent.inventory.dpkg_database import CutOff, require_whole
from farhand_agent.platforms.commands import Outcome, run
from farhand_agent.platforms.files import SystemFiles
from tests.agent.inventory.machines import FOLDER, Machine

DPKG = (
    "bash\t5.2.15-2+b2\tamd64\tinstall\tinstalled\t7163\tbash\t5.2.15-2\n"
    "adduser\t3.134\tall\thold\tinstalled\t686\tadduser\t3.134\n"
    "old\t1\tall\tdeinstall\tconfig-files\t1\told\t1\n"
)
PACMAN = "%NAME%\nzlib\n\n%VERSION%\n1:1.3-1\n\n%BASE%\nzlib\n\n%ARCH%\nx86_64\n\n%SIZE%\n345\n\n"
PACMAN += "%REASON%\n1\n\n%INSTALLDATE%\n1700000000\n"


def test_software_of_every_manager_has_the_same_keys(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/var/lib/apt/extended_states": "Package: adduser\nArchitecture: amd64\n"
            "Auto-Installed: 1\n",
            "/var/lib/dpkg/info/bash.list": "",
            "/var/lib/pacman/local/ALPM_DB_VERSION": "9\n",
            "/var/lib/pacman/local/zlib-1:1.3-1/desc": PACMAN,
            "/lib/apk/db/installed": "C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\nI:634880\no:musl\n\n",
        },
        {
            "dpkg-query": DPKG,
            "flatpak list": "org.gimp.GIMP\t2.10.36\tstable\tx86_64\tflathub\t351.0\xa0MB\n",
        },
    )
    items = {one["name"]: one for one in machine.items("software")}
    assert set(items) == {"bash", "adduser", "zlib", "musl", "org.gimp.GIMP"}
    assert (items["bash"]["automatic"], items["adduser"]["automatic"]) == (False, True)
    assert (items["adduser"]["held"], items["bash"]["size_bytes"]) == (True, 7163 * 1024)
    assert items["bash"]["installed_at"].endswith("Z")
    assert (items["zlib"]["version"], items["zlib"]["automatic"]) == ("1:1.3-1", True)
    assert (items["musl"]["source"], items["musl"]["size_bytes"]) == ("apk", 634880)
    assert items["org.gimp.GIMP"]["size_bytes"] == 351_000_000
    assert Machine(tmp_path / "none").collect("software").status == "unsupported"


STANZA = "Package: bash\nStatus: install ok installed\nVersion: 5.2\n\n"


@pytest.mark.parametrize(
    ("status", "lists", "told", "sign"),
    [
        (STANZA, ["bash", "adduser"], DPKG, ""),
        (STANZA, ["bash", "adduser", "stray"], DPKG, ""),
        (STANZA[:-20], ["bash"], DPKG, "its last entry breaks off"),
        (STANZA[:-1], ["bash"], DPKG, "its last entry breaks off"),
        (STANZA, [f"lib{n}:amd64" for n in range(9)], DPKG, "it lists 3 packages, 9 more"),
        ("", ["bash"], "", "it lists 0 packages, 1 more have files"),
    ],
)
def test_a_database_of_dpkg_that_was_cut_off_is_no_removal(
    tmp_path: Path, status: str, lists: list[str], told: str, sign: str
) -> None:
    files = {f"/var/lib/dpkg/info/{name}.list": "" for name in lists}
    machine = Machine(tmp_path, files | {"/var/lib/dpkg/status": status}, {"dpkg-query": told})
    report = machine.collect("software")
    assert report.status == ("error" if sign else "ok"), report.reason
    assert sign in report.reason
    assert bool(report.items) != bool(sign)


def test_the_real_dpkg_says_nothing_of_a_database_that_was_cut_off(tmp_path: Path) -> None:
    status = Path("/var/lib/dpkg/status")
    if not status.exists():
        pytest.skip("no dpkg here")
    folder = tmp_path / "var/lib/dpkg"
    (folder / "info").mkdir(parents=True)
    (folder / "info/format").write_text("1\n")
    head = status.read_bytes()[:100_000]
    (folder / "status").write_bytes(head[: head.rindex(b"\nDescription:") + 1])
    argv = ["dpkg-query", f"--admindir={folder}", "-W", "-f=${Package}\n"]
    outcome = run(argv)
    assert outcome.exit_code == 0
    assert outcome.text.count("\n") > 10
    with pytest.raises(CutOff):
        require_whole(SystemFiles(tmp_path), outcome.text.split())


SNAPS = json.dumps(
    {
        "type": "sync",
        "result": [
            {"name": "firefox", "version": "130.0-2", "installed-size": 283500544,
             "publisher": {"username": "mozilla"}, "install-date": "2026-10-01T10:00:00+02:00"},
        ],
    }
)  # fmt: skip


def answer_once(listener: socket.socket, body: str) -> None:
    """Answer one request as snapd does."""
    connection, _ = listener.accept()
    with connection:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += connection.recv(4096)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body.encode())


@pytest.mark.parametrize(("body", "found"), [(SNAPS, 1), ("not json", 0), ('{"result":7}', 0)])
def test_snapd_is_asked_on_its_socket(tmp_path: Path, body: str, found: int) -> None:
    machine = Machine(tmp_path, {"/run": FOLDER}, {"dpkg-query": DPKG})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run/snapd.socket"))
        listener.listen()
        thread = threading.Thread(target=answer_once, args=(listener, body))
        thread.start()
        try:
            report = machine.collect("software")
        finally:
            thread.join()
    snaps = [one for one in report.items if one["source"] == "snap"]
    assert len(snaps) == found
    # Without its snaps they would look as if somebody had removed them.
    assert report.status == ("ok" if found else "error")
    if snaps:
        assert (snaps[0]["vendor"], snaps[0]["installed_at"]) == ("mozilla", "2026-10-01T08:00:00Z")


DEB822 = """# a comment
Types: deb deb-src
URIs: https://user:secret@deb.example.org/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/x.gpg

Types: deb
URIs: http://old.example.org/
Suites: ./
Enabled: no
Trusted: yes
"""
REPO = """[baseos]
name=Rocky
mirrorlist=https://mirrors.example.org/mirrorlist?arch=x86_64
gpgcheck=1

[extra]
baseurl=https://x.example.org/ https://y.example.org/
enabled=0
gpgcheck=0
"""


def test_repositories(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/apt/sources.list": "deb [trusted=yes arch=amd64] http://a/ sid main #\n#deb b\n",
            "/etc/apt/sources.list.d/debian.sources": DEB822,
            "/etc/apt/sources.list.d/x.list.save": "deb http://saved/ sid main\n",
            "/etc/yum.repos.d/rocky.repo": REPO,
            "/etc/pacman.conf": "[options]\nSigLevel = Required\n[core]\nInclude = /etc/m\n",
            "/etc/apk/repositories": "https://dl.example.org/v3/main\n@edge https://e/x\n",
        },
        {"flatpak remotes": "flathub\thttps://dl.flathub.org/repo/\tsystem\n"},
    )
    items = machine.items("repositories")
    assert "secret" not in json.dumps(items)
    by_manager: dict[str, list[dict[str, object]]] = {}
    for item in items:
        by_manager.setdefault(item["manager"], []).append(item)
    apt = by_manager["apt"]
    assert [(one["name"], one["suite"], one["enabled"], one["signed"]) for one in apt] == [
        ("deb", "sid", True, False),
        ("deb", "bookworm", True, True),
        ("deb", "bookworm-updates", True, True),
        ("deb-src", "bookworm", True, True),
        ("deb-src", "bookworm-updates", True, True),
        ("deb", "./", False, False),
    ]
    assert apt[1]["url"] == "https://deb.example.org/debian"
    assert [(one["name"], one["enabled"], one["signed"]) for one in by_manager["dnf"]] == [
        ("baseos", True, True),
        ("extra", False, False),
    ]
    assert [len(by_manager[one]) for one in ("pacman", "apk", "flatpak")] == [1, 2, 1]
    assert Machine(tmp_path / "none").collect("repositories").status == "unsupported"


APT_CONF = """// comment
Unattended-Upgrade::Origins-Pattern {
        "origin=Debian,codename=${distro_codename},label=Debian-Security";
//      "origin=Debian,codename=${distro_codename},label=Debian";
};
Unattended-Upgrade::Package-Blacklist { "linux-"; "libc6"; };
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Automatic-Reboot-Time "02:00";
"""


def test_settings_of_updates(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/apt/apt.conf.d/10periodic": 'APT::Periodic::Unattended-Upgrade "0";\n',
            "/etc/apt/apt.conf.d/20auto-upgrades": 'APT::Periodic::Update-Package-Lists "1";\n'
            'APT::Periodic::Unattended-Upgrade "1";\n',
            "/etc/apt/apt.conf.d/50unattended-upgrades": APT_CONF,
            "/usr/bin/unattended-upgrade": "",
            "/etc/dnf/automatic.conf": "[commands]\nupgrade_type = security\napply_updates = yes\n",
        },
    )
    apt, dnf = machine.items("update_settings")
    assert (apt["checks"], apt["installs"], apt["security_only"]) == (True, True, True)
    assert (apt["reboots"], apt["reboot_time"]) == (True, "02:00")
    assert apt["held_back"] == ["linux-", "libc6"]
    # Its timer is not switched on, so nothing happens by itself.
    assert (dnf["checks"], dnf["installs"], dnf["security_only"]) == (False, False, True)
    assert Machine(tmp_path / "none").collect("update_settings").status == "unsupported"


DOCKER = json.dumps(
    {"ID": "4f0c" * 16, "Names": "web", "Image": "nginx:1.27", "State": "running",
     "CreatedAt": "2026-11-20 10:11:12 +0100 CET"}
)  # fmt: skip


def test_containers(tmp_path: Path) -> None:
    podman = [{"Id": "ab" * 32, "Names": ["db"], "Image": "postgres", "State": "exited",
               "Created": 1700000000}]  # fmt: skip
    lxc = [{"name": "dev", "status": "Stopped", "created_at": "2026-01-02T03:04:05.678Z",
            "config": {"image.description": "Debian 12"}}]  # fmt: skip
    machine = Machine(
        tmp_path,
        {},
        {"docker": DOCKER + "\n", "podman": json.dumps(podman), "lxc": json.dumps(lxc)},
    )
    web, database, dev = machine.items("containers")
    assert (web["id"], web["created_at"]) == ("4f0c4f0c4f0c", "2026-11-20T09:11:12Z")
    assert (database["name"], database["created_at"]) == ("db", "2023-11-14T22:13:20Z")
    assert (dev["image"], dev["state"]) == ("Debian 12", "stopped")


def test_an_engine_that_refuses_is_denied(tmp_path: Path) -> None:
    refused = Outcome(1, b"", b"permission denied while trying to connect to the Docker daemon\n")
    assert Machine(tmp_path, {}, {"docker": refused}).collect("containers").status == "denied"
    stopped = Outcome(1, b"", b"Cannot connect to the Docker daemon\n")
    report = Machine(tmp_path, {}, {"docker": stopped}).collect("containers")
    assert (report.status, "Cannot connect" in report.reason) == ("unsupported", True)
    assert Machine(tmp_path).collect("containers").status == "unsupported"


def test_virtual_machines(tmp_path: Path) -> None:
    uuid = "0f1e2d3c-0000-4000-8000-00000000000a"
    info = (
        f"Id: -\nName: win11\nUUID: {uuid}\nState: shut off\nCPU(s): 4\nMax memory: 8388608 KiB\n"
    )
    virsh = "virsh -q -r -c qemu:///system"
    machine = Machine(
        tmp_path,
        {},
        {
            f"{virsh} list": f"{uuid}\n\n",
            f"{virsh} dominfo": info,
            "qm": "VMID NAME STATUS MEM(MB) BOOTDISK(GB) PID\n 100 web running 2048 32.00 4711\n",
            "VBoxManage list vms": f'"Old box" {{{uuid}}}\n',
            "VBoxManage list runningvms": f'"Old box" {{{uuid}}}\n',
        },
    )
    first, second, third = machine.items("virtual_machines")
    assert (first["state"], first["memory_bytes"], first["processors"]) == (
        "stopped",
        8 * 1024**3,
        4,
    )
    assert (second["engine"], second["memory_bytes"]) == ("proxmox", 2 * 1024**3)
    assert (third["name"], third["state"]) == ("Old box", "running")
    assert Machine(tmp_path).collect("virtual_machines").status == "unsupported"


def test_virtualisation(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vmx hypervisor\n",
            "/sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
            "/sys/class/iommu/dmar0": FOLDER,
            "/dev/kvm": "",
        },
        {"systemd-detect-virt --vm": "amazon\n", "systemd-detect-virt --container": "none\n"},
    )
    assert machine.item("virtualisation") == {
        "guest_of": "amazon", "container": None, "cloud": "aws", "cpu_support": "vmx", "kvm": True,
        "iommu": True,
    }  # fmt: skip
    bare = Machine(tmp_path / "b", {"/proc/cpuinfo": "flags: fpu\n", "/.dockerenv": ""})
    assert bare.item("virtualisation")["container"] == "docker"


RUNNING = {
    "/proc/1/comm": "systemd\n",
    "/proc/50/comm": "anydesk\n",
    "/proc/51/comm": "clamd\n",
    "/proc/52/comm": "mariadbd\n",
    "/proc/53/comm": "sshd\n",
    "/proc/54/comm": "salt-minion\n",
}


def test_products_by_package_program_and_path(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        RUNNING
        | {
            "/opt/teamviewer/tv_bin": FOLDER,
            "/etc/salt/minion": "# master: old\nmaster: salt.example.org\n",
            "/etc/salt/pki/minion/minion_master.pub": "x",
        },
        {
            "dpkg-query": "anydesk\t6.3.2\tinstalled\nsalt-minion\t3006.1\tinstalled\n"
            "mariadb-server\t1:10.11\tconfig-files\n",
            "ss": 'tcp LISTEN 0 80 127.0.0.1:3306 0.0.0.0:* users:(("mariadbd",pid=52,fd=2))\n',
        },
    )
    tools = {one["name"]: one for one in machine.items("remote_tools")}
    assert (tools["AnyDesk"]["version"], tools["AnyDesk"]["running"]) == ("6.3.2", True)
    assert (tools["TeamViewer"]["path"], tools["TeamViewer"]["running"]) == (
        "/opt/teamviewer",
        False,
    )
    assert set(tools) == {"AnyDesk", "TeamViewer"}
    salt = machine.item("management")
    assert (salt["server"], salt["enrolled"], salt["version"]) == (
        "salt.example.org",
        True,
        "3006.1",
    )
    database = machine.item("databases")
    assert (database["engine"], database["version"]) == ("mariadb", None)
    assert database["listening"] == ["127.0.0.1:3306"]


CLAMAV = b"ClamAV-VDB:20 Nov 2026 10-23 +0100:27465:2046000:90:" + b"x" * 400


def test_antivirus(tmp_path: Path) -> None:
    health = {
        "healthy": True, "definitionsStatus": {"value": "up_to_date"}, "appVersion": "101.1",
        "realTimeProtectionEnabled": {"value": False}, "definitionsVersion": "1.2.3",
    }  # fmt: skip
    machine = Machine(
        tmp_path,
        RUNNING | {"/var/lib/clamav/daily.cld": CLAMAV, "/opt/microsoft/mdatp": FOLDER},
        {"mdatp": json.dumps(health)},
    )
    clamav, defender = machine.items("antivirus")
    assert (clamav["enabled"], clamav["definitions_version"]) == (True, "27465")
    assert clamav["definitions_on"] == "2026-11-20"
    assert (defender["up_to_date"], defender["real_time"], defender["enabled"]) == (
        True,
        False,
        True,
    )
    assert parse_clamav_header("nonsense") == (None, None)


def test_doors_of_the_system(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        RUNNING
        | {
            "/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n#Port 1\nPort 22\n"
            "PermitRootLogin yes\nMatch User ann\nPasswordAuthentication no\n",
            "/etc/ssh/sshd_config.d/50.conf": "PermitRootLogin no\nPort 2222\n",
            "/etc/ssh/sshd_config.d/old.bak": "PermitRootLogin yes\n",
            "/etc/systemd/system/multi-user.target.wants/ssh.service": "",
        },
        {"dpkg-query": "telnetd\t0.17\tinstalled\n"},
    )
    ssh, telnet = machine.items("remote_access")
    assert (ssh["enabled"], ssh["running"], ssh["ports"]) == (True, True, [2222, 22])
    assert (ssh["root_login"], ssh["password_login"]) == ("no", True)
    assert (telnet["enabled"], telnet["running"], telnet["ports"]) == (False, False, [23])


def certificate(names: list[str]) -> bytes:
    """Return a self-signed certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(255)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=90))
        .add_extension(alternatives, critical=False)
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def test_certificates_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    pem = certificate(["www.example.org"])
    whole = x509.load_pem_x509_certificate(pem)
    machine = Machine(
        tmp_path, {"/etc/ssl/a.pem": pem.decode() + "-----BEGIN CERTIFICATE-----\nMIIB\n"}
    )
    (tmp_path / "etc/ssl/b.cer").write_bytes(whole.public_bytes(Encoding.DER))
    (tmp_path / "etc/ssl/c.cer").write_bytes(whole.public_bytes(Encoding.DER)[:100])
    report = machine.collect("certificates")
    assert [item["store"] for item in report.items] == ["/etc/ssl/a.pem", "/etc/ssl/b.cer"]
    assert report.reason == "2 of them cannot be read"


def test_certificates_where_servers_name_them(tmp_path: Path) -> None:
    pem = certificate(["www.example.org", "example.org"])
    machine = Machine(
        tmp_path,
        {
            "/etc/letsencrypt/live/example.org/cert.pem": pem,
            "/etc/letsencrypt/live/example.org/privkey.pem": "secret",
            "/etc/nginx/sites-enabled/x": "server {\n ssl_certificate /srv/tls/x.pem;\n"
            " ssl_certificate /srv/$name.pem;\n}\n",
            "/srv/tls/x.pem": b"-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"
            + pem,
            "/etc/pki/tls/certs/ca-bundle.crt": pem,
        },
    )
    live, served = machine.items("certificates")
    assert (live["subject"], live["names"]) == (
        "CN=www.example.org", ["www.example.org", "example.org"],
    )  # fmt: skip
    assert (live["not_after"], live["serial"]) == ("2026-04-01T00:00:00Z", "ff")
    assert (live["key_kind"], live["key_bits"], live["self_signed"]) == ("ec", 256, True)
    assert (live["has_private_key"], served["has_private_key"]) == (True, None)
    assert served["store"] == "/srv/tls/x.pem"
    assert "secret" not in json.dumps([live, served])


LPSTAT = """printer Office is idle.  enabled since Sun Nov 22 07:00:00 2026
\tDescription: Office
\tLocation: 2nd floor
printer Old disabled since Sun Nov 22 07:00:00 2026 -
\treason unknown
device for Office: ipp://ann:secret@192.0.2.30/ipp/print
device for Old: usb://HP/LaserJet?serial=SECRET
Office accepting requests since Sun Nov 22 07:00:00 2026
Old not accepting requests since Sun Nov 22 07:00:00 2026 -
system default destination: Office
"""


def test_printers(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/cups/ppd/Office.ppd": '*NickName: "HP Color LaserJet, driverless"\n',
            "/etc/cups/printers.conf": "<DefaultPrinter Office>\nShared Yes\n</DefaultPrinter>\n"
            "<Printer Old>\nShared No\n</Printer>\n",
        },
        {"lpstat": LPSTAT},
    )
    office, old = machine.items("printers")
    assert (office["state"], office["default"], office["shared"]) == ("idle", True, True)
    assert (office["uri"], office["location"]) == ("ipp://192.0.2.30/ipp/print", "2nd floor")
    assert office["driver"] == "HP Color LaserJet, driverless"
    assert (old["state"], old["accepting"], old["uri"]) == ("stopped", False, "usb://HP/LaserJet")
    assert Machine(tmp_path).collect("printers").status == "unsupported"


def test_licences(tmp_path: Path) -> None:
    status = {
        "attached": True, "expires": "2027-01-31T00:00:00+00:00",
        "services": [{"name": "esm-infra", "status": "enabled"}],
    }  # fmt: skip
    whole, part = Machine(tmp_path, {}, {"pro": json.dumps(status)}).items("licences")
    assert (whole["state"], whole["expires_on"]) == ("licensed", "2027-01-31")
    assert part["product"] == "Ubuntu Pro esm-infra"
    red = Machine(tmp_path / "red", {"/etc/rhsm": FOLDER})
    assert red.item("licences")["state"] == "not licensed"
    assert Machine(tmp_path).collect("licences").status == "unsupported"


PASSWD = "ann:x:1000:1000::/home/ann:/bin/sh\n"


def test_packages_of_languages(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {
            "/etc/passwd": PASSWD,
            "/usr/lib/python3/dist-packages/typing_extensions-4.4.0.dist-info/METADATA": "x",
            "/home/ann/.local/lib/python3.11/site-packages/ruff-0.5.0.dist-info/METADATA": "x",
            "/usr/lib/node_modules/npm/package.json": '{"name":"npm","version":"10.8.2"}',
            "/usr/lib/node_modules/@vue/cli/package.json": '{"name":"@vue/cli","version":"5.0"}',
            "/usr/lib/node_modules/broken/package.json": "[",
            "/usr/share/rubygems/3.1.0/specifications/rake-13.0.6.gemspec": "",
            "/home/ann/.cargo/.crates2.json": '{"installs":{"ripgrep 14.1.0 (registry+x)":{}}}',
        },
    )
    found = {
        (one["manager"], one["name"], one["version"]) for one in machine.items("language_packages")
    }
    assert found == {
        ("pip", "typing-extensions", "4.4.0"), ("pip", "ruff", "0.5.0"), ("npm", "npm", "10.8.2"),
        ("npm", "@vue/cli", "5.0"), ("gem", "rake", "13.0.6"), ("cargo", "ripgrep", "14.1.0"),
    }  # fmt: skip


def test_extensions_of_browsers_and_editors(tmp_path: Path) -> None:
    chrome = "/home/ann/.config/google-chrome/Default/Extensions/" + "a" * 32
    addons = {
        "addons": [
            {"id": "uBlock0@raymondhill.net", "type": "extension", "version": "1.57",
             "active": True, "location": "app-profile", "defaultLocale": {"name": "uBlock Origin"}},
            {"id": "x@mozilla.org", "type": "extension", "location": "app-builtin"},
            {"id": "t", "type": "theme", "location": "app-profile"},
        ]
    }  # fmt: skip
    code = [{"identifier": {"id": "ms-python.python"}, "version": "2026.1.0"}, {"identifier": 7}]
    machine = Machine(
        tmp_path,
        {
            "/etc/passwd": PASSWD,
            f"{chrome}/1.0_0/manifest.json": '{"name":"__MSG_appName__","version":"1.0"}',
            f"{chrome}/2.1_0/manifest.json": '\ufeff{"name":"Notes","version":"2.1"}',
            "/home/ann/.mozilla/firefox/x.default/extensions.json": json.dumps(addons),
            "/home/ann/.vscode/extensions/extensions.json": json.dumps(code),
            "/home/ann/.local/share/JetBrains/PyCharm2026.1/ideavim": FOLDER,
        },
    )
    notes, ublock = machine.items("browser_extensions")
    assert (notes["name"], notes["version"], notes["enabled"]) == ("Notes", "2.1", None)
    assert (ublock["name"], ublock["enabled"], ublock["browser"]) == (
        "uBlock Origin",
        True,
        "firefox",
    )
    python, vim = machine.items("editor_extensions")
    assert (python["id"], python["publisher"]) == ("ms-python.python", "ms-python")
    assert (vim["editor"], vim["id"]) == ("PyCharm2026.1", "ideavim")
    withheld = machine.collect("browser_extensions", personal=False).items[0]
    assert (withheld["user"], withheld["profile"]) == ("(withheld)", "(withheld)")


@pytest.mark.parametrize("name", ["browser_extensions", "editor_extensions"])
def test_homes_that_nobody_may_read_are_no_empty_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    machine = Machine(tmp_path, {"/etc/passwd": PASSWD, "/home/ann": FOLDER})
    assert machine.items(name) == []

    def refuse(self: SystemFiles, folder: str) -> list[str]:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(SystemFiles, "names", refuse)
    report = machine.collect(name)
    assert (report.status, report.reason) == ("denied", "the homes of people need root")
