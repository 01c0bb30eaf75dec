"""Makes the catalogues that agent and pages read out of the .po files: `make words`.

It reads what these files are written in and no more: `msgid`, `msgid_plural`, `msgstr`, `msgstr[N]`
with quoted strings, one or several lines each, and comments.  The result is the binary form of
gettext (GNU gettext manual, "The Format of GNU MO Files"), which Python's `gettext` reads.  The
made files are checked in, so that nothing needs to be built; a test compares them.
"""

from __future__ import annotations

import ast
import struct
from pathlib import Path

HERE = Path(__file__).parent
# What the agent says, and what the relay's pages do.
FOLDERS = {
    HERE: HERE.parent / "farhand_agent" / "words",
    HERE.parents[1] / "server" / "words": HERE.parents[1] / "server/farhand_server/pages/words",
}
_MAGIC = 0x950412DE
_HEADER_BYTES = 28


def read_po(text: str) -> dict[str, str]:
    """Return the catalogue; plural forms are joined by zero bytes, as in the binary form.

    Raises:
        ValueError: a line is none of those named above, or a text stands there twice.
    """
    catalogue: dict[str, str] = {}
    entry: dict[str, str] = {}
    field = ""
    for line in [*text.splitlines(), 'msgid ""']:
        word, _, rest = line.partition(" ")
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith('"'):
            entry[field] += ast.literal_eval(line)
            continue
        if word == "msgid":
            if entry:
                _close(entry, catalogue)
            entry = {}
        elif word not in ("msgid_plural", "msgstr") and not word.startswith("msgstr["):
            raise ValueError(f"not understood: {line!r}")
        field = word
        entry[field] = ast.literal_eval(rest)
    return catalogue


def _close(entry: dict[str, str], catalogue: dict[str, str]) -> None:
    key = entry["msgid"]
    if "msgid_plural" in entry:
        key += "\0" + entry["msgid_plural"]
    forms = [text for name, text in entry.items() if name.startswith("msgstr")]
    if key in catalogue:
        raise ValueError(f"twice: {key!r}")
    catalogue[key] = "\0".join(forms)


def make_mo(catalogue: dict[str, str]) -> bytes:
    """Return the binary form of a catalogue."""
    pairs = sorted((key.encode(), said.encode()) for key, said in catalogue.items())
    columns = [[key for key, _ in pairs], [said for _, said in pairs]]
    size = len(pairs) * 8
    at = _HEADER_BYTES + 2 * size
    tables, strings = b"", b""
    for column in columns:
        for text in column:
            tables += struct.pack("<II", len(text), at + len(strings))
            strings += text + b"\0"
    head = (_MAGIC, 0, len(pairs), _HEADER_BYTES, _HEADER_BYTES + size, 0, at)
    return struct.pack("<7I", *head) + tables + strings


def main() -> None:
    """Make every catalogue anew."""
    for source, made in FOLDERS.items():
        for path in sorted(source.glob("*.po")):
            (made / f"{path.stem}.mo").write_bytes(make_mo(read_po(path.read_text("utf-8"))))


if __name__ == "__main__":
    main()
