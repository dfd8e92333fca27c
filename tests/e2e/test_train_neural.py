"""Training the transformer: it learns, it goes on where it stopped, several processes are as one, it stops in time."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import corpora
import numpy as np
import pytest
import shelf
import torch

from beatweaver import _native, checkpoint
from beatweaver.config import JOINT, ProcessConfig, TrainConfig
from beatweaver.data import Corpus
from beatweaver.errors import CheckpointError, ConfigError
from beatweaver.losses import loss_terms, total_loss
from beatweaver.model import Loom
from beatweaver.process import process
from beatweaver.train import _Run, _Schedule, train_neural
from beatweaver.validation import generated, look

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
LOSSES = ("rhythm", "both", "density", "notes", "colour")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _tell_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beatweaver.train._REPORT_EVERY", 1)


def learn(
    data: Path,
    out: Path,
    model: Mapping[str, Any] = MappingProxyType({}),
    stop: Callable[[dict[str, Any]], object] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    return train_neural(data, out, shelf.model(**model), shelf.training(**changes), progress=stop)


def told(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[list[float]]:
    return [[line[name] for name in ("step", "loss", *LOSSES)] for line in told(out) if "loss" in line]


def same(one: Any, other: Any, tolerance: float) -> None:
    """Trees of tensors and numbers are the same."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key], tolerance)
    elif isinstance(one, list):
        for left, right in zip(one, other, strict=True):
            same(left, right, tolerance)
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)
    else:
        assert one == (pytest.approx(other, abs=tolerance) if isinstance(one, float) else other)


# ---- learning -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shelf.processed(tmp_path_factory.mktemp("one"), (1, 7))


def test_one_song_can_be_learnt_by_heart(one_song: Path, tmp_path: Path) -> None:
    plain: dict[str, Any] = {
        "mirror": False,
        "spec_augment": False,
        "noise_db": 0.0,
        "pitch_bands": 0,
        "jitter_slots": 0.0,
    }
    size = {"encoder_dim": 32, "decoder_dim": 32, "conv_blocks": 2}
    config = plain | {"batch_size": 1, "max_epochs": 40, "learning_rate": 0.02, "ema_decay": 0.8, "evaluate_every": 20}
    summary = learn(one_song, tmp_path, size, **config)
    first, *_, last = losses(tmp_path)
    # Rows and cuts are drawn, so that they are learnt by heart or not at all.
    assert last[1] < 0.1 * first[1]
    assert summary["steps"] == 40 and summary["best"]["metric"] == "generated"
    model, _, facts = checkpoint.load(Path(summary["weights"]))
    corpus = Corpus(one_song, "train", model.config, shelf.training(**config))
    found = look(model, corpus, shelf.training(**config))
    assert found["f1"] > 0.95
    assert facts["generated"] == pytest.approx(summary["best"]["value"])
    assert generated(model, corpus, shelf.training(**config))["onset_f1"] > 0.95
    assert facts["step"] == summary["best"]["step"]


