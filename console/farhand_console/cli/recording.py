"""recording list, play, export, verify: what sealed recordings show to whoever holds a key.

`verify` and `export --sealed` need no key; `play` and `export` need one.  Each takes the id of a
recording (which is its session's), or a sealed file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, printable, say, show_fields, show_table, warn
from farhand_console.relay.answers import Page
from farhand_console.relay.calls import segments
from farhand_console.session.recording_keys import (
    AUDIT_KEY_NAME,
    create_audit_key,
    load_identities,
)
from farhand_console.session.recording_screen import play_stream
from farhand_console.session.recording_source import (
    Checked,
    Recording,
    check,
    fetch,
    read_file,
    save,
)
from farhand_console.session.recording_streams import CastFiles, Stream, open_lines, read_streams
from farhand_console.trust.devices import pins, verify_device
from farhand_protocol.casts import EVENTS
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import parse_public_key_line
from farhand_protocol.recording import Chunk, open_head

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    recordings = group(root, "recording", "Sealed recordings of sessions.")
    _register_list(recordings)
    _register_verify(recordings)
    _register_play(recordings)
    _register_export(recordings)
    _register_key(recordings)


class _Source:
    """One recording that a command was given: an id at the relay, or a sealed file.

    Iterating yields its chunks, each checked; afterwards `checked` is what it came to.
    """

    def __init__(
        self,
        context: Context,
        named: str,
        device_key: str | None,
        *,
        open_end: bool,
        unwitnessed: bool,
        unknown_device: bool,
    ) -> None:
        self._context = context
        self._named = named
        self._device_key = _parse_key(device_key) if device_key else None
        self._open_end = open_end
        self._unwitnessed = unwitnessed
        self._unknown_device = unknown_device
        self._checked: Checked | None = None
        # Wraps the unchecked chunks, to keep them as they came.
        self.through: Callable[[Iterator[Chunk]], Iterator[Chunk]] = iter

    def __iter__(self) -> Iterator[Chunk]:
        context, named = self._context, self._named
        path = Path(named)
        if path.exists() and not path.is_file():
            raise UsageError("usage", f"{printable(named, 80)} is neither a file nor a session")
        if path.is_file():
            chunks, session = read_file(path), None
            relay_key = self._relay_key_if_known()
        else:
            relay_key = bytes.fromhex(context.settings.relay_key)
            chunks, session = self._device_found(fetch(context.relay, named, relay_key)), named
        for one in check(
            self.through(chunks),
            context.home,
            relay_key=relay_key,
            device_key=self._device_key,
            session=session,
            open_end=self._open_end,
        ):
            if isinstance(one, Checked):
                self._checked = one
            else:
                yield one

    def _device_found(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Pass chunks on; the device that the first one names is verified, and so pinned."""
        for number, chunk in enumerate(chunks):
            if number == 0 and self._device_key is None:
                self._pin(open_head(chunk.head, number=0).head.device)
            yield chunk

    def _pin(self, device: str) -> None:
        context = self._context
        if device in pins(context.home):
            return
        try:
            told = context.relay.get(segments("devices", device), dict)
            verify_device(context.home, context.trust(), told, asked=device)
        except FarhandError as error:
            # A guest device, a retired one, one that nobody confirmed: the verdict says so.
            warn(f"the device could not be verified: {error.message}")

    def _relay_key_if_known(self) -> bytes | None:
        if not self._context.home.config_file.exists():
            return None
        return bytes.fromhex(self._context.settings.relay_key)

    @property
    def checked(self) -> Checked:
        """What the recording came to, once all of it was read."""
        assert self._checked is not None
        return self._checked

    def objection(self) -> FarhandError | None:
        """Why what was read does not count, if it does not."""
        return self.checked.objection(
            unwitnessed=self._unwitnessed, unknown_device=self._unknown_device
        )

    def require(self) -> None:
        """Raise the objection, before anything of it is shown as true."""
        if (objection := self.objection()) is not None:
            raise objection

    def warn(self) -> None:
        """Say what is not as it should be, although nothing was changed."""
        told = self.checked.recording
        if self._unknown_device and self.checked.known.device_key is None:
            warn("whose key signed this is not known here: nothing proves that the device made it")
        if not told.complete:
            warn("the end of the recording is missing")
        if told.dropped_bytes:
            warn(f"the device lost {told.dropped_bytes} bytes of it, and says so")
        if told.witnessed < told.chunks:
            warn(f"{told.chunks - told.witnessed} chunks bear no countersignature of the relay")


