"""The Debian package: the tree in /usr/lib/farhand-agent, its unit, and an account of its own.

It starts nothing before the device is enrolled; an upgrade restarts what runs.  Removing leaves the
home, purging takes it and the account.  With `dpkg --root` the scripts work below DPKG_ROOT and
call no service manager.
"""

from __future__ import annotations

import gzip
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tree import ROOT, VERSION, pyvenv

from farhand_agent.install.places import DEFAULT_USER
from farhand_agent.install.systemd import UNIT_NAME, unit_text

__all__ = ["build_deb"]

_HOME = "/var/lib/farhand-agent"
_EPOCH = 1_700_000_000

_POSTINST = f"""#!/bin/sh
set -e
root="${{DPKG_ROOT:-}}"
user={DEFAULT_USER}
home={_HOME}
if [ "$1" = configure ]; then
    if ! grep -q "^$user:" "$root/etc/passwd" 2>/dev/null; then
        # A shell, because a technician's terminal is one; no password, so nobody signs in.
        set -- --system --user-group --no-create-home --home-dir "$home" --shell /bin/sh \\
            --comment 'Farhand agent' "$user"
        if [ -z "$root" ]; then useradd "$@"
        elif [ -e "$root/etc/passwd" ]; then useradd --prefix "$root" "$@"
        fi
    fi
    ids="$(awk -F: -v user="$user" '$1 == user {{ print $3 ":" $4 }}' "$root/etc/passwd" \\
        2>/dev/null || :)"
    if [ ! -d "$root$home" ]; then
        mkdir -p -m 0755 "$root/var/lib"
        mkdir -m 0700 "$root$home"
        if [ -n "$ids" ]; then chown "$ids" "$root$home"; fi
    fi
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl enable --quiet {UNIT_NAME}
        if [ -e "$home/config.toml" ]; then systemctl restart {UNIT_NAME}; fi
    fi
fi
"""

_PRERM = f"""#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "${{DPKG_ROOT:-}}" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now --quiet {UNIT_NAME} || :
fi
"""

_POSTRM = f"""#!/bin/sh
set -e
root="${{DPKG_ROOT:-}}"
user={DEFAULT_USER}
if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then
    rm -rf "$root{_HOME}" "$root/etc/systemd/system/{UNIT_NAME}.d"
    if grep -q "^$user:" "$root/etc/passwd" 2>/dev/null; then
        if [ -z "$root" ]; then userdel "$user"; else userdel --prefix "$root" "$user"; fi
    fi
fi
"""


def build_deb(tree: Path, place: Path, *, work: Path, python: str) -> None:
    """Build the package.

    Args:
        tree: from `make_tree`; moved from here on.
        place: of the package.
        work: a folder for what is in between.
        python: the interpreter that the installed agent runs with.
    """
    top = work / "deb"
    target = top / "usr/lib/farhand-agent"
    shutil.copytree(tree, target, symlinks=True)
    (target / "bin" / "python3").symlink_to(python)
    (target / "pyvenv.cfg").write_text(pyvenv(str(Path(python).parent)))
    _put(top / "lib/systemd/system" / UNIT_NAME,
         unit_text(["/usr/bin/farhand-agent"], user=DEFAULT_USER, home=_HOME))  # fmt: skip
    (top / "usr/bin").mkdir()
    (top / "usr/bin/farhand-agent").symlink_to("../lib/farhand-agent/bin/farhand-agent")
    about = top / "usr/share/doc/farhand-agent"
    _put(about / "copyright", _copyright())
    _put(about / "README", (ROOT / "agent" / "README.md").read_text("utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_bytes()
    (about / "changelog.gz").write_bytes(gzip.compress(changes, mtime=0))
    for name, text in (("postinst", _POSTINST), ("prerm", _PRERM), ("postrm", _POSTRM)):
        _put(top / "DEBIAN" / name, text).chmod(0o755)
    build = (tree / "BUILD").read_text("ascii").strip()
    _put(top / "DEBIAN/control", _control(top, build))
    for folder in (one for one in top.rglob("*") if one.is_dir() and not one.is_symlink()):
        folder.chmod(0o755)
    top.chmod(0o755)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", str(top), str(place)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH)},
    )


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o644)
    return path


def _control(top: Path, build: str) -> str:
    size = sum(one.lstat().st_size for one in top.rglob("*") if not one.is_dir())
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    major, minor = sys.version_info[:2]
    return "\n".join(
        [
            "Package: farhand-agent",
            f"Version: {VERSION}",
            f"Architecture: {machine}",
            "Maintainer: The Farhand authors <farhand@example.org>",
            f"Installed-Size: {size // 1024 + 1}",
            f"Farhand-Build: {build}",
            # Compiled libraries are made for one version of Python.
            f"Depends: python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1}), libc6,"
            " passwd",
            "Section: admin",
            "Priority: optional",
            "Description: Farhand's device agent",
            " Lets a technician help with this device, on terms that its people set: inventory,",
            " checks, approved scripts and sessions that somebody here agrees to.",
            "",
        ]
    )


def _copyright() -> str:
    return (
        "Farhand's own code: Apache License 2.0, see /usr/share/common-licenses/Apache-2.0.\n"
        "Each library below /usr/lib/farhand-agent/lib carries its licence in its *.dist-info\n"
        "folder.\n"
    )