def test_every_loss_reaches_what_it_is_about(processed: Path) -> None:
    for vocab_size, wanted in ((217, LOSSES), (JOINT, ("notes", "colour"))):
        config = shelf.model(vocab_size=vocab_size)
        corpus = Corpus(processed, "train", config, shelf.training())
        torch.manual_seed(0)
        model = Loom(config, corpus.width)
        # Blocks begin as their input: a step away from that all weights matter.
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        batch = corpus.batch(corpus.heard[:2], corpus.silent[:1], [0], augment=True)
        terms = loss_terms(model, batch, shelf.training())
        assert tuple(terms) == wanted
        for name, (total, count) in terms.items():
            model.zero_grad()
            (total / count).backward(retain_graph=True)  # type: ignore[no-untyped-call]
            moved = {key.split(".")[0] for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
            assert moved == {"encoder", "rhythm" if name in ("rhythm", "both", "density") else "decoder"}, name
        model.zero_grad()
        total_loss(loss_terms(model, batch, shelf.training()), shelf.training()).backward()  # type: ignore[no-untyped-call]
        still = [key for key, parameter in model.named_parameters() if parameter.grad is None]
        assert still == []


def _gradients(data: Path, out: Path, batches: list[list[int]], **changes: Any) -> torch.Tensor:
    """Gradients of one step over batches of these songs."""
    config = shelf.training(gradient_clip_norm=1e9, notes_per_level=16, **changes)
    corpus = Corpus(data, "train", shelf.model(), config)
    torch.manual_seed(0)
    run = _Run(Loom(shelf.model(), corpus.width), corpus, corpus, out, config, torch.device("cpu"), 0, 1, None)
    made = (corpus.batch(songs, [], [0], augment=True) for songs in batches)
    run._learn(made, {"notes": 0, "slots": 0})  # noqa: SLF001 - the one way to hand it batches
    return torch.cat([p.grad.ravel() for p in run.model.parameters() if p.grad is not None])


def test_small_batches_add_up_to_a_large_one(processed: Path, tmp_path: Path) -> None:
    corpus = Corpus(processed, "train", shelf.model(), shelf.training())
    a, b = [song for song in corpus.heard if len(corpus.songs[song].levels) == 2][:2]
    whole = _gradients(processed, tmp_path, [[a, b]])
    parts = _gradients(processed, tmp_path, [[a], [b]], gradient_accumulation_steps=2)
    twice = _gradients(processed, tmp_path, [[a, b], [a, b]], gradient_accumulation_steps=2)
    torch.testing.assert_close(twice, whole, atol=1e-6, rtol=1e-4)
    # Songs are not of one length, so that it is near and not the same.
    other = _gradients(processed, tmp_path, [[a]])
    apart, far = (float((gradient - whole).norm() / whole.norm()) for gradient in (parts, other))
    assert 0 < apart < 0.2 * far


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ({}, {"precision": "bf16"}),
        ({}, {"precision": "fp16"}),
        ({"vocab_size": JOINT, "use_rope": False}, {"official_ratio": 0.4}),
        (
            {"position": "index", "use_onset_features": False},
            {"scheduler": "plateau", "gradient_accumulation_steps": 2},
        ),
    ],
    ids=["bf16", "fp16", "joint", "index"],
)
def test_every_kind_of_training_goes(
    processed: Path, tmp_path: Path, model: dict[str, Any], changes: dict[str, Any]
) -> None:
    summary = learn(processed, tmp_path, model, max_epochs=1, **changes)
    lines = told(tmp_path)
    assert summary["steps"] == 3 // changes.get("gradient_accumulation_steps", 1)
    assert summary["best"]["metric"] == "generated"
    # The first steps in fp16 are left out, until its scale has fallen: their gradients have no norm.
    known = {name: value for line in lines for name, value in line.items() if value is not None or name != "norm"}
    assert all(math.isfinite(value) for value in known.values())
    loaded, _, facts = checkpoint.load(tmp_path / "best.safetensors")
    assert loaded.config == shelf.model(**model)
    assert facts["notes"] == pytest.approx(lines[-1]["val_notes"], abs=1e-4)


