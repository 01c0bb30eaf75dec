"""Scripts that misbehave, a disk that is full, a clock that is wrong: on a real agent.

100 MB of output, output that is no text, a body that ignores SIGTERM; the disk of the agent's home
full (a small tmpfs, tests/support/faults/disk.py); the clock ten minutes off either way and set
back.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farhand_protocol.instants import format_instant
from farhand_protocol.messages import OfferOrder, ResultReport
from farhand_protocol.orders import Result
from tests.support.faults.disk import fill, small_disk
from tests.support.faults.environment import fault_environment
from tests.support.hostile_devices import Device, enrolled_device
from tests.support.hostile_organisation import HostileOrganisation, now
from tests.support.hostile_relay import HostileRelay

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = socket.gethostname()


async def ran(
    device: Device, organisation: HostileOrganisation, body: bytes, **fields: Any
) -> Result:
    """Publish a body, order it on a fresh agent, and return the result."""
    script = organisation.add_script(body, id=f"check.{os.urandom(4).hex()}", **fields)
    organisation.publish()
    order, data = organisation.order(script, device.id, HOST)
    async with device.resident():
        return await device.outcome(order, data)


async def test_a_hundred_megabytes_of_output_are_bounded(
    device: Device, organisation: HostileOrganisation
) -> None:
    size = 100_000_000
    body = f"printf BEGIN; head -c {size} /dev/zero; printf END >&1; echo err >&2\n".encode()
    result = await ran(device, organisation, body, max_output_bytes=65_536)
    assert (result.state, result.exit_code) == ("succeeded", 0)
    assert result.stdout_bytes == size + 8
    assert result.stdout_truncated
    assert len(result.stdout) == 65_536
    assert result.stdout.startswith(b"BEGIN")
    assert result.stdout.endswith(b"END")
    assert result.stderr == b"err\n"


async def test_output_that_is_no_text_comes_back_bit_for_bit(
    device: Device, organisation: HostileOrganisation
) -> None:
    body = b"printf '\\377\\376\\000\\200caf\\351'; printf '\\303\\050' >&2\n"
    result = await ran(device, organisation, body)
    assert result.stdout == b"\xff\xfe\x00\x80caf\xe9"
    assert result.stderr == b"\xc3("
    assert (result.stdout_bytes, result.stdout_truncated) == (8, False)


async def test_a_script_that_ignores_sigterm_is_ended(
    device: Device, organisation: HostileOrganisation, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    body = (
        f"trap '' TERM HUP INT; echo $$ >> {pids}\n"
        f"(trap '' TERM; echo $$ >> {pids}; setsid sh -c 'echo $$ >> {pids}; sleep 300') &\n"
        "echo waiting; while :; do sleep 1; done\n"
    ).encode()
    result = await ran(device, organisation, body, timeout_s=1)
    assert (result.state, result.exit_code, result.signal) == ("timeout", None, "SIGKILL")
    assert result.stdout == b"waiting\n"
    for pid in {int(one) for one in pids.read_text().split()}:
        assert not Path(f"/proc/{pid}/cmdline").exists() or b"sleep" not in (
            Path(f"/proc/{pid}/cmdline").read_bytes()
        )


async def test_a_runner_that_dies_while_it_looks_starts_no_body_and_none_twice(
    device: Device, organisation: HostileOrganisation, tmp_path: Path
) -> None:
    """Killed in `detect`: the body never starts.  Killed in the body: it started once."""
    trace = tmp_path / "trace"
    finding = b'printf \'{"state":"critical","summary":"-"}\'\n'
    organisation.add_script(b"kill -9 $PPID; sleep 60\n" + finding, id="check.kills")
    organisation.add_script(finding, id="check.finds")
    start = f"echo start >> {trace}\n".encode()
    early = organisation.add_script(
        start, id="remedy.early", risk="R1", detect="check.kills", verify="check.finds"
    )
    late = organisation.add_script(
        start + b"kill -9 $PPID; sleep 60\n", id="remedy.late", risk="R1", detect="check.finds"
    )
    organisation.publish()
    async with device.resident():
        for script, starts in ((early, 0), (late, 1)):
            trace.unlink(missing_ok=True)
            order, data = organisation.order(script, device.id, HOST)
            result = await device.outcome(order, data)
            assert (result.state, result.refusal) == ("interrupted", "order-interrupted")
            # Offered once more, as a relay does that heard nothing.
            assert await device.outcome(order, data) == result
            begun = trace.read_text().count("start") if trace.exists() else 0
            assert begun == starts


# A full disk.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Eight MiB."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


async def test_a_full_disk_accepts_nothing_and_loses_nothing(
    relay: HostileRelay, organisation: HostileOrganisation, disk: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    script = organisation.add_script(f"echo ran >> {trace}\n".encode(), id="check.disk")
    organisation.publish()
    device = await enrolled_device(relay, disk / "home")
    orders = [organisation.order(script, device.id, HOST) for _ in range(2)]
    async with device.resident() as program:
        assert (await device.outcome(*orders[0])).state == "succeeded"
        ballast = fill(disk)
        order, data = orders[1]
        link = await relay.link(device=device.id)
        since = len(program.lines)
        await link.send(OfferOrder(order=order, envelope=data))
        line = await program.line("journal-full", since=since)
        assert "Traceback" not in line
        assert not [one for one in relay.of(ResultReport) if one.order == order]
        assert program.process.returncode is None
        assert trace.read_text() == "ran\n"
        ballast.unlink()
        assert await program.end() == 0
    async with device.resident():
        # Offered again, as a relay does, it is taken in and run once.
        assert (await device.outcome(order, data)).state == "succeeded"
    assert trace.read_text() == "ran\nran\n"
    journal = device.journal()
    try:
        assert journal.open_orders() == []
        assert journal.order(order) is not None
    finally:
        journal.close()


async def test_enrolment_on_a_full_disk_leaves_nothing_behind(
    relay: HostileRelay, disk: Path
) -> None:
    from farhand_protocol.errors import FarhandError

    fill(disk)
    with pytest.raises(FarhandError) as caught:
        await enrolled_device(relay, disk / "home")
    assert caught.value.code in ("home-unusable", "journal-full")
    assert not (disk / "home" / "config.toml").exists()
    assert not (disk / "home" / "device.key").exists()


# A wrong clock.


async def test_a_clock_ten_minutes_off_refuses_what_it_must_and_no_more(
    relay: HostileRelay, organisation: HostileOrganisation, tmp_path: Path
) -> None:
    """Real processes under a moved clock: behind, ahead, and set back again."""
    trace = tmp_path / "trace"
    script = organisation.add_script(f"echo ran >> {trace}\n".encode(), id="check.clock")
    organisation.publish()
    device = await enrolled_device(relay, tmp_path / "home")
    clock = tmp_path / "clock"
    clock.write_text("0")
    device.env = fault_environment(clock=clock)

    async def ordered(**times: timedelta) -> tuple[str, str | None]:
        given: dict[str, Any] = {name: format_instant(now() + by) for name, by in times.items()}
        order, data = organisation.order(script, device.id, HOST, **given)
        result = await device.outcome(order, data)
        return result.state, result.refusal

    short = {"expires": timedelta(minutes=5)}
    async with device.resident():
        # Ten minutes behind cannot be told here: the highest time seen at enrolment counts.
        clock.write_text("-600")
        assert await ordered(**short) == ("succeeded", None)
        # Ten minutes ahead: an order for five minutes is over.
        clock.write_text("600")
        assert await ordered(**short) == ("refused", "order-expired")
        assert await ordered(expires=timedelta(hours=1)) == ("succeeded", None)
        # Set back: the time that was seen stays seen, so nothing expired comes to life again.
        clock.write_text("0")
        assert await ordered(**short) == ("refused", "order-expired")
        assert await ordered(expires=timedelta(hours=1)) == ("succeeded", None)
    assert trace.read_text() == "ran\n" * 3
