"""What every number of an answer is bound to, so that whoever reckons with it need not look."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["Count"]

# A whole number that a float can hold; JSON itself knows no end of digits.
Count = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
