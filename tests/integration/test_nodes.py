"""Two nodes as two processes on one PostgreSQL and one NATS, and one of them going down.

Both are behind one address, as behind a load balancer: what devices dial goes to node A, what
technicians ask goes to node B.  Only the technician's pipes go to node A by its own address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.integration.test_fleet import write_script
from tests.support.servers import PostgresServer
from tests.support.stage import AgentHome, CommandFailed, ConsoleHome, Process, Stage

pytestmark = pytest.mark.slow


class Front:
    """The one address: sends each connection to a node by the path of its first request."""

    def __init__(self) -> None:
        self.devices_go_to = 0
        self.others_go_to = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._is_ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            first = await reader.readuntil(b"\r\n")
            is_device = first.split()[1] in (b"/agent", b"/pipe")
            port = self.devices_go_to if is_device else self.others_go_to
            from_node, to_node = await asyncio.open_connection("127.0.0.1", port)
            to_node.write(first)
            both = (self._copy(reader, to_node), self._copy(from_node, writer))
            await asyncio.gather(*both)
        writer.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()


@dataclass
class Nodes:
    """Node A is the stage's relay; `tess` and the admin work at node B."""

    front: Front
    stage: Stage
    admin: ConsoleHome
    tess: ConsoleHome
    agent: AgentHome
    url_a: str
    url_b: str

    def start_a(self) -> None:
        """Start node A, which consoles reach by its own address."""
        self.stage.start_relay("--node-url", self.url_a)

    def stop_a(self) -> None:
        """End node A as an operator would, and see that it ends well."""
        assert self.stage.relay is not None
        assert self.stage.relay.end() == 0
        assert not [line for line in self.stage.relay.stderr_lines if "Traceback" in line]

    def metric(self, url: str, name: str) -> float:
        """Return one of a node's own figures."""
        for line in httpx.get(f"{url}/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise AssertionError(f"{url} has no {name}")


@pytest.fixture(scope="module")
def nodes(postgres_server: PostgresServer, nats_url: str) -> Iterator[Nodes]:
    """Both nodes, an admin at A, a technician at B, a device at A."""
    database = postgres_server.create_database()
    with Front() as front, Stage(database=database, bus=nats_url) as stage:
        url_a, stage.url = stage.url, front.url
        stage.init_relay(url=front.url)
        stage.start_relay("--node-url", url_a)
        _, url_b = stage.start_node("b")
        front.devices_go_to = stage.port
        front.others_go_to = int(url_b.rpartition(":")[2])
        admin = stage.first_admin()
        tess = stage.technician(admin, "tess")
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create", "--group", "office")["token"])
        agent.start()
        yield Nodes(front, stage, admin, tess, agent, url_a, url_b)


def open_by_code(nodes: Nodes) -> tuple[str, Process]:
    """Open a session: the device asks at node A, the technician types the code at node B."""
    helper = nodes.agent.code("--yes")
    opened = nodes.tess.json("session", "open", "--code", helper.next_json()["code"])
    request = helper.next_json()
    assert (request["event"], request["words"]) == ("request", opened["words"])
    assert helper.next_json()["event"] == "session"
    return str(opened["session"]), helper


def test_each_node_knows_what_the_other_holds(nodes: Nodes) -> None:
    [shown] = nodes.tess.json("device", "list", "online:true")["items"]
    assert (shown["id"], shown["online"]) == (nodes.agent.device, True)
    assert nodes.metric(nodes.url_a, "farhand_devices") == 1
    assert nodes.metric(nodes.url_b, "farhand_devices") == 0


def test_a_script_and_a_session_across_nodes(nodes: Nodes, tmp_path: Path) -> None:
    done = nodes.tess.json("run", "check.uptime", "--device", "alpha", "--wait")
    assert (done["state"], done["signed"]) == ("succeeded", True)
    session, helper = open_by_code(nodes)
    told = nodes.tess.run("exec", session, "--", "echo out; echo err >&2; exit 7", expect=7)
    assert (told.stdout, told.stderr) == (b"out\n", b"err\n")
    data = os.urandom(1_000_000)
    source, landed, back = tmp_path / "up", tmp_path / "landed", tmp_path / "back"
    source.write_bytes(data)
    nodes.tess.run("cp", str(source), f"{session}:{landed}")
    assert landed.read_bytes() == data
    nodes.tess.run("cp", f"{session}:{landed}", str(back))
    assert back.read_bytes() == data
    ended = nodes.tess.json("session", "end", session, "--note", "done")
    event = helper.next_json()
    assert (event["event"], event["session"]) == ("end", session)
    assert ended["receipt"] is not None
    assert ended["time_entry"] is not None
    assert nodes.metric(nodes.url_a, "farhand_pipe_bytes_total") > 2 * len(data)
    assert nodes.metric(nodes.url_b, "farhand_pipe_bytes_total") == 0


def test_nothing_is_lost_when_the_devices_node_restarts(nodes: Nodes, tmp_path: Path) -> None:
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    body = f"echo began >> '{runs}'\nwhile [ ! -e '{gate}' ]; do sleep 0.1; done\necho through\n"
    folder = write_script(tmp_path / "script", "test.gate", body)
    nodes.tess.json("script", "submit", str(folder))
    nodes.admin.json("script", "approve", "test.gate", "--yes")
    running = nodes.tess.start("run", "test.gate", "--device", "alpha", "--wait")
    session, helper = open_by_code(nodes)
    nodes.tess.run("exec", session, "--", f"until [ -e '{runs}' ]; do sleep 0.1; done")

    nodes.stop_a()
    # Node B goes on alone: it takes an order for the device that it cannot reach.
    made = nodes.tess.json("run", "check.uptime", "--device", "alpha")
    assert made["state"] == "eligible"
    gate.touch()
    nodes.start_a()

    ended = running.next_json(timeout_s=90)
    assert (ended["state"], ended["stdout"], ended["signed"]) == ("succeeded", "through\n", True)
    assert running.popen.wait(30) == 0
    assert runs.read_text() == "began\n", "no body starts twice"
    # The order that waited, and whatever else was asked for meanwhile, has run too.
    after = nodes.tess.json("run", "check.disk.space", "--device", "alpha", "--wait")
    assert after["state"] == "succeeded"
    waited = order_of(nodes, made["order"])
    assert waited["state"] == "succeeded"
    # The session is the same one, with the same grant, once its own process is back too.
    deadline = time.monotonic() + 60
    while (told := try_exec(nodes, session, "echo still here")) is None:
        assert time.monotonic() < deadline, "the session's process never came back"
    assert told == b"still here\n"
    over = nodes.tess.json("session", "end", session, "--note", "survived")
    assert (over["session"], helper.next_json()["event"]) == (session, "end")
    assert over["receipt"] is not None


def try_exec(nodes: Nodes, session: str, command: str) -> bytes | None:
    """Run a command in a session; None while the device's side is still reconnecting."""
    try:
        return nodes.tess.run("exec", session, "--", command).stdout
    except CommandFailed as error:
        if error.code != "session-not-connected":
            raise
        return None


def order_of(nodes: Nodes, order: str) -> dict[str, object]:
    """Ask node B for an order, waiting until it is final."""
    text = (nodes.tess.home / "config.toml").read_text()
    token = next(
        json.loads(line.partition("=")[2])
        for line in text.splitlines()
        if line.startswith("api_token")
    )
    answer = httpx.get(
        f"{nodes.url_b}/api/v1/orders/{order}",
        params={"wait": 60},
        headers={"Authorization": f"Bearer {token}"},
        timeout=90,
    )
    found: dict[str, object] = answer.json()
    return found
