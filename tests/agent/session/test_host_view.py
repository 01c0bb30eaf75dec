"""The `view` scope over real SSH: read-only answers, bounded questions."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import psutil

from farhand_agent.session.view import MAX_REQUEST_BYTES
from tests.agent.session.ssh_pair import make_terms, ssh_pair


async def test_it_shows_processes_system_and_disks(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path, ("view",))) as pair:
        process = await pair.ssh.create_process(subsystem="farhand-view", encoding=None)
        for what in ("processes", "system", "disks"):
            process.stdin.write(msgspec.json.encode({"show": what}) + b"\n")
            answer = msgspec.json.decode(await process.stdout.readline())
            assert answer["show"] == what
            if what == "processes":
                mine = next(one for one in answer["items"] if one["pid"] == os.getpid())
                assert mine["name"] == psutil.Process().name()
                assert mine["memory_bytes"] > 0
            elif what == "system":
                assert answer["uptime_s"] > 0
                assert len(answer["load"]) == 3
            else:
                assert all(one["total_bytes"] >= one["free_bytes"] for one in answer["items"])
        process.stdin.write_eof()
        assert (await process.wait()).exit_status == 0
        assert pair.actions("view") == ["processes", "system", "disks"]


async def test_other_questions_get_a_code_and_change_nothing(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path, ("view",))) as pair:
        process = await pair.ssh.create_process(subsystem="farhand-view", encoding=None)
        for line in (b'{"show":"secrets"}', b"[]", b"\xff", b'{"show":["a"]}', b'{"kill":1}'):
            process.stdin.write(line + b"\n")
            answer = msgspec.json.decode(await process.stdout.readline())
            assert answer == {"error": {"code": "view-unknown"}}
        assert pair.actions("view") == []


async def test_an_endless_question_ends_that_channel_alone(tmp_path: Path) -> None:
    async with ssh_pair(make_terms(tmp_path, ("view",))) as pair:
        process = await pair.ssh.create_process(subsystem="farhand-view", encoding=None)
        process.stdin.write(b"x" * (MAX_REQUEST_BYTES + 1))
        assert (await process.wait()).exit_status == 255
        again = await pair.ssh.create_process(subsystem="farhand-view", encoding=None)
        again.stdin.write(b'{"show":"system"}\n')
        assert msgspec.json.decode(await again.stdout.readline())["cpus"] >= 1
