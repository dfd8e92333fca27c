"""Learning from processed maps: the classic engine's pattern table, and the transformer.

What a run of the transformer leaves in OUT:

    state.pt                          all that an exact resume needs
    step-000400-generated-0.652.safetensors  averaged weights of the last looks that were the best so far
    best.safetensors                  the best of them
    log.jsonl                         a line for each report
    tensorboard/                      the same for TensorBoard, where that is installed
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, distributed

from beatweaver import checkpoint, notes
from beatweaver.config import AudioConfig, ModelConfig, ProcessConfig, TrainConfig, build
from beatweaver.data import FILTERS, Batch, Corpus, Loader, index_of, level_notes
from beatweaver.errors import CheckpointError, ConfigError
from beatweaver.files import write_atomic
from beatweaver.losses import Terms, loss_terms, loss_weights, total_loss
from beatweaver.model import BUCKETS, Loom
from beatweaver.validation import SCORES, generated, look

__all__ = ["train", "train_neural"]


def train(
    data: Path,
    out: Path,
    settings: Mapping[str, object] | None = None,
    *,
    engine: str = "neural",
    start: Path | None = None,
    progress: Callable[[dict[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """Train on the training split of `data`, a folder made by `process`, into the folder `out`.

    Args:
        data: the folder of `process`.
        out: folder of the run.
        settings: flat settings as `config.load` gives them.
        engine: neural (the transformer) or classic (the pattern table).
        start: a checkpoint whose weights the transformer begins with.
        progress: called with each line of the log.

    Returns:
        The last line that `beatweaver train --json` prints.

    Raises:
        ConfigError: another engine, settings out of range; or `data` was not made by `process`, or holds no level to
            learn from; and what `train_neural` raises.
        OSError: the file system refused.
    """
    settings = settings or {}
    if engine == "classic":
        return _train_classic(data, out)
    if engine != "neural":
        raise ConfigError(
            f"engine: found {engine!r}, expected neural or classic",
            where="engine",
            found=engine,
            expected="neural or classic",
        )
    filters = build(ProcessConfig, settings)
    model, config = build(ModelConfig, settings), build(TrainConfig, settings)
    return train_neural(data, out, model, config, filters=filters, start=start, progress=progress)


def _train_classic(data: Path, out: Path) -> dict[str, Any]:
    """Fit the pattern table on vanilla levels that no filter leaves out: `OUT/patterns.safetensors`."""
    began = time.monotonic()
    rows = [
        row
        for row in index_of(data)[0]
        if row["split"] == "train" and row["category"] == "vanilla" and not row["filter"] and row["row"] >= 0
    ]
    table = notes.fit((row["difficulty"], played.notes()) for row, played, *_ in level_notes(data, rows, joint=False))
    if not len(table.keys):
        raise ConfigError(f"{data}: found no level to learn from, expected vanilla levels of the training split")
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "patterns.safetensors"
    card = {"levels": len(rows), "songs": len({row["song"] for row in rows}), "split": "train"}
    table.save(weights, card)
    return {
        "run": str(out),
        "steps": 1,
        "seconds": round(time.monotonic() - began, 3),
        "best": {"metric": "notes", "value": float(table.pair.sum()), "step": 1},
        "weights": str(weights),
    }


# ---- the transformer ------------------------------------------------------------------------------------------------

_REPORT_EVERY: Final = 20
"""Steps from one line of progress to the next."""
_KEPT: Final = 3
"""Named checkpoints that stay beside the best one."""
_SKIPPED: Final = 40
"""Steps in a row without finite gradients, which halve the scale of fp16 from 65,536 to nothing, and more."""
_WORSE: Final = 3.0
"""A loss this many times the usual one, twenty steps in a row, is an explosion."""


class _Average:
    """Exponential moving average of the weights: what is looked at and kept."""

    def __init__(self, model: Loom, decay: float) -> None:
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: Loom, step: int) -> None:
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        for name, tensor in model.state_dict().items():
            own = self.weights[name]
            if own.is_floating_point():
                own.lerp_(tensor, 1.0 - decay)
            else:
                own.copy_(tensor)


class _Schedule:
    """The learning rate of each step; a time budget counts where there is one, so that it ends low in time."""

    def __init__(self, config: TrainConfig, steps: int) -> None:
        self.config, self.steps = config, steps
        self.factor = 1.0
        """What plateaus have left of the rate."""

    def rate(self, step: int, elapsed_s: float) -> float:
        config = self.config
        warm = min((step + 1) / max(config.warmup_steps, 1), 1.0)
        done = step / max(self.steps, 1)
        if config.minutes:
            done = max(done, elapsed_s / (60.0 * config.minutes))
        done = min(done, 1.0)
        shape = {
            "cosine": 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * done)),
            "step": 0.3 ** int(done * 4),
            "restarts": 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * (done * 3 % 1.0))),
            "plateau": self.factor,
            "constant": 1.0,
        }[config.scheduler]
        return config.learning_rate * warm * shape


def _fields(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def train_neural(
    data: Path,
    out: Path,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    filters: ProcessConfig | None = None,
    start: Path | None = None,
    progress: Callable[[dict[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """Train the transformer on the levels of `data`, going on where an earlier run in `out` stopped.

    Under `torchrun` each process takes its share of every batch; their gradients are added, and the first one writes.

    Args:
        data: a folder made by `process`.
        out: folder of the run.
        model_config: what is trained.
        config: how.
        filters: easiest difficulty, characteristics and tempi that are learnt.
        start: a checkpoint of the same shape whose weights are the first ones.
        progress: called with each line of the log.

    Returns:
        The last line that `beatweaver train --json` prints.

    Raises:
        ConfigError: `data` was not made by `process` or holds nothing to learn or to validate with; a run of other
            settings is in `out`; the loss exploded or is none (the last good state is kept).
        CheckpointError: the state in `out` is damaged.
        OSError: the file system refused.
    """
    began = time.monotonic()
    device = _device(config)
    with _joined(device) as (rank, world):
        torch.manual_seed(config.training_seed)
        learnt = Corpus(data, "train", model_config, config, filters)
        # Whatever is learnt from, all that people make is what it is held against.
        held = Corpus(data, "val", model_config, replace(config, parity_breaks_max=1.0), filters)
        model = Loom(model_config, learnt.width)
        mean, scale = learnt.scales()
        model.feature_mean.copy_(torch.from_numpy(mean))
        model.feature_scale.copy_(torch.from_numpy(scale))
        model.statistic_edges.copy_(torch.from_numpy(learnt.statistic_edges(BUCKETS)))
        taken = [] if start is None else _begin_with(model, learnt.audio, start)
        run = _Run(model.to(device), learnt, held, out, config, device, rank, world, progress)
        run.taken = taken
        try:
            return run.go(began)
        finally:
            run.close()


_UNSEEN: Final = {
    "encoder": ("encoder_heads", "encoder_stride", "use_rope", "use_onset_features"),
    "decoder": ("decoder_heads", "use_rope", "position"),
}
"""Settings of each part that the shapes of its weights do not show."""


def _begin_with(model: Loom, audio: AudioConfig, start: Path) -> list[str]:
    """Takes over the weights of a checkpoint, scales of features and edges of statistics with them.

    What hears must fit. What plays is taken where it fits too: planned and joint decoding can share a hearing.

    Returns:
        The parts taken.
    """
    other, other_audio, _ = checkpoint.load(start)
    own, given = model.state_dict(), other.state_dict()
    found, expected = (
        json.loads(m.config.canonical()) | json.loads(a.canonical()) for m, a in ((other, other_audio), (model, audio))
    )
    heard = json.loads(audio.canonical()).keys()
    parts: dict[str, list[str]] = {}
    for name in own:
        parts.setdefault(name.split(".")[0] if "." in name else "encoder", []).append(name)
    fits = [
        part
        for part, names in parts.items()
        if {name for name in given if name.startswith(f"{part}.")} <= set(names)
        and all(name in given and given[name].shape == own[name].shape for name in names)
        and all(found[key] == expected[key] for key in _UNSEEN.get(part, ()))
        and (part != "encoder" or all(found[key] == expected[key] for key in heard))
    ]
    if "encoder" not in fits:
        of_encoder = [key for key in expected if key in heard or key.startswith(("encoder", "conv", "use_", "kv_"))]
        apart = [f"{key} {found[key]} for {expected[key]}" for key in of_encoder if found[key] != expected[key]]
        raise CheckpointError(
            f"{start}: hears in another shape ({', '.join(apart) or 'other features'}); train with its own settings",
            path=str(start),
        )
    model.load_state_dict({name: given[name] for part in fits for name in parts[part]}, strict=False)
    return fits


@contextmanager
def _joined(device: torch.device) -> Iterator[tuple[int, int]]:
    """Rank and number of processes, joined to the others where `torchrun` has started several."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield 0, 1
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield distributed.get_rank(), world
    finally:
        distributed.destroy_process_group()


