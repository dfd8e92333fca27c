"""The neural engine with tiny random models: whatever the weights say, what comes out can be played."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import stages
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from beatweaver import _native, data, neural, rhythm, structure
from beatweaver.config import JOINT, AudioConfig, ModelConfig
from beatweaver.errors import ConfigError
from beatweaver.model import STATISTICS, Loom
from beatweaver.neural import Draw, Listener, Part, _Decoder, _Writer
from beatweaver.rhythm import BOTH, LEFT, RIGHT
from beatweaver.tokens import MIRROR, SLOTS_PER_BEAT, STATES, joint_vocabulary

AUDIO = AudioConfig(n_mels=16)
TINY: dict[str, Any] = {
    "conv_blocks": 2,
    "encoder_layers": 1,
    "encoder_dim": 16,
    "encoder_heads": 2,
    "encoder_ff_dim": 16,
    "decoder_layers": 2,
    "decoder_dim": 16,
    "decoder_heads": 2,
    "decoder_ff_dim": 16,
    "kv_groups": 2,
    "max_seq_len": 64,
}


def tiny(seed: int = 0, *, wild: float = 1.0, **changes: Any) -> Loom:
    """A model of random weights, every one of them different from where training begins."""
    config = ModelConfig(**{**TINY, **changes})
    torch.manual_seed(seed)
    model = Loom(config, data.feature_width(config, AUDIO))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(wild * 0.3 * torch.randn_like(parameter))
    return model.eval()


def heard(model: Loom, *, seconds: float = 24.0, bpm: float = 128.0) -> Listener:
    sound, _ = stages.song(stages.grid(bpm=bpm), seconds)
    rng = np.random.default_rng(1)
    samples = (0.1 * rng.standard_normal(int(seconds * AUDIO.sample_rate_hz))).astype(np.float32)
    return Listener.hearing(model, AUDIO, samples, sound)


def part(
    listener: Listener, name: str = "Expert", *, seed: int = 0, doubles: float = 0.3, source: bool = False
) -> Part:
    """Onsets at random, some for both hands; with `source` the second half of the bars repeats the first one."""
    sound, rng = listener.sound, np.random.default_rng(seed)
    width = sound.bar_slots
    bars = sound.bars
    chosen = np.zeros((bars, width), dtype=bool)
    chosen[:, ::3] = rng.random((bars, len(range(0, width, 3)))) < 0.5
    repeats = np.full(bars, -1)
    if source:
        half = bars // 2
        chosen[half : 2 * half] = chosen[:half]
        repeats[half : 2 * half] = np.arange(half)
    slot = np.flatnonzero(chosen.ravel())
    # One hand after the other in each bar, so that a bar that repeats has the same hands.
    turn = (np.cumsum(chosen, axis=1) % 2)[chosen]
    hands = np.where(rng.random(len(slot)) < doubles, BOTH, np.where(turn == 1, LEFT, RIGHT)).astype(np.uint8)
    beaten = rhythm.Rhythm(
        slot=slot, hands=hands, weight=np.zeros(len(slot)), source=repeats, mirrored=np.zeros(bars, dtype=bool)
    )
    clock = _native.TempoMap([0], [sound.grid.bpm])
    strict, gentle = (
        _native.PlayState(clock, avoid=avoid) for avoid in (None, [*_native.PlayState.hard(), "parity-strain"])
    )
    return Part(
        name=name,
        rhythm=beaten,
        state=strict,
        gentle=gentle,
        rng=np.random.default_rng(seed),
        style=np.full(len(STATISTICS), np.nan),
    )


def test_tokens_lie_where_they_were_learnt() -> None:
    """Sixteenths of a beat are learnt at the slot next to them."""
    listener = heard(tiny(vocab_size=JOINT))
    made = part(listener)
    seen = []
    listener.model.decoder.register_forward_pre_hook(lambda _, args: seen.append(float(args[1][0, 0])))
    with torch.inference_mode():
        decoder = _Decoder(listener, [made], Draw())
        for sixteenth in range(16):
            decoder.step_tokens([8], [3 + sixteenth / 16])
    assert seen == pytest.approx([round(12 * (3 + k / 16)) / 12 for k in range(16)])


def played(placed: Any, bpm: float) -> dict[str, Any]:
    level = _native.Difficulty.from_arrays(bpm=bpm, notes=placed.arrays())
    return _native.play_facts(level)


@settings(max_examples=12)
@given(
    st.integers(0, 5),
    st.sampled_from([0.0, 1.0, 6.0]),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from(["Easy", "Expert", "ExpertPlus"]),
    st.sampled_from([0.05, 1.0, 3.0]),
)
def test_whatever_the_weights_every_note_can_be_played(
    seed: int, wild: float, guidance: float, name: str, temperature: float
) -> None:
    listener = heard(tiny(seed, wild=wild), seconds=12.0)
    made = part(listener, name, seed=seed)
    placed = neural.place(listener, {name: made}, Draw(guidance=guidance, temperature=temperature))[name]
    asked = len(made.rhythm.slot) + int((made.rhythm.hands == BOTH).sum())
    assert len(placed.beat) + placed.left_out == asked
    assert (np.diff(placed.beat) >= 0).all()
    assert set(np.round(placed.beat * SLOTS_PER_BEAT).astype(int)) <= set(made.rhythm.slot.tolist())
    assert set(placed.hand.tolist()) <= {LEFT, RIGHT}
    assert ((placed.state >= 0) & (placed.state < STATES)).all()
    facts = played(placed, listener.sound.grid.bpm)
    assert not (facts["wrist_flow"] == 2).any()
    assert not (facts["alternation_flow"] == 2).any()


def test_onsets_for_both_hands_get_one_note_of_each() -> None:
    listener = heard(tiny())
    made = part(listener)
    placed = neural.place(listener, {"Expert": made}, Draw())["Expert"]
    slot = np.round(placed.beat * SLOTS_PER_BEAT).astype(int)
    full = 0
    for at, hands in zip(made.rhythm.slot.tolist(), made.rhythm.hands.tolist(), strict=True):
        got = sorted(placed.hand[slot == at].tolist())
        assert got in ([[LEFT, RIGHT], [LEFT], [RIGHT], []] if hands == BOTH else [[LEFT], [RIGHT], []])
        full += got == [LEFT, RIGHT]
    assert full > 0.7 * (made.rhythm.hands == BOTH).sum()


def test_difficulties_side_by_side_are_those_alone_and_equal_seeds_give_equal_notes() -> None:
    listener = heard(tiny(3))
    names = ("Easy", "Expert", "ExpertPlus")
    together = neural.place(listener, {n: part(listener, n, seed=i) for i, n in enumerate(names)}, Draw())
    again = neural.place(listener, {n: part(listener, n, seed=i) for i, n in enumerate(names)}, Draw())
    for i, name in enumerate(names):
        alone = neural.place(listener, {name: part(listener, name, seed=i)}, Draw())[name]
        for field in ("beat", "hand", "state"):
            assert np.array_equal(getattr(together[name], field), getattr(alone, field))
            assert np.array_equal(getattr(together[name], field), getattr(again[name], field))
    other = neural.place(listener, {"Expert": part(listener, "Expert", seed=1)}, Draw(temperature=2.5))["Expert"]
    assert not np.array_equal(other.state, together["Expert"].state)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_cache_changes_nothing(guidance: float) -> None:
    listener = heard(tiny(8, max_seq_len=16), seconds=12.0)
    draw = Draw(guidance=guidance)
    made = [
        neural.place(listener, {n: part(listener, n, seed=4) for n in ("Hard", "Expert")}, draw, cached=cached)
        for cached in (True, False)
    ]
    for name in made[0]:
        assert len(made[0][name].beat) > 16
        assert np.array_equal(made[0][name].state, made[1][name].state)


def test_bars_that_repeat_get_their_notes_again_plain_or_in_a_mirror() -> None:
    listener = heard(tiny(1), seconds=40.0)
    width = listener.sound.bar_slots
    for mirrored in (False, True):
        made = part(listener, source=True, doubles=0.0)
        if mirrored:
            made.rhythm.mirrored[:] = made.rhythm.source >= 0
            there = made.rhythm.mirrored[made.rhythm.slot // width]
            made.rhythm.hands[there] = LEFT + RIGHT - made.rhythm.hands[there]
        placed = neural.place(listener, {"Expert": made}, Draw())["Expert"]
        notes = {
            round(b * SLOTS_PER_BEAT): (h, s)
            for b, h, s in zip(placed.beat.tolist(), placed.hand.tolist(), placed.state.tolist(), strict=True)
        }
        same, count = 0, 0
        for slot, (hand, state) in notes.items():
            source = int(made.rhythm.source[slot // width])
            if source < 0:
                continue
            twin = notes.get(slot - (slot // width - source) * width)
            wanted = None if twin is None else (LEFT + RIGHT - twin[0], int(MIRROR[twin[1]])) if mirrored else twin
            same += (hand, state) == wanted
            count += 1
        assert count > 20
        # Not where the hands come from elsewhere than they did; chance alone would be under 1 %.
        assert same / count > 0.2


def test_guidance_of_one_is_none_and_more_follows_the_style() -> None:
    model = tiny(4)
    listener = heard(model)

    def states(guidance: float, style: float) -> Any:
        made = part(listener)
        made.style[:] = style
        return neural.place(listener, {"Expert": made}, Draw(guidance=guidance))["Expert"].state

    assert np.array_equal(states(1.0, 0.9), states(1.0, 0.9))
    assert not np.array_equal(states(1.0, 0.9), states(4.0, 0.9))


def test_a_beam_search_finds_a_likelier_level_than_its_first_way() -> None:
    listener = heard(tiny(5), seconds=12.0)
    scores = []
    for beams in (2, 6):
        made = part(listener)
        placed = neural.place(listener, {"Expert": made}, Draw(beams=beams, top_p=1.0))["Expert"]
        assert len(placed.beat) + placed.left_out == len(made.rhythm.slot) + int((made.rhythm.hands == BOTH).sum())
        assert not (played(placed, listener.sound.grid.bpm)["wrist_flow"] == 2).any()
        scores.append(made.score)
    assert scores[1] >= scores[0] - 0.05 * abs(scores[0])


@pytest.mark.parametrize("use_rope", [True, False])
def test_joint_decoding_writes_levels_that_can_be_played(use_rope: bool) -> None:
    listener = heard(tiny(6, vocab_size=JOINT, use_rope=use_rope, encoder_stride=12), seconds=16.0)
    names = ("Normal", "ExpertPlus")
    parts = {name: part(listener, name) for name in names}
    written = neural.write(listener, parts, Draw(), first_s=2.0, last_s=14.0)
    for name in names:
        placed = written[name]
        assert len(placed.beat)
        time_s = listener.sound.grid.seconds(placed.beat)
        assert (time_s >= 2.0 - 1e-9).all()
        assert (time_s <= 14.0 + 1e-9).all()
        facts = played(placed, listener.sound.grid.bpm)
        assert not (facts["wrist_flow"] == 2).any()
    with pytest.raises(ConfigError, match="no rhythm of its own"):
        listener.odds("Expert", 0.1)


def test_positions_by_index_work_as_well() -> None:
    listener = heard(tiny(7, position="index"), seconds=12.0)
    assert len(neural.place(listener, {"Hard": part(listener, "Hard")}, Draw())["Hard"].beat)


def test_silence_and_nothing_to_place() -> None:
    model = tiny()
    sound, _ = stages.song(stages.grid(), 10.0)
    listener = Listener.hearing(model, AUDIO, np.zeros(220_500, dtype=np.float32), sound)
    onset, both = listener.odds("Expert", 0.1)
    assert np.isfinite(onset).all()
    assert np.isfinite(both).all()
    assert len(onset) == len(sound.flux)
    made = part(listener)
    empty = rhythm.Rhythm(
        slot=np.zeros(0, dtype=np.int64),
        hands=np.zeros(0, dtype=np.uint8),
        weight=np.zeros(0),
        source=np.full(sound.bars, -1),
        mirrored=np.zeros(sound.bars, dtype=bool),
    )
    made.rhythm = empty
    assert not len(neural.place(listener, {"Expert": made}, Draw())["Expert"].beat)


def test_the_model_hears_the_slots_that_training_stored() -> None:
    """What `process` stores of a song and what `Listener` makes of it are the same numbers."""
    sound, _ = stages.song(stages.grid(bpm=120.0), 20.0)
    rng = np.random.default_rng(2)
    samples = (0.2 * rng.standard_normal(20 * AUDIO.sample_rate_hz)).astype(np.float32)
    spec = AUDIO.canonical()
    clock = _native.TempoMap([0], [120])
    rows = _native.beat_slots(_native.features(samples, spec), clock, spec_json=spec, audio_s=20.0)
    wanted = np.concatenate([rows["mel"], rows["onset"][:, None], rows["bands"]], axis=1)
    seen: list[torch.Tensor] = []
    model = tiny()
    model.encoder.into.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    Listener.hearing(model, AUDIO, samples, sound)
    slots = min(len(wanted), len(sound.flux))
    expected = data.levelled(wanted[:slots].astype(np.float32), AUDIO.n_mels)
    assert np.allclose(seen[0][0, :slots].numpy(), expected, atol=1e-5)


def test_styles_are_those_of_human_levels_of_like_density() -> None:
    # Rows of dots, and of hands that stand still, are not drawn.
    rows = [
        [float(nps), 0.1 * nps % 0.5, 0.01 * (nps % 3), nps / 30, 0.5, 0.6 + nps / 10, 0.4, 0.2] for nps in range(1, 30)
    ]
    dotty = [[*row[:2], 0.6, *row[3:]] for row in rows]
    still = [[*row[:4], 1.0, 0.1, *row[6:]] for row in rows]
    facts = {"styles": {"Expert": rows + dotty + still}}
    for point in np.linspace(0, 1, 13):
        found = neural.style_of(facts, "Expert", 6.2, np.nan, point)
        assert found[2] <= 0.02 and found[4] == 0.5 and found[5] > 0.5
    style = neural.style_of(facts, "Expert", 6.2, np.nan, 0.5)
    assert style[0] == 6.2
    assert abs(style[3] * 30 - 6.2) <= 6.0
    assert style[2:].tolist() in [row[2:] for row in rows]
    for none in ({}, {"styles": {"Expert": dotty + still}}):
        assert np.isnan(neural.style_of(none, "Expert", 6.2, 0.2, 0.5)[2:]).all()
    assert neural.style_of({}, "Expert", 6.2, 0.2, 0.5)[1] == 0.2


def test_dots_do_not_run_away() -> None:
    model = tiny(1)
    with torch.no_grad():
        # Nine of ten places that may be chosen are dots then.
        model.decoder.out.bias.view(2, STATES)[:, np.arange(STATES) % 9 == 8] += 5.0
    listener = heard(model, seconds=60.0)
    placed = neural.place(listener, {"Expert": part(listener)}, Draw())["Expert"]
    dots = placed.state % 9 == 8
    assert len(dots) > 100 and 0.1 < dots.mean() < 0.4


def test_plans_follow_what_the_network_expects() -> None:
    listener = heard(tiny(2), seconds=40.0)
    onsets = rhythm.expected_onsets(listener.sound, "Expert", 4.6, listener.odds)
    assert onsets.shape == (listener.sound.bars,)
    plan = structure.plan(listener.sound, ["Expert"], {"Expert": 4.6}, onsets={"Expert": onsets})
    assert np.isfinite(plan.nps["Expert"]).all()


def test_whether_a_hand_plays_is_drawn_as_learnt_however_little_it_may() -> None:
    """Weights on places must not silence a hand: masked and awkward states give theirs to the others."""
    listener = heard(tiny(vocab_size=JOINT))
    writer = _Writer(part(listener), joint_vocabulary(), listener.sound, 0.0, 20.0)
    low, high = writer.range["LEFT"]
    empty = writer.range["LEFT-EMPTY"][0]
    mask = np.zeros(writer.vocab.size, dtype=bool)
    mask[empty:high] = True
    odds = np.random.default_rng(0).standard_normal(writer.vocab.size) * 2.0
    # The hand has just cut down: most of what it could do next breaks parity or is awkward.
    writer.push(writer.range["BAR"][0], allowed=True)
    for beat in (0.5, 1.0):
        writer.beat = beat
        writer.part.push(0, beat, 1)
    writer.beat = 1.5
    chance, taken = writer.chances(odds, mask, Draw(hand_temperature=1.0))
    own = np.exp(odds[empty:high]) / np.exp(odds[empty:high]).sum()
    assert chance[empty] == pytest.approx(own[0])
    assert chance.sum() == pytest.approx(1.0)
    assert (chance[low:high] > 0).tolist() == writer.states.tolist()
    assert taken == pytest.approx(own[1:][~writer.states].sum() / own[1:].sum())
    assert 0 < taken < 1
    # Whatever is added to all log odds changes nothing.
    again, _ = writer.chances(odds + 50.0, mask, Draw(hand_temperature=0.5, temperature=2.0))
    other, _ = writer.chances(odds, mask, Draw(hand_temperature=0.5, temperature=2.0))
    np.testing.assert_allclose(again, other, atol=1e-12)
