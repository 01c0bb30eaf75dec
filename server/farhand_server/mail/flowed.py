"""Paragraphs that a mail program broke softly, put together again (`format=flowed`).

A line that ends in a blank goes on in the next one of the same depth of quotation; `-- ` alone is
the line in front of a signature and goes on nowhere.  Source: RFC 3676 s4.
"""

from __future__ import annotations

__all__ = ["unflow"]


def unflow(text: str, *, delete_space: bool = False) -> str:
    """Return the text with its paragraphs whole; `delete_space` is the header's `DelSp=yes`."""
    lines: list[str] = []
    pieces: list[str] = []
    depth = 0

    def finish() -> None:
        if pieces:
            lines.append(f"{'>' * depth}{' ' if depth else ''}{''.join(pieces)}")
            pieces.clear()

    for line in text.replace("\r\n", "\n").split("\n"):
        content = line.lstrip(">")
        quoted = len(line) - len(content)
        content = content.removeprefix(" ")
        if quoted != depth or content == "-- ":
            finish()
        depth = quoted
        if content.endswith(" ") and content != "-- ":
            pieces.append(content[:-1] if delete_space else content)
        else:
            pieces.append(content)
            finish()
    finish()
    return "\n".join(lines)
