"""The facts of play and the masks, across the boundary."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatweaver import _native
from beatweaver.errors import ConfigError

NJS = 16.0
REACTION_S = 0.5


def level(notes: dict[str, Any], **more: Any) -> Any:
    return _native.Difficulty.from_arrays(bpm=120, njs=NJS, notes=notes, **more)


def test_facts_are_columns_of_one_length_with_their_types() -> None:
    made = level({"beat": [4, 4, 5, 6], "x": [1, 2, 1, 3], "color": [0, 1, 0, 0], "cut": [1, 1, 0, 0]})
    facts = _native.play_facts(made)
    wanted = dict.fromkeys(("time", "beat", "angle", "distance", "gap_s", "effective_bpm", "swing_bpm"), "float64")
    wanted |= {"hand": "uint8", "crossover": "bool", "first_note": "uint32", "last_note": "uint32"}
    for model in ("wrist", "alternation"):
        wanted |= {f"{model}_parity": "uint8", f"{model}_flow": "uint8", f"{model}_reset": "bool"}
    assert {name: column.dtype.name for name, column in facts.items()} == wanted
    assert {column.shape for column in facts.values()} == {(4,)}
    assert facts["hand"].tolist() == [0, 1, 0, 0]
    assert facts["gap_s"].tolist() == [np.inf, np.inf, 0.5, 0.5]
    assert facts["effective_bpm"].tolist() == [0, 0, 60, 60]
    assert facts["angle"].tolist() == [0, 0, 180, 180]
    assert facts["distance"].tolist() == [0, 0, 0, 2]
    assert facts["wrist_parity"].tolist() == [0, 0, 1, 1]
    assert facts["wrist_flow"].tolist() == facts["alternation_flow"].tolist() == [0, 0, 0, 2]
    assert facts["wrist_reset"].tolist() == [False, False, False, True]
    assert facts["crossover"].tolist() == [False, False, False, True]


def test_another_clock_can_be_given() -> None:
    made = level({"beat": [4, 5], "cut": [1, 0]})
    facts = _native.play_facts(made, _native.TempoMap([0], [60]))
    assert (facts["time"].tolist(), facts["effective_bpm"].tolist()) == ([4.0, 5.0], [0.0, 30.0])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.lists(st.sampled_from([0.0625, 0.125, 0.25, 0.5, 1.0, 2.0]), min_size=20, max_size=80),
    rank=st.sampled_from([1, 3, 5, 7, 9]),
)
def test_whatever_the_masks_allow_has_no_error_of_play(
    seed: int, steps: list[float], rank: int, tmp_path_factory: Any
) -> None:
    draw = np.random.default_rng(seed)
    clock = _native.TempoMap([0], [120])
    state = _native.PlayState(clock, rank=rank, njs=NJS, reaction_s=REACTION_S)
    rows: list[tuple[float, int, int]] = []
    mask, beside = np.zeros(108, bool), np.zeros(108, bool)
    for beat in 4 + np.cumsum(steps):
        taken: tuple[Any, int] | None = None
        for hand in (0, 1):
            count = state.mask(hand, beat, mask)
            assert count == mask.sum()
            if taken is not None:
                assert taken[0].mask_beside(hand, beat, taken[1], beside) == count
                np.testing.assert_array_equal(mask, beside)
            if not count or draw.random() < 0.4:
                continue
            choice = int(draw.choice(np.flatnonzero(mask)))
            assert not set(state.judge(hand, beat, choice)) & set(state.hard())
            taken = (state.copy(), choice)
            state.push(hand, beat, choice)
            rows.append((float(beat), hand, choice))
    if not rows:
        return
    beats, hands, choices = (np.array(column) for column in zip(*rows, strict=True))
    notes = {"beat": beats, "color": hands, "x": choices // 27, "y": choices // 9 % 3, "cut": choices % 9}
    facts = _native.play_facts(level(notes))
    assert facts["wrist_flow"].max() < 2
    assert facts["alternation_flow"].max() < 2
    path = tmp_path_factory.mktemp("composed") / "level.zip"
    made = _native.Difficulty.from_arrays(bpm=120, njs=NJS, spawn_offset_beats=REACTION_S * 2 - 2, notes=notes)
    _native.save_song(path, [made], title="Composed", bpm=120, audio=b"OggS not really")
    of_play = {rule["rule"] for rule in _native.play_rules()}
    found = [f for f in _native.check_song(path, preset="default") if f["rule"] in of_play]
    assert [f for f in found if f["severity"] == "error"] == []


def test_a_copy_goes_its_own_way() -> None:
    state = _native.PlayState(_native.TempoMap([0], [120]))
    state.push(0, 4, 28)
    other = state.copy()
    other.push(0, 5, 27)
    assert "parity-break" in state.judge(0, 6, 28)
    assert other.judge(0, 6, 28) == []


def test_what_is_avoided_can_be_chosen() -> None:
    clock = _native.TempoMap([0], [120])
    mask = np.zeros(108, bool)
    free = _native.PlayState(clock, avoid=[])
    free.push(0, 4, 28)
    assert free.mask(0, 4.5, mask) == 108
    assert set(free.hard()) < set(free.reasons())


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda s: s.mask(2, 4, np.zeros(108, bool)), "hand"),
        (lambda s: s.mask(0, 4, np.zeros(107, bool)), "out"),
        (lambda s: s.mask(0, 4, np.zeros(216, bool)[::2]), "out"),
        (lambda s: s.mask_beside(0, 4, 108, np.zeros(108, bool)), "choice"),
        (lambda s: s.push(0, 3, 0), "beat"),
        (lambda s: s.push(0, float("nan"), 0), "beat"),
        (lambda s: s.push(0, 5, 108), "choice"),
        (lambda _: _native.PlayState(_native.TempoMap([0], [120]), njs=0), "njs"),
        (lambda _: _native.PlayState(_native.TempoMap([0], [120]), reaction_s=-1), "reaction_s"),
        (lambda _: _native.PlayState(_native.TempoMap([0], [120]), avoid=["luck"]), "avoid"),
    ],
)
def test_what_cannot_be_is_refused(call: Any, expected: str) -> None:
    state = _native.PlayState(_native.TempoMap([0], [120]))
    state.push(0, 4, 28)
    with pytest.raises(ConfigError, match=f"^{expected}: found"):
        call(state)


@pytest.mark.corpus
def test_facts_of_real_levels_hold_together(corpus: Path) -> None:
    swings = 0
    for source in sorted((corpus / "corpus" / "raw").glob("*.zip"))[::20]:
        for made in _native.load_song(source).difficulties:
            facts, notes = _native.play_facts(made), made.notes()
            count = len(facts["time"])
            swings += count
            assert {len(column) for column in facts.values()} == {count}
            assert (np.diff(facts["time"]) >= 0).all()
            assert (facts["first_note"] <= facts["last_note"]).all()
            np.testing.assert_array_equal(notes["color"][facts["first_note"]], facts["hand"])
            for hand in (0, 1):
                own = facts["hand"] == hand
                assert (facts["last_note"][own][:-1] < facts["first_note"][own][1:]).all()
    assert swings > 10_000


@pytest.mark.corpus
def test_swings_and_parity_agree_with_bsmap(corpus: Path, root: Path) -> None:
    """An independent implementation, which MapCheck itself uses."""
    script = root / "tests" / "node" / "parity.mjs"
    node = shutil.which("node")
    if node is None or not (script.parent / "node_modules" / "bsmap").is_dir():
        pytest.skip("no Node.js with bsmap; `make test-node` installs it into tests/node")
    levels, ours = [], []
    for source in sorted((corpus / "corpus" / "raw").glob("*.zip"))[::6]:
        for made in _native.load_song(source).difficulties:
            facts, notes, bombs = _native.play_facts(made), made.notes(), made.bombs()
            if made.category not in ("vanilla", "chroma") or not len(facts["time"]):
                continue
            ours.append(dict(zip(facts["first_note"].tolist(), facts["wrist_flow"].tolist(), strict=True)))
            columns = [notes[name].tolist() for name in ("time", "x", "y", "color", "cut")]
            columns_of_bombs = [bombs[name].tolist() for name in ("time", "x", "y")]
            rows = {"notes": list(zip(*columns, strict=True)), "bombs": list(zip(*columns_of_bombs, strict=True))}
            levels.append(json.dumps(rows))
    run = subprocess.run([node, str(script)], input="\n".join(levels), capture_output=True, text=True, check=True)
    theirs = [dict(json.loads(line)) for line in run.stdout.splitlines()]
    assert [set(level) for level in theirs] == [set(level) for level in ours], "swings begin at other notes"
    pairs = [(a[row], b[row]) for a, b in zip(theirs, ours, strict=True) for row in a]
    same = sum(a == b for a, b in pairs)
    # What differs on purpose is in docs/rules.md.
    assert len(pairs) > 50_000
    assert same / len(pairs) > 0.999