def _parse_key(text: str) -> bytes:
    text = text.strip()
    if len(text) == 64:
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise FarhandError("key-malformed", "the device key is not hex") from error
    return parse_public_key_line(text)


def _readable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command takes that reads a recording."""
    function = click.option(
        "--open-end", is_flag=True, help="Take one whose end is missing, for what there is."
    )(function)
    function = click.option(
        "--unwitnessed", is_flag=True, help="Take one without the relay's countersignatures."
    )(function)
    function = click.option(
        "--unknown-device", is_flag=True, help="Take one of a device whose key is not known here."
    )(function)
    function = click.option(
        "--device-key",
        help="The device's key, where it is not pinned: hex, or an ssh-ed25519 line.",
    )(function)
    return click.argument("recording")(function)


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command takes that opens a recording."""
    return click.option(
        "--identity",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="An age identity or ssh-ed25519 key that it was sealed to.",
    )(_readable(function))


def _register_list(recordings: click.Group) -> None:
    @command(recordings, "list")
    @click.option("--device")
    @paged
    def list_recordings(
        context: Context, device: str | None, limit: int, cursor: str | None
    ) -> None:
        """List recordings, newest first."""
        page = context.relay.get(
            "/recordings", Page[Recording], device=device, limit=limit, cursor=cursor
        )
        context.show(
            page,
            lambda: show_table(
                ("recording", "device", "operator", "started", "bytes", "complete", "lost"),
                [
                    (
                        one.session,
                        one.device,
                        one.operator,
                        one.started_at,
                        "erased" if one.erased_at else one.size_bytes,
                        "yes" if one.complete else "no",
                        one.dropped_bytes or "",
                    )
                    for one in page.items
                ],
            ),
        )


def _register_verify(recordings: click.Group) -> None:
    @command(recordings)
    @_readable
    def verify(
        context: Context,
        recording: str,
        device_key: str | None,
        open_end: bool,
        unwitnessed: bool,
        unknown_device: bool,
    ) -> None:
        """Check every signature and the chain; needs no key, and for a file no relay."""
        source = _Source(
            context,
            recording,
            device_key,
            open_end=open_end,
            unwitnessed=unwitnessed,
            unknown_device=unknown_device,
        )
        for _ in source:
            pass
        answer = _verdict(source.checked, is_valid=source.objection() is None)
        context.show(answer, lambda: show_fields(answer))
        source.warn()
        source.require()


def _verdict(checked: Checked, *, is_valid: bool) -> dict[str, Any]:
    told, known = checked.recording, checked.known
    return {
        "valid": is_valid,
        "session": told.session,
        "device": told.device,
        "device_key_pinned": known.device_key is not None,
        "relay_key_pinned": known.relay_key is not None,
        "receipt_agrees": checked.receipt_agrees,
        "complete": told.complete,
        "chunks": told.chunks,
        "witnessed": told.witnessed,
        "size_bytes": told.size_bytes,
        "dropped_bytes": told.dropped_bytes,
        "first_at": told.first_at,
        "last_at": told.last_at,
        "first_witnessed_at": told.first_witnessed_at,
        "last_witnessed_at": told.last_witnessed_at,
        "head_sha256": told.head_sha256,
    }


def _register_play(recordings: click.Group) -> None:
    @command(recordings)
    @_opened
    @click.option("--stream", type=click.IntRange(0), help="Only this one.")
    @click.option("--speed", type=click.FloatRange(0, 1000), help="1 as it was; 0 at once.")
    @click.option("--idle-limit", type=click.FloatRange(0), default=2.0, show_default=True)
    def play(
        context: Context,
        recording: str,
        device_key: str | None,
        open_end: bool,
        unwitnessed: bool,
        unknown_device: bool,
        identity: Path | None,
        stream: int | None,
        speed: float | None,
        idle_limit: float,
    ) -> None:
        """Show what was shown, at its own pace; all streams one after the other."""
        opener = load_identities(context.home, identity)
        source = _Source(
            context,
            recording,
            device_key,
            open_end=open_end,
            unwitnessed=unwitnessed,
            unknown_device=unknown_device,
        )
        # All of it is read, and so verified, before anything is shown.
        streams = read_streams(open_lines(source, opener))
        source.require()
        if stream is not None and stream not in streams:
            raise UsageError("stream-unknown", f"the recording has no stream {stream}")
        wanted = [one for number, one in sorted(streams.items()) if stream in (None, number)]
        answer = {
            "session": source.checked.recording.session,
            "complete": source.checked.recording.complete,
            "streams": [_stream_row(one) for one in wanted],
        }
        pace = (1.0 if sys.stdout.isatty() else 0.0) if speed is None else speed
        context.show(answer, lambda: _play(wanted, pace, idle_limit))
        source.warn()


