"""The transformer's parts, each held against what it is meant to be; weights are drawn, so that no part is idle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shelf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from beatweaver.config import JOINT, AudioConfig, ModelConfig, build, load
from beatweaver.data import feature_width
from beatweaver.model import (
    BEGIN,
    BUCKETS,
    CHOICES,
    CONDITIONS,
    STATISTICS,
    Attention,
    Heard,
    Loom,
    NoteSteps,
    rope,
    statistic_buckets,
    turn,
)
from beatweaver.tokens import STATES

FEATURES = 7
LEVELS = 3
few = settings(max_examples=8)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


def woken(config: ModelConfig, seed: int = 0) -> Loom:
    """A model whose every weight is drawn: blocks begin as their input, in which no mistake would show."""
    torch.manual_seed(seed)
    model = Loom(config, FEATURES).eval()
    for parameter in model.parameters():
        parameter.normal_(std=0.5 if parameter.ndim < 2 else parameter.shape[-1] ** -0.5)
    return model


def songs(lengths: list[int], slots: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Audio, lengths and like blocks of songs whose own blocks are the like ones."""
    torch.manual_seed(seed)
    alike = torch.stack([torch.randint(-(-length // 48), (slots // 48, 3)) for length in lengths])
    return torch.randn(len(lengths), slots, FEATURES), torch.tensor(lengths), alike


def steps(count: int, levels: int = LEVELS, seed: int = 2) -> NoteSteps:
    torch.manual_seed(seed)
    slot = torch.randint(0, 3, (levels, count)).cumsum(dim=1)
    return NoteSteps(
        last=torch.randint(0, BEGIN + 1, (levels, count)),
        hands=torch.randint(0, STATES + 1, (levels, count, 4)),
        gaps=torch.randn(levels, count, 6),
        kind=torch.randint(0, 3, (levels, count)),
        slot=slot,
        beat=slot / 12,
    )


def listened(model: Loom, levels: int = LEVELS, slots: int = 192) -> Heard:
    return model.hear(*songs([slots] * levels, slots))


def embedded(model: Loom, given: NoteSteps, heard: Heard) -> Tensor:
    levels = len(given.last)
    torch.manual_seed(3)
    style = model.decoder.style(torch.randn(levels, CONDITIONS), torch.randint(0, BUCKETS + 1, (levels, 8)))
    if model.config.planned:
        return model.decoder.embed(given, heard, style)
    return model.decoder.embed_tokens(given.last, given.slot, heard, style)


def close(one: Tensor, other: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


# ---- positions ------------------------------------------------------------------------------------------------------

positions = st.lists(st.floats(0, 300), min_size=2, max_size=8)


@given(positions, st.floats(-200, 200))
def test_scores_depend_on_how_far_apart_steps_are_and_nothing_else(at: list[float], moved: float) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 3, len(at), 16, dtype=torch.float64)
    place = torch.tensor([at], dtype=torch.float64)

    def scores(position: Tensor) -> Tensor:
        angles = turn(position, 16)
        return rope(query, angles) @ rope(key, angles).transpose(-1, -2)

    close(scores(place), scores(place + moved), 1e-6)
    # And they do depend on that.
    assert not torch.allclose(scores(place), scores(2.0 * place + torch.arange(len(at))))


@given(positions)
def test_turning_keeps_lengths(at: list[float]) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, len(at), 16)
    turned = rope(x, turn(torch.tensor([at]), 16))
    close(turned.norm(dim=-1), x.norm(dim=-1), 1e-5)
    close(rope(x, turn(torch.zeros(1, len(at)), 16)), x, 0)
    assert rope(x, None) is x


def test_shared_keys_are_full_heads_with_copied_keys() -> None:
    torch.manual_seed(0)
    shared, full = (Attention(32, 8, heads, source=24, dropout=0.0) for heads in (2, 8))
    full.query, full.out = shared.query, shared.out
    torch.nn.init.normal_(shared.out.weight)
    width = shared.width
    weight = shared.key_value.weight.view(2, 2, width, 24).repeat_interleave(4, dim=1)
    full.key_value.weight.copy_(weight.reshape(2 * 32, 24))
    x, source = torch.randn(3, 5, 32), torch.randn(3, 9, 24)
    here, there = turn(torch.rand(3, 5) * 9, width), turn(torch.rand(3, 9) * 9, width)
    mask = torch.rand(3, 1, 5, 9) < 0.7
    mask[..., 0] = True
    close(
        shared(x, here, *shared.keys(source, there), mask),
        full(x, here, *full.keys(source, there), mask),
        1e-5,
    )


# ---- the decoder ----------------------------------------------------------------------------------------------------

VARIANTS = [{}, {"use_rope": False}, {"vocab_size": JOINT}, {"kv_groups": 1, "decoder_layers": 3}]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_what_comes_later_changes_nothing_before(changes: dict[str, Any]) -> None:
    model = woken(shelf.model(**changes))
    heard, given = listened(model), steps(24)
    logits = model.decoder(embedded(model, given, heard), given.beat, heard)
    assert logits.shape == (LEVELS, 24, CHOICES if model.config.planned else JOINT)
    for at in (0, 7, 23):
        other = steps(24, seed=9)
        mixed = NoteSteps(
            **{
                name: torch.cat([getattr(given, name)[:, :at], getattr(other, name)[:, at:]], dim=1)
                for name in NoteSteps.__dataclass_fields__
            }
        )
        changed = model.decoder(embedded(model, mixed, heard), mixed.beat, heard)
        close(changed[:, :at], logits[:, :at], 1e-5)
        assert not torch.allclose(changed[:, at], logits[:, at])


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@few
@given(data=st.data())
def test_step_by_step_is_the_same_as_all_at_once(changes: dict[str, Any], data: st.DataObject) -> None:
    # A window of 16 steps in 50: the caches move on several times.
    model = woken(shelf.model(**{"decoder_layers": 2, "max_seq_len": 16} | changes))
    heard, given = listened(model), steps(50)
    decoder = model.decoder
    x = embedded(model, given, heard)
    wanted = decoder(x, given.beat, heard)
    sounds, caches = decoder.listen(heard), decoder.caches(LEVELS, x)
    at, parts = 0, []
    while at < 50:
        end = min(at + data.draw(st.integers(1, 21)), 50)
        now = slice(at, end)
        parts.append(decoder(x[:, now], given.beat[:, now], heard, sounds=sounds, caches=caches))
        at = end
        assert caches[0].length == min(at, 15)
    close(torch.cat(parts, dim=1), wanted)


def test_a_window_ends() -> None:
    model = woken(shelf.model(max_seq_len=16))
    heard, given = listened(model), steps(40)
    x = embedded(model, given, heard)
    logits = model.decoder(x, given.beat, heard)
    x[:, 10] += 1.0
    moved = (model.decoder(x, given.beat, heard) - logits).abs().amax(dim=(0, 2)) > 1e-5
    assert moved.nonzero().ravel().tolist() == list(range(10, 26))


@few
@given(st.lists(st.integers(0, LEVELS - 1), min_size=1, max_size=5), st.integers(1, 30))
def test_a_batch_chosen_anew_goes_on_as_if_it_had_always_been(rows: list[int], first: int) -> None:
    model = woken(shelf.model(decoder_layers=2, max_seq_len=16))
    heard, given = listened(model), steps(36)
    x = embedded(model, given, heard)
    caches = model.decoder.caches(LEVELS, x)
    model.decoder(x[:, :first], given.beat[:, :first], heard, caches=caches)
    chosen = torch.tensor(rows)
    for cache in caches:
        cache.choose(chosen)
    of = heard.of(chosen)
    whole = model.decoder(x[chosen], given.beat[chosen], of)
    rest = model.decoder(x[chosen, first:], given.beat[chosen, first:], of, caches=caches)
    close(rest, whole[:, first:])


# ---- padding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [12, 48])
@few
@given(length=st.integers(1, 192), behind=st.sampled_from([0.0, 1.0, 1e4]), more=st.sampled_from([0, 48, 192]))
def test_nothing_behind_the_end_of_a_song_is_heard(stride: int, length: int, behind: float, more: int) -> None:
    model = woken(shelf.model(conv_blocks=4, encoder_stride=stride, encoder_layers=2))
    slots = -(-length // 48) * 48
    alone = songs([length], slots)
    audio, _, alike = songs([slots + more, length], slots + more, seed=5)
    audio[1] *= behind
    audio[1, :length] = alone[0][0, :length]
    alike[1, : slots // 48] = alone[2][0]
    one, both = model.hear(*alone), model.hear(audio, torch.tensor([slots + more, length]), alike)
    beats = -(-length // 12)
    close(both.slots[1, :length], one.slots[0, :length])
    close(both.beats[1, :beats], one.beats[0, :beats])
    assert both.beat_mask[1].sum() == one.beat_mask[0].sum() == beats
    assert both.slot_mask[1].sum() == one.slot_mask[0].sum() == length
    # The rhythm's own convolutions reach over slots as well.
    assert model.rhythm is not None
    condition = torch.randn(1, CONDITIONS)
    here, there = one.of(torch.tensor([0])), both.of(torch.tensor([1]))
    for odds, others in zip(
        model.rhythm(here.slots, condition, here.slot_mask),
        model.rhythm(there.slots, condition, there.slot_mask),
        strict=True,
    ):
        close(others[:, :length], odds[:, :length])
    # Notes before, in and far behind the song.
    given = steps(40, levels=1)
    given.slot[:] = given.slot * 12 - 24
    given.beat = given.slot / 12
    close(
        model.decoder(embedded(model, given, there), given.beat, there),
        model.decoder(embedded(model, given, here), given.beat, here),
    )


def test_nothing_behind_the_end_of_a_level_is_seen() -> None:
    model = woken(shelf.model())
    heard, given = listened(model, 2), steps(20, levels=2)
    wanted = model.decoder(embedded(model, given, heard), given.beat, heard)
    longer = steps(33, levels=2, seed=8)
    for name in NoteSteps.__dataclass_fields__:
        getattr(longer, name)[:, :20] = getattr(given, name)
    close(model.decoder(embedded(model, longer, heard), longer.beat, heard)[:, :20], wanted)


def test_a_level_hears_its_own_song() -> None:
    model = woken(shelf.model())
    heard = model.hear(*songs([192, 96], 192))
    mixed = heard.of(torch.tensor([1, 0, 1]))
    close(mixed.slots[0], heard.slots[1], 0)
    close(mixed.slots[1], heard.slots[0], 0)
    assert mixed.beat_mask.sum(dim=1).tolist() == [8, 16, 8]


# ---- anything may come ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_without_audio_all_is_finite(changes: dict[str, Any]) -> None:
    for model in (woken(shelf.model(**changes)), Loom(shelf.model(**changes), FEATURES).eval()):
        heard, given = model.encoder.nothing(LEVELS), steps(30)
        given.beat += 100.0
        assert torch.isfinite(model.decoder(embedded(model, given, heard), given.beat, heard)).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -80.0, 65504.0, 1e12, -1e12])
def test_hostile_features_give_finite_odds(value: float) -> None:
    model = woken(shelf.model(conv_blocks=3))
    audio, length, alike = songs([96, 48], 96)
    heard = model.hear(torch.full_like(audio, value), length, alike)
    assert model.rhythm is not None
    given = steps(12, levels=2)
    for odds in (
        *model.rhythm(heard.slots, torch.randn(2, CONDITIONS), heard.slot_mask),
        model.decoder(embedded(model, given, heard), given.beat, heard),
    ):
        assert torch.isfinite(odds).all()


def test_statistics_fall_between_their_edges() -> None:
    edges = torch.arange(BUCKETS - 1).float().expand(len(STATISTICS), -1)
    values = torch.full((4, len(STATISTICS)), torch.nan)
    values[0], values[1], values[2] = -1.0, 2.5, 1e9
    assert statistic_buckets(values, edges)[:, 0].tolist() == [0, 3, BUCKETS - 1, BUCKETS]


@pytest.mark.parametrize(("name", "millions"), [("tiny", 0.074), ("default", 1.99), ("small", 1.33), ("medium", 8.53)])
def test_models_are_as_large_as_they_are_said_to_be(root: Path, name: str, millions: float) -> None:
    settings = load(root / "configs" / f"{name}.json")
    config = build(ModelConfig, settings)
    with torch.device("meta"):
        model = Loom(config, feature_width(config, build(AudioConfig, settings)))
    assert model.parameter_count() / 1e6 == pytest.approx(millions, rel=0.1)


def test_joint_decoding_has_no_rhythm_of_its_own() -> None:
    assert Loom(shelf.model(vocab_size=JOINT), FEATURES).rhythm is None
    assert Loom(shelf.model(), FEATURES).rhythm is not None
