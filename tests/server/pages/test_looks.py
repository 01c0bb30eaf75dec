"""Colours that can be read, and what a logo is."""

from __future__ import annotations

import pytest

from farhand_protocol.errors import UsageError
from farhand_server.pages.looks import (
    DARK_GROUND,
    Branding,
    check_branding,
    contrast,
    lightened,
    picture_type,
)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)
    assert contrast("#123456", "#123456") == 1


@pytest.mark.parametrize("colour", ["#1f5f8b", "#7a1f5c", "#000000", "#0000ff", "#6b6b00"])
def test_a_colour_that_is_taken_reads_in_the_light_and_in_the_dark(colour: str) -> None:
    check_branding(Branding(name="Example", colour=colour))
    assert contrast(colour, "#ffffff") >= 4.5
    assert contrast(lightened(colour), DARK_GROUND) >= 4.5


@pytest.mark.parametrize("colour", ["#ffcc00", "#777777", "red", "#1f5f8", "#1f5f8b;", "#1f5f8b\n"])
def test_a_colour_that_nobody_can_read_is_refused(colour: str) -> None:
    with pytest.raises(UsageError, match=r"contrast|written as"):
        check_branding(Branding(colour=colour))


def test_a_picture_is_what_it_begins_with() -> None:
    assert picture_type(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"
    assert picture_type(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert picture_type(b"\x89PNG\r\n\x1a\n") == "image/png"
    for other in (b"", b"<svg xmlns=", b"GIF89a", b"RIFF\0\0\0\0WAVE"):
        assert picture_type(other) == ""
