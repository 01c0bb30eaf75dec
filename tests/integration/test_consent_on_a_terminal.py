"""Consent with both ends on real terminals: what the person reads and presses, what the technician
sees of it.  Refusal, silence, widening, taking back, a second technician, stopping, expiry.

The device's own policy lets a question stand for a few seconds, which it may: silence is no all the
sooner.  That it is a minute otherwise: tests/agent/session/test_asking.py.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.stage import AgentHome, ConsoleHome, Stage, free_port
from tests.support.terminals import Terminal

# Six processes on as many terminals, and a cool-down that is waited for.
pytestmark = pytest.mark.timeout(300)

CODE = r"Your code: ([0-9]{4,6}-[0-9A-Z]{3} [0-9A-Z]{3})"
PROMPT = r"Allow this\? \[y/N\]"


class Echo(socketserver.StreamRequestHandler):
    """Answers one line."""

    def handle(self) -> None:
        self.wfile.write(b"echo " + self.rfile.readline(100))


@contextmanager
def echo_server() -> Iterator[int]:
    """A port that answers; its thread ends before its socket does."""
    with socketserver.TCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Scene:
    """A relay, a technician, a device whose policy allows forwarding to one port."""

    def __init__(
        self,
        stage: Stage,
        technician: ConsoleHome,
        second: ConsoleHome,
        agent: AgentHome,
        port: int,
    ) -> None:
        self.stage = stage
        self.technician = technician
        self.second = second
        self.agent = agent
        self.port = port

    def person(self, *options: str) -> Terminal:
        return Terminal(self.agent.words("code", *options), env=self.stage.env)

    def operator(self, *words: str) -> Terminal:
        return Terminal(self.technician.words(*words), env=self.stage.env)

    def other(self, *words: str) -> Terminal:
        return Terminal(self.second.words(*words), env=self.stage.env)

    @contextmanager
    def session(
        self, *options: str, scope: str = "view,terminal"
    ) -> Iterator[tuple[Terminal, str]]:
        """An open session: the person's terminal and the session's id."""
        with self.person(*options) as person:
            code = person.wait_for(CODE)[1]
            with self.operator("session", "open", "--code", code, "--scope", scope) as operator:
                person.wait_for(PROMPT)
                person.type("y\r")
                session = operator.wait_for(r"session\s+(s-[a-z2-7]+)")[1]
                assert operator.status() == 0
            person.wait_for("Keys: ")
            yield person, session


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Stage() as stage, echo_server() as port:
        admin, technician = stage.settle(library=False)
        stage.start_relay()
        second = stage.technician(admin, "otto")
        admin.json("trust", "policy", "office", "--forward-to", f"127.0.0.1:{port}")
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create", "--group", "office")["token"])
        (agent.home / "policy.toml").write_text("consent_s = 8\n")
        agent.start()  # whoever joins learns the device's host name from the relay
        yield Scene(stage, technician, second, agent, port)


@pytest.fixture(scope="module", autouse=True)
def expiring(scene: Scene) -> Iterator[tuple[Terminal, str]]:
    """A session of one minute, begun before the others so that nobody waits for its end."""
    with scene.session("--minutes", "1") as begun:
        yield begun


def test_consent_widening_taking_back_and_stop(scene: Scene) -> None:
    with scene.person() as person:
        code = person.wait_for(CODE)[1]
        person.wait_for("press you for this code")
        person.type("y\r")  # before there is any question
        with scene.operator("session", "open", "--code", code, "--scope", "terminal") as operator:
            words = operator.wait_for(r"compare by voice if in doubt: (.*)\r")[1].split()
            assert len(words) == 4
            person.wait_for("tess of Example Support asks to help you")
            person.type("y\r")  # before the prompt: not read yet
            person.wait_for(r"\s+".join(words))
            person.wait_for("type commands on this computer")
            person.wait_for("say no")
            person.wait_for("Please read this first")
            person.wait_for(PROMPT)
            assert operator.process.poll() is None
            person.type("yx\x7f\r")
            session = operator.wait_for(r"session\s+(s-[a-z2-7]+)")[1]
            assert operator.status() == 0
        person.wait_for("Keys: ")

        with scene.operator("shell", session) as shell:
            person.wait_for("opened a terminal")
            shell.type("echo $((40 + 2))-done\r")
            shell.wait_for("42-done")

            widen = ("session", "widen", session, "--scope", "forward", "--reason", "the page")
            to = f"127.0.0.1:{scene.port}"
            with scene.operator("forward", session, f"{free_port()}:{to}") as early:
                early.wait_for("error: scope-missing")
                assert early.status() == 1
            with scene.operator(*widen, "--forward-to", to) as asking:
                person.wait_for("asks for more")
                person.wait_for("the page")
                person.wait_for(re.escape(to))
                person.wait_for("only 10 seconds after your yes")
                person.wait_for(PROMPT)
                person.type("y\r")
                asking.wait_for(re.escape(to))
                assert asking.status() == 0
            person.wait_for("Allowed now: typing commands, reaching other machines")

            port = free_port()
            with scene.operator("forward", session, f"{port}:{to}") as forward:
                forward.wait_for(str(port))
                with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
                    link.sendall(b"hello\n")
                    assert link.makefile().readline() == "echo hello\n"
                person.wait_for(f"{re.escape(to)} is closed: 6 bytes there, 11 bytes back")

                with scene.operator("session", "widen", session, "--scope", "files") as asking:
                    person.wait_for(PROMPT)
                    person.type("\r")
                    asking.wait_for("error: consent-refused")
                    assert asking.status() == 3
                person.wait_for("It stays as it was: you refused")
                with scene.operator("session", "widen", session, "--scope", "files") as asking:
                    person.wait_for(PROMPT)
                    asking.wait_for("error: consent-timeout")
                    assert asking.status() == 3
                person.wait_for("It stays as it was: nobody answered in time")
                shell.type("echo $((50 + 5))-still\r")
                shell.wait_for("55-still")

                person.type("w")
                person.wait_for("1  type commands")
                person.type("1")
                person.wait_for("Allowed now: reaching other machines")
                shell.wait_for("error: scope-withdrawn: the person at the device withdrew it")
                forward.wait_for("the device says: terminal was closed: the person at the device")
                assert shell.status() != 0
                assert shell.is_as_before
                done = scene.technician.run("exec", session, "--", "true", expect=255)
                assert b"scope-missing" in done.stderr

                person.type("q")
                forward.wait_for("error: session-ended: the person at the device ended the session")
                assert forward.status() == 1
        receipt = person.wait_for(r"Your receipt: (\S+)")[1]
        assert person.status() == 0
        assert person.is_as_before
    told = scene.technician.json("receipt", "verify", receipt)
    assert sorted(told["scopes"]) == ["forward", "terminal"]
    assert told["reason"] == "stopped"


def test_no_is_told_apart_from_nobody(scene: Scene) -> None:
    for keys, code in (("n\r", "consent-refused"), ("", "consent-timeout")):
        with scene.person() as person:
            shown = person.wait_for(CODE)[1]
            with scene.operator("session", "open", "--code", shown) as operator:
                person.wait_for(PROMPT)
                person.type(keys)
                operator.wait_for(f"error: {code}")
                assert operator.status() == 3
            person.wait_for(f"No session: .*{code}")
            assert person.status() == 3
            assert person.is_as_before


def test_ctrl_c_at_the_question_refuses(scene: Scene) -> None:
    with scene.person() as person:
        code = person.wait_for(CODE)[1]
        with scene.operator("session", "open", "--code", code) as operator:
            person.wait_for(PROMPT)
            person.type("y\x03")
            operator.wait_for("error: consent-refused")
            assert operator.status() == 3
        person.status()
        assert person.is_as_before


def test_stop_and_taking_back_from_a_shell(scene: Scene) -> None:
    with scene.session() as (person, session):
        with scene.operator("exec", session, "--", "echo begun; sleep 300") as running:
            running.wait_for("begun")
            answer = json.loads(
                scene.agent.run("stop", session, "--scope", "terminal", "--json").stdout
            )
            assert answer == {"withdrawn": {session: ["terminal"]}}
            running.wait_for("scope-withdrawn")
            assert running.status() == 255
        person.wait_for("Allowed now: seeing what runs")
        assert scene.technician.json("session", "show", session)["scopes"] == ["view"]
        assert scene.agent.json("stop", session)["stopped"] == [session]
        person.wait_for("The session is over: you stopped it")
        assert person.status() == 0


def test_the_person_decides_about_a_second_technician(scene: Scene) -> None:
    with scene.session() as (person, session):
        join = ("session", "join", session, "--as")
        for keys, code in (("n\r", "consent-refused"), ("", "consent-timeout")):
            with scene.other(*join, "peer", "--reason", "the printer") as asking:
                person.wait_for("otto of Example Support asks to join tess")
                person.wait_for("the printer")
                person.wait_for(PROMPT)
                assert asking.process.poll() is None
                person.type(keys)
                asking.wait_for(f"error: {code}")
                assert asking.status() == 3
        scene.second.run("exec", session, "--", "true", expect=255)

        with scene.other(*join, "observer") as asking:
            person.wait_for("otto of Example Support asks to join tess")
            person.wait_for(PROMPT)
            person.type("y\r")
            asking.wait_for(r"mode\s+observer")
            assert asking.status() == 0
        person.wait_for("otto joined and watches")
        with scene.other("watch", session) as watching, scene.operator("shell", session) as shell:
            watching.wait_for("watching; Ctrl-C ends it")
            shell.type("echo $((40 + 2))-both\r")
            shell.wait_for("42-both")
            watching.wait_for("42-both")
            put_out = scene.agent.json("stop", "--operator", "otto")
            assert put_out == {"put_out": [session]}
            person.wait_for("otto was put out at this computer")
            watching.wait_for("error: session-ended: you are in it no more")
            assert watching.status() == 1
            assert watching.is_as_before
            shell.type("echo $((50 + 5))-alone\r")
            shell.wait_for("55-alone")
            person.type("q")
            person.wait_for("The session is over: you stopped it")
            assert person.status() == 0
            assert person.is_as_before


def test_the_person_reads_whose_session_it_is_now(scene: Scene) -> None:
    with scene.session() as (person, session):
        with scene.other("session", "join", session, "--as", "peer") as asking:
            person.wait_for("They could work here as tess does")
            person.wait_for(PROMPT)
            person.type("y\r")
            assert asking.status() == 0
        with scene.operator("shell", session) as shell:
            shell.type("echo $((40 + 2))-mine\r")
            shell.wait_for("42-mine")
            with scene.operator("session", "end", session, "--hand-over") as leaving:
                leaving.wait_for(r"handed over\s+otto")
                assert leaving.status() == 0
            person.wait_for("tess left and handed the session over to otto")
            shell.wait_for("error: session-ended: you handed the session over")
            assert shell.status() != 0
            assert shell.is_as_before
        with scene.other("session", "end", session, "--note", "done", "--no-diff") as ending:
            ending.wait_for(r"receipt\s+[0-9a-f]{64}")
            assert ending.status() == 0
        person.wait_for("The session is over")
        assert person.status() == 0
        assert person.is_as_before


def test_a_changed_policy_is_told_on_the_next_screen(scene: Scene) -> None:
    own = scene.agent.home / "policy.toml"
    before = own.read_text()
    own.write_text(before + "minutes_max = 7\n")
    try:
        with scene.person() as person:
            person.wait_for(r"What this computer allows was changed \(")
            person.wait_for("a session lasts 7 minutes at most")
            person.wait_for(CODE)
            person.type("q")
            assert person.status() == 0
            assert person.is_as_before
        shown = scene.agent.json("policy")
        assert shown["since"] is not None
        with scene.person() as again:
            again.wait_for(CODE)
            assert "was changed" not in again.text
    finally:
        own.write_text(before)


def test_the_agreed_time_ends_it(scene: Scene, expiring: tuple[Terminal, str]) -> None:
    person, session = expiring
    person.wait_for("The session is over: the agreed time is over", timeout_s=120)
    assert person.status() == 0
    assert scene.technician.json("session", "show", session)["state"] == "ended"
    done = scene.technician.run("exec", session, "--", "true", expect=255)
    assert b"session-e" in done.stderr
