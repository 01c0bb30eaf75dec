"""One relay, one technician and three devices for all tests with stock tools."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.reach import WAYS, Field, Reach, open_field
from tests.support.stage import Stage


class _Echo:
    """Answers, after the peer's end of stream, with how much came; one connection at a time."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return  # closed
            # Whoever goes before she has heard the answer is no failure of this thread's.
            with peer, contextlib.suppress(ConnectionError):
                total = 0
                while data := peer.recv(65_536):
                    total += len(data)
                peer.sendall(b"%d bytes" % total)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep these tests on one worker: all use the same relay, agents and sessions."""
    item.add_marker(pytest.mark.xdist_group("interop"))
    # The first of them waits for three agents, the slowest for Ansible.
    item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def field() -> Iterator[Field]:
    echo = _Echo()
    try:
        with Stage() as stage:
            yield open_field(stage, echo.port)
    finally:
        echo.close()


@pytest.fixture(scope="session", params=WAYS)
def reach(
    request: pytest.FixtureRequest, field: Field, tmp_path_factory: pytest.TempPathFactory
) -> Reach:
    way: str = request.param
    folder: Path = tmp_path_factory.mktemp("ssh")
    return Reach(field, way, field.config(way, folder))
