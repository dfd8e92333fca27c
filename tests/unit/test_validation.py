"""Levels that a model makes of validation songs, and how they are judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shelf
import torch
from scipy.spatial.distance import jensenshannon

from beatweaver.config import JOINT
from beatweaver.data import Corpus
from beatweaver.measures import DIVERGENCES, histograms
from beatweaver.model import Loom
from beatweaver.validation import generated, judged, try_level


def some(processed: Path, split: str = "train", **changes: Any) -> tuple[Loom, Corpus]:
    config = shelf.model(**changes)
    corpus = Corpus(processed, split, config, shelf.training())
    torch.manual_seed(0)
    model = Loom(config, corpus.width)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, corpus


@pytest.mark.parametrize("vocab_size", [217, JOINT])
def test_looking_changes_nothing_and_says_the_same_again(processed: Path, vocab_size: int) -> None:
    model, corpus = some(processed, vocab_size=vocab_size)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    first = generated(model, corpus, shelf.training())
    assert first == generated(model, corpus, shelf.training())
    assert first != generated(model, corpus, shelf.training(training_seed=5))
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert set(first) == {"onset_f1", "divergence", "refused", "generated"}
    assert first["generated"] == pytest.approx(first["onset_f1"] - first["divergence"] - first["refused"])
    assert 0 <= first["onset_f1"] <= 1 and 0 < first["divergence"] <= 1 and 0 <= first["refused"] <= 1


def test_without_levels_nothing_is_said(processed: Path) -> None:
    model, corpus = some(processed)
    assert generated(model, corpus, shelf.training(generated_levels=0)) == {}
    corpus.heard = []
    assert generated(model, corpus, shelf.training()) == {}


def test_the_people_themselves_are_like_people(processed: Path) -> None:
    model, corpus = some(processed)
    trials = []
    for song in corpus.heard[:3]:
        trial = try_level(model, corpus, song, corpus.songs[song].levels[0], np.random.default_rng(0))
        assert trial is not None
        trials.append(replace(trial, made=trial.human, found_s=trial.wanted_s, refused=0))
    assert judged(trials) == {"onset_f1": 1.0, "divergence": 0.0, "refused": 0.0, "generated": 1.0}
    # Who makes nothing is worst.
    none = (np.zeros(0, dtype=np.int64),) * 3
    silent = [replace(trial, made=none, found_s=np.zeros(0)) for trial in trials]
    assert judged(silent) == {"onset_f1": 0.0, "divergence": 1.0, "refused": 0.0, "generated": -1.0}


def test_divergence_is_that_of_all_levels_together(processed: Path) -> None:
    model, corpus = some(processed)
    config = shelf.training(generated_levels=3)
    trials = []
    for song in corpus.heard[:3]:
        levels = corpus.songs[song].levels
        ranks = ("Easy", "Normal", "Hard", "Expert", "ExpertPlus")
        level = max(levels, key=lambda one: (one.rhythm, ranks.index(one.difficulty), one.name))
        trial = try_level(model, corpus, song, level, np.random.default_rng([config.training_seed, song]))
        assert trial is not None
        np.testing.assert_array_equal(trial.human[0], level.slot)
        assert len(trial.found_s) <= len(np.unique(level.slot))
        assert (np.diff(trial.found_s) > 0).all()
        trials.append(trial)
    apart = []
    for name in DIVERGENCES:
        made = sum(histograms(*trial.made)[name] for trial in trials)
        human = sum(histograms(*trial.human)[name] for trial in trials)
        apart.append(jensenshannon(made, human, base=2) ** 2)
    found = generated(model, corpus, config)
    assert found["divergence"] == pytest.approx(np.mean(apart))
    total = sum(len(trial.made[0]) for trial in trials)
    assert found["refused"] == pytest.approx(sum(trial.refused for trial in trials) / total)