def test_what_a_run_leaves(processed: Path, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    summary = learn(processed, tmp_path, stop=lines.append, max_epochs=4, evaluate_every=2, learning_rate=0.01)
    assert told(tmp_path) == lines
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 13))
    assert [line["step"] for line in lines if "val_f1" in line] == list(range(2, 13, 2))
    assert [line["epoch"] for line in lines if "loss" in line][-1] == 4
    names = sorted(file.name for file in tmp_path.iterdir())
    steps = [name for name in names if name.startswith("step-")]
    assert names == sorted(["best.safetensors", "config.json", "log.jsonl", "state.pt", "tensorboard", *steps])
    assert 1 <= len(steps) <= 3
    step, value = summary["best"]["step"], summary["best"]["value"]
    assert steps[-1] == f"step-{step:06d}-generated-{value:.3f}.safetensors"
    assert (tmp_path / steps[-1]).read_bytes() == (tmp_path / "best.safetensors").read_bytes()
    assert any(file.stat().st_size > 100 for file in (tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept["learning_rate"] == 0.01 and kept["encoder_dim"] == 16
    assert summary["weights"] == str(tmp_path / "best.safetensors")


def test_without_generated_levels_slots_and_choices_judge(processed: Path, tmp_path: Path) -> None:
    for name, model in (("f1", {}), ("notes", {"vocab_size": JOINT})):
        summary = learn(processed, tmp_path / name, model, max_epochs=1, generated_levels=0)
        assert summary["best"]["metric"] == name


def test_frozen_parts_stay_as_they_began(processed: Path, tmp_path: Path) -> None:
    first = learn(processed, tmp_path / "first", max_epochs=1)
    start = Path(first["weights"])
    before = checkpoint.load(start)[0].state_dict()
    for frozen in (("encoder", "rhythm"), ("decoder",)):
        out = tmp_path / "-".join(frozen)
        second = train_neural(
            processed,
            out,
            shelf.model(dropout=0.3),
            shelf.training(frozen=frozen, ema_decay=0.0, learning_rate=0.01),
            start=start,
        )
        after = checkpoint.load(Path(second["weights"]))[0].state_dict()
        for part in ("encoder", "rhythm", "decoder"):
            moved = [
                name for name in after if name.startswith(f"{part}.") and not torch.equal(after[name], before[name])
            ]
            assert bool(moved) == (part not in frozen), part
    with pytest.raises(ConfigError, match="all there is to learn"):
        learn(processed, tmp_path / "none", {"vocab_size": JOINT}, frozen=("encoder", "decoder"))


def test_a_run_begins_with_what_fits_of_another(processed: Path, tmp_path: Path) -> None:
    start = Path(learn(processed, tmp_path / "planned", max_epochs=1)["weights"])
    given = checkpoint.load(start)[0].state_dict()

    def begun(out: Path, model: dict[str, Any]) -> tuple[str, dict[str, torch.Tensor]]:
        """What was taken, and the first state."""
        lines: list[dict[str, Any]] = []
        config = shelf.training(max_epochs=1, learning_rate=1e-9, ema_decay=0.0)
        summary = train_neural(processed, out, shelf.model(**model), config, start=start, progress=lines.append)
        return lines[0]["taken"], checkpoint.load(Path(summary["weights"]))[0].state_dict()

    taken, state = begun(tmp_path / "same", {})
    assert taken == "encoder, rhythm, decoder"
    for name, tensor in state.items():
        torch.testing.assert_close(tensor, given[name], atol=1e-6, rtol=1e-5)
    taken, state = begun(tmp_path / "joint", {"vocab_size": JOINT})
    assert taken == "encoder"
    for name in (name for name in state if not name.startswith("decoder.")):
        torch.testing.assert_close(state[name], given[name], atol=1e-6, rtol=1e-5)
    taken, state = begun(tmp_path / "index", {"position": "index"})
    assert taken == "encoder, rhythm"
    # What shapes do not show is held against it as well.
    for name, changes, apart in (
        ("wide", {"encoder_dim": 32}, "encoder_dim 16 for 32"),
        ("heads", {"encoder_heads": 4}, "encoder_heads 2 for 4"),
        ("coarse", {"encoder_stride": 48}, "encoder_stride 12 for 48"),
    ):
        with pytest.raises(CheckpointError, match=rf"hears in another shape \({apart}\)"):
            begun(tmp_path / name, changes)
        assert not (tmp_path / name).exists()
    model, audio, facts = checkpoint.load(start)
    checkpoint.save(model, start, replace(audio, hop=2 * audio.hop), facts)
    with pytest.raises(CheckpointError, match=rf"\(hop {2 * audio.hop} for {audio.hop}\)"):
        begun(tmp_path / "hop", {})


def test_a_corpus_without_audio_teaches_notes(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shelf.fill(raw, (5, 6, 7))
    for pack in raw.iterdir():
        pack.rename(raw / f"silent-{pack.name}")
    manifest = [{"file": f"raw/silent-map{seed}.zip", "split": "val" if seed == 7 else "train"} for seed in (5, 6, 7)]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    process(raw, tmp_path / "data", ProcessConfig(threads=1), audio=None)
    summary = learn(tmp_path / "data", tmp_path / "run", max_epochs=2)
    assert (summary["steps"], summary["best"]["metric"]) == (2, "notes")


# ---- going on -------------------------------------------------------------------------------------------------------


def test_a_run_that_was_interrupted_goes_on_exactly(processed: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 3, "save_every": 2, "evaluate_every": 3}
    model = {"dropout": 0.3}

    def interrupt(line: dict[str, Any]) -> None:
        if line["step"] == 5:
            raise KeyboardInterrupt

    straight, broken = tmp_path / "straight", tmp_path / "broken"
    learn(processed, straight, model, **settings)
    with pytest.raises(KeyboardInterrupt):
        learn(processed, broken, model, interrupt, **settings)
    assert checkpoint.load_state(broken / "state.pt")["step"] == 4
    # Interrupted while a line was written.
    with (broken / "log.jsonl").open("a") as log:
        log.write('{"step": 6, "lo')
    torch.manual_seed(12345)
    summary = learn(processed, broken, model, **settings)
    assert summary["steps"] == 9
    assert [row[0] for row in losses(broken)] == list(range(1, 10))
    np.testing.assert_allclose(losses(broken), losses(straight), atol=1e-6)
    one, other = (checkpoint.load_state(out / "state.pt") for out in (straight, broken))
    assert one.pop("elapsed_s") > 0 < other.pop("elapsed_s")
    same(other, one, 1e-6)
    # A run that is over is over: nothing is learnt, and the same is said.
    before = (broken / "state.pt").read_bytes()
    again = learn(processed, broken, model, **settings)
    assert {**again, "seconds": 0} == {**summary, "seconds": 0}
    assert (broken / "state.pt").read_bytes() == before


def test_a_state_of_other_settings_is_refused(processed: Path, one_song: Path, tmp_path: Path) -> None:
    learn(processed, tmp_path, max_epochs=1)
    kept = (tmp_path / "state.pt").read_bytes()
    others: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"learning_rate": 0.5}),
        ({"dropout": 0.5}, {}),
        ({"decoder_layers": 2}, {}),
    ]
    refused = "a run of other settings, data or processes is here; name another --out, or remove it"
    for model, changes in others:
        with pytest.raises(ConfigError, match=refused):
            learn(processed, tmp_path, model, max_epochs=1, **changes)
    with pytest.raises(ConfigError, match=refused):
        learn(one_song, tmp_path, max_epochs=1)
    config, filters = shelf.training(max_epochs=1), ProcessConfig(min_difficulty="Normal")
    with pytest.raises(ConfigError, match=refused):
        train_neural(processed, tmp_path, shelf.model(), config, filters=filters)
    # How long, where and how often is free.
    assert learn(processed, tmp_path, max_epochs=2, save_every=7)["steps"] == 6
    state = checkpoint.load_state(tmp_path / "state.pt")
    del state["model"]["decoder.out.bias"]
    checkpoint.save_state(tmp_path / "state.pt", state)
    with pytest.raises(CheckpointError, match=r"not a state of this run: .*; remove it to begin anew"):
        learn(processed, tmp_path)
    (tmp_path / "state.pt").write_bytes(kept[:1000])
    with pytest.raises(CheckpointError, match="remove it to begin anew"):
        learn(processed, tmp_path)


