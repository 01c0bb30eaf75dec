"""What the relay is told of the operating system."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from farhand_agent.os_name import os_name

KERNEL = f"{platform.system()} {platform.release()}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            b'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "Debian GNU/Linux 12 (bookw",
        ),
        (b"PRETTY_NAME=Alpine\r\n", "Alpine, "),
        (b"PRETTY_NAME='Void'", "Void, "),
        (b'PRETTY_NAME="a\x1b[2Jb"\n', KERNEL),
        (b'PRETTY_NAME="open\nID=x\n', KERNEL),
        (b'PRETTY_NAME="' + b"x" * 10_000_000, KERNEL),
        (b"#" * 20_000 + b"\nPRETTY_NAME=late\n", KERNEL),
        (b"\xff\xfe", KERNEL),
        (b"", KERNEL),
    ],
)
def test_the_distribution_is_named_with_its_kernel(text: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_bytes(text)
    told = os_name([tmp_path / "none", path])
    assert told.startswith(words)
    assert len(told) <= 100
    assert told.isprintable()


def test_without_the_file_the_kernel_is_named() -> None:
    assert os_name([]) == KERNEL[:100]
