"""The `files` scope over real SFTP: both ways, inside the roots, bounded, and on the receipt."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from farhand_agent.session.files import MAX_BLOCK_BYTES
from tests.agent.session.ssh_pair import make_terms, random_file, ssh_pair


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root-beside").mkdir()
    (tmp_path / "root-beside" / "file").write_text("beside")
    return folder


async def _read(sftp: asyncssh.SFTPClient, path: str) -> object:
    async with sftp.open(path, "rb") as file:
        return await file.read()


async def test_files_go_both_ways_and_their_hashes_are_noted(root: Path, tmp_path: Path) -> None:
    here = tmp_path / "up"
    data = random_file(here, 1_300_001)
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            await sftp.put(str(here), "up")
            await sftp.get("up", str(tmp_path / "back"))
        assert (root / "up").read_bytes() == data
        assert (tmp_path / "back").read_bytes() == data
        actions = pair.host.terms.actions.actions
        written = next(one for one in actions if one.kind == "file-write")
        read = next(one for one in actions if one.kind == "file-read")
        for action in (written, read):
            assert action.sha256 == hashlib.sha256(data).hexdigest()
            assert action.size_bytes == len(data)
            assert action.detail == str(root / "up")


async def test_a_file_read_in_part_has_no_hash(root: Path) -> None:
    random_file(root / "big", 500_000)
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            async with sftp.open("big", "rb") as file:
                await file.read(1000, 5000)
        read = next(one for one in pair.host.terms.actions.actions if one.kind == "file-read")
        assert (read.size_bytes, read.sha256) == (None, None)


async def test_sftp_subsystem_ends_with_status_0(root: Path) -> None:
    async with ssh_pair(make_terms(root)) as pair:
        process = await pair.ssh.create_process(subsystem="sftp", encoding=None)
        process.stdin.write_eof()
        done = await asyncio.wait_for(process.wait(), 20)
        assert done.exit_status == 0


async def test_the_limits_we_name_are_the_limits_we_keep(root: Path) -> None:
    random_file(root / "big", 600_000)
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            assert sftp.limits.max_read_len == MAX_BLOCK_BYTES
            assert sftp.limits.max_write_len == MAX_BLOCK_BYTES
            assert not sftp.supports_remote_copy
            handle = await sftp._handler.open(b"big", asyncssh.FXF_READ, asyncssh.SFTPAttrs())
            data, _ = await sftp._handler.read(handle, 0, 4 * 1024 * 1024)
            assert len(data) == MAX_BLOCK_BYTES


async def test_a_packet_past_the_limit_ends_that_channel_alone(root: Path) -> None:
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            handle = await sftp._handler.open(
                b"new", asyncssh.FXF_WRITE | asyncssh.FXF_CREAT, asyncssh.SFTPAttrs()
            )
            with pytest.raises((asyncssh.SFTPError, asyncssh.Error, OSError)):
                await sftp._handler.write(handle, 0, b"x" * (MAX_BLOCK_BYTES * 3))
        assert (await pair.ssh.run("echo alive")).stdout == "alive\n"


Escape = Callable[[asyncssh.SFTPClient, Path], Awaitable[object]]
ESCAPES: list[tuple[str, Escape]] = [
    ("absolute", lambda s, t: s.open(str(t / "secret"), "rb")),
    ("dots", lambda s, t: s.open("../secret", "rb")),
    ("dots-inside", lambda s, t: s.open("sub/../../secret", "rb")),
    ("link", lambda s, t: s.open("out", "rb")),
    ("through-linked-folder", lambda s, t: s.open("outside/secret", "rb")),
    ("name-beside-the-root", lambda s, t: s.open(str(t / "root-beside" / "file"), "rb")),
    ("create-through-link", lambda s, t: s.open("outside/new", "wb")),
    ("write-through-dangling-link", lambda s, t: s.open("dangling", "wb")),
    ("stat", lambda s, t: s.stat("out")),
    ("lstat-outside", lambda s, t: s.lstat("../secret")),
    ("realpath", lambda s, t: s.realpath("..")),
    ("list", lambda s, t: s.listdir("outside")),
    ("list-dots", lambda s, t: s.listdir("..")),
    ("mkdir", lambda s, t: s.mkdir("outside/made")),
    ("remove", lambda s, t: s.remove("outside/secret")),
    ("rmdir", lambda s, t: s.rmdir("../root-beside")),
    ("rename-out", lambda s, t: s.rename("inside", "../stolen")),
    ("rename-in", lambda s, t: s.rename("../secret", "mine")),
    ("posix-rename-out", lambda s, t: s.posix_rename("inside", "../stolen")),
    ("symlink-out", lambda s, t: s.symlink("../secret", "fresh")),
    ("symlink-out-absolute", lambda s, t: s.symlink(str(t / "secret"), "fresh")),
    ("hard-link-in", lambda s, t: s.link("../secret", "fresh")),
    ("chmod", lambda s, t: s.chmod("out", 0o777)),
    ("truncate", lambda s, t: s.truncate("out", 0)),
    ("statvfs", lambda s, t: s.statvfs("..")),
    ("readlink-outside", lambda s, t: s.readlink("../link-beside")),
]


@pytest.mark.parametrize("escape", [pytest.param(e, id=name) for name, e in ESCAPES])
async def test_no_way_out_of_the_roots(root: Path, tmp_path: Path, escape: Escape) -> None:
    (root / "sub").mkdir()
    (root / "inside").write_text("inside")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "outside").symlink_to(tmp_path)
    (root / "dangling").symlink_to(tmp_path / "made-by-link")
    (tmp_path / "link-beside").symlink_to("secret")
    before = sorted(os.listdir(tmp_path))
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await escape(sftp, tmp_path)
            assert (await sftp.realpath(".")) == str(root)
        assert pair.actions("denied")
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "secret").read_text() == "secret"
    assert (tmp_path / "secret").stat().st_mode & 0o777 != 0o777
    assert not (root / "fresh").is_symlink()


CHANGES: list[tuple[str, Escape]] = [
    ("write", lambda s, t: s.open("new", "wb")),
    ("append", lambda s, t: s.open("inside", "ab")),
    ("update", lambda s, t: s.open("inside", "r+b")),
    ("mkdir", lambda s, t: s.mkdir("made")),
    ("remove", lambda s, t: s.remove("inside")),
    ("rename", lambda s, t: s.rename("inside", "other")),
    ("posix-rename", lambda s, t: s.posix_rename("inside", "other")),
    ("symlink", lambda s, t: s.symlink("inside", "other")),
    ("link", lambda s, t: s.link("inside", "other")),
    ("chmod", lambda s, t: s.chmod("inside", 0o600)),
]


@pytest.mark.parametrize("change", [pytest.param(c, id=name) for name, c in CHANGES])
async def test_read_only_means_no_change(root: Path, tmp_path: Path, change: Escape) -> None:
    (root / "inside").write_text("inside")
    async with ssh_pair(make_terms(root, read_only=True)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await change(sftp, tmp_path)
            assert await _read(sftp, "inside") == b"inside"
        assert "read-only" in pair.actions("denied")[0]
    assert os.listdir(root) == ["inside"]


async def test_links_inside_work_and_changes_are_noted(root: Path) -> None:
    (root / "file").write_text("x")
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            await sftp.mkdir("sub")
            await sftp.symlink("../file", "sub/link")
            assert await sftp.readlink("sub/link") == "../file"
            assert await _read(sftp, "sub/link") == b"x"
            await sftp.rename("file", "moved")
            await sftp.remove("moved")
            await sftp.remove("sub/link")
            await sftp.rmdir("sub")
            assert sorted(await sftp.listdir(".")) == [".", ".."]
        assert [line.split()[0] for line in pair.actions("file-change")] == [
            "mkdir",
            "symlink",
            "rename",
            "remove",
            "remove",
            "rmdir",
        ]


async def test_a_fifo_does_not_hang_the_session(root: Path) -> None:
    os.mkfifo(root / "fifo")
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await asyncio.wait_for(sftp.open("fifo", "rb"), 20)
            assert await sftp.exists("fifo")


async def test_set_id_bits_are_never_set(root: Path) -> None:
    (root / "tool").write_text("x")
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            await sftp.chmod("tool", 0o6755)
    assert (root / "tool").stat().st_mode & 0o7777 == 0o755


async def test_without_roots_relative_paths_start_at_home(root: Path) -> None:
    (root / "file").write_text("x")
    async with ssh_pair(make_terms(root, roots=False)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            assert await sftp.exists("file")
            assert await sftp.exists("/etc/passwd")


async def test_withdrawing_files_ends_an_open_transfer(root: Path) -> None:
    random_file(root / "big", 100_000)
    async with ssh_pair(make_terms(root)) as pair:
        sftp = await pair.ssh.start_sftp_client()
        file = await sftp.open("big", "rb")
        assert len(await file.read(1000)) == 1000
        pair.scopes.withdraw("files")
        with pytest.raises((asyncssh.Error, OSError)):
            await file.read(1000, 2000)
        with pytest.raises(asyncssh.ChannelOpenError):
            await pair.ssh.start_sftp_client()
        assert (await pair.ssh.run("echo alive")).stdout == "alive\n"
        assert await pair.host.quiet(0.001) or await pair.host.quiet(20)
        assert pair.actions("file-read") == [str(root / "big")]


async def test_a_transfer_survives_a_cut_network(root: Path, tmp_path: Path) -> None:
    data = random_file(root / "big", 3_000_000)
    async with ssh_pair(make_terms(root)) as pair:
        async with pair.ssh.start_sftp_client() as sftp:
            getting = pair.group.create_task(sftp.get("big", str(tmp_path / "got")))
            while not getting.done():
                await asyncio.sleep(0.02)
                await pair.wire.cut()
                pair.wire.attach()
            await getting
    assert (tmp_path / "got").read_bytes() == data
