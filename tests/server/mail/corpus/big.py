"""What is large, or would be if it were opened."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator

from tests.server.mail.corpus.world import ANNA, Case, Expected, World
from tests.server.mail.corpus.writing import mail, multipart, part

__all__ = ["big", "zip_of_death"]

_MEGABYTE = 1_000_000


def big(world: World, *, really: bool) -> Iterator[Case]:
    """Yield them; those of 30 MB only where `really`."""
    yield _with_file(world, "zip-of-death", "bill.zip", zip_of_death())
    if really:
        yield _with_file(world, "thirty-megabytes", "video.mp4", bytes(30 * _MEGABYTE))
        yield _with_file(world, "thirty-megabytes-raw", "core", bytes(30 * _MEGABYTE), coded=False)


def zip_of_death() -> bytes:
    """Return a small archive that unpacks to gigabytes: archives of archives of nothing."""
    content, name = bytes(10 * _MEGABYTE), "nothing.bin"
    for level in range(3):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for copy in range(1 if level == 0 else 16):
                entry = zipfile.ZipInfo(f"{copy}-{name}", (2026, 11, 22, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, content)
        content, name = out.getvalue(), f"level-{level}.zip"
    return content


def _with_file(world: World, name: str, file: str, content: bytes, *, coded: bool = True) -> Case:
    head = f'Content-Type: application/octet-stream; name="{file}"\r\n'
    if coded:
        head += "Content-Transfer-Encoding: base64\r\n"
        content = base64.encodebytes(content).replace(b"\n", b"\r\n")
    raw = mail(
        {
            "From": ANNA,
            "To": world.mailbox,
            "Subject": "A file",
            "Message-ID": f"<{name}@customer.example>",
        },
        multipart("mixed", part("See the file."), f"{head}\r\n".encode() + content),
    )
    return Case(name, raw, Expected("new", visible="See the file.", files=(file,)))
