"""What a command shows of a result: gaps, sealed output, and who can open that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyrage
import pytest

from farhand_console.home import Home
from farhand_console.keys import create_key, read_public_key
from farhand_console.results import open_output, result_fields
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import public_key_line
from farhand_protocol.keys import SeedSigner
from farhand_protocol.orders import Result
from farhand_protocol.outputs import SealedOutput, encode_output


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "")
    made = Home(tmp_path)
    create_key(made.key_file(), "tess")
    return made


def result(**fields: Any) -> Result:
    values: dict[str, Any] = {
        "tenant": "n-x", "device": "d-x", "order": "o-x", "script": "s", "version": 1,
        "digest": "", "state": "succeeded", "exit_code": 0, "signal": None,
        "stdout": b"", "stdout_bytes": 0, "stdout_truncated": False,
        "stderr": b"", "stderr_bytes": 0, "stderr_truncated": False,
        "sealed_output": None, "refusal": None, "words": None,
        "started_at": None, "ended_at": "2026-11-22T08:00:00Z",
    }  # fmt: skip
    return Result(**values | fields)


def sealed(home: Home, order: str = "o-x", *others: bytes) -> bytes:
    output = SealedOutput(
        order=order,
        stdout=b"secret",
        stdout_bytes=106,
        stdout_truncated=True,
        stderr=b"",
        stderr_bytes=0,
        stderr_truncated=False,
    )
    keys = others or (SeedSigner(os.urandom(32)).public_key, read_public_key(home.key_file()))
    recipients = [pyrage.ssh.Recipient.from_str(public_key_line(key)) for key in keys]
    return bytes(pyrage.encrypt(encode_output(output), recipients))


def test_a_gap_is_shown_and_counted(home: Home) -> None:
    shown = result_fields(home, result(stdout=b"abcdefgh", stdout_bytes=20, stdout_truncated=True))
    assert shown["stdout"] == "ab\n[12 bytes were not kept]\ncdefgh"
    assert (shown["stdout_dropped"], shown["stderr_dropped"], shown["sealed"]) == (12, 0, None)


def test_the_operator_reads_what_was_sealed(home: Home) -> None:
    shown = result_fields(home, result(sealed_output=sealed(home)))
    assert (shown["sealed"], shown["stdout_dropped"]) == ("opened", 100)
    assert shown["stdout"].replace("\n[100 bytes were not kept]\n", "") == "secret"


def test_only_the_operators_key_opens_it(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = sealed(home, "o-x", SeedSigner(os.urandom(32)).public_key)
    with pytest.raises(FarhandError) as caught:
        open_output(home, result(sealed_output=foreign))
    assert caught.value.code == "output-unopened"
    shown = result_fields(home, result(sealed_output=foreign))
    assert (shown["sealed"], shown["stdout"]) == ("closed", "")
    assert "output-unopened" in capsys.readouterr().err


def test_a_key_that_an_ssh_agent_holds_opens_nothing(home: Home) -> None:
    data = sealed(home)
    home.key_file().unlink()
    with pytest.raises(FarhandError) as caught:
        open_output(home, result(sealed_output=data))
    assert caught.value.code == "output-unopened"


def test_output_of_another_order_is_none(home: Home) -> None:
    """A relay that swaps results has no signature for it; a device's own slip is told as well."""
    with pytest.raises(FarhandError) as caught:
        open_output(home, result(sealed_output=sealed(home, "o-other")))
    assert caught.value.code == "output-malformed"
