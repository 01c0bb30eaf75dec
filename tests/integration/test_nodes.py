"""Two nodes as two processes on one PostgreSQL and one NATS, and one of them going down.

Both are behind one address, as behind a load balancer: what devices dial goes to node A, what
technicians ask goes to node B.  Only the technician's pipes go to node A by its own address.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.integration.test_fleet import write_script
from tests.support.front import Front
from tests.support.servers import PostgresServer
from tests.support.stage import AgentHome, ConsoleHome, Process, Stage

pytestmark = pytest.mark.slow


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
        admin, tess = stage.settle(url=front.url)
        stage.start_relay("--node-url", url_a)
        _, url_b = stage.start_node("b")
        front.devices_go_to = stage.port
        front.others_go_to = int(url_b.rpartition(":")[2])
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
    told = nodes.tess.run("exec", session, "--", "echo still here")
    assert told.stdout == b"still here\n"
    over = nodes.tess.json("session", "end", session, "--note", "survived")
    assert (over["session"], helper.next_json()["event"]) == (session, "end")
    assert over["receipt"] is not None


def test_a_pipe_goes_to_the_node_that_holds_it(nodes: Nodes) -> None:
    """The one address sends the device elsewhere now; the signed policy names the nodes."""
    origins = ("--relay-origin", nodes.url_a, "--relay-origin", nodes.url_b)
    nodes.admin.json("trust", "rules", *origins)
    session, helper = open_by_code(nodes)
    before = nodes.metric(nodes.url_a, "farhand_pipe_bytes_total")
    nodes.front.devices_go_to = nodes.front.others_go_to  # a stranger to this session's pipes
    try:
        told = nodes.tess.run("exec", session, "--", "head", "-c", "100000", "/dev/zero")
    finally:
        nodes.front.devices_go_to = nodes.stage.port
    assert told.stdout == bytes(100_000)
    assert nodes.metric(nodes.url_a, "farhand_pipe_bytes_total") > before + 100_000
    nodes.tess.json("session", "end", session)
    assert helper.next_json()["event"] == "end"


def test_a_transfer_goes_on_at_the_other_node_when_its_node_is_killed(
    nodes: Nodes, tmp_path: Path
) -> None:
    """Device and technician both attach again, elsewhere, and not a byte is lost."""
    session, helper = open_by_code(nodes)
    data = os.urandom(20_000_000)
    source, there = tmp_path / "up", tmp_path / "there"
    there.mkdir()
    source.write_bytes(data)
    # Read slowly, so that the node dies in the middle of it.
    gate = tmp_path / "gate"
    command = f"head -c 1000000; while [ ! -e '{gate}' ]; do sleep 0.1; done; cat"
    words = nodes.tess.words("exec", session, "--", command)
    shell = f'exec "$0" "$@" < {source} > {there}/back'
    reading = nodes.stage.start(["sh", "-c", shell, *words])
    deadline = time.monotonic() + 60
    while not ((there / "back").exists() and (there / "back").stat().st_size >= 1_000_000):
        assert time.monotonic() < deadline, reading.failed("nothing came back")
        time.sleep(0.05)  # written by another process
    before = nodes.metric(nodes.url_b, "farhand_pipe_bytes_total")
    assert nodes.stage.relay is not None
    nodes.stage.relay.end(signal.SIGKILL)
    nodes.front.devices_go_to = nodes.front.others_go_to
    gate.touch()
    try:
        assert reading.popen.wait(100) == 0, reading.failed("the transfer was lost")
        assert (there / "back").read_bytes() == data
        assert nodes.metric(nodes.url_b, "farhand_pipe_bytes_total") > before + len(data)
        # A command that begins now waits for what is still on its way, too.
        assert nodes.tess.run("exec", session, "--", "echo", "here").stdout == b"here\n"
        ended = nodes.tess.json("session", "end", session, "--note", "moved")
        assert ended["receipt"] is not None
        assert helper.next_json()["event"] == "end"
    finally:
        nodes.start_a()
        nodes.front.devices_go_to = nodes.stage.port


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
