"""What the person at the device sees of one session, and the keys she has.

    key            while no question stands
    q, Ctrl-C      stop everything, at once
    w              take one thing back: the next key says which
    c              write to the technician: a line, then Enter (an empty one is not sent)
    d, n           the instruction that stands is done, or cannot be: a word why, then Enter;
               n also refuses a picture of the screen that is asked for
    ?              show the keys again

A question is answered with a line: `y` and Enter, and everything else is no.  Its prompt comes a
moment after its words, and what was typed before the prompt is thrown away, so that nobody says yes
to what she has not seen; she is told so.  Where stdin is no terminal there are no keys, and a
question is answered on the page or by nobody; `--yes` answers it at once.

Words and questions go to stderr, the code and (as JSON) the events to stdout.  All foreign text is
escaped on its way here.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, Final

import click
import msgspec

from farhand_agent.config import PROGRAM
from farhand_agent.consent import (
    CALLER_WARNING,
    FIRST_MINUTE_S,
    consent_lines,
    is_yes,
    reason_words,
    scope_names,
    scope_words,
    warning_words,
)
from farhand_agent.deeds import action_words
from farhand_agent.session.events import (
    ActionSeen,
    Asked,
    CodeShown,
    Decided,
    Ended,
    Event,
    Failed,
    LineChanged,
    Opened,
    Paused,
    PolicyChanged,
    Refused,
    Restarting,
    Said,
    ScopesChanged,
    ShotAsked,
    ShotOver,
    StepOver,
    StepShown,
    Waiting,
)
from farhand_agent.session.keyboard import CTRL_C, Keyboard
from farhand_agent.terminal import printable
from farhand_agent.wording import own_wording

__all__ = ["READ_FIRST_S", "SessionScreen"]

# So long a question is on the screen before it can be answered.
READ_FIRST_S: Final = 1.0
# The letters that a Russian keyboard has where others have those of the keys.
_SAME_PLACE: Final = str.maketrans("йцсвт", "qwcdn")
_MAX_SAID: Final = 2000
_NOT_IN_JSON: Final = (ActionSeen, Failed, LineChanged)


class SessionScreen:
    """Shows events, and turns keys into answers.

    Args:
        yes: answers every question with yes.
        as_json: prints the events on stdout.
        send: takes a command for the session process.
        stop: ends everything.
        has_page: whether a question can be answered on the page as well.
    """

    def __init__(
        self,
        *,
        yes: bool,
        as_json: bool,
        send: Callable[[dict[str, Any]], None],
        stop: Callable[[], None],
        has_page: Callable[[], bool] = lambda: False,
    ) -> None:
        self._has_page = has_page
        self._yes = yes
        self._as_json = as_json
        self._send = send
        self._stop = stop
        self._w = own_wording()
        self._ticks = sys.stderr.isatty()
        self._ticking: asyncio.TimerHandle | None = None
        self._prompting: asyncio.TimerHandle | None = None
        self._prompt = ""
        self._typed_early = False
        self._line_open = False
        self._scopes: list[str] = []
        self._choices: dict[str, str] = {}
        self._step = 0
        self._question = 0
        self._shot = 0
        self._line_lost = False
        self.session = ""
        self.is_restarting = False
        self._keys: dict[str, Callable[[], None]] = {
            "q": self._stop,
            CTRL_C: self._stop,
            "w": self._offer_withdrawal,
            "c": self._write,
            "d": self._step_done,
            "n": self._step_refused,
            "?": self._show_legend,
        }
        self._keyboard: Keyboard | None = None
        if sys.stdin.isatty():
            keyboard = Keyboard(sys.stdin.fileno(), self._on_key, self._echo)
            self._keyboard = keyboard if keyboard.hold() else None

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._rest()
        self._end_question()
        if self._line_open:
            self._echo("\n")
            self._line_open = False
        if self._keyboard is not None:
            self._keyboard.release()

    def show(self, event: Event) -> None:
        """Show one event."""
        if self._as_json and not isinstance(event, _NOT_IN_JSON):
            click.echo(json.dumps(msgspec.to_builtins(event), ensure_ascii=True))
            sys.stdout.flush()
        w = self._w
        if not isinstance(event, ActionSeen):
            self._rest()
        if isinstance(event, Opened | Decided | Refused | Ended | Paused | Failed):
            self._end_question()
        match event:
            case CodeShown():
                self._show_code(event)
            case PolicyChanged():
                self.say(
                    w("What this computer allows was changed ({at}):", at=w.instant(event.since))
                )
                for line in event.words:
                    self.say(f"  - {printable(line, 200)}")
            case Asked():
                self._ask(event)
            case Decided():
                self._show_decided(event)
            case Opened():
                self._show_opened(event)
            case ScopesChanged():
                self._scopes = list(event.scopes)
                allowed = scope_names(event.scopes, w) or w("nothing")
                self.say(w("Allowed now: {scopes}.", scopes=allowed))
            case Waiting():
                what = f"{scope_names([event.scope], w)} ({printable(event.detail, 80)})"
                self.say(w("In {s} s it opens: {what}. q stops it.", s=event.seconds, what=what))
            case LineChanged():
                self._show_line(event)
            case Restarting():
                self.is_restarting = True
                self.say(
                    w("The technician restarts this computer. The session goes on afterwards.")
                )
            case Paused():
                self.session = ""
                self.say(w("The session pauses: it goes on when this computer's agent runs again,"))
                until = w.instant(event.expires_at)
                self.say(w("until {at}. farhand-agent stop ends it.", at=until))
            case Said():
                self._show_said(event)
            case StepShown():
                self._show_step(event)
            case StepOver():
                self._step = 0
                if event.answer == "withdrawn":
                    self.say(w("The technician no longer needs that."))
            case ShotAsked():
                self._show_shot(event)
            case ShotOver():
                self._shot = 0
            case ActionSeen(kind="chat" | "step"):
                pass  # the words themselves stand on the screen
            case ActionSeen():
                by = f"{printable(event.by, 40)} " if event.by else ""
                words = action_words(
                    event.kind, event.detail, w, message=event.message, facts=event.facts
                )
                self.say(f"  {by}{words}")
            case Refused():
                why = f"{reason_words(event.reason)} ({printable(event.reason)})"
                self.say(w("No session: {why}.", why=why))
            case Ended():
                self.session = ""
                self.say(w("The session is over: {why}.", why=reason_words(event.reason)))
                if event.receipt:
                    self.say(w("Your receipt: {path}", path=event.receipt))
            case Failed():
                self._show_failed(event)

    def say(self, text: str) -> None:
        """Write one line; a prompt that stands is written again under it."""
        if self._line_open:
            self._echo("\n")
        self._line_open = False
        click.echo(text, err=True)
        if self._prompt:
            typed = self._keyboard.typed if self._keyboard else ""
            self._echo(self._prompt + typed)
            self._line_open = True

    # Showing.

    def _show_code(self, event: CodeShown) -> None:
        if not self._as_json:
            wide = "  ".join(printable(event.code, 20))
            frame = "=" * (len(wide) + 6)
            for line in ("", frame, f"   {wide}", frame, ""):
                click.echo(line)
            click.echo(f"Your code: {printable(event.code, 20)}")
            sys.stdout.flush()
        w = self._w
        for line in warning_words(CALLER_WARNING):
            self.say(line)
        self.say(w("Relay: {url}", url=printable(event.url, 100)))
        if not self._ticks:
            self.say(w("Valid until {at}, for one use.", at=w.instant(event.expires_at)))
            return
        calm_at = event.expires_in_s - FIRST_MINUTE_S

        def words(left: int) -> str:
            calm, warning = w("q ends it"), w("called unasked? keep it to yourself")
            said = warning if left > calm_at else calm
            time = f"{left // 60}:{left % 60:02d}"
            return "  " + w("valid for {time}, one use; {said}", time=time, said=f"{said:<48}")

        self._tick(words, asyncio.get_running_loop().time() + event.expires_in_s)

    def _show_opened(self, event: Opened) -> None:
        self.session = event.session
        self._scopes = list(event.scopes)
        w = self._w
        if event.resumed:
            self.say(w("The session that was interrupted goes on; nobody is asked again."))
        who, scopes = printable(event.operator, 80), scope_names(event.scopes, w)
        self.say(w("{who} may now work on this computer: {scopes}.", who=who, scopes=scopes))
        at = w.instant(event.expires_at)
        self.say(w("It ends by itself at {at}. Ctrl-C stops it at once.", at=at))
        self._show_legend()

    def _show_decided(self, event: Decided) -> None:
        if not event.granted:
            self.say(self._w("It stays as it was: {why}.", why=reason_words(event.reason)))

    def _show_line(self, event: LineChanged) -> None:
        w = self._w
        if event.state == "connected" or event.state == "idle" or event.left_s is None:
            # Every command has a connection of its own: only one that was lost is worth words.
            if self._line_lost and event.state == "connected":
                self.say(w("The technician is connected."))
            elif self._line_lost:
                self.say(w("The technician is not connected just now."))
            self._line_lost = False
            return
        self._line_lost = True
        if self._ticks and not self._prompt:
            due = asyncio.get_running_loop().time() + event.left_s
            self._tick(
                lambda left: f"  {w('The line is down, waiting for it: {s} s left', s=left)} ", due
            )
        else:
            self.say(w("The line is down; it is waited for, {s} s at most.", s=event.left_s))

    def _show_said(self, event: Said) -> None:
        who = self._w("you") if event.who == "person" else printable(event.operator, 40)
        for line in event.text.splitlines():
            self.say(f"  {who}: {printable(line, _MAX_SAID)}")

    def _show_step(self, event: StepShown) -> None:
        self._step = event.step
        w = self._w
        if event.of > 1:
            place = {"number": event.number, "of": event.of}
            self.say(w("The technician asks you to do this ({number} of {of}):", **place))
        else:
            self.say(w("The technician asks you to do this:"))
        for line in event.text.splitlines():
            self.say(f"    {printable(line, _MAX_SAID)}")
        if self._keyboard is not None:
            self.say("  " + w("Press d when it is done, n if you cannot."))

    def _show_shot(self, event: ShotAsked) -> None:
        self._shot = event.shot
        w, who = self._w, printable(event.operator, 80)
        self.say(w("{who} asks for one picture of your screen.", who=who))
        if event.reason:
            self.say(w("Reason: {reason}", reason=printable(event.reason, 300)))
        self.say("  " + w("Answer on the page; without an answer nothing is taken. n refuses it."))

    def _show_failed(self, event: Failed) -> None:
        self.say(f"{PROGRAM}: error: {printable(event.code)}: {printable(event.message)}")
        if event.hint:
            self.say(f"{PROGRAM}: hint: {printable(event.hint, 400)}")

    def _show_legend(self) -> None:
        if self._keyboard is not None:
            w = self._w
            keys = (
                w("q or Ctrl-C stops everything"),
                w("w takes one thing back"),
                w("c writes a message"),
                w("? shows this again"),
            )
            self.say(f"{w('Keys:')}  {'    '.join(keys)}")

    # Asking.

    def _ask(self, event: Asked) -> None:
        self._end_question()
        self._question = event.ask
        for line in consent_lines(event):
            self.say(line)
        if self._yes:
            self.say(self._w("Allowed by --yes."))
            self._send({"answer": "allow", "ask": event.ask})
        elif self._keyboard is None and self._has_page():
            self.say(self._w("Answer on the page in your browser."))
        elif self._keyboard is None:
            self.say(self._w("There is no terminal to ask on, so the answer will be no."))
        else:
            self._typed_early = False
            left = round(event.answer_within_s - READ_FIRST_S)
            self._prompting = asyncio.get_running_loop().call_later(
                READ_FIRST_S, self._open_prompt, left
            )

    def _open_prompt(self, seconds: int) -> None:
        assert self._keyboard is not None
        self._prompting = None
        question = self._w("Allow this? [y/N] (no answer in {s} s means no)", s=seconds)
        self._prompt = f"{question} "
        self._keyboard.read_line(self._answer)
        if self._line_open:
            self._echo("\n")
        self._echo(self._prompt)
        self._line_open = True

    def _answer(self, text: str) -> None:
        self._prompt, self._line_open = "", False
        answer = "allow" if is_yes(text) else "deny"
        self._send({"answer": answer, "ask": self._question})

    def _end_question(self) -> None:
        self._prompt = ""
        if self._prompting is not None:
            self._prompting.cancel()
            self._prompting = None
        if self._keyboard is not None:
            self._keyboard.drop_line()

    # Keys.

    def _on_key(self, key: str) -> None:
        key = key.translate(_SAME_PLACE)
        if self._choices and key != CTRL_C:
            self._withdraw(key)
        elif self._prompting is not None and key not in ("q", CTRL_C):
            if not self._typed_early:
                self.say(self._w("Please read this first, then answer: that was not taken."))
            self._typed_early = True
        elif (act := self._keys.get(key)) is not None:
            act()

    def _offer_withdrawal(self) -> None:
        if not self._scopes or not self.session:
            return
        self._choices = {str(number): scope for number, scope in enumerate(self._scopes, 1)}
        self.say(self._w("Take back which? (any other key: none)"))
        for key, scope in self._choices.items():
            self.say(f"  {key}  {scope_words(scope)}")

    def _withdraw(self, key: str) -> None:
        scope, self._choices = self._choices.get(key), {}
        if scope is None:
            self.say(self._w("Nothing was taken back."))
        else:
            self._send({"withdraw": scope})

    # Writing.

    def _write(self) -> None:
        if self.session:
            prompt = self._w("To the technician:") + " "
            self._read_line(prompt, lambda text: self._send({"say": text}))

    def _step_done(self) -> None:
        if self._step:
            self._send({"step": self._step, "answer": "done"})

    def _step_refused(self) -> None:
        if self._shot:
            self._send({"shot": self._shot, "answer": "refuse"})
        elif step := self._step:
            self._read_line(
                self._w("Why not? (a word, then Enter)") + " ",
                lambda why: self._send({"step": step, "answer": "cannot", "why": why}),
                even_empty=True,
            )

    def _read_line(
        self, prompt: str, take: Callable[[str], None], *, even_empty: bool = False
    ) -> None:
        """Read one line for something else than a question."""
        if self._keyboard is None or self._prompting is not None or self._prompt:
            return  # a question stands or is about to be asked; it comes first

        def on_line(text: str) -> None:
            self._prompt, self._line_open = "", False
            if text.strip() or even_empty:
                take(text)

        self._rest()
        if self._line_open:
            self._echo("\n")
        self._prompt, self._line_open = prompt, True
        self._keyboard.read_line(on_line)
        self._echo(prompt)

    # The lines that change while they stand.

    def _tick(self, text: Callable[[int], str], due: float) -> None:
        loop = asyncio.get_running_loop()
        left = max(0, round(due - loop.time()))
        self._echo(f"\r{text(left)}")
        self._line_open = True
        self._ticking = loop.call_later(1.0, self._tick, text, due)

    def _rest(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def _echo(self, text: str) -> None:
        click.echo(text, err=True, nl=False)
