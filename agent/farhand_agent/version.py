"""The version of this agent: what the relay is told, and what updates compare.

`make packages` and a release's target name the same text.
"""

from __future__ import annotations

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = "0.1.0"
