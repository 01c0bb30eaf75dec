"""Sessions under a hostile relay: grants that nobody signed, and a pipe with somebody in it.

Everything that went through the splice is kept by the relay and searched; whatever it changes, SSH
notices.  A command that must not run would make a file.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from farhand_agent.session.pipe_socket import WebsocketStream
from farhand_agent.session.pipes import PipeDriver, PipeTunnel
from farhand_console.session.config import write_ssh_config
from farhand_console.session.record import SessionRecord
from farhand_console.trust.devices import VerifiedDevice
from farhand_protocol.envelopes import Envelope, decode_envelope, encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.frames import parse_attach_reply, write_attach
from farhand_protocol.grants import Grant
from farhand_protocol.identity import make_id, public_key_line
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import AttachPipe, EndSession, OfferGrant
from tests.security.conftest import MakeDevice
from tests.support.hostile_console import Console, ssh_key_file
from tests.support.hostile_devices import Device
from tests.support.hostile_organisation import HostileOrganisation, now, signer
from tests.support.hostile_relay import Direction, HostileRelay, Splice

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = socket.gethostname()
BO_SEED = os.urandom(32)
DATA = 1  # the first byte of a pipe's DATA frame; see farhand_protocol.pipe
HEAD_BYTES = 9


@pytest.fixture(scope="module")
def console(
    relay: HostileRelay,
    organisation: HostileOrganisation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Console:
    """bo's console, in an organisation that lets technicians in without asking."""
    organisation.boss = SeedSigner(BO_SEED)
    bo = organisation.roster.find("bo")
    assert bo is not None
    bo.keys[:] = [organisation.boss.public_key]
    organisation.unattended()
    organisation.publish()
    return Console(relay, tmp_path_factory.mktemp("console") / "bo", "bo", BO_SEED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(make_device: MakeDevice, console: Console) -> AsyncIterator[Device]:
    """An unattended device with its resident agent running."""
    assert console.settings.account == "bo"
    device = await make_device()
    async with device.resident():
        yield device


@pytest.fixture(autouse=True)
def honest_again(relay: HostileRelay) -> None:
    """Begin with an honest relay."""
    relay.tap = lambda pipe, way, data: [data]
    relay.on_attach = None
    relay.device_answer = lambda told: told


# Grants.


def make_grant(target: Device, **fields: Any) -> Grant:
    """Return a grant that would be accepted; fields say what is wrong with it."""
    organisation = target.relay.organisation
    values: dict[str, Any] = {
        "tenant": organisation.tenant,
        "id": make_id("s", os.urandom(16)),
        "device": target.id,
        "host_name": HOST,
        "group": "default",
        "operator": "bo",
        "operator_key": organisation.boss.public_key,
        "organisation": "Example Support",
        "ticket": "FH-1",
        "reason": "",
        "scopes": ["terminal"],
        "forward": [],
        "minutes": 30,
        "console_key": signer().public_key,
        "transcript": None,
        "targets_version": 1,
        "issued_at": format_instant(now()),
        "not_before": format_instant(now() - timedelta(minutes=5)),
        "expires": format_instant(now() + timedelta(hours=1)),
    }
    return Grant(**values | fields)


def edited(envelope: Envelope, **fields: Any) -> bytes:
    """Change a signed grant and keep its signatures."""
    values = msgspec.json.decode(envelope.payload) | fields
    payload = msgspec.json.encode(values, order="sorted")
    return encode_envelope(msgspec.structs.replace(envelope, payload=payload))


Forge = Callable[[Device], tuple[str, bytes]]


def signed(by: str = "boss", **fields: Any) -> Forge:
    def forge(device: Device) -> tuple[str, bytes]:
        key: SeedSigner = getattr(device.relay.organisation, by)
        grant = make_grant(device, **{"operator_key": key.public_key} | fields)
        return grant.id, encode_envelope(seal(grant, key))

    return forge


def widened(**fields: Any) -> Forge:
    def forge(device: Device) -> tuple[str, bytes]:
        grant = make_grant(device)
        return grant.id, edited(seal(grant, device.relay.organisation.boss), **fields)

    return forge


def made_up(device: Device) -> tuple[str, bytes]:
    eve = signer()
    grant = make_grant(device, operator="eve", operator_key=eve.public_key)
    return grant.id, encode_envelope(seal(grant, eve))


def as_bo(device: Device) -> tuple[str, bytes]:
    grant = make_grant(device)
    return grant.id, encode_envelope(seal(grant, device.relay.key))


def two_signatures(device: Device) -> tuple[str, bytes]:
    grant = make_grant(device)
    organisation = device.relay.organisation
    return grant.id, encode_envelope(seal(grant, organisation.boss, organisation.relay_key))


def under_another_session(device: Device) -> tuple[str, bytes]:
    _, data = signed()(device)
    return make_id("s", os.urandom(16)), data


def rubbish(device: Device) -> tuple[str, bytes]:
    return make_id("s", os.urandom(16)), b"\x00" * 500


FORGERIES: dict[str, tuple[str, Forge]] = {
    "made-up": ("grant-operator-unknown", made_up),
    "in-the-name-of-bo": ("grant-signature", as_bo),
    "with-the-relays-signature-added": ("grant-signature", two_signatures),
    "with-the-relay-key-as-operator": ("grant-operator-unknown", signed("relay_key")),
    "with-widened-scopes": ("grant-signature", widened(scopes=["terminal", "files", "view"])),
    "with-another-console-key": (
        "grant-signature",
        widened(console_key=base64.b64encode(b"k" * 32).decode()),
    ),
    "with-a-longer-life": ("grant-signature", widened(minutes=480)),
    "for-another-device": ("grant-wrong-device", signed(device="d-" + "a" * 26)),
    "for-another-host-name": ("grant-wrong-host", signed(host_name="elsewhere")),
    "for-another-group": ("grant-wrong-group", signed(group="servers")),
    "for-another-tenant": ("grant-wrong-tenant", signed(tenant="n-other2345672")),
    "under-another-session-id": ("grant-wrong-session", under_another_session),
    "over-a-transcript-where-there-is-none": ("grant-transcript", signed(transcript=b"t" * 32)),
    "expired": (
        "grant-expired",
        signed(
            not_before="2024-01-01T00:00:00Z",
            expires="2024-01-01T01:00:00Z",
        ),
    ),
    "by-an-operator-without-sessions": ("grant-not-permitted", signed("low", operator="low")),
    "that-is-rubbish": ("grant-malformed", rubbish),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_grant_opens_nothing(forgery: str, target: Device) -> None:
    code, forge = FORGERIES[forgery]
    session, data = forge(target)
    report = await target.relay.offer_grant(session, data)
    assert (report.state, report.reason) == ("refused", code)
    assert {"session": session, "code": code} in target.logged("session-refused")
    assert session not in [one["session"] for one in target.logged("session-granted")]


# One honest session that the rest of this module attacks.


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(target: Device, console: Console) -> SessionRecord:
    """A session that bo opened by the product's own console."""
    return await console.by_grant(target.id)


async def run(console: Console, session: SessionRecord, command: str) -> str:
    """Run a command on a connection of its own."""
    async with console.ssh(session) as connection:
        done = await connection.run(command, check=False, timeout=30)
        assert isinstance(done.stdout, str)
        return done.stdout


async def test_the_honest_session_works(console: Console, session: SessionRecord) -> None:
    assert await run(console, session, "echo $((6 * 7))") == "42\n"


async def test_nothing_typed_or_shown_is_readable_by_the_relay(
    relay: HostileRelay, console: Console, session: SessionRecord, tmp_path: Path
) -> None:
    secret = f"secret-{os.urandom(8).hex()}"
    relay.seen.clear()
    shown = await run(console, session, f"echo {secret}; echo {secret} >&2")
    assert shown == f"{secret}\n"
    async with console.ssh(session) as connection:
        (tmp_path / "up").write_text(secret * 100)
        await asyncssh.scp(str(tmp_path / "up"), (connection, str(tmp_path / "landed")))
    assert (tmp_path / "landed").read_text() == secret * 100
    everything = b"".join(data for _, data in relay.seen)
    assert len(everything) > 2_000
    # The relay sees the SSH version exchange, as anybody on the way does; that shows the tap works.
    assert b"SSH-2.0-" in everything
    for form in (secret.encode(), secret.encode("utf-16-le"), base64.b64encode(secret.encode())):
        assert form[:12] not in everything
    assert session.session.encode() not in everything  # the user name is inside, too


Spoil = Callable[[bytes], list[bytes]]


def nth_data(number: int, way: Direction, spoil: Spoil) -> tuple[list[int], Any]:
    """Return a tap that spoils one DATA frame of one direction, and where it counts."""
    count = [0]

    def tap(pipe: Splice, direction: Direction, data: bytes) -> list[bytes]:
        if direction != way or data[:1] != bytes([DATA]):
            return [data]
        count[0] += 1
        if count[0] != number:
            return [data]
        if spoil is drop:
            pipe.cut()
        return spoil(data)

    return count, tap


def flip(data: bytes) -> list[bytes]:
    changed = bytearray(data)
    changed[-1] ^= 1
    return [bytes(changed)]


def inject(data: bytes) -> list[bytes]:
    """Put bytes into the stream where they fit, and shift nothing else."""
    extra = b"\x00" * 64
    return [data + extra]


def swap_payload(data: bytes) -> list[bytes]:
    return [data[:HEAD_BYTES] + os.urandom(len(data) - HEAD_BYTES)]


@pytest.mark.parametrize("way", ["to-device", "to-console"])
@pytest.mark.parametrize("spoil", [flip, inject, swap_payload], ids=lambda one: one.__name__)
async def test_changed_bytes_are_noticed_and_nothing_of_them_is_run_or_shown(
    way: Direction,
    spoil: Spoil,
    relay: HostileRelay,
    console: Console,
    session: SessionRecord,
    marker: Path,
) -> None:
    async with console.ssh(session) as connection:
        count, relay.tap = nth_data(1, way, spoil)
        # To the device it is the command itself that is changed, else its answer.
        with pytest.raises((asyncssh.Error, OSError)):
            await connection.run(f"echo ran >> {marker}; echo shown", check=True, timeout=20)
        assert count[0] >= 1
        assert connection.is_closed() or await closes(connection)
    if way == "to-device":
        assert not marker.exists()
    # Only that connection is lost; the session is the operator's still.
    relay.tap = lambda pipe, way, data: [data]
    assert await run(console, session, "echo again") == "again\n"


async def closes(connection: asyncssh.SSHClientConnection) -> bool:
    async with asyncio.timeout(20):
        await connection.wait_closed()
    return True


def drop(data: bytes) -> list[bytes]:
    """Lose it, and the transport with it: a relay that only loses one delays till it ends."""
    return []


def repeat(data: bytes) -> list[bytes]:
    return [data, data]


def split(data: bytes) -> list[bytes]:
    """Send the second half first."""
    head, body = data[:HEAD_BYTES], data[HEAD_BYTES:]
    offset = int.from_bytes(head[1:], "big")
    middle = len(body) // 2
    second = bytes([DATA]) + (offset + middle).to_bytes(8, "big") + body[middle:]
    return [second, head + body[:middle]]


@pytest.mark.parametrize("way", ["to-device", "to-console"])
@pytest.mark.parametrize("spoil", [drop, repeat, split], ids=lambda one: one.__name__)
async def test_lost_repeated_and_reordered_frames_are_mended_by_the_pipe(
    way: Direction,
    spoil: Spoil,
    relay: HostileRelay,
    console: Console,
    session: SessionRecord,
    marker: Path,
) -> None:
    """Out of place means a new transport and the same bytes again: run once, shown once."""
    async with console.ssh(session) as connection:
        count, relay.tap = nth_data(2, way, spoil)
        done = await connection.run(
            f"echo ran >> {marker}; head -c 40000 /dev/zero | tr '\\0' x", timeout=40
        )
        assert done.stdout == "x" * 40_000
        done = await connection.run("cat", input="y" * 40_000, timeout=40)
        assert done.stdout == "y" * 40_000
        assert count[0] > 2
    assert marker.read_text() == "ran\n"


async def test_a_replay_with_forged_positions_is_noticed_by_ssh(
    relay: HostileRelay, console: Console, session: SessionRecord, marker: Path
) -> None:
    """The relay writes the pipe's own numbers anew, so that a replay seems to be in order."""
    shift = [0]
    replay = [False]

    def tap(pipe: Splice, way: Direction, data: bytes) -> list[bytes]:
        if way == "to-console" and data[:1] == b"\x02":
            return []  # acknowledgements would give it away
        if way == "to-console" or data[:1] != bytes([DATA]):
            return [data]
        offset = int.from_bytes(data[1:HEAD_BYTES], "big") + shift[0]
        body = data[HEAD_BYTES:]
        sent = [bytes([DATA]) + offset.to_bytes(8, "big") + body]
        if replay[0]:
            shift[0] += len(body)
            again = (offset + len(body)).to_bytes(8, "big")
            sent.append(bytes([DATA]) + again + body)
        return sent

    relay.tap = tap
    async with console.ssh(session) as connection:
        replay[0] = True
        try:
            await connection.run(f"echo ran >> {marker}; cat", timeout=20)
        except (asyncssh.Error, OSError):
            assert connection.is_closed() or await closes(connection)
        else:
            raise AssertionError("the replay was not noticed")
    # The first copy was the operator's own; the second one did nothing.
    assert not marker.exists() or marker.read_text() == "ran\n"


# A relay that speaks SSH itself.


class Impostor(asyncssh.SSHServer):
    """Lets everybody in and writes down who came."""

    seen: list[str]

    def begin_auth(self, username: str) -> bool:
        self.seen.append(username)
        return False


async def impostor_on(relay: HostileRelay, splice: Splice, seen: list[str]) -> None:
    """Answer the console's end of a pipe with an SSH server of the relay's own."""
    driver = PipeDriver(0)

    def factory() -> Impostor:
        server = Impostor()
        server.seen = seen
        return server

    async with connect(relay.url.replace("http", "ws") + "/pipe", compression=None) as websocket:
        await websocket.send(write_attach("device", splice.session, splice.tokens["device"]))
        reply = await websocket.recv()
        assert isinstance(reply, bytes)
        parse_attach_reply(reply)
        async with asyncio.TaskGroup() as group:
            group.create_task(driver.serve(WebsocketStream(websocket)))
            try:
                connection = await asyncssh.connect_reverse(
                    "console",
                    tunnel=PipeTunnel(driver),
                    server_factory=factory,
                    server_host_keys=[asyncssh.import_private_key(ssh_key_file(os.urandom(32)))],
                )
                await connection.wait_closed()
            except (asyncssh.Error, OSError):
                return  # whoever asked went away when it saw the key
            finally:
                driver.end()


@pytest_asyncio.fixture(loop_scope="module")
async def impostor(relay: HostileRelay) -> AsyncIterator[list[str]]:
    """The relay answers all pipes itself; yields the user names that reached it."""
    seen: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def answer(splice: Splice) -> bool:
        tasks.append(asyncio.ensure_future(impostor_on(relay, splice, seen)))
        return False

    relay.on_attach = answer
    yield seen
    relay.on_attach = None
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_console_refuses_a_relay_that_answers_ssh_itself(
    console: Console, session: SessionRecord, impostor: list[str]
) -> None:
    with pytest.raises(BaseException) as caught:
        async with console.ssh(session) as connection:
            await connection.run("echo to the impostor", timeout=20)
    assert "host-key-mismatch" in codes(caught.value)
    assert impostor == []


def codes(error: BaseException) -> list[str]:
    """Return the codes in an error or in a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return [code for one in error.exceptions for code in codes(one)]
    return [error.code] if isinstance(error, FarhandError) else []


@pytest.mark.needs("ssh")
async def test_stock_ssh_refuses_a_relay_that_answers_ssh_itself(
    console: Console,
    session: SessionRecord,
    target: Device,
    impostor: list[str],
    relay: HostileRelay,
    tmp_path: Path,
) -> None:
    known = VerifiedDevice(
        id=target.id,
        key=target.settings.device_key_raw,
        name="desk-1",
        group="default",
        host_name=HOST,
    )
    text = await asyncio.to_thread(write_ssh_config, console.home, [known])
    lines = [
        f"Host {target.id}" if line.startswith("Match host") else line for line in text.splitlines()
    ]
    keys = console.home.folder / "sessions" / session.session / "key"
    lines = [f'    IdentityFile "{keys}"' if "IdentityFile" in one else one for one in lines]
    lines = [f"    User {session.session}" if "Include" in one else one for one in lines]
    config = tmp_path / "config"
    config.write_text("\n".join(lines) + "\n")

    def ssh() -> subprocess.CompletedProcess[bytes]:
        words = ["ssh", "-F", str(config), target.id, "echo hello"]
        return subprocess.run(words, capture_output=True, timeout=60, check=False)

    done = await asyncio.to_thread(ssh)
    assert done.returncode == 255, done
    assert b"Host key verification failed" in done.stderr, done.stderr
    assert done.stdout == b""
    assert impostor == []
    relay.on_attach = None
    done = await asyncio.to_thread(ssh)
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr


@pytest.mark.parametrize("key", ["the-relays", "a-strangers", "another-operators"])
async def test_a_relay_that_attaches_itself_to_the_device_is_not_let_in(
    key: str,
    relay: HostileRelay,
    session: SessionRecord,
    organisation: HostileOrganisation,
    target: Device,
) -> None:
    """It makes a pipe token for itself and speaks SSH to the device."""
    seeds = {
        "the-relays": organisation.relay_seed,
        "a-strangers": os.urandom(32),
        "another-operators": BO_SEED,  # a roster key alone opens nothing either
    }
    splice = await relay.open_pipe(session.session, 7)
    driver = PipeDriver(7)
    async with connect(relay.url.replace("http", "ws") + "/pipe", compression=None) as websocket:
        await websocket.send(write_attach("console", session.session, splice.tokens["console"]))
        reply = await websocket.recv()
        assert isinstance(reply, bytes)
        parse_attach_reply(reply)
        async with asyncio.TaskGroup() as group:
            group.create_task(driver.serve(WebsocketStream(websocket)))
            with pytest.raises(asyncssh.PermissionDenied):
                await asyncssh.connect(
                    "device",
                    tunnel=PipeTunnel(driver),
                    username=session.session,
                    client_keys=[asyncssh.import_private_key(ssh_key_file(seeds[key]))],
                    known_hosts=(
                        [
                            asyncssh.import_public_key(
                                public_key_line(target.settings.device_key_raw)
                            )
                        ],
                        [],
                        [],
                    ),
                    config=None,
                    agent_path=None,
                )
            driver.end()


# Messages about sessions.


async def test_only_its_own_session_can_be_ended_by_the_relay(
    relay: HostileRelay, console: Console, session: SessionRecord
) -> None:
    link = await relay.link("session", session=session.session)
    for other in (make_id("s", os.urandom(16)), "", session.session.upper()):
        await link.send(EndSession(session=other, reason="x"))
        await (await relay.link()).send(EndSession(session=other, reason="x"))
    await link.send(AttachPipe(session=make_id("s", os.urandom(16)), number=0, token=b"t" * 16))
    assert await run(console, session, "echo still here") == "still here\n"


async def test_a_grant_for_a_session_that_ended_opens_nothing_again(
    relay: HostileRelay, console: Console, session: SessionRecord, target: Device
) -> None:
    """A relay may end a session; it can never open it again, nor extend it."""
    link = await relay.link("session", session=session.session)
    before = len(relay._reports(session.session))
    await link.send(EndSession(session=session.session, reason="because"))
    await relay.until(lambda: len(relay._reports(session.session)) > before)
    assert relay._reports(session.session)[-1].state == "ended"
    await relay.until(lambda: link.closed)
    before = len(target.logged("session-granted"))
    await (await relay.link()).send(
        OfferGrant(session=session.session, envelope=bytes(session.grant))
    )
    # The next grant is refused for another reason; by then this one would have opened.
    other, data = made_up(target)
    assert (await relay.offer_grant(other, data)).state == "refused"
    assert len(target.logged("session-granted")) == before
    other = make_id("s", os.urandom(16))
    report = await relay.offer_grant(other, bytes(session.grant))
    assert (report.state, report.reason) == ("refused", "grant-wrong-session")
    receipt = target.home.receipts / f"{session.session}.json"
    assert decode_envelope(receipt.read_bytes())


async def test_a_removed_operators_session_ends(
    relay: HostileRelay,
    organisation: HostileOrganisation,
    target: Device,
    tmp_path: Path,
) -> None:
    gone_seed = os.urandom(32)
    organisation.gone = SeedSigner(gone_seed)
    gone = organisation.roster.find("gone")
    assert gone is not None
    gone.keys[:] = [organisation.gone.public_key]
    organisation.publish()
    await relay.notice(target.id)
    console = Console(relay, tmp_path / "gone", "gone", gone_seed)
    record = await console.by_grant(target.id)
    assert await run(console, record, "echo in") == "in\n"
    organisation.remove("gone")
    organisation.publish()
    await relay.notice(target.id)
    await relay.first(
        type(relay._reports(record.session)[0]),
        lambda one: one.session == record.session and one.state == "ended",
    )
    assert relay._reports(record.session)[-1].reason == "operator-removed"
    with pytest.raises(FarhandError) as caught:
        await console.by_grant(target.id)
    assert caught.value.code == "grant-operator-unknown"


async def test_without_consent_policy_no_grant_opens_a_session(
    relay: HostileRelay, organisation: HostileOrganisation, target: Device
) -> None:
    """The device's own policy is a floor that signed policy cannot lower."""
    target.home.policy.write_text("unattended = false\n")
    try:
        session, data = signed()(target)
        report = await relay.offer_grant(session, data)
        assert (report.state, report.reason) == ("refused", "policy-refused")
    finally:
        target.home.policy.unlink()
    assert organisation.group_policy().unattended
