"""Weights on disk: there and back, and one sentence for each file that is not what it says."""

from __future__ import annotations

import json
import pickle
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import shelf
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from beatweaver import checkpoint
from beatweaver.config import JOINT, AudioConfig, ModelConfig
from beatweaver.data import feature_width
from beatweaver.errors import CheckpointError
from beatweaver.model import Loom

AUDIO = AudioConfig(n_mels=16)
FACTS = {"step": 7, "f1": 0.5, "styles": {"Expert": [[1.0, 2.0]]}}


def model(**changes: Any) -> Loom:
    torch.manual_seed(0)
    config = shelf.model(**changes)
    made = Loom(config, feature_width(config, AUDIO))
    made.feature_mean.normal_()
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    checkpoint.save(model(), path, AUDIO, FACTS)
    return path


@pytest.mark.parametrize("changes", [{}, {"vocab_size": JOINT, "use_onset_features": False}, {"use_rope": False}])
def test_there_and_back(tmp_path: Path, changes: dict[str, Any]) -> None:
    path, own = tmp_path / "a.safetensors", model(**changes)
    checkpoint.save(own, path, AUDIO, FACTS)
    state = torch.get_rng_state()
    read, audio, facts = checkpoint.load(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert (read.config, audio, facts) == (own.config, AUDIO, FACTS)
    assert not read.training
    assert read.state_dict().keys() == own.state_dict().keys()
    for name, tensor in read.state_dict().items():
        assert torch.equal(tensor, own.state_dict()[name]) and tensor.dtype == torch.float32
    assert all(parameter.requires_grad for parameter in read.parameters())


def test_half_the_size_is_nearly_the_same(tmp_path: Path, file: Path) -> None:
    path, own = tmp_path / "half.safetensors", model()
    checkpoint.save(own, path, AUDIO, FACTS, half=True)
    assert path.stat().st_size < 0.6 * file.stat().st_size
    for name, tensor in checkpoint.load(path)[0].state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, own.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_packed_for_the_package(tmp_path: Path, file: Path) -> None:
    checkpoint.pack(file, tmp_path / "out", "# A card\n")
    packed = tmp_path / "out" / "model.safetensors"
    assert {t.dtype for t in load_file(packed).values()} == {torch.float16}
    assert checkpoint.load(packed)[2] == FACTS
    assert (tmp_path / "out" / "card.md").read_text() == "# A card\n"


# ---- what is refused ------------------------------------------------------------------------------------------------


def _header(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header: dict[str, Any] = json.loads(raw[8 : 8 + size])
    return header


def changed(
    file: Path,
    out: Path,
    *,
    told: Mapping[str, str | None] = MappingProxyType({}),
    tensors: Callable[[dict[str, Any]], object] | None = None,
) -> Path:
    """The checkpoint with other words in its header, or with other tensors."""
    metadata = _header(file)["__metadata__"] | dict(told)
    kept = load_file(file)
    if tensors is not None:
        tensors(kept)
    out.write_bytes(to_bytes(kept, metadata={name: text for name, text in metadata.items() if text is not None}))
    return out


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        checkpoint.load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said
    assert caught.value.path == str(path)


TOLD = [
    ({"format": "beatweaver-loom-0"}, "found format 'beatweaver-loom-0', expected 'beatweaver-loom-1'"),
    ({"format": None}, "found format None"),
    ({"vocabulary": "states-200"}, "found the vocabulary 'states-200', expected 'states-217'"),
    ({"vocabulary": None}, "found the vocabulary None"),
    ({"model": None}, "found no model settings"),
    ({"model": "[]"}, "found no model settings"),
    ({"model": "[" * 100_000}, "found no model settings"),
    ({"model": '{"encoder_dim": 17}'}, "not settings of a model: encoder_dim: found 17"),
    ({"model": '{"kv_groups": 0}'}, "not settings of a model: kv_groups: found 0"),
    ({"audio": "{"}, "found no audio settings"),
    ({"audio": '{"n_mels": -1}'}, "not settings of a model"),
    (
        {"audio": AudioConfig(n_mels=17).canonical().decode()},
        r"found shape \[16, 21\] for encoder\.into\.weight, expected shape \[16, 22\]",
    ),
    ({"facts": "3"}, "found no facts settings"),
    # Terabytes, if it were built before it is looked at.
    (
        {"model": ModelConfig(decoder_dim=8192, decoder_layers=64, decoder_ff_dim=65_536).canonical().decode()},
        r"found shape \[16, 16\] for decoder\.blocks\.0\..*, expected shape \[.*8192\]",
    ),
]


@pytest.mark.parametrize(("told", "match"), TOLD, ids=[match[:30] for _, match in TOLD])
def test_other_words_in_the_header(file: Path, tmp_path: Path, told: dict[str, str | None], match: str) -> None:
    refused(changed(file, tmp_path / "other.safetensors", told=told), match)


NAME = "decoder.out.bias"
TENSORS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda kept: kept.pop(NAME), f"found nothing for {NAME}, expected shape"),
    (lambda kept: kept.update(more=torch.zeros(2)), "found shape [2] for more, expected nothing"),
    (lambda kept: kept.update({NAME: kept[NAME][:-1]}), f"found shape [215] for {NAME}, expected shape [216]"),
    (lambda kept: kept[NAME].__setitem__(3, torch.nan), f"found infinite numbers in {NAME}, expected finite ones"),
    (lambda kept: kept[NAME].__setitem__(3, -torch.inf), f"found infinite numbers in {NAME}"),
    (lambda kept: kept.update({NAME: kept[NAME].int()}), f"found torch.int32 for {NAME}, expected numbers"),
    (lambda kept: kept.update({NAME: kept[NAME].to(torch.float8_e4m3fn)}), f"found torch.float8_e4m3fn for {NAME}"),
    (lambda kept: kept.clear(), "found nothing for decoder"),
]


