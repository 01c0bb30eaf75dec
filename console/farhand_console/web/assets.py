"""The page's own files, as `make ui` built them into `dist/`; any other address is the page.

Where nothing was built (a source tree without `make ui`, or npm failed there), every address
answers with one plain page that says so, `ui-not-built`, and how to build it.
"""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path, PurePosixPath
from typing import Final

from litestar import get
from litestar.params import FromPath
from litestar.response import Response

__all__ = ["DIST", "is_built", "page_files"]

DIST: Final = Path(__file__).parent / "dist"
_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".html": "text/html",
    ".json": "application/json",
    ".txt": "text/plain",
}
# The build names them after their content.
_FOREVER: Final = "public, max-age=31536000, immutable"
_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Farhand</title>
<h1>The web console is not built</h1>
<p><code>ui-not-built</code>: run <code>make ui</code> in the source tree and reload this page, or
install the released package, which holds it.</p>
<p>The command line does everything that this page would: <code>farhand --help</code>.</p>
"""


def is_built() -> bool:
    """Return whether there is a page to show."""
    return (DIST / "index.html").is_file()


def _answer(name: str) -> Response[bytes]:
    parts = PurePosixPath(name).parts
    if ".." not in parts and parts and parts[0] == "assets":
        path = DIST.joinpath(*parts)
        if path.is_file():
            kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
            return Response(
                path.read_bytes(),
                media_type=kind or "application/octet-stream",
                headers={"cache-control": _FOREVER},
            )
        return Response(b"", status_code=404, media_type="text/plain")
    headers = {"cache-control": "no-cache"}
    if not is_built():
        return Response(
            _NOT_BUILT.encode(), status_code=503, media_type="text/html", headers=headers
        )
    return Response(
        (DIST / "index.html").read_bytes(), media_type="text/html; charset=utf-8", headers=headers
    )


@get(["/", "/{name:path}"], open=True)
async def page_files(name: FromPath[str] = "/") -> Response[bytes]:
    """Answer with a file of the page, or with the page."""
    return await asyncio.to_thread(_answer, name.lstrip("/"))
