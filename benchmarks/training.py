"""Speed and memory of training: notes and slots a second, waiting for data, and what the backward pass has to remember.

    python benchmarks/training.py DATA [--config configs/medium.json] [--steps 20] [--set key=value ...]

DATA was made by `process` with the same config. Steps are whole ones: loader, losses, gradients, clipping, AdamW,
average. On a GPU its peak is told; on any device the tensors that autograd keeps for the backward pass are counted,
each memory once, which with weights, gradients, moments and averages is what a GPU has to hold at least.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

import torch

from beatweaver.config import ModelConfig, ProcessConfig, TrainConfig, build, load
from beatweaver.data import BLOCK_SLOTS, Corpus
from beatweaver.losses import loss_terms, total_loss
from beatweaver.model import Loom
from beatweaver.train import train_neural


def remembered_bytes(model: Loom, corpus: Corpus, config: TrainConfig) -> tuple[int, int, int]:
    """Bytes that autograd keeps for the longest batch, slots of its longest song, and steps of its decoder."""
    longest = sorted(corpus.heard, key=lambda song: -corpus.songs[song].slots)[: config.batch_size]
    silent = corpus.silent[: config.silent_levels * config.batch_size]
    batch = corpus.batch(longest, silent, [0], augment=True)
    seen: dict[int, int] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = total_loss(loss_terms(model, batch, config), config)
    steps = sum(part.target.numel() for part in (batch.heard, batch.silent) if part is not None)
    del loss
    return sum(seen.values()), batch.audio.shape[1] if len(batch.audio) else 0, steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--config", type=Path, default=Path("configs/default.json"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = load(options.config, [*options.overrides, "generated_levels=0"])
    model_config, config = build(ModelConfig, settings), build(TrainConfig, settings)
    corpus = Corpus(options.data, "train", model_config, config, build(ProcessConfig, settings))
    print("load average", *(round(x, 1) for x in os.getloadavg()), "torch", torch.__version__, options.config)
    model = Loom(model_config, corpus.width)
    count = model.parameter_count()
    print(f"{count:,} parameters; weights, gradients, two moments, average: {5 * 4 * count / 1e6:.0f} MB")
    kept, slots, steps = remembered_bytes(model, corpus, config)
    print(
        f"kept for the backward pass of the {config.batch_size} longest songs ({slots / BLOCK_SLOTS * 4:.0f} beats) "
        f"and {steps:,} steps, 32 bits: {kept / 1e6:,.0f} MB; together {(5 * 4 * count + kept) / 1e9:.2f} GB"
    )
    per_epoch = max(len(corpus.heard) // config.batch_size, 1) // config.gradient_accumulation_steps
    lines: list[dict[str, float]] = []

    def told(line: dict[str, float]) -> None:
        lines.append(line)
        if line.get("notes_per_s") and line["step"] >= options.steps:
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        every = settings | {"max_epochs": max(2 * options.steps // max(per_epoch, 1), 1), "evaluate_every": 10**6}
        # Interrupted as by Ctrl-C once it has told what is asked for.
        with contextlib.suppress(KeyboardInterrupt):
            train_neural(
                options.data,
                Path(folder),
                model_config,
                build(TrainConfig, every),
                filters=build(ProcessConfig, settings),
                progress=told,
            )
    last = [line for line in lines if line.get("notes_per_s")][-1]
    print(
        f"{last['step']} steps: {last['notes_per_s']:,.0f} notes/s, {last['slots_per_s']:,.0f} slots/s, "
        f"waited {last['wait_s']:.2f} of {last['elapsed_s']:.1f} s for data"
    )
    if torch.cuda.is_available():
        print(f"GPU memory at most {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
