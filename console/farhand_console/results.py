"""What a command shows of a verified result: output with its gaps, sealed output opened.

Only the operator who ordered a sensitive script reads its output, with a key that lies in a file:
one that only an ssh-agent holds signs, but opens nothing.  Nothing that was opened is stored or
sent anywhere.
"""

from __future__ import annotations

from typing import Any

from farhand_console.home import Home
from farhand_console.output import warn
from farhand_console.session.recording_keys import load_identities
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import Result
from farhand_protocol.outputs import SealedOutput, decode_output, with_gap

__all__ = ["open_output", "result_fields"]


def open_output(home: Home, result: Result) -> SealedOutput:
    """Return what a sensitive script printed.

    Raises:
        FarhandError: `output-unopened` when no key of this home opens it, `output-malformed`,
            `key-malformed`, `key-passphrase`.
    """
    path = home.key_file()
    try:
        if path.suffix == ".pub" or not path.exists():
            raise FarhandError("key-missing", "the operator's key lies in no file here")
        plain = load_identities(home, path).open(result.sealed_output or b"")
    except FarhandError as error:
        if error.code not in ("key-missing", "recording-identity"):
            raise
        raise FarhandError(
            "output-unopened",
            "the output is sealed to the operator who ordered the script",
            hint="farhand order show, where that operator's key file is",
            detail=str(error),
        ) from error
    output = decode_output(plain)
    if output.order != result.order:
        raise FarhandError("output-malformed", "the sealed output is of another order")
    return output


def result_fields(home: Home, result: Result) -> dict[str, Any]:
    """Return a verified result as `run`, `order show` and `order import` show it.

    Sealed output that cannot be opened here is left out, with a warning.
    """
    output: Result | SealedOutput = result
    sealed = None
    if result.sealed_output is not None:
        sealed = "opened"
        try:
            output = open_output(home, result)
        except FarhandError as error:
            warn(f"{error.code}: {error.message}")
            sealed = "closed"
    return {
        "order": result.order,
        "device": result.device,
        "state": result.state,
        "exit_code": result.exit_code,
        "stdout": with_gap(output.stdout, output.stdout_bytes),
        "stderr": with_gap(output.stderr, output.stderr_bytes),
        "stdout_dropped": output.stdout_bytes - len(output.stdout),
        "stderr_dropped": output.stderr_bytes - len(output.stderr),
        "refusal": result.refusal,
        "words": result.words,
        "before": result.before,
        "after": result.after,
        "sealed": sealed,
        "signed": True,
    }
