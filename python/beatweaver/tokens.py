"""How notes are numbered, for everyone who learns or places them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from beatweaver.config import AudioConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MIRROR", "SLOTS_PER_BEAT", "STATES"]

SLOTS_PER_BEAT: Final = AudioConfig().slots_per_beat
"""Slots of the beat grid in a beat: quarters and triplets, and what lies between them."""
STATES: Final = 108
"""States of a hand: (column x 3 + row) x 9 + cut, as the LEFT and RIGHT tokens count them."""

_CUT_MIRROR: Final = (0, 1, 3, 2, 5, 4, 7, 6, 8)
MIRROR: Final[NDArray[np.int64]] = np.array(
    [((3 - s // 27) * 3 + s // 9 % 3) * 9 + _CUT_MIRROR[s % 9] for s in range(STATES)], dtype=np.int64
)
"""States seen in a mirror: which a hand's is for the other one."""