def _device(config: TrainConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: found no CUDA device, expected one; use --set device=cpu", where="device")
    if config.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def _rounded(value: float) -> float | None:
    """Five digits that count; JSON knows no infinity."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


class _Run:
    """One training run: the loop and all that has to survive an interruption."""

    def __init__(
        self,
        model: Loom,
        learnt: Corpus,
        held: Corpus,
        out: Path,
        config: TrainConfig,
        device: torch.device,
        rank: int,
        world: int,
        progress: Callable[[dict[str, Any]], object] | None,
    ) -> None:
        self.model, self.learnt, self.held, self.out, self.config = model, learnt, held, out, config
        self.device, self.rank, self.world, self.progress = device, rank, world, progress
        for part in self._frozen():
            part.requires_grad_(False)
        self.learning = [p for p in model.parameters() if p.requires_grad]
        if not self.learning:
            raise ConfigError(f"frozen: found {list(config.frozen)}, which is all there is to learn", where="frozen")
        matrices, others = [p for p in self.learning if p.ndim > 1], [p for p in self.learning if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.average = _Average(model, config.ema_decay)
        self.per_epoch = Loader.steps_per_epoch(learnt, config, world)
        self.steps = max(config.max_epochs * self.per_epoch // config.gradient_accumulation_steps, 1)
        self.schedule = _Schedule(config, self.steps)
        self.step = 0
        self.elapsed_s = 0.0
        self.best: tuple[str, float, int] | None = None
        self.since_best = 0
        self.usual: float | None = None
        self.strange = 0
        self.skipped = 0
        self.styles = learnt.styles()
        self.taken: list[str] = []
        """Parts whose weights are those of another checkpoint."""
        self.loader: Loader | None = None
        self.board: Any = None

    def _frozen(self) -> list[torch.nn.Module]:
        parts = dict(self.model.named_children())
        return [parts[name] for name in self.config.frozen if name in parts]

    # The settings that a state is only good for.
    def _identity(self) -> str:
        free = {"minutes", "device", "max_epochs", "save_every", "evaluate_every", "early_stopping_patience"}
        kept = {name: value for name, value in _fields(self.config).items() if name not in free}
        return json.dumps(
            [self.model.config.canonical().decode(), kept, self.learnt.digest, self.world], sort_keys=True
        )

    def go(self, began: float) -> dict[str, Any]:
        """Trains until the steps, the time or the patience are over."""
        config = self.config
        self.out.mkdir(parents=True, exist_ok=True)
        self._resume()
        self._open_board()
        if self.step == 0:
            # Two batches of validation before the first step: what would fail after an hour fails now.
            if not look(self.model, self.held, config, songs=2) and not look(self.model, self.held, config):
                raise ConfigError("validation split: found no level with notes where its song sounds, expected some")
            if self.taken:
                self._report({"step": 0, "taken": ", ".join(self.taken)})
        self.loader = Loader(self.learnt, config, rank=self.rank, world=self.world, first=self._batches())
        batches = iter(self.loader)
        resumed_s, started = self.elapsed_s, time.monotonic()
        seen = {"notes": 0, "slots": 0}
        over = self._over()
        while not over:
            self.model.train()
            for part in self._frozen():
                part.eval()
            sums = self._learn(batches, seen)
            self.step += 1
            self.elapsed_s = resumed_s + time.monotonic() - started
            self._watch(sums)
            if self.step % _REPORT_EVERY == 0 or self.step == 1:
                span = time.monotonic() - started
                self._report(
                    {"step": self.step, "epoch": round(self._batches() / self.per_epoch, 2), **sums}
                    | {"rate": self.optimizer.param_groups[0]["lr"], "notes_per_s": round(seen["notes"] / span, 1)}
                    | {"slots_per_s": round(seen["slots"] / span, 1), "wait_s": round(self.loader.wait_s, 2)}
                    | {"elapsed_s": round(self.elapsed_s, 1)}
                )
            over = self._over()
            if self.step % config.evaluate_every == 0 or over:
                self._look()
                over = over or self._over()
            # A state amid losses that look like an explosion is not one to go back to.
            if over or (self.step % config.save_every == 0 and not self.strange):
                self._save()
        name, value, step = self.best or self._look()
        return {
            "run": str(self.out),
            "steps": self.step,
            "seconds": round(time.monotonic() - began, 3),
            "best": {"metric": name, "value": value, "step": step},
            "weights": str(self.out / "best.safetensors"),
        }

    def _batches(self) -> int:
        """Batches learnt so far, by each process."""
        return self.step * self.config.gradient_accumulation_steps

    def close(self) -> None:
        """Ends the loader and the log."""
        if self.loader is not None:
            self.loader.close()
        if self.board is not None:
            self.board.close()

    def _over(self) -> bool:
        patience = self.config.early_stopping_patience
        late = bool(self.config.minutes) and self.elapsed_s >= 60.0 * self.config.minutes
        over = self.step >= self.steps or late or (patience > 0 and self.since_best >= patience)
        if self.world == 1:
            return over
        # Clocks differ: the first process decides for all, and its time sets the rate of all.
        told = torch.tensor([float(over), self.elapsed_s], dtype=torch.float64, device=self.device)
        distributed.broadcast(told, 0)
        self.elapsed_s = float(told[1])
        return bool(told[0])

    def _learn(self, batches: Iterator[Batch], seen: dict[str, int]) -> dict[str, float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step, self.elapsed_s)
        self.optimizer.zero_grad(set_to_none=True)
        told: dict[str, float] = {}
        for _ in range(config.gradient_accumulation_steps):
            batch = next(batches).to(self.device)
            for part in (batch.heard, batch.silent):
                seen["notes"] += 0 if part is None else int((part.target >= 0).sum())
            seen["slots"] += int(batch.length.sum())
            with self._arithmetic():
                terms = loss_terms(self.model, batch, config)
            terms = self._shared(terms)
            loss = total_loss(terms, config) / config.gradient_accumulation_steps
            # Songs whose notes lie behind their sound teach nothing.
            if loss.requires_grad:
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            for name, (total, count) in terms.items():
                share = self._summed(total) / count.clamp(min=1e-6)
                told[name] = told.get(name, 0.0) + float(share) / config.gradient_accumulation_steps
        # Before they are unscaled, so that what overflows in one process is seen by all.
        self._add_gradients()
        told["loss"] = sum(weight * told[name] for name, weight in loss_weights(config).items() if name in told)
        if all(parameter.grad is None for parameter in self.learning):
            return told | {"norm": 0.0}
        self.scaler.unscale_(self.optimizer)
        told["norm"] = float(torch.nn.utils.clip_grad_norm_(self.learning, config.gradient_clip_norm))
        # A step from gradients that are no numbers would spoil the weights: `_watch` ends the run instead.
        if math.isfinite(told["loss"]) and (math.isfinite(told["norm"]) or self.scaler.is_enabled()):
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.average.update(self.model, self.step)
        return told

    def _add_gradients(self) -> None:
        """Sums the gradients of all processes; weights that none of them used stay without one."""
        if self.world == 1:
            return
        used = torch.tensor([float(p.grad is not None) for p in self.learning], device=self.device)
        distributed.all_reduce(used)
        for parameter, some in zip(self.learning, used.tolist(), strict=True):
            if some:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)

    def _arithmetic(self) -> Any:
        if self.config.precision == "fp32":
            return nullcontext()
        kind = torch.bfloat16 if self.config.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=kind)

    def _summed(self, value: Tensor) -> Tensor:
        """The sum over all processes; a copy, since several terms may be one and the same zero."""
        summed = value.detach().clone()
        if self.world > 1:
            distributed.all_reduce(summed)
        return summed

    def _shared(self, terms: Terms) -> Terms:
        """Terms with the counts of all processes, so that the gradients add up to those of one."""
        if self.world == 1:
            return terms
        zero = self.learning[0].sum() * 0.0
        every: Terms = {}
        for name in loss_weights(self.config):
            total, count = terms.get(name, (zero, zero.detach()))
            every[name] = total, self._summed(count)
        return every

    def _watch(self, sums: Mapping[str, float]) -> None:
        """Stops a run whose loss is no number or has exploded; the last state on disk is good."""
        loss = sums["loss"]
        if not math.isfinite(loss) or (not math.isfinite(sums["norm"]) and not self.scaler.is_enabled()):
            raise self._broken(f"the loss of step {self.step} is {loss} (gradient {sums['norm']})")
        usual = loss if self.usual is None else self.usual
        self.strange = self.strange + 1 if loss > _WORSE * usual + 1.0 else 0
        self.usual = usual + 0.02 * (min(loss, 2.0 * usual) - usual)
        # In fp16 a step is left out when a gradient overflows, until the scale has become small enough.
        self.skipped = 0 if math.isfinite(sums["norm"]) else self.skipped + 1
        if self.skipped >= _SKIPPED:
            raise self._broken(f"the gradients of the last {_SKIPPED} steps were no numbers")
        if self.strange >= 20:
            raise self._broken(f"the loss has exploded to {loss:.3g} at step {self.step}, from {usual:.3g}")

    def _broken(self, what: str) -> ConfigError:
        state = self.out / "state.pt"
        kept = f"the last good state is in {state}" if state.exists() else "no state was written yet"
        return ConfigError(f"{what}; {kept}; lower learning_rate or use precision=fp32", where="learning_rate")

    def _look(self) -> tuple[str, float, int]:
        """Looks at the validation songs, in the first process; all know then what is best, and how long it has been."""
        best = self._look_alone() if self.rank == 0 else (next(iter(SCORES)), 0.0, 0)
        if self.world > 1:
            name, value, step = best
            facts = [float(list(SCORES).index(name)), value, step, self.since_best, self.schedule.factor]
            told = torch.tensor(facts, dtype=torch.float64, device=self.device)
            distributed.broadcast(told, 0)
            which, value, step, since, self.schedule.factor = told.tolist()
            best, self.since_best = (list(SCORES)[int(which)], value, int(step)), int(since)
        self.best = best
        return best

    def _look_alone(self) -> tuple[str, float, int]:
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.weights)
        try:
            seen = look(self.model, self.held, self.config) | generated(self.model, self.held, self.config)
            name = next(name for name in SCORES if name in seen)
            value = seen[name]
            best = self.best
            better = best is None or best[0] != name or (value > best[1] if SCORES[name] else value < best[1])
            self._report({"step": self.step, **{f"val_{key}": v for key, v in seen.items()}})
            facts = {"step": self.step, "elapsed_s": round(self.elapsed_s, 1), **seen, "styles": self.styles}
            if best is None or better:
                best, self.since_best = (name, value, self.step), 0
                named = self.out / f"step-{self.step:06d}-{name}-{value:.3f}.safetensors"
                checkpoint.save(self.model, named, self.learnt.audio, facts)
                write_atomic(self.out / "best.safetensors", named.read_bytes())
                # Those of later steps are of another run that was here.
                earlier = (file for file in self.out.glob("step-*.safetensors") if file.name <= named.name)
                for old in sorted(earlier)[:-_KEPT]:
                    old.unlink()
            else:
                self.since_best += 1
                self.schedule.factor *= 0.5
            return best
        finally:
            self.model.load_state_dict(own)

    def _save(self) -> None:
        if self.rank:
            return
        checkpoint.save_state(
            self.out / "state.pt",
            {
                "identity": self._identity(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "model": self.model.state_dict(),
                "average": self.average.weights,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "random": torch.get_rng_state(),
                "random_device": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
                "best": list(self.best) if self.best else [],
                "since_best": self.since_best,
                "factor": self.schedule.factor,
                "usual": self.usual,
                "strange": self.strange,
            },
        )

    def _resume(self) -> None:
        path = self.out / "state.pt"
        if not path.exists():
            return
        state = checkpoint.load_state(path)
        if state.get("identity") != self._identity():
            raise ConfigError(
                f"{path}: a run of other settings, data or processes is here; name another --out, or remove it",
                path=str(path),
            )
        try:
            self.model.load_state_dict(state["model"])
            self.average.weights = {name: t.to(self.device) for name, t in state["average"].items()}
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            torch.set_rng_state(state["random"])
            if self.device.type == "cuda" and state.get("random_device") is not None:
                torch.cuda.set_rng_state(state["random_device"])
            self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])
            name, value, step = state["best"] or ("", 0.0, 0)
            self.best = (str(name), float(value), int(step)) if name else None
            self.since_best, self.schedule.factor = int(state["since_best"]), float(state["factor"])
            self.usual, self.strange = state["usual"], int(state.get("strange", 0))
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            why = " ".join(str(error).split())[:160]
            raise CheckpointError(
                f"{path}: not a state of this run: {why}; remove it to begin anew", path=str(path)
            ) from None

    def _open_board(self) -> None:
        if self.rank:
            return
        settings: dict[str, Any] = {}
        for part in (self.model.config, self.config, self.learnt.audio):
            settings |= json.loads(part.canonical())
        if self.learnt.filters is not None:
            filters = json.loads(self.learnt.filters.canonical())
            settings |= {name: filters[name] for name in FILTERS}
        write_atomic(self.out / "config.json", json.dumps(settings, indent=1).encode())
        # What was told after the state that the run goes on from is told again.
        log = self.out / "log.jsonl"
        if log.exists():
            write_atomic(log, b"".join(line for line in log.read_bytes().splitlines(True) if self._before(line)))
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step + 1)

    def _before(self, line: bytes) -> bool:
        """Whether a line of the log is whole, and of a step that is done."""
        try:
            return line.endswith(b"\n") and bool(json.loads(line)["step"] <= self.step)
        except (ValueError, KeyError, TypeError):
            return False

    def _report(self, line: Mapping[str, Any]) -> None:
        if self.rank:
            return
        rounded = {name: _rounded(v) if isinstance(v, float) else v for name, v in line.items()}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(rounded) + "\n")
        if self.board is not None:
            for name, value in rounded.items():
                if not isinstance(value, int | float):
                    continue
                self.board.add_scalar(name, value, self.step)
        if self.progress is not None:
            self.progress(dict(rounded))
