"""Makes releases of the agent for tests: this checkout with another version on top.

The shape is that of `make packages`, but nothing is copied: the release's `farhand_agent` holds its
own version and finds everything else in the checkout, and a `.pth` file leads to the libraries that
the tests run with.  So a release is made, unpacked and started in a moment.
"""

from __future__ import annotations

import io
import sys
import sysconfig
import zipfile
from pathlib import Path

import farhand_agent
import farhand_protocol

__all__ = ["CRASHES", "HANGS", "make_release"]

_SITE = f"tree/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
# What a broken release does when it is started.
CRASHES = "raise SystemExit(9)\n"
HANGS = "import time\ntime.sleep(3600)\n"


def make_release(version: str, *, program: str | None = None) -> bytes:
    """Return a release's file.

    Args:
        version: what it says of itself.
        program: the source of its program in place of the real one.
    """
    agent = Path(str(farhand_agent.__file__)).parent
    protocol = Path(str(farhand_protocol.__file__)).parents[1]
    files = {
        f"{_SITE}/farhand_agent/__init__.py": f"__path__.append({str(agent)!r})\n",
        f"{_SITE}/farhand_agent/version.py": f'VERSION = "{version}"\n',
        f"{_SITE}/libraries.pth": f"{protocol}\n{sysconfig.get_path('purelib')}\n",
        "tree/BUILD": "0" * 64 + "\n",
    }
    if program is not None:
        files[f"{_SITE}/farhand_agent/__main__.py"] = program
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        # Longer than one piece, so that it comes in several.
        archive.writestr("tree/share/filling", bytes(700_000))
    return file.getvalue()
