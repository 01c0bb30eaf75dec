"""Systems of rpm in a folder: dnf's and zypper's roots on one local repository.

Real rpmbuild, createrepo_c, rpm, dnf and zypper work on them; nothing outside the folder is read
for packages or changed.  fhlib 1.0 has a security update (Important), fhtool 2.0 a bug fix,
fhcore 5.0 a security update (Critical) that asks for a restart, fhheld 3:1.0 one that nobody
describes.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from farhand_agent.patches.dnf_provider import DnfProvider
from farhand_agent.patches.zypper_provider import ZypperProvider
from farhand_agent.platforms.files import SystemFiles

_VERSIONS = {"fhlib": "1", "fhtool": "2", "fhheld": "1", "fhcore": "5"}
_ADVISORY = """<update from="t@example.org" status="final" type="{kind}" version="1">
<id>{id}</id><title>{name}</title><severity>{severity}</severity>
<issued date="2026-11-01 00:00:00"/><references>{references}</references>
<description>d</description><pkglist><collection short="fh"><name>fh</name>
<package name="{name}" version="{version}" release="1" epoch="0" arch="noarch" src="x.src.rpm">
<filename>{name}-{version}-1.noarch.rpm</filename>{restart}</package></collection></pkglist>
</update>"""
_CVE = '<reference href="https://example.org" id="CVE-2026-0001" type="cve" title="x"/>'
_RESTART = "<reboot_suggested>True</reboot_suggested>"
# Where rpm keeps its database otherwise depends on HOME, as Debian builds it.
_DATABASE = ("--dbpath", "/var/lib/rpm")


class RpmRepository:
    """A repository with both versions of every package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "repository"
        self.path.mkdir(parents=True)
        lines = ["Name: fhbase", "Version: 1", "Release: 1", "Summary: t", "License: none"]
        lines += ["BuildArch: noarch", "%description", "t"]
        for name, major in _VERSIONS.items():
            epoch = ["Epoch: 3"] if name == "fhheld" else []
            lines += [f"%package -n {name}", f"Version: {major}.%{{minor}}", "Summary: t", *epoch]
            lines += [f"%description -n {name}", "t", f"%files -n {name}"]
        spec = folder / "packages.spec"
        spec.write_text("\n".join(lines) + "\n")
        for minor in (0, 1):
            defines = {"_topdir": folder / "build", "_rpmdir": folder / "built", "minor": minor}
            defines["_dbpath"] = folder / "unused"
            given = [
                word for pair in defines.items() for word in ("--define", " ".join(map(str, pair)))
            ]
            self.run("rpmbuild", "-bb", *given, str(spec))
        for file in (folder / "built/noarch").iterdir():
            os.link(file, self.path / file.name)
        self.run("createrepo_c", "-q", str(self.path))
        described = folder / "updateinfo.xml"
        described.write_text(
            "<?xml version='1.0' encoding='UTF-8'?>\n<updates>"
            + _ADVISORY.format(
                kind="security", id="FHSA-1", name="fhlib", severity="Important", version="1.1",
                references=_CVE, restart="",
            )
            + _ADVISORY.format(
                kind="bugfix", id="FHBA-2", name="fhtool", severity="Low", version="2.1",
                references="", restart="",
            )
            + _ADVISORY.format(
                kind="security", id="FHSA-3", name="fhcore", severity="Critical", version="5.1",
                references="", restart=_RESTART,
            )
            + "</updates>\n"
        )  # fmt: skip
        self.run("modifyrepo_c", "--mdtype=updateinfo", str(described), str(self.path / "repodata"))

    def install_old(self, root: Path, *options: str) -> None:
        old = [str(file) for file in self.path.glob("*.rpm") if ".0-1." in file.name]
        self.run("rpm", "--root", str(root), *options, "--install", "--nodeps", *old)

    def run(self, *argv: str) -> str:
        return subprocess.run(
            argv,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout


class ScratchDnf:
    """A root of dnf's in which fhheld is excluded by the configuration."""

    def __init__(self, repository: RpmRepository, root: Path) -> None:
        self.root = root
        (root / "etc/yum.repos.d").mkdir(parents=True)
        (root / "etc/yum.repos.d/fh.repo").write_text(
            f"[fh]\nname=fh\nbaseurl=file://{repository.path}\nenabled=1\ngpgcheck=0\n"
        )
        self.config = root / "etc/dnf.conf"
        self.config.write_text("[main]\nplugins=0\nexcludepkgs=fhheld\n")
        repository.install_old(root)

    def provider(self, **more: Any) -> DnfProvider:
        options = ("--installroot", str(self.root), "--releasever=1", "-c", str(self.config))
        return DnfProvider(
            files=SystemFiles(self.root),
            options={"dnf": options, "rpm": ("--root", str(self.root))},
            **more,
        )


class ScratchZypper:
    """A root of zypper's in which fhheld is locked."""

    def __init__(self, repository: RpmRepository, root: Path) -> None:
        self.root = root
        self.repository = repository
        (root / "etc/zypp/repos.d").mkdir(parents=True)
        (root / "etc/zypp/repos.d/fh.repo").write_text(
            f"[fh]\nname=fh\nenabled=1\nautorefresh=0\nbaseurl=dir:{repository.path}\n"
            "type=rpm-md\ngpgcheck=0\n"
        )
        repository.install_old(root, *_DATABASE)
        self.zypper("addlock", "fhheld")

    def provider(self) -> ZypperProvider:
        return ZypperProvider(
            files=SystemFiles(self.root),
            options={
                "zypper": ("--root", str(self.root)),
                "rpm": ("--root", str(self.root), *_DATABASE),
            },
        )

    def zypper(self, *arguments: str) -> str:
        return self.repository.run(
            "zypper", "--root", str(self.root), "--non-interactive", *arguments
        )