@pytest.mark.parametrize(("change", "match"), TENSORS, ids=[match[:40] for _, match in TENSORS])
def test_other_tensors(file: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], match: str) -> None:
    refused(changed(file, tmp_path / "other.safetensors", tensors=change), re.escape(match))


def test_cut_short_anywhere(file: Path, tmp_path: Path) -> None:
    whole, path = file.read_bytes(), tmp_path / "cut.safetensors"
    for eighth in range(8):
        path.write_bytes(whole[: len(whole) * eighth // 8])
        refused(path, "damaged or not a checkpoint")
    path.write_bytes(whole[:-1])
    refused(path, "damaged or not a checkpoint")


JUNK = {
    "text": b"hello, this is no checkpoint at all, it is a text",
    "pickle": pickle.dumps({"a": 1}),
    "zip": b"PK\x03\x04" + bytes(100),
    "huge header": struct.pack("<Q", 1 << 40) + b"{}",
    "long header": struct.pack("<Q", 200 << 20) + b"{" + b" " * 1000,
    "header of nothing": struct.pack("<Q", 2) + b"[]",
}


@pytest.mark.parametrize("junk", JUNK)
def test_what_is_no_checkpoint(tmp_path: Path, junk: str) -> None:
    path = tmp_path / "junk.safetensors"
    path.write_bytes(JUNK[junk])
    refused(path, "damaged or not a checkpoint")


def test_a_file_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate((2 << 30) + 1)  # a hole: no disk is used
    refused(path, "found 2048 MB, expected at most 2048 MB")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "none.safetensors")


# ---- the state of a run ---------------------------------------------------------------------------------------------


def test_a_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    state = {"step": 3, "weights": {"a": torch.randn(4)}, "best": ["f1", 0.5, 3], "usual": None}
    checkpoint.save_state(path, state)
    read = checkpoint.load_state(path)
    assert torch.equal(read.pop("weights")["a"], state["weights"]["a"])  # type: ignore[index]
    assert read == {"step": 3, "best": ["f1", 0.5, 3], "usual": None}


class _Code:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_code_in_a_state_is_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "state.pt", tmp_path / "was here"
    pickle.loads(pickle.dumps(_Code(trace)))  # noqa: S301 - shows that it would
    assert trace.exists()
    trace.unlink()
    for write in (
        lambda: torch.save({"step": 1, "evil": _Code(trace)}, path),
        lambda: path.write_bytes(pickle.dumps({"step": 1, "evil": _Code(trace)})),
    ):
        write()
        with pytest.raises(CheckpointError, match="not a state of training that can be resumed") as caught:
            checkpoint.load_state(path)
        assert "\n" not in str(caught.value)
        assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"junk", {"no": 1}, [1, 2], {"step": "three"}], ids=str)
def test_states_that_are_none(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "state.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match="remove it to begin anew"):
        checkpoint.load_state(path)


def test_a_state_cut_short_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    checkpoint.save_state(path, {"step": 3, "weights": torch.randn(1000)})
    whole = path.read_bytes()
    for eighth in range(8):
        path.write_bytes(whole[: len(whole) * eighth // 8])
        with pytest.raises(CheckpointError, match="remove it to begin anew"):
            checkpoint.load_state(path)


def test_the_shipped_weights_load_without_the_compiler() -> None:
    """Two seconds and 150 MB of every `generate`, once: drawing weights without memory imports torch's compiler."""
    code = "import sys; from beatweaver import checkpoint; checkpoint.shipped(); print('torch._dynamo' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert told.stdout.strip() == "False"
