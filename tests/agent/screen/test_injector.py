"""Input goes through while it may; whatever was held is let go at each way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.screen.injector import MAX_HELD_KEYS, Injector
from farhand_agent.screen.keysyms import is_allowed, keysym_of, text_of

PLACES = st.integers(0, 65535)


class Hands:
    """Notes what it is told, and what is down."""

    def __init__(self) -> None:
        self.did: list[tuple[object, ...]] = []
        self.down: set[object] = set()

    def move(self, x: int, y: int) -> None:
        self.did.append(("move", x, y))

    def button(self, number: int, is_down: bool) -> None:
        self.did.append(("button", number, is_down))
        (self.down.add if is_down else self.down.discard)(f"button {number}")

    def wheel(self, number: int) -> None:
        self.did.append(("wheel", number))

    def key(self, keysym: int, is_down: bool) -> None:
        self.did.append(("key", keysym, is_down))
        (self.down.add if is_down else self.down.discard)(keysym)

    def flush(self) -> None:
        return

    def close(self) -> None:
        self.did.append(("close",))


def injector(*, may: bool = True, frozen: bool = False) -> tuple[Injector, Hands]:
    hands = Hands()
    made = Injector(hands)
    made.place(800, 600, 0, 0)
    made.allow(may, frozen=frozen)
    return made, hands


@pytest.mark.parametrize(("may", "frozen"), [(False, False), (True, True), (False, True)])
def test_nothing_goes_through_where_it_may_not(may: bool, frozen: bool) -> None:
    made, hands = injector(may=may, frozen=frozen)
    made.pointer(10, 10, 1)
    made.key(97, True)
    made.key(97, False)
    assert hands.did == []
    assert (made.used, made.dropped) == (0, 3)


def test_a_click_and_a_turn_of_the_wheel() -> None:
    made, hands = injector()
    made.pointer(10, 20, 0b1)
    made.pointer(10, 20, 0b1001)
    made.pointer(5000, 5000, 0)
    assert hands.did == [
        ("move", 10, 20), ("button", 1, True),
        ("move", 10, 20), ("wheel", 4),
        ("move", 799, 599), ("button", 1, False),
    ]  # fmt: skip


def test_places_count_from_where_the_desktop_begins() -> None:
    made, hands = injector()
    made.place(3000, 1000, -1920, -40)
    made.pointer(0, 40, 0)
    assert hands.did == [("move", -1920, 0)]


@pytest.mark.parametrize(
    "leave",
    [
        lambda made: made.allow(False, frozen=False),
        lambda made: made.allow(True, frozen=True),
        lambda made: made.close(),
    ],
    ids=["withdrawn", "frozen", "closed"],
)
def test_everything_is_let_go(leave: object) -> None:
    made, hands = injector()
    made.pointer(1, 1, 0b101)
    made.key(0xFFE1, True)
    made.key(97, True)
    leave(made)  # type: ignore[operator]
    assert hands.down == set()
    made.allow(True, frozen=False)
    before = len(hands.did)
    made.key(97, False)
    assert len(hands.did) == before, "what is up already stays so"


def test_only_so_many_keys_are_held() -> None:
    made, hands = injector()
    for keysym in range(0x21, 0x21 + 2 * MAX_HELD_KEYS):
        made.key(keysym, True)
    assert len(hands.down) == MAX_HELD_KEYS
    made.release()
    assert not hands.down


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("p"), PLACES, PLACES, st.integers(0, 255)),
            st.tuples(st.just("k"), st.integers(0, 2**32 - 1), st.booleans()),
            st.tuples(st.just("a"), st.booleans(), st.booleans()),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_nothing_is_ever_down_while_it_may_not(steps: list[tuple[object, ...]]) -> None:
    made, hands = injector()
    for kind, *rest in steps:
        if kind == "p":
            made.pointer(*rest)  # type: ignore[arg-type]
        elif kind == "k":
            made.key(*rest)  # type: ignore[arg-type]
        else:
            made.allow(bool(rest[0]), frozen=bool(rest[1]))
        assert made.is_open or not hands.down
    made.close()
    assert not hands.down


@pytest.mark.parametrize("keysym", [0x1008FE01, 0x1008FE0C, 0xFED5, 0, 5, 2**32 - 1, 0x01110000])
def test_some_keys_are_never_pressed(keysym: int) -> None:
    made, hands = injector()
    made.key(keysym, True)
    assert hands.did == []
    assert not is_allowed(keysym)


@pytest.mark.parametrize(
    ("keysym", "text"),
    [
        (0x61, "a"), (0xE9, "é"), (0x20AC, "€"), (0x010020AC, "€"), (0x6D0, "п"), (0x6F0, "П"),
        (0x6C0, "ю"), (0x6DF, "ъ"), (0x6A3, "ё"), (0x7E1, "α"), (0x7F2, "σ"), (0x7D2, "Σ"),
        (0x7F3, "ς"), (0x1B1, "ą"), (0xFFB5, "5"), (0xFF0D, ""), (0x0100D800, ""), (0x7F, ""),
    ],
)  # fmt: skip
def test_keysyms_are_the_characters_that_x_means(keysym: int, text: str) -> None:
    assert text_of(keysym) == text


@given(st.characters(exclude_categories=["Cs", "Cc"]))
def test_every_character_has_a_keysym_that_means_it(character: str) -> None:
    assert text_of(keysym_of(character)) == character
