"""Trained weights on disk: what a run keeps, what the package ships, what is taken from others.

Weights travel as safetensors with the settings they need in the header; nothing is unpickled but a run's own resumable
state, and that with `weights_only`. A file is checked before a number of it is used.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from beatweaver.config import PLANNED, AudioConfig, ModelConfig, build
from beatweaver.data import feature_width
from beatweaver.errors import CheckpointError, ConfigError
from beatweaver.files import write_atomic
from beatweaver.model import Loom
from beatweaver.tokens import joint_vocabulary

__all__ = ["load", "load_state", "pack", "save", "save_state", "shipped"]

_FORMAT: Final = "beatweaver-loom-1"
_LARGEST_BYTES: Final = 2 << 30
_NUMBERS: Final = (torch.float16, torch.bfloat16, torch.float32)
SHIPPED: Final = "weights/default/model.safetensors"


def _vocabulary(model: ModelConfig) -> str:
    """Identity of the choices that the decoder's numbers stand for."""
    if model.vocab_size == PLANNED:
        return f"states-{PLANNED}"
    return joint_vocabulary().hash


def save(model: Loom, path: Path, audio: AudioConfig, facts: Mapping[str, Any], *, half: bool = False) -> None:
    """Write weights with all that is needed to use them; `half` stores them in 16 bits.

    Args:
        model: what was trained.
        path: a name ending in .safetensors.
        audio: settings of the features it hears.
        facts: what a reader should know of the training, as JSON.
        half: halve the size.

    Raises:
        OSError: the file system refused; nothing is left half-written.
    """
    from safetensors.torch import save as to_bytes

    kept = {name: tensor.detach().to("cpu").contiguous() for name, tensor in model.state_dict().items()}
    if half:
        kept = {name: t.half() if t.is_floating_point() else t for name, t in kept.items()}
    metadata = {
        "format": _FORMAT,
        "vocabulary": _vocabulary(model.config),
        "model": model.config.canonical().decode(),
        "audio": audio.canonical().decode(),
        "facts": json.dumps(dict(facts), sort_keys=True),
    }
    write_atomic(path, to_bytes(kept, metadata=metadata))


def load(path: Path) -> tuple[Loom, AudioConfig, dict[str, Any]]:
    """A model, the settings of its features, and the facts that were saved with it.

    Raises:
        CheckpointError: not a checkpoint, one of another vocabulary or format, damaged, or with numbers that are none.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size > _LARGEST_BYTES:
        raise _refused(path, f"{path.stat().st_size >> 20} MB", f"at most {_LARGEST_BYTES >> 20} MB")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint: {error}", path=str(path)) from None
    if metadata.get("format") != _FORMAT:
        raise _refused(path, f"format {metadata.get('format')!r}", f"{_FORMAT!r}")
    settings, facts = _told(path, metadata, "model"), _told(path, metadata, "facts")
    try:
        config, audio = build(ModelConfig, settings), build(AudioConfig, _told(path, metadata, "audio"))
    except ConfigError as error:
        raise CheckpointError(f"{path}: not settings of a model: {error}", path=str(path)) from None
    if metadata.get("vocabulary") != _vocabulary(config):
        raise CheckpointError(
            f"{path}: found the vocabulary {metadata.get('vocabulary')!r}, expected {_vocabulary(config)!r}; "
            "its numbers stand for other notes, so train it anew with this version",
            path=str(path),
            found=metadata.get("vocabulary"),
            expected=_vocabulary(config),
        )
    # Without memory of its own: what the header claims is first held against the tensors that are there.
    with torch.device("meta"):
        model = Loom(config, feature_width(config, audio))
    wanted = model.state_dict()
    for name in sorted(set(wanted) | set(tensors)):
        found, expected = _said(tensors.get(name)), _said(wanted.get(name))
        if found != expected:
            raise _refused(path, f"{found} for {name}", expected)
        if tensors[name].dtype not in _NUMBERS:
            raise _refused(path, f"{tensors[name].dtype} for {name}", "numbers of 16 or 32 bits")
        if not bool(torch.isfinite(tensors[name]).all()):
            raise _refused(path, f"infinite numbers in {name}", "finite ones")
    own = {name: tensor.to(wanted[name].dtype, copy=True) for name, tensor in tensors.items()}
    model.load_state_dict(own, assign=True)
    return model.eval(), audio, facts


def _told(path: Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """A JSON object of the header."""
    try:
        told = json.loads(metadata[name])
    except (KeyError, ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise CheckpointError(f"{path}: found no {name} settings in its header that can be read", path=str(path))
    return told


def _said(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"shape {list(tensor.shape)}"


def _refused(path: Path, found: str, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: found {found}, expected {expected}; make a checkpoint with `beatweaver train`",
        path=str(path),
        found=found,
        expected=expected,
    )


@cache
def shipped() -> tuple[Loom, AudioConfig, dict[str, Any]]:
    """The weights that come with the package.

    Raises:
        CheckpointError: this build has none.
    """
    resource = files("beatweaver").joinpath(SHIPPED)
    if not resource.is_file():
        raise CheckpointError("this build of beatweaver brings no trained weights; use --engine classic, or --weights")
    with as_file(resource) as path:
        return load(path)


def pack(run: Path, out: Path, card: str) -> None:
    """Weights of a run in 16 bits and their model card, for the package.

    Raises:
        CheckpointError: `run` is not a checkpoint.
        OSError: the file system refused.
    """
    model, audio, facts = load(run)
    out.mkdir(parents=True, exist_ok=True)
    save(model, out / "model.safetensors", audio, facts, half=True)
    write_atomic(out / "card.md", card.encode())


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write all that an exact resume needs: tensors, numbers, lists and dicts.

    Raises:
        OSError: the file system refused; the last state stays.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomic(path, buffer.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote; nothing but tensors and plain values is unpickled.

    Raises:
        CheckpointError: damaged, or something else than a state.
        OSError: it cannot be read.
    """
    read = path.read_bytes()
    try:
        state: Any = torch.load(io.BytesIO(read), weights_only=True, map_location="cpu")
    except Exception as error:  # noqa: BLE001 - torch raises pickle, zip and runtime errors of many kinds
        first = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: not a state of training that can be resumed: {first}; remove it to begin anew", path=str(path)
        ) from None
    if not isinstance(state, dict) or not isinstance(state.get("step"), int):
        raise CheckpointError(f"{path}: not a state of training; remove it to begin anew", path=str(path))
    return state
