"""The package that is deployed: a single file or a Debian package, and which build it holds.

    single file   farhand-agent-VERSION.pyz        any Linux with systemd and the right Python
    Debian        farhand-agent_VERSION_ARCH.deb   Debian and what descends from it

Both are made by `make packages`.  A build is known by the hash over all that went into it, so two
packages of one content are one, and an installed one can be asked for its.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from farhand_protocol.errors import UsageError

__all__ = ["Package", "find_package", "load_package"]

MAX_PACKAGE_BYTES: Final = 256 * 1024 * 1024
_BUILD: Final = re.compile(r"[0-9a-f]{64}")
_AR_MAGIC: Final = b"!<arch>\n"
_AR_HEADER_BYTES: Final = 60
_MAX_CONTROL_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Package:
    """A package at hand.

    Attributes:
        kind: of the two.
        name: of its file.
        data: its bytes.
        build: hex SHA-256 over its content.
    """

    kind: Literal["pyz", "deb"]
    name: str
    data: bytes
    build: str

    def __repr__(self) -> str:
        return f"Package({self.name!r}, build={self.build[:12]})"


def find_package(folder: Path) -> Path:
    """Return the newest package in a folder, a single file before a Debian package.

    Raises:
        UsageError: `deploy-no-package`.
    """
    found = [*folder.glob("farhand-agent-*.pyz"), *folder.glob("farhand-agent_*.deb")]
    if not found:
        raise UsageError(
            "deploy-no-package",
            f"there is no package of the agent in {folder}",
            hint="make packages, or name one with --package FILE",
        )
    return max(found, key=lambda one: (one.suffix == ".pyz", one.stat().st_mtime))


def load_package(path: Path) -> Package:
    """Read a package and which build it holds.

    Raises:
        UsageError: `deploy-no-package`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PACKAGE_BYTES + 1)
        if len(data) > MAX_PACKAGE_BYTES:
            raise ValueError
        if path.suffix == ".deb":
            return Package("deb", path.name, data, _build(_deb_build(data)))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return Package("pyz", path.name, data, _build(archive.read("tree/BUILD").decode()))
    except (
        OSError,
        KeyError,
        ValueError,
        zipfile.BadZipFile,
        tarfile.TarError,
        lzma.LZMAError,
    ) as e:
        raise UsageError("deploy-no-package", f"{path} is no package of the agent") from e


def _build(text: str) -> str:
    if not _BUILD.fullmatch(text.strip()):
        raise ValueError
    return text.strip()


def _deb_build(data: bytes) -> str:
    """Return the field `Farhand-Build` of a package's control file (deb(5), deb-control(5))."""
    if not data.startswith(_AR_MAGIC):
        raise ValueError
    at = len(_AR_MAGIC)
    while at + _AR_HEADER_BYTES <= len(data):
        header = data[at : at + _AR_HEADER_BYTES]
        at += _AR_HEADER_BYTES
        size = int(header[48:58].decode("ascii"))
        if header[:16].startswith(b"control.tar.xz"):
            plain = lzma.LZMADecompressor().decompress(data[at : at + size], _MAX_CONTROL_BYTES)
            with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
                control = archive.extractfile("./control")
                assert control is not None
                found = re.search(rb"(?m)^Farhand-Build: ([0-9a-f]{64})$", control.read())
                if found is None:
                    raise ValueError
                return found[1].decode()
        at += size + size % 2
    raise ValueError