CODE = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from beatweaver import train
from beatweaver.config import ModelConfig, TrainConfig
train._REPORT_EVERY = 1
data, out, model, config = sys.argv[1:]
said = train.train_neural(Path(data), Path(out), ModelConfig(**json.loads(model)), TrainConfig(**json.loads(config)))
print(json.dumps(said))
"""


def _two_processes(command: list[str]) -> list[str]:
    """What each of two processes printed that were started as `torchrun` starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    where = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            command,
            env=os.environ | where | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [process.communicate(timeout=110) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return [out for out, _ in said]


@pytest.mark.slow
def test_of_two_processes_the_first_one_speaks(processed: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(shelf.MODEL | shelf.TRAIN | {"max_epochs": 1}))
    command = [sys.executable, "-m", "beatweaver", "train", str(processed), "--config", str(tmp_path / "tiny.json")]
    first, second = _two_processes([*command, "--out", str(tmp_path / "run"), "--json"])
    summary = json.loads(first.splitlines()[-1])
    assert summary["best"]["metric"] == "generated"
    assert second == ""
    assert checkpoint.load(Path(summary["weights"]))[2]["step"] == summary["best"]["step"]


@pytest.mark.slow
def test_two_processes_are_as_one(processed: Path, tmp_path: Path) -> None:
    # Notes are drawn, so that the last bits of a sum can change a level: it is not looked at here.
    settings: dict[str, Any] = {"max_epochs": 2, "scheduler": "plateau", "evaluate_every": 2, "silent_levels": 2}
    settings["generated_levels"] = 0
    alone = learn(processed, tmp_path / "alone", batch_size=2, **settings)
    both = json.dumps(shelf.TRAIN | settings | {"batch_size": 1})
    command = [sys.executable, "-c", CODE, str(processed), str(tmp_path / "both"), json.dumps(shelf.MODEL), both]
    summaries = [json.loads(out.splitlines()[-1]) for out in _two_processes(command)]
    for summary in summaries:
        assert summary["steps"] == alone["steps"] == 6
        assert summary["best"]["metric"] == alone["best"]["metric"]
        assert summary["best"]["step"] == alone["best"]["step"]
        assert summary["best"]["value"] == pytest.approx(alone["best"]["value"], abs=1e-4)
    np.testing.assert_allclose(losses(tmp_path / "both"), losses(tmp_path / "alone"), atol=2e-4, rtol=2e-4)
    one, other = (checkpoint.load_state(tmp_path / name / "state.pt")["model"] for name in ("alone", "both"))
    same(other, one, 2e-4)


# ---- stopping -------------------------------------------------------------------------------------------------------


def test_training_stops_in_time(processed: Path, tmp_path: Path) -> None:
    summary = learn(processed, tmp_path, max_epochs=100_000, minutes=1e-4)
    assert summary["steps"] == 1
    assert checkpoint.load_state(tmp_path / "state.pt")["step"] == 1
    assert checkpoint.load(tmp_path / "best.safetensors")[2]["step"] == 1


def test_training_stops_when_nothing_gets_better(processed: Path, tmp_path: Path) -> None:
    # A rate at which nothing is learnt: the first look stays the best.
    changes: dict[str, Any] = {"learning_rate": 1e-9, "weight_decay": 0.0, "ema_decay": 0.0}
    summary = learn(processed, tmp_path, max_epochs=50, evaluate_every=1, early_stopping_patience=2, **changes)
    assert (summary["best"]["step"], summary["steps"]) == (1, 3)
    assert checkpoint.load_state(tmp_path / "state.pt")["step"] == 3
    assert learn(
        processed, tmp_path, max_epochs=50, evaluate_every=1, early_stopping_patience=2, **changes
    )["steps"] == 3  # fmt: skip


def test_a_loss_that_is_no_number_ends_the_run_and_spoils_nothing(processed: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(processed, data)
    settings: dict[str, Any] = {"max_epochs": 2, "save_every": 2}
    learn(data, out, max_epochs=1, save_every=2)
    kept = (out / "state.pt").read_bytes()
    store = _native.Store(data / "slots")
    for file in (data / "slots").rglob("*.safetensors"):
        arrays: dict[str, Any] = {name: np.array(part) for name, part in (store.get(file.stem) or {}).items()}
        meta = store.meta(file.stem) or {}
        arrays["onset"][5:] = np.nan
        file.unlink()
        store.put(file.stem, arrays, meta=meta)
    with pytest.raises(ConfigError, match=r"the loss of step 4 is nan .*; the last good state is in .*state\.pt;"):
        learn(data, out, **settings)
    assert (out / "state.pt").read_bytes() == kept
    state = checkpoint.load_state(out / "state.pt")
    assert state["step"] == 3 and all(torch.isfinite(t).all() for t in state["model"].values())
    with pytest.raises(ConfigError, match="no state was written yet"):
        learn(data, tmp_path / "other", **settings)
    # With the songs mended it goes on.
    assert learn(processed, out, **settings)["steps"] == 6


def _short(folder: Path, split: str, sounds: bool) -> Path:
    """Maps whose notes begin after their song has ended, to learn from or to validate with, and others that sound."""
    manifest = []
    for seed in range(4):
        made, onsets = shelf.level(seed, "ExpertPlus", 44)
        mute = seed % 2 == 0
        beats = onsets if not mute else []
        audio = corpora.clicks(seed, [beat / 2 for beat in beats], 1.5 if mute else 22.0)
        corpora.save(folder / "raw" / f"map{seed}.zip", seed, levels=[made], audio=audio)
        used = split if mute else {"train": "val", "val": "train"}[split]
        manifest.append({"file": f"raw/map{seed}.zip", "split": used if mute or sounds else "test"})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    process(folder / "raw", folder / "data", ProcessConfig(threads=1))
    return folder / "data"


def test_songs_that_teach_nothing_are_stepped_over(tmp_path: Path) -> None:
    data = _short(tmp_path, "train", sounds=True)
    corpus = Corpus(data, "train", shelf.model(), shelf.training())
    batch = corpus.batch(corpus.heard, [], [0], augment=False)
    assert len(corpus.heard) == 2 and batch.heard is None and not len(batch.rhythm_song)
    summary = learn(data, tmp_path / "run", batch_size=1, silent_levels=0, max_epochs=2)
    assert summary["steps"] == 4
    assert {line["loss"] for line in told(tmp_path / "run") if "loss" in line} == {0.0}


def test_songs_that_tell_nothing_are_none_to_validate_with(tmp_path: Path) -> None:
    data = _short(tmp_path, "val", sounds=True)
    with pytest.raises(ConfigError, match="validation split: found no level with notes where its song sounds"):
        learn(data, tmp_path / "run", silent_levels=0)


def test_gradients_that_never_are_numbers_end_a_run_in_fp16(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beatweaver.train._SKIPPED", 3)
    clip = torch.nn.utils.clip_grad_norm_

    def spoilt(parameters: Any, norm: float) -> torch.Tensor:
        return clip(parameters, norm) * math.inf

    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", spoilt)
    with pytest.raises(ConfigError, match=r"the gradients of the last 3 steps were no numbers; .* use precision=fp32"):
        learn(processed, tmp_path, precision="fp16", max_epochs=10)
    # JSON knows no infinity.
    assert [line["norm"] for line in told(tmp_path)] == [None] * 2


def test_a_loss_that_explodes_ends_the_run(processed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the loss has exploded to .* at step \d+, from .*; lower learning_rate"):
        learn(processed, tmp_path, max_epochs=40, learning_rate=10.0, gradient_clip_norm=1e6, warmup_steps=10)


def test_what_cannot_be_trained_is_said_before_anything_is_done(processed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found no index\.parquet"):
        learn(tmp_path, tmp_path / "run")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device: found no CUDA device"):
            learn(processed, tmp_path / "run", device="cuda")
    with pytest.raises(ConfigError, match="found no level of split 'train'"):
        train_neural(processed, tmp_path / "run", shelf.model(), shelf.training(), filters=ProcessConfig(min_bpm=200.0))
    assert not (tmp_path / "run").exists()


# ---- schedules ------------------------------------------------------------------------------------------------------


def rates(scheduler: str, **changes: Any) -> list[float]:
    config = TrainConfig(scheduler=scheduler, learning_rate=1.0, warmup_steps=10, **changes)
    schedule = _Schedule(config, 100)
    return [schedule.rate(step, 0.0) for step in range(101)]


@pytest.mark.parametrize("scheduler", ["cosine", "plateau", "step", "restarts", "constant"])
def test_rates_rise_and_stay_in_bounds(scheduler: str) -> None:
    found = rates(scheduler)
    assert all(after > before for before, after in pairwise(found[:10]))
    assert found[0] == pytest.approx(0.1, rel=0.01)
    assert all(0 < rate <= 1 for rate in found)


def test_shapes_of_the_schedules() -> None:
    cosine, constant, restarts, steps = (np.array(rates(name)) for name in ("cosine", "constant", "restarts", "step"))
    assert (np.diff(cosine[10:]) < 0).all()
    assert cosine[50] == pytest.approx(0.51) and cosine[100] == pytest.approx(0.02)
    assert (constant[10:] == 1).all()
    assert np.flatnonzero(np.diff(restarts[10:]) > 0).tolist() == [33 - 10, 66 - 10, 99 - 10]
    assert np.unique(np.round(steps[10:], 9)).tolist() == pytest.approx([0.3**4, 0.3**3, 0.3**2, 0.3, 1.0])
    assert (np.diff(steps[10:]) <= 0).all()
    plateau = _Schedule(TrainConfig(scheduler="plateau", learning_rate=1.0, warmup_steps=0), 100)
    plateau.factor = 0.25
    assert plateau.rate(50, 0.0) == 0.25


def test_a_time_budget_fits_the_schedule_to_itself() -> None:
    schedule = _Schedule(TrainConfig(learning_rate=1.0, warmup_steps=0, minutes=2.0), 1000)
    assert schedule.rate(5, 60.0) == pytest.approx(0.51)
    assert schedule.rate(5, 120.0) == schedule.rate(5, 500.0) == pytest.approx(0.02)
    # Whichever is nearer to its end counts.
    assert schedule.rate(1000, 0.0) == pytest.approx(0.02)
    free = _Schedule(replace(schedule.config, minutes=0.0), 1000)
    assert free.rate(5, 1e9) > 0.99
