"""How notes are numbered, for everyone who learns or places them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from beatweaver import _native
from beatweaver.config import AudioConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MIRROR", "SLOTS_PER_BEAT", "STATES", "joint_vocabulary", "mirrored_tokens"]

SLOTS_PER_BEAT: Final = AudioConfig().slots_per_beat
"""Slots of the beat grid in a beat: quarters and triplets, and what lies between them."""
STATES: Final = 108
"""States of a hand: (column x 3 + row) x 9 + cut, as the LEFT and RIGHT tokens count them."""

_CUT_MIRROR: Final = (0, 1, 3, 2, 5, 4, 7, 6, 8)
MIRROR: Final[NDArray[np.int64]] = np.array(
    [((3 - s // 27) * 3 + s // 9 % 3) * 9 + _CUT_MIRROR[s % 9] for s in range(STATES)], dtype=np.int64
)
"""States seen in a mirror: which a hand's is for the other one."""


@cache
def joint_vocabulary() -> _native.Vocab:
    """The 291 tokens of joint decoding: bars, positions, and the state of each hand there."""
    return _native.Vocab(b'{"content": "notes", "divisions": 48}')


def mirrored_tokens(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """A whole level of `joint_vocabulary` in a mirror, with the hands exchanged."""
    vocab = joint_vocabulary()
    first = {hand: vocab.range(f"{hand}-EMPTY")[0] for hand in ("LEFT", "RIGHT")}
    left = np.flatnonzero((tokens >= first["LEFT"]) & (tokens <= first["LEFT"] + STATES))
    # An empty hand stays one; its token stands before those of the states.
    turned = np.concatenate([[0], 1 + MIRROR])
    out = tokens.copy()
    out[left] = first["LEFT"] + turned[tokens[left + 1] - first["RIGHT"]]
    out[left + 1] = first["RIGHT"] + turned[tokens[left] - first["LEFT"]]
    return out
