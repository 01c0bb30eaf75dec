"""cp against a device's real SSH host: whole, resumed, checked, and never led astray."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncssh
import pytest

from farhand_agent.session.files import FileServer
from farhand_agent.session.files_hash import serve_hashes
from farhand_agent.session.subsystems import Subsystem
from farhand_console.session import files_plan, files_transfer
from farhand_console.session.files import Copied, Copying, parse_endpoint
from farhand_console.session.files_here import open_part, part_name
from farhand_protocol.errors import FarhandError
from tests.agent.session.ssh_pair import Pair, make_terms, random_file, ssh_pair


class Heard:
    """A progress that only counts."""

    def __init__(self) -> None:
        self.wanted = 0
        self.bytes = 0
        self.after: dict[int, asyncio.Event] = {}

    def begin(self, size_bytes: int, files: int) -> None:
        self.wanted, self.bytes = size_bytes, 0

    def advance(self, size_bytes: int) -> None:
        self.bytes += size_bytes
        for mark, event in self.after.items():
            if self.bytes >= mark:
                event.set()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "device"
    folder.mkdir()
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@asynccontextmanager
async def device(
    root: Path, *, read_only: bool = False, bytes_max: int | None = None
) -> AsyncIterator[Pair]:
    terms = make_terms(root, read_only=read_only)
    if bytes_max is not None:
        roots = type(terms.roots)(terms.roots.folders, terms.roots.start, read_only, bytes_max)
        terms.roots = roots
    serve = partial(serve_hashes, roots=terms.roots, actions=terms.actions, hashes=terms.hashes)
    terms.subsystems = {**terms.subsystems, "farhand-hash": Subsystem("files", serve)}
    async with ssh_pair(terms) as pair:
        yield pair


def copying(
    source: str | Path,
    target: str | Path,
    *,
    recurse: bool = False,
    resume: bool = True,
    heard: Heard | None = None,
) -> Copying:
    return Copying(
        parse_endpoint(str(source)),
        parse_endpoint(str(target)),
        recurse=recurse,
        resume=resume,
        progress=heard or Heard(),
    )


async def failing(work: Copying, pair: Pair) -> str:
    """Return the code of the error that a copy ends with."""
    with pytest.raises(FarhandError) as caught:
        await work.run(pair.ssh)
    return caught.value.code


async def cp(
    pair: Pair,
    source: str | Path,
    target: str | Path,
    *,
    recurse: bool = False,
    resume: bool = True,
) -> Copied:
    return await copying(source, target, recurse=recurse, resume=resume).run(pair.ssh)


def parts(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".farhand-part-")]


def set_old(path: Path, mode: int) -> None:
    path.chmod(mode)
    os.utime(path, (1_500_000_000, 1_500_000_000))


def looks(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mode & 0o777, int(found.st_mtime)


async def test_a_file_goes_both_ways_whole_and_checked(here: Path, there: Path) -> None:
    data = random_file(here / "up", 2_500_001)
    set_old(here / "up", 0o640)
    digest = hashlib.sha256(data).hexdigest()
    heard = Heard()
    async with device(there) as pair:
        sent = await copying(here / "up", "s:landed", heard=heard).run(pair.ssh)
        back = await cp(pair, "s:landed", here / "back")
        actions = pair.host.terms.actions.actions
    assert (there / "landed").read_bytes() == (here / "back").read_bytes() == data
    assert looks(there / "landed") == looks(here / "back") == (0o640, 1_500_000_000)
    assert (sent.sha256, sent.size_bytes, sent.files) == (digest, len(data), 1)
    assert (back.sha256, back.bytes_resumed) == (digest, 0)
    assert heard.bytes == heard.wanted == len(data)
    # The receipt names the file that was meant, once, with its hash.
    noted = [(one.kind, one.detail, one.sha256) for one in actions]
    landed = str(there / "landed")
    assert noted == [("file-write", landed, digest), ("file-read", landed, digest)]
    assert not parts(here)
    assert not parts(there)


@pytest.mark.parametrize("up", [True, False])
async def test_an_empty_file(here: Path, there: Path, up: bool) -> None:
    ((here if up else there) / "empty").touch()
    async with device(there) as pair:
        if up:
            await cp(pair, here / "empty", "s:empty")
        else:
            await cp(pair, "s:empty", here)
    assert (there / "empty").read_bytes() == (here / "empty").read_bytes() == b""


@pytest.mark.parametrize("up", [True, False])
async def test_a_broken_transfer_goes_on_where_it_broke(here: Path, there: Path, up: bool) -> None:
    source, folder = (here / "big", there) if up else (there / "big", here)
    data = random_file(source, 6_000_000)
    ends = (source, "s:copy") if up else ("s:big", here / "copy")
    heard = Heard()
    heard.after[2_000_000] = asyncio.Event()
    async with device(there) as pair:
        first = pair.group.create_task(failing(copying(*ends, heard=heard), pair))
        await heard.after[2_000_000].wait()
        pair.ssh.abort()
        assert await first == "session-lost"
    assert len(parts(folder)) == 1
    assert not (folder / "copy").exists()
    async with device(there) as pair:
        again = await cp(pair, *ends)
        actions = pair.host.terms.actions.actions
        noted = [(one.detail, one.sha256) for one in actions if one.kind == "file-write"]
    assert (folder / "copy").read_bytes() == data
    assert again.bytes_resumed >= 1_000_000
    assert again.sha256 == hashlib.sha256(data).hexdigest()
    assert not parts(folder)
    assert noted == ([(str(there / "copy"), again.sha256)] if up else [])


async def test_one_copying_goes_on_over_a_second_connection(here: Path, there: Path) -> None:
    (here / "tree").mkdir()
    for number in range(12):
        random_file(here / "tree" / f"f{number}", 400_000)
    heard = Heard()
    heard.after[2_000_000] = asyncio.Event()
    work = copying(here / "tree", "s:", recurse=True, heard=heard)
    async with device(there) as pair:
        first = pair.group.create_task(failing(work, pair))
        await heard.after[2_000_000].wait()
        pair.ssh.abort()
        assert await first == "session-lost"
    async with device(there) as pair:
        copied = await work.run(pair.ssh)
        written = pair.actions("file-write")
    assert (copied.files, copied.folders, copied.size_bytes) == (12, 1, 4_800_000)
    assert len(written) < 12  # those that had arrived were not sent again
    for number in range(12):
        name = f"f{number}"
        assert (there / "tree" / name).read_bytes() == (here / "tree" / name).read_bytes()


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("left", ["other-bytes", "too-long"])
async def test_a_part_that_is_no_beginning_of_the_file_is_thrown_away(
    here: Path, there: Path, up: bool, left: str
) -> None:
    source, target = (here / "a", there / "b") if up else (there / "a", here / "b")
    data = random_file(source, 700_000)
    part = Path(os.fsdecode(part_name(os.fsencode(target))))
    part.write_bytes(os.urandom(300_000) if left == "other-bytes" else data + b"more")
    async with device(there) as pair:
        ends = (source, "s:b") if up else ("s:a", target)
        copied = await cp(pair, *ends)
    assert copied.bytes_resumed == 0
    assert target.read_bytes() == data
    assert not part.exists()


async def test_no_resume_begins_anew(here: Path, there: Path) -> None:
    data = random_file(here / "a", 500_000)
    part = Path(os.fsdecode(part_name(os.fsencode(there / "b"))))
    part.write_bytes(data[:200_000])
    async with device(there) as pair:
        copied = await cp(pair, here / "a", "s:b", resume=False)
    assert copied.bytes_resumed == 0
    assert (there / "b").read_bytes() == data


@pytest.mark.parametrize("up", [True, False])
async def test_a_tree_keeps_modes_times_and_empty_folders_and_leaves_links_out(
    here: Path, there: Path, tmp_path: Path, up: bool
) -> None:
    source, into = (here, there) if up else (there, here)
    (tmp_path / "secret").write_text("secret")
    tree = source / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    name = os.fsdecode(b"caf\xe9 \x1b[31m")
    random_file(tree / "sub" / name, 200_000)
    (tree / "link").symlink_to(tmp_path / "secret")
    (tree / "up").symlink_to("..")
    os.mkfifo(tree / "fifo")
    set_old(tree / "sub" / name, 0o600)
    set_old(tree / "sub" / "empty", 0o500)
    set_old(tree / "sub", 0o555)
    async with device(there) as pair:
        ends = (tree, "s:") if up else ("s:tree", here)
        copied = await cp(pair, *ends, recurse=True)
    made = into / "tree"
    try:
        assert (made / "sub" / name).read_bytes() == (tree / "sub" / name).read_bytes()
        assert looks(made / "sub" / name) == (0o600, 1_500_000_000)
        assert looks(made / "sub" / "empty") == (0o500, 1_500_000_000)
        assert looks(made / "sub") == (0o555, 1_500_000_000)
        assert sorted(os.listdir(made)) == ["sub"]
        assert (copied.files, copied.folders, copied.skipped) == (1, 3, 3)
    finally:
        for one in (made / "sub", tree / "sub"):
            one.chmod(0o755)


async def test_into_a_folder_over_a_file_and_without_r(here: Path, there: Path) -> None:
    random_file(here / "a", 1000)
    (there / "into").mkdir()
    (there / "old").write_text("old")
    async with device(there) as pair:
        await cp(pair, here / "a", "s:into")
        await cp(pair, here / "a", "s:old")
        for ends in ((here, "s:x"), ("s:into", here / "x")):
            with pytest.raises(FarhandError, match="is a folder"):
                await cp(pair, *ends)
        with pytest.raises(FarhandError, match="No such file"):
            await cp(pair, here / "missing", "s:x")
        with pytest.raises(FarhandError, match="No such file"):
            await cp(pair, "s:missing", here / "x")
    assert (there / "into" / "a").read_bytes() == (here / "a").read_bytes()
    assert (there / "old").read_bytes() == (here / "a").read_bytes()
    assert not (here / "x").exists()


async def test_what_is_no_file_is_never_replaced(here: Path, there: Path) -> None:
    random_file(here / "a", 1000)
    random_file(there / "a", 1000)
    for folder in (here, there):
        os.mkfifo(folder / "fifo")
    async with device(there) as pair:
        for ends in ((here / "a", "s:fifo"), ("s:a", here / "fifo"), ("s:fifo", here / "x")):
            with pytest.raises(FarhandError) as caught:
                await cp(pair, *ends)
            assert caught.value.code == "copy-failed"
    assert (here / "fifo").is_fifo()
    assert (there / "fifo").is_fifo()


async def test_a_link_under_a_parts_name_leads_nowhere(
    here: Path, there: Path, tmp_path: Path
) -> None:
    random_file(here / "a", 1000)
    random_file(there / "a", 1000)
    victim = there / "victim"
    victim.write_text("precious")
    for folder in (here, there):
        part = Path(os.fsdecode(part_name(os.fsencode(folder / "b"))))
        part.symlink_to(victim)
    async with device(there) as pair:
        await cp(pair, here / "a", "s:b")
        with pytest.raises(FarhandError) as caught:
            await cp(pair, "s:a", here / "b")
    assert caught.value.code == "copy-failed"
    assert victim.read_text() == "precious"
    assert not (there / "b").is_symlink()


@pytest.mark.parametrize(
    "name", [b"../escaped", b"/etc/cron.d/x", b"a/b", b"", b"a\0b", b"x" * 256]
)
async def test_a_hostile_name_refuses_the_whole_copy(
    monkeypatch: pytest.MonkeyPatch, here: Path, there: Path, name: bytes
) -> None:
    (there / "tree").mkdir()

    async def list_them(*_: object) -> AsyncIterator[asyncssh.SFTPName]:
        for one in (b"good", name):
            attrs = asyncssh.SFTPAttrs(permissions=0o100644, size=3, mtime=0, atime=0)
            yield asyncssh.SFTPName(one, attrs=attrs)

    monkeypatch.setattr(FileServer, "scandir", list_them)
    async with device(there) as pair:
        with pytest.raises(FarhandError) as caught:
            await cp(pair, "s:tree", here / "got", recurse=True)
    assert caught.value.code == "name-refused"
    assert os.listdir(here) == []


async def test_an_endless_listing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, here: Path, there: Path
) -> None:
    (there / "tree").mkdir()
    for number in range(40):
        (there / "tree" / str(number)).touch()
    monkeypatch.setattr(files_plan, "MAX_ITEMS", 30)
    async with device(there) as pair:
        with pytest.raises(FarhandError) as caught:
            await cp(pair, "s:tree", here / "got", recurse=True)
    assert caught.value.code == "copy-too-large"


async def test_a_lying_hash_leaves_the_target_as_it_was(
    monkeypatch: pytest.MonkeyPatch, here: Path, there: Path
) -> None:
    random_file(here / "a", 300_000)
    (there / "b").write_text("before")

    async def lie(*_: object) -> tuple[str, int]:
        return "0" * 64, 300_000

    monkeypatch.setattr("farhand_console.session.files_hash.DeviceHashes.of", lie)
    async with device(there) as pair:
        with pytest.raises(FarhandError) as caught:
            await cp(pair, here / "a", "s:b")
    assert caught.value.code == "copy-differs"
    assert (there / "b").read_text() == "before"
    assert not parts(there)


async def test_two_copies_to_one_target_do_not_mix(here: Path, there: Path) -> None:
    random_file(there / "a", 1000)
    held = open_part(os.fsencode(here / "b"))
    async with device(there) as pair:
        with pytest.raises(FarhandError) as caught:
            await cp(pair, "s:a", here / "b")
    held.close()
    assert caught.value.code == "copy-busy"


async def test_read_only_and_size_limits_are_said_in_words(here: Path, there: Path) -> None:
    random_file(here / "a", 3000)
    random_file(there / "a", 3000)
    async with device(there, read_only=True) as pair:
        with pytest.raises(FarhandError, match="read files only"):
            await cp(pair, here / "a", "s:b")
    async with device(there, bytes_max=2000) as pair:
        with pytest.raises(FarhandError, match="at most 2000 bytes"):
            await cp(pair, here / "a", "s:b")
        with pytest.raises(FarhandError, match="at most 2000 bytes"):
            await cp(pair, "s:a", here / "b")
    assert sorted(os.listdir(there)) == ["a"]
    assert sorted(os.listdir(here)) == ["a"]


async def test_blocks_under_way_are_bounded_over_all_files(
    monkeypatch: pytest.MonkeyPatch, here: Path, there: Path
) -> None:
    (there / "tree").mkdir()
    for number in range(6):
        random_file(there / "tree" / str(number), 1_000_000)
    most = now = 0
    real = asyncssh.SFTPClientFile.read

    async def counted(self: asyncssh.SFTPClientFile, *arguments: int) -> object:
        nonlocal most, now
        now += 1
        most = max(most, now)
        try:
            return await real(self, *arguments)
        finally:
            now -= 1

    monkeypatch.setattr(asyncssh.SFTPClientFile, "read", counted)
    async with device(there) as pair:
        await cp(pair, "s:tree", here, recurse=True)
    assert 1 < most <= files_transfer.REQUESTS


async def test_without_the_scope_it_says_so(here: Path, there: Path) -> None:
    random_file(here / "a", 10)
    async with ssh_pair(make_terms(there, ("terminal",))) as pair:
        with pytest.raises(FarhandError) as caught:
            await cp(pair, here / "a", "s:b")
    assert caught.value.code == "scope-missing"