def _stream_row(stream: Stream) -> dict[str, Any]:
    return {
        "stream": stream.number,
        "kind": stream.kind,
        "title": stream.header.title,
        "at_s": stream.at_s,
        "duration_s": round(stream.duration_s, 3),
        "lines": len(stream.events),
    }


def _play(streams: list[Stream], speed: float, idle_limit_s: float) -> None:
    def write(text: str) -> None:
        # The filter let through what draws and nothing else.
        sys.stdout.write(text)
        sys.stdout.flush()

    for stream in streams:
        title = printable(stream.header.title, 200)
        say(f"stream {stream.number}, {stream.kind}, after {stream.at_s:.0f} s: {title}")
        if stream.kind == "screen":
            say("a screen is no text: farhand recording export writes what was shown")
            continue
        play_stream(
            stream,
            speed=0.0 if stream.number == EVENTS else speed,
            idle_limit_s=idle_limit_s,
            write=write,
        )


def _register_export(recordings: click.Group) -> None:
    @command(recordings)
    @_opened
    @click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("."))
    @click.option("--stream", type=click.IntRange(0), help="Only this one.")
    @click.option("--v2", "is_v2", is_flag=True, help="asciicast version 2, for older players.")
    @click.option("--sealed", is_flag=True, help="As it is, encrypted; needs no key.")
    def export(
        context: Context,
        recording: str,
        device_key: str | None,
        open_end: bool,
        unwitnessed: bool,
        unknown_device: bool,
        identity: Path | None,
        out: Path,
        stream: int | None,
        is_v2: bool,
        sealed: bool,
    ) -> None:
        """Write one asciicast file per stream, or the sealed recording as one file."""
        source = _Source(
            context,
            recording,
            device_key,
            open_end=open_end,
            unwitnessed=unwitnessed,
            unknown_device=unknown_device,
        )
        if sealed and stream is not None:
            raise UsageError("usage", "a sealed recording cannot be taken apart")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FarhandError(
                "recording-export", f"cannot write {out}: {error.strerror}"
            ) from error
        if sealed:
            files = [_export_sealed(source, out, Path(recording).stem)]
        else:
            opener = load_identities(context.home, identity)
            name = Path(recording).stem
            casts = CastFiles(out, name, version=2 if is_v2 else 3, only=stream)
            try:
                casts.write(open_lines(source, opener))
                source.require()
                files = casts.finish()
            finally:
                casts.close()
        answer = {"session": source.checked.recording.session, "files": files}
        context.show(answer, lambda: _show_paths(files))
        source.warn()


def _show_paths(files: list[dict[str, Any]]) -> None:
    for one in files:
        line(one["path"])


def _export_sealed(source: _Source, out: Path, name: str) -> dict[str, Any]:
    path = out / f"{name}.sealed"
    source.through = lambda chunks: save(chunks, path)
    for _ in source:
        pass
    try:
        source.require()
    except FarhandError:
        path.unlink()
        raise
    return {"path": str(path), "chunks": source.checked.recording.chunks}


def _register_key(recordings: click.Group) -> None:
    keys = group(recordings, "key", "Audit keys, which recordings are sealed to.")

    @command(keys)
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path))
    def new(context: Context, out: Path | None) -> None:
        """Make an audit key; its public half goes into the policy."""
        path = out or context.home.folder / AUDIT_KEY_NAME
        recipient = create_audit_key(path)
        answer = {"recipient": recipient, "path": str(path)}
        context.show(answer, lambda: show_fields(answer))
        say("an admin puts it into the policy: farhand trust policy GROUP --audit-key RECIPIENT")
