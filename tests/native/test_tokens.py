"""Vocabularies and grammar across the boundary, and the promise that whatever is sampled is a level one may upload."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path

import numpy as np
import packs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatweaver import _native
from beatweaver.errors import ConfigError, TokenError

SIZES = {"notes": 291, "full": 1395, "lights": 543}


def vocabulary(content: str) -> _native.Vocab:
    return _native.Vocab(f'{{"content":"{content}","divisions":48}}'.encode())


def sampled(vocab: _native.Vocab, seed: int, length: int, beats: float) -> np.ndarray:
    """Tokens drawn evenly from what the grammar allows, until `length` or `beats` is reached and it may end."""
    draw = np.random.default_rng(seed)
    grammar = _native.Grammar(vocab, batch=1)
    mask = np.zeros((1, vocab.size), np.bool_)
    tokens: list[int] = []
    while not tokens or tokens[-1] != vocab.eos:
        grammar.mask(mask)
        allowed = np.flatnonzero(mask[0])
        assert len(allowed), "no token may follow"
        late = len(tokens) >= length or (tokens and vocab.beats(np.array(tokens, np.uint16))[-1] >= beats)
        token = vocab.eos if late and mask[0, vocab.eos] else int(draw.choice(allowed))
        grammar.push(np.array([token], np.uint16))
        tokens.append(token)
    return np.array(tokens, np.uint16)


@pytest.mark.parametrize("content", SIZES)
def test_a_vocabulary_describes_itself(content: str) -> None:
    vocab = vocabulary(content)
    assert vocab.size == len(vocab.names()) == SIZES[content]
    assert (vocab.pad, vocab.bos, vocab.eos) == (0, 1, 2)
    ranges = sorted(vocab.range(kind) for kind in vocab.kinds())
    assert ranges[0][0] == 0
    assert ranges[-1][1] == vocab.size
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(ranges))
    assert len({vocabulary(other).hash for other in SIZES}) == 3
    with pytest.raises(ConfigError):
        vocab.range("nothing")


@pytest.mark.parametrize(
    "spec", [b"", b"{}", b'{"content":"all","divisions":48}', b'{"content":"full","divisions":47}']
)
def test_other_specs_are_refused(spec: bytes) -> None:
    with pytest.raises(ConfigError):
        _native.Vocab(spec)


@given(seed=st.integers(0, 2**32 - 1), content=st.sampled_from(["notes", "full"]))
def test_whatever_is_sampled_is_a_level_that_passes_check(seed: int, content: str) -> None:
    vocab = vocabulary(content)
    tokens = sampled(vocab, seed, length=120, beats=16)
    # Fast, so that the longest tail ends within the 21 s of audio: the song's end is not the grammar's business.
    bpm = 600.0
    level = vocab.decode(tokens, bpm=bpm)
    with tempfile.TemporaryDirectory() as home:
        pack = Path(home, "level.zip")
        _native.save_song(
            pack, [level], bpm=bpm, title="Sampled", preview_start_s=1.0, audio=packs.AUDIO, cover=packs.cover()
        )
        errors = [f for f in _native.check_song(pack) if f["severity"] == "error"]
        assert errors == []
    again = vocab.encode(level)
    assert again["out_of_vocabulary"] == {}
    assert vocab.decode(again["tokens"], bpm=bpm).notes()["beat"].tolist() == level.notes()["beat"].tolist()


@given(tokens=st.lists(st.integers(0, 65_535), max_size=40), content=st.sampled_from(sorted(SIZES)))
def test_any_numbers_decode_or_are_refused_by_place(tokens: list[int], content: str) -> None:
    vocab, ids = vocabulary(content), np.array(tokens, np.uint16)
    with contextlib.suppress(TokenError):
        level = vocab.decode(ids, bpm=120.0)
        assert vocab.encode(level)["out_of_vocabulary"] == {}


def test_the_grammar_refuses_what_may_not_follow_and_stays_as_it_was() -> None:
    vocab = vocabulary("full")
    grammar = _native.Grammar(vocab, batch=2)
    before, after = np.zeros((2, vocab.size), np.bool_), np.ones((2, vocab.size), np.bool_)
    grammar.push(np.array([vocab.bos, vocab.bos], np.uint16))
    grammar.mask(before)
    with pytest.raises(TokenError):
        grammar.push(np.array([int(np.flatnonzero(before[0])[0]), vocab.pad], np.uint16))
    grammar.mask(after)
    assert np.array_equal(before, after)
    grammar.fork([0, 0, 1])
    wider = np.zeros((3, vocab.size), np.bool_)
    grammar.mask(wider)
    assert np.array_equal(wider[2], before[1])
    with pytest.raises(ConfigError, match="contiguous"):
        grammar.mask(np.zeros((vocab.size, 3), np.bool_).T)
    with pytest.raises(ConfigError, match="shape"):
        grammar.mask(np.zeros((2, vocab.size), np.bool_))
