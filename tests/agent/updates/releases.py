"""Makes releases of the agent for tests: the tree of this checkout with another version in it.

The same shape as what `make packages` builds, but the libraries: a `.pth` file leads to those that
the tests run with, so that a release is made in a moment.
"""

from __future__ import annotations

import io
import sys
import sysconfig
import zipfile
from pathlib import Path

import farhand_agent
import farhand_protocol
from farhand_agent.updates.launch import RESIDENT

__all__ = ["CRASHES", "HANGS", "make_release"]

_RESIDENT = RESIDENT.replace(".", "/") + ".py"
_SITE = f"tree/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
# What a broken release does when its resident agent is started.
CRASHES = "raise SystemExit(9)\n"
HANGS = "import time\ntime.sleep(3600)\n"


def make_release(version: str, *, resident: str | None = None) -> bytes:
    """Return a release's file.

    Args:
        version: what it says of itself.
        resident: the source of its resident agent in place of the real one.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for package in (farhand_agent, farhand_protocol):
            folder = Path(str(package.__file__)).parent
            for place in sorted(folder.rglob("*")):
                if place.suffix in (".py", ".mo", ".ps1"):
                    name = f"{package.__name__}/{place.relative_to(folder)}"
                    archive.writestr(f"{_SITE}/{name}", _content(name, place, version, resident))
        archive.writestr(f"{_SITE}/libraries.pth", sysconfig.get_path("purelib") + "\n")
        archive.writestr("tree/BUILD", "0" * 64 + "\n")
    return file.getvalue()


def _content(name: str, place: Path, version: str, resident: str | None) -> bytes:
    if name == "farhand_agent/version.py":
        return f'VERSION = "{version}"\n'.encode()
    if name == _RESIDENT and resident is not None:
        return resident.encode()
    return place.read_bytes()
