"""A Debian system in a folder: its own dpkg database, apt configuration and repositories.

Real apt-get and dpkg work on it; nothing outside the folder is read or changed.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from farhand_agent.patches.apt_provider import AptProvider
from farhand_agent.platforms.files import SystemFiles


class _Silent(SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        return


class ScratchApt:
    """A scratch root with repositories `main` (label Debian) and, on wish, `security`."""

    def __init__(self, folder: Path, *, security: bool = True) -> None:
        self.root = folder / "root"
        self.repositories = folder / "repositories"
        for name in (
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/log/apt",
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
        ):
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        (self.root / "var/lib/dpkg/available").touch()
        self.config = folder / "apt.conf"
        self.config.write_text(
            f'Dir "{self.root}/";\n'
            f'Dir::State::status "{self.root}/var/lib/dpkg/status";\n'
            'APT::Architecture "amd64";\nAPT::Architectures {"amd64";};\n'
            'APT::Sandbox::User "root";\nAPT::Install-Recommends "false";\n'
            # A server that is gone is gone; apt would wait and ask it thrice more.
            'Acquire::Retries "0";\n'
            # What phasing decides otherwise depends on the machine and on chroots.
            'APT::Get::Never-Include-Phased-Updates "true";\n'
            f'DPkg::Options {{"--root={self.root}"; "--log=/dev/null"; '
            '"--force-script-chrootless";};\n'
        )
        names = ["main", "security"] if security else ["main"]
        lines = [f"deb [trusted=yes] file:{self.repositories}/{name} ./" for name in names]
        (self.root / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
        for name in names:
            (self.repositories / name).mkdir(parents=True)
        self._stanzas: dict[str, list[str]] = {name: [] for name in names}
        self.env = {
            "APT_CONFIG": str(self.config),
            "DPKG_ADMINDIR": f"{self.root}/var/lib/dpkg",
            "DPKG_ROOT": str(self.root),
        }

    @contextmanager
    def served(self, port: int = 0) -> Iterator[None]:
        """Serve the repositories over HTTP instead of from the folder, and name that as source."""
        handler = partial(_Silent, directory=str(self.repositories))
        with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
            self.port = server.server_port
            lines = [
                f"deb [trusted=yes] http://127.0.0.1:{self.port}/{name} ./"
                for name in self._stanzas
            ]
            (self.root / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()

    def provider(self, **options: Any) -> AptProvider:
        quiet = {"dpkg": ("--log=/dev/null",)}
        return AptProvider(files=SystemFiles(self.root), env=self.env, options=quiet, **options)

    def build(self, name: str, version: str, **fields: str) -> Path:
        """Build a package and return its file."""
        tree = self.root.parent / "build" / f"{name}_{version.replace(':', '_')}"
        (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
        control = {
            "Package": name,
            "Version": version,
            "Architecture": "all",
            "Maintainer": "Tests <tests@example.org>",
            "Description": f"test package {name}",
        } | {key.replace("_", "-"): value for key, value in fields.items()}
        text = "".join(f"{key}: {value}\n" for key, value in control.items())
        (tree / "DEBIAN/control").write_text(text)
        file = tree.with_suffix(".deb") if "." not in version else Path(f"{tree}.deb")
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(file)],
            check=True,
            capture_output=True,
        )
        return file

    def install(self, name: str, version: str, **fields: str) -> None:
        """Install a package straight with dpkg."""
        self.dpkg("-i", str(self.build(name, version, **fields)))

    def dpkg(self, *arguments: str) -> None:
        """Run dpkg on the scratch root."""
        subprocess.run(
            ["dpkg", f"--root={self.root}", "--log=/dev/null", *arguments],
            check=True,
            capture_output=True,
        )

    def offer(self, repository: str, name: str, version: str, phased: int = 100, **f: str) -> None:
        """Put a package into a repository; `publish` makes it known."""
        file = self.build(name, version, **f)
        target = self.repositories / repository / file.name
        target.write_bytes(file.read_bytes())
        control = subprocess.run(
            ["dpkg-deb", "-f", str(target)], check=True, capture_output=True, text=True
        ).stdout
        data = target.read_bytes()
        extra = f"Phased-Update-Percentage: {phased}\n" if phased < 100 else ""
        self._stanzas[repository].append(
            f"{control}Filename: ./{file.name}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n{extra}"
        )

    def publish(self) -> None:
        """Write the indexes of all repositories."""
        labels = {
            "main": ("Debian", "oldstable", "12.15"),
            "security": ("Debian-Security", "oldstable-security", "12"),
        }
        for name, stanzas in self._stanzas.items():
            folder = self.repositories / name
            packages = "\n".join(stanzas).encode()
            (folder / "Packages").write_bytes(packages)
            (folder / "Packages.gz").write_bytes(gzip.compress(packages))
            label, suite, version = labels[name]
            sums = "".join(
                f" {hashlib.sha256(data).hexdigest()} {len(data)} {file}\n"
                for file in ("Packages", "Packages.gz")
                for data in [(folder / file).read_bytes()]
            )
            (folder / "Release").write_text(
                f"Origin: Debian\nLabel: {label}\nSuite: {suite}\nVersion: {version}\n"
                f"Date: Sun, 22 Nov 2026 00:00:00 UTC\nSHA256:\n{sums}"
            )

    def apt(self, *argv: str) -> str:
        """Run a tool of apt on the scratch root."""
        return subprocess.run(
            list(argv),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"} | self.env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
