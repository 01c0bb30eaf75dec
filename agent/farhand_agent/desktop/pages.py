"""The pages themselves: what stands in a state, in words of one language, as HTML.

Everything is escaped twice over: foreign text is made printable first, so that no control or
direction character is left, and the templates escape what HTML would read.  Templates are loaded
from this package alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2

from farhand_agent.consent import (
    ANSWER_WARNING,
    CALLER_WARNING,
    consent_parts,
    reason_words,
    scope_words,
    warning_words,
)
from farhand_agent.deeds import action_words
from farhand_agent.desktop.shots import Draft
from farhand_agent.desktop.view import SessionView
from farhand_agent.session.events import Ended, Failed, Refused, ShotAsked
from farhand_agent.terminal import printable
from farhand_agent.wording import Wording
from farhand_protocol.errors import FarhandError

__all__ = ["LANGUAGE_NAMES", "Pages", "spelled", "trouble_words"]

LANGUAGE_NAMES: Final = (
    ("en", "English"),
    ("pt", "Português"),
    ("de", "Deutsch"),
    ("ro", "Română"),
    ("ru", "Русский"),
)
_HERE: Final = Path(__file__).parent
# Seconds after which a page without a script looks again; where something is filled in, never.
_REFRESH_S: Final = {"starting": 2, "code": 3, "open": 5}
_OFFLINE: Final = ("relay-unavailable", "link-lost")
_TROUBLES: Final[dict[str, str]] = {
    "page-busy": "A session goes on already.",
    "page-early": "Please read this first, then answer: that was not taken.",
    "page-late": "That does not count any more.",
    "page-ticket": "This address was used already, or is too old.",
    "page-cookie": "This browser was not given the way in.",
    "box-malformed": "That box covers nothing of the picture.",
    "picture-failed": "No picture of this screen can be taken.",
    "help-queue-full": "Too many calls for help wait for a line already.",
    "help-malformed": "The text is empty, or too long.",
    "not-enrolled": "This computer belongs to no organisation yet.",
    "agent-not-running": "The session is over already.",
    "too-fast": "That was too much at once; wait a little.",
}


def trouble_words(error: FarhandError, w: Wording) -> str:
    """Say what went wrong; a code that has no words of its own is named."""
    words = _TROUBLES.get(error.code)
    return w(words) if words else w("That did not work ({code}).", code=printable(error.code, 60))


def spelled(code: str) -> str:
    """Return a code as it is read aloud: each symbol by itself, a pause between the groups."""
    groups = printable(code, 20).replace("-", " ").split()
    return ", ".join(" ".join(group) for group in groups)


def _clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


class Pages:
    """Renders the pages of one desktop process.

    Args:
        base: the path below which they live.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            base=base,
            languages=LANGUAGE_NAMES,
            shown=printable,
            spelled=spelled,
            clock=_clock,
            scope_words=scope_words,
            reason_words=reason_words,
        )

    def static(self, name: str) -> bytes:
        """Return one of the files in `static`."""
        return (_HERE / "static" / name).read_bytes()

    def render(
        self,
        name: str,
        w: Wording,
        *,
        here: str,
        key: str,
        revision: int,
        trouble: str = "",
        is_owed: bool = False,
        refresh_s: int = 0,
        **values: Any,
    ) -> bytes:
        """Render one page.

        Args:
            name: of its template.
            w: the language.
            here: its own path, where a change of language leads back to.
            key: names what stands there; another one means another page.
            revision: what the browser waits to be passed.
            trouble: what went wrong, in words.
            is_owed: whether a Stop waits for an agent that could not be told.
            refresh_s: when a browser without a script looks again; 0 for never.
        """
        template = self._templates.get_template(f"{name}.html")
        key += "|owed" if is_owed else ""
        return template.render(
            w=w, here=here, key=key, revision=revision, trouble=trouble, is_owed=is_owed,
            refresh_s=refresh_s, **values,
        ).encode()  # fmt: skip

    def shut(self, w: Wording, error: FarhandError) -> bytes:
        """Render what a browser gets that was not let in."""
        template = self._templates.get_template("shut.html")
        return template.render(w=w, trouble=trouble_words(error, w)).encode()

    def session(
        self,
        view: SessionView,
        w: Wording,
        *,
        receipt: str | None,
        others: Sequence[SessionView] = (),
        **common: Any,
    ) -> bytes:
        """Render the page of a session, by its phase.

        Args:
            view: its state.
            receipt: in words, where it is over and has one.
            others: that go on as well.
            common: see `render`.
        """
        phase = view.phase
        values: dict[str, Any] = {"view": view, "recorded": _recorded(view), "others": others}
        refresh_s = _REFRESH_S.get(phase, 0)
        match phase:
            case "code":
                values["caller_warning"] = warning_words(CALLER_WARNING, w)
            case "asked":
                values |= self._asked(view, w)
                refresh_s = view.left_s(view.asked_until) + 1
            case "open":
                refresh_s = 0 if view.step is not None else refresh_s
                values["actions"] = [
                    action_words(one.kind, one.detail, w, message=one.message, facts=one.facts)
                    for one in reversed(view.actions)
                ]
            case "ended":
                is_ended = isinstance(view.over, Ended)
                reason = view.over.reason if isinstance(view.over, Ended) else "stopped"
                values["reason"] = reason_words(reason, w)
                values["receipt"] = receipt if is_ended else None
            case "refused":
                assert isinstance(view.over, Refused)
                values |= {"reason": reason_words(view.over.reason, w), "code": view.over.reason}
            case "failed":
                failed = view.over if isinstance(view.over, Failed) else None
                values |= {
                    "code": failed.code if failed else "",
                    "message": failed.message if failed else "",
                    "is_offline": failed is not None and failed.code in _OFFLINE,
                }
        key = "|".join([view_key(view), *map(_other_key, others)])
        return self.render(phase, w, key=key, refresh_s=refresh_s, **values, **common)

    def _asked(self, view: SessionView, w: Wording) -> dict[str, Any]:
        asked = view.asked
        assert asked is not None
        heading = {
            "session": w("A technician asks to help you"),
            "scopes": w("A technician asks for more"),
            "join": w("Another technician asks to join"),
        }[asked.asks]
        return {
            "heading": heading,
            "question": consent_parts(asked, w),
            "can_untick": asked.asks != "join",
            "answer_warning": w(ANSWER_WARNING),
        }

    def picture(
        self,
        w: Wording,
        *,
        draft: Draft | None,
        shot: ShotAsked | None,
        action: str,
        stop: str = "",
        left_s: int = 0,
        **common: Any,
    ) -> bytes:
        """Render the page on which a picture is taken and looked over.

        Args:
            draft: what was taken, if anything.
            shot: who asks for it; None for a picture that goes with a call for help.
            action: where its forms go; the preview is there as well, as `.png`.
            stop: where the session is stopped.
            left_s: how long the request still stands.
            common: see `render`.
        """
        fields = (
            ("x", w("From the left")),
            ("y", w("From the top")),
            ("width", w("Width")),
            ("height", w("Height")),
        )
        return self.render(
            "picture", w, draft=draft, shot=shot, action=action, fields=fields, stop=stop,
            left_s=left_s, **common,
        )  # fmt: skip


def _recorded(view: SessionView) -> bool | None:
    """Tell whether the session is recorded; None where this page never heard."""
    return view.requests[0].recorded if view.requests else None


def _other_key(view: SessionView) -> str:
    """Name what another session's page says of this one."""
    return f"{view.name} {view.phase} {printable(view.operator, 80)}"


def view_key(view: SessionView) -> str:
    """Name what stands on a session's page; another name means that it is built anew."""
    parts: list[object] = [view.name, view.phase]
    if view.code is not None and view.phase == "code":
        parts.append(view.code.code)
    if view.asked is not None:
        parts.append(view.asked.ask)
    if view.phase == "open":
        parts += [",".join(view.scopes), view.step.step if view.step else 0]
        parts += [view.shot.shot if view.shot else 0, view.operator]
    return "|".join(printable(one, 80) for one in parts)
